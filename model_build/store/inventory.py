"""What a model store holds: the inventory of its models."""

from dataclasses import dataclass

from classifier.model.manifest import Manifest
from model_build.errors import BuildError, NotInStore
from model_build.store.model_store import Channel, Listing, ModelStore


@dataclass
class Inventory:
    """One model's versions and channels.

    manifests: of the complete versions, newest first; None for one that can't be read.
    """

    name: str
    listing: Listing
    manifests: dict[str, Manifest | None]
    channels: dict[str, Channel]

    def pointed_by(self, version: str) -> list[str]:
        """Channels that point to a version."""
        return [name for name, one in self.channels.items() if one["version"] == version]

    def remembered_by(self, version: str) -> list[str]:
        """Channels that can go back to a version, or went back from it."""
        return [
            name
            for name, one in self.channels.items()
            if version in one["previous"] or version in one.get("rolled_back", [])
        ]


def take(store: ModelStore, name: str | None = None) -> list[Inventory]:
    """Inventory of one model or of all; raises NotInStore for a name that the store has not."""
    found = store.listing(name or "")
    if name and name not in found:
        raise NotInStore(f"{store.url} has no model {name!r}; leave --name out to see what it has")
    return [inventory(store, owner, listing) for owner, listing in sorted(found.items())]


def inventory(store: ModelStore, name: str, listing: Listing) -> Inventory:
    """Inventory of what a listing shows of one model."""
    channels = {channel: store.channel(name, channel) for channel in listing.channels}
    return Inventory(
        name,
        listing,
        {version: _manifest(store, name, version) for version in listing.complete},
        {channel: content for channel, content in channels.items() if content},
    )


def _manifest(store: ModelStore, name: str, version: str) -> Manifest | None:
    try:
        return store.manifest(name, version)
    except BuildError:
        return None
