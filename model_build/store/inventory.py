"""What a model store holds: the inventory of its models."""

from dataclasses import dataclass

from classifier.model.manifest import Manifest
from model_build.errors import BuildError, NotInStore
from model_build.store.model_store import Channel, Listing, ModelStore


@dataclass
class Inventory:
    """One model's versions and channels.

    manifests: of the complete versions, newest first; None if unreadable.
    """

    name: str
    listing: Listing
    manifests: dict[str, Manifest | None]
    channels: dict[str, Channel]

    def pointed_by(self, version: str) -> list[str]:
        """Channels that point to a version."""
        return [name for name, channel in self.channels.items() if channel["version"] == version]

    def remembered_by(self, version: str) -> list[str]:
        """Channels that can roll back to a version, or were rolled back from it."""
        return [
            name
            for name, channel in self.channels.items()
            if version in channel["previous"] or version in channel.get("rolled_back", [])
        ]


def take(store: ModelStore, name: str | None = None) -> list[Inventory]:
    """Inventory of one model or of all; raises NotInStore if there is no such model."""
    listings = store.listing(name or "")
    if name and name not in listings:
        raise NotInStore(f"{store.url} has no model {name!r}; omit --name to list its models")
    return [inventory(store, owner, listing) for owner, listing in sorted(listings.items())]


def inventory(store: ModelStore, name: str, listing: Listing) -> Inventory:
    """Inventory of one model, from its listing."""
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
