"""Removes versions that nothing refers to any more from a model store."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from model_build.errors import StoreError
from model_build.store.backends import UNFINISHED, Entry
from model_build.store.inventory import Inventory, inventory
from model_build.store.model_store import Listing, ModelStore

type Step = Callable[[int, int], None]  # done, of how many


@dataclass
class Plan:
    """What gc keeps and removes of one model, with a reason for each version."""

    name: str
    keep: dict[str, str]
    remove: dict[str, str]
    unfinished: list[Entry] = field(default_factory=list)
    bytes: int = 0


def plan(
    store: ModelStore, name: str, *, newest: int = 0, min_age: timedelta = timedelta(days=1)
) -> Plan:
    """Plan what gc keeps and removes.

    Kept: versions that a channel points to, can roll back to or was rolled back from; their
    parents, which their lineage needs; the `newest` versions; versions without a manifest that are
    younger than `min_age`. Raises StoreError if a parent can't be determined.
    """
    holdings = inventory(store, name, store.listing(name).get(name, Listing()))
    listing = holdings.listing
    keep: dict[str, str] = {}
    for version in listing.versions:
        if pointing := holdings.pointed_by(version):
            keep[version] = f"{', '.join(pointing)} points to it"
        elif remembering := holdings.remembered_by(version):
            keep[version] = f"in the history of {', '.join(remembering)}"
    for version in listing.complete[:newest]:
        keep.setdefault(version, f"one of the {newest} newest")
    _keep_parents(holdings, keep)

    before = datetime.now(UTC) - min_age
    remove = {}
    for version in sorted(listing.versions, reverse=True):
        if version in keep:
            continue
        if version in listing.complete:
            remove[version] = "not in any channel or its history"
        elif max(file.modified for file in listing.versions[version].values()) > before:
            keep[version] = "no manifest yet, may be a publish in progress"
        else:
            remove[version] = "an interrupted publish"
    loose = [file for version in keep for file in listing.versions.get(version, {}).values()]
    unfinished = [
        file
        for file in [*loose, *listing.others]
        if file.key.rpartition("/")[2].startswith(UNFINISHED) and file.modified <= before
    ]
    freed = [file for version in remove for file in listing.versions[version].values()]
    return Plan(name, keep, remove, unfinished, sum(file.bytes for file in [*freed, *unfinished]))


def _keep_parents(holdings: Inventory, keep: dict[str, str]) -> None:
    children = list(keep)
    while children:
        child = children.pop()
        if child not in holdings.manifests:
            continue
        manifest = holdings.manifests[child]
        if manifest is None:
            raise StoreError(
                f"the manifest of {holdings.name} {child} can't be read, so its parent is unknown; "
                "`python -m model_build verify` shows why"
            )
        parent = manifest.lineage.parent
        if parent in holdings.listing.versions and parent not in keep:
            keep[parent] = f"parent of {child}"
            children.append(parent)


def collect(
    store: ModelStore,
    name: str,
    *,
    newest: int = 0,
    min_age: timedelta = timedelta(days=1),
    take_over: bool = False,
    step: Step | None = None,
) -> Plan:
    """Remove what `plan` lists, safely against promotions and publishes; return what was removed.

    Announce, touch every channel, plan again, remove: a writer that missed the announcement can't
    write a touched channel, and the second plan includes whatever was written before the touch.
    """
    planned = plan(store, name, newest=newest, min_age=min_age)
    for entry in planned.unfinished:
        store.delete(entry)
    if not planned.remove and not store.removal(name):
        return planned
    mark = store.begin_removal(name, list(planned.remove), take_over=take_over)
    try:
        for channel in store.listing(name).get(name, Listing()).channels:
            store.touch(name, channel)
        final = plan(store, name, newest=newest, min_age=min_age)
    except (
        Exception
    ):  # nothing is removed yet; after this, a failed call may have removed something
        store.end_removal(name, mark)
        raise
    final.unfinished = planned.unfinished
    final.remove = {v: why for v, why in final.remove.items() if v in planned.remove}
    for done, version in enumerate(final.remove, 1):
        store.remove(name, version, mark)
        if step:
            step(done, len(final.remove))
    store.end_removal(name, mark)
    return final
