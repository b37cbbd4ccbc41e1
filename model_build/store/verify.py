"""Check that a model store's contents are intact."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from classifier.model.manifest import File
from model_build.errors import BuildError, NotInStore, StoreError
from model_build.store.model_store import COMPANIONS, FINDER, MANIFEST, MODEL, Listing, ModelStore

type Step = Callable[[int, int], None]  # done, of how many

_PARTS = (MODEL, FINDER, MANIFEST, *COMPANIONS)


@dataclass
class Report:
    """Findings of `verify`. A problem needs action, a note does not."""

    models: int = 0
    versions: int = 0
    channels: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(store: ModelStore, name: str | None = None, step: Step | None = None) -> Report:
    """Hash every model file again, and check every manifest, signature, channel and history."""
    listings = store.listing(name or "")
    if name and name not in listings:
        raise NotInStore(f"{store.url} has no model {name!r}; omit --name to verify all models")
    report = Report(models=len(listings))
    total = sum(len(listing.versions) for listing in listings.values())
    done = 0
    for owner, listing in sorted(listings.items()):
        for version in sorted(listing.versions, reverse=True):
            _verify_version(store, owner, version, listing, report)
            done += 1
            if step:
                step(done, total)
        for channel in sorted(listing.channels):
            _verify_channel(store, owner, channel, listing, report)
        if removal := store.removal(owner):
            report.notes.append(
                f"{owner}: gc is running or was killed (last progress {removal['since']})"
            )
        report.notes += [
            f"{entry.key}: belongs to no version or channel" for entry in listing.others
        ]
    return report


def _verify_version(
    store: ModelStore, name: str, version: str, listing: Listing, report: Report
) -> None:
    label, files = f"{name} {version}", listing.versions[version]
    report.notes += [
        f"{label}: {file} is not part of a version" for file in files if file not in _PARTS
    ]
    if MANIFEST not in files:
        report.notes.append(f"{label}: no manifest; the publish was interrupted or is in progress")
        return
    report.versions += 1
    try:
        manifest = store.manifest(name, version)
    except BuildError as error:
        report.problems.append(f"{label}: {error}")
        return
    if (manifest.name, manifest.version) != (name, version):
        report.problems.append(
            f"{label}: its manifest belongs to {manifest.name} {manifest.version}"
        )
    expected = manifest.file
    if not version.endswith(expected.sha256[:8]):
        report.problems.append(
            f"{label}: its name does not end with its sha256, {expected.sha256[:8]}"
        )
    try:
        store.check_signature(name, version)
    except StoreError as error:
        report.problems.append(str(error))
    report.bytes += _verify_file(store, label, MODEL, expected, listing, report)
    if manifest.finder:
        report.bytes += _verify_file(store, label, FINDER, manifest.finder, listing, report)
    parent = manifest.lineage.parent
    if parent and parent not in listing.complete:
        report.notes.append(f"{label}: its parent {parent} is not in the store")


def _verify_file(
    store: ModelStore, label: str, part: str, expected: File, listing: Listing, report: Report
) -> int:
    """Hash a file of a version again; return its size."""
    name, version = label.split(" ")
    if part not in listing.versions[version]:
        report.problems.append(f"{label}: {part} is missing")
        return 0
    content = store.file(name, version, part)
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != expected.bytes:
        report.problems.append(
            f"{label}: {part} has {len(content):,} bytes, its manifest says {expected.bytes:,}"
        )
    elif digest != expected.sha256:
        report.problems.append(
            f"{label}: {part} has sha256 {digest[:12]}…, its manifest says {expected.sha256[:12]}…"
        )
    return len(content)


def _verify_channel(
    store: ModelStore, name: str, channel: str, listing: Listing, report: Report
) -> None:
    label = f"{name} {channel}"
    report.channels += 1
    try:
        content = store.channel(name, channel)
    except StoreError as error:
        report.problems.append(f"{label}: {error}")
        return
    if content is None:
        report.notes.append(f"{label}: has no version yet; its first promotion did not finish")
        return
    complete = set(listing.complete)
    if content["version"] not in complete:
        report.problems.append(
            f"{label}: points to {content['version']}, which is missing or incomplete"
        )
    remembered = dict.fromkeys([*content["previous"], *content.get("rolled_back", [])])
    report.notes += [
        f"{label}: its history has {version}, which is gone"
        for version in remembered
        if version not in complete
    ]
