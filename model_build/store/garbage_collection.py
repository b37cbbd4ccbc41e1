"""Removes from a model store what nobody names any more."""

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
    """What gc keeps and removes of one model. Each version comes with the reason."""

    name: str
    keep: dict[str, str]
    remove: dict[str, str]
    unfinished: list[Entry] = field(default_factory=list)
    bytes: int = 0


def plan(
    store: ModelStore, name: str, *, newest: int = 0, min_age: timedelta = timedelta(days=1)
) -> Plan:
    """Say what gc would keep and remove.

    Kept: what a channel points to, can go back to or went back from; the parents of all that, as
    its lineage is told by them; the `newest` versions; what has no manifest yet and is younger
    than `min_age`. Raises StoreError if that can't be known.
    """
    held = inventory(store, name, store.listing(name).get(name, Listing()))
    listing = held.listing
    keep: dict[str, str] = {}
    for version in listing.versions:
        if pointing := held.pointed_by(version):
            keep[version] = f"{', '.join(pointing)} points to it"
        elif remembering := held.remembered_by(version):
            keep[version] = f"in the history of {', '.join(remembering)}"
    for version in listing.complete[:newest]:
        keep.setdefault(version, f"one of the {newest} newest")
    _keep_parents(held, keep)

    before = datetime.now(UTC) - min_age
    remove = {}
    for version in sorted(listing.versions, reverse=True):
        if version in keep:
            continue
        if version in listing.complete:
            remove[version] = "no channel and no history names it"
        elif max(file.modified for file in listing.versions[version].values()) > before:
            keep[version] = "no manifest yet, may be a publish under way"
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


def _keep_parents(held: Inventory, keep: dict[str, str]) -> None:
    children = list(keep)
    while children:
        child = children.pop()
        if child not in held.manifests:
            continue
        manifest = held.manifests[child]
        if manifest is None:
            raise StoreError(
                f"the manifest of {held.name} {child} can't be read, so its parent is not "
                "known; `python -m model_build verify` tells more"
            )
        parent = manifest.lineage.parent
        if parent in held.listing.versions and parent not in keep:
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
    """Remove what `plan` says, safely against promotions and publishes; give what was removed.

    Announce, touch every channel, plan again, remove: who saw no announcement fails to write a
    touched channel, and who wrote a channel before is seen by the second plan.
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
    except Exception:  # nothing is removed yet; later, an answer lost may be a removal done
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
