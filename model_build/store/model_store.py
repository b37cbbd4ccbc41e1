"""Model store: immutable versions, and channels that point to them.

    <name>/versions/<version>/model.onnx      written once, by a conditional write
    <name>/versions/<version>/finder.onnx     likewise, in a version that finds digits
    <name>/versions/<version>/card.md         the model card; may be rewritten
    <name>/versions/<version>/manifest.sig    the manifest's signature, if there is one; likewise
    <name>/versions/<version>/manifest.json   written last: a version with one is complete
    <name>/channels/<channel>.json            changed by compare-and-swap only
    <name>/removal.json                       what gc is removing right now

`docs/model-store.md` explains why no channel can point to a version that gc removes.
"""

import contextlib
import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from classifier.model.manifest import NAME, VERSION, Document, Manifest
from model_build.errors import BadSignature, Conflict, NotInStore, StoreError
from model_build.store import card, signing
from model_build.store import manifest as manifests
from model_build.store.backends import Entry, open_objects

_HISTORY = 50  # versions that a channel remembers
_ATTEMPTS = 100  # of a compare-and-swap, enough for as many concurrent writers
_LEASE_SECONDS = 600  # a gc that has written nothing for this long is presumed dead

MODEL, FINDER, MANIFEST = "model.onnx", "finder.onnx", "manifest.json"
CARD, SIGNATURE = "card.md", "manifest.sig"
COMPANIONS = (CARD, SIGNATURE)  # of a version, beside what its manifest holds; may be rewritten

type Channel = dict[str, Any]


@dataclass
class Listing:
    """The objects in the store under one model's name.

    versions: the objects of each version's folder, by file name; without `manifest.json` the
    version is incomplete. others: objects that belong to no version or channel.
    """

    versions: dict[str, dict[str, Entry]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)

    @property
    def complete(self) -> list[str]:
        """Versions with a manifest, newest first."""
        return sorted((v for v, files in self.versions.items() if MANIFEST in files), reverse=True)

    @property
    def incomplete(self) -> list[str]:
        """Versions without a manifest, newest first: invisible to readers."""
        return sorted(self.versions.keys() - set(self.complete), reverse=True)


class ModelStore:
    """Versions and channels at `file:///folder` or `s3://bucket/prefix`.

    signing_key: public key by which a version must be signed to be promoted; empty for none.
    signer: signs what is published.
    """

    def __init__(
        self, url: str, *, signing_key: str = "", signer: signing.Signer | None = None
    ) -> None:
        self.url = url
        self._signing_key = signing_key
        self._signer = signer
        self._objects = open_objects(url)

    def publish(
        self,
        document: Document,
        content: bytes,
        finder: bytes | None = None,
        companions: dict[str, bytes] | None = None,
        encoded: bytes | None = None,
    ) -> Manifest:
        """Write a version: its files, then its manifest. Publishing the same again is fine.

        document: the manifest, unchecked. finder: content of the finder's file. companions: other
        files of the folder, which replace those there; a missing card is written. encoded: the
        manifest's bytes, if it has been published before: its signature is of these. Raises
        ManifestError, and Conflict if the version exists with different content or gc is removing
        it or its parent.
        """
        manifest = manifests.parse(document)
        parts = {MODEL: content} | ({FINDER: finder} if finder is not None else {})
        expected = {MODEL: manifest.file} | ({FINDER: manifest.finder} if manifest.finder else {})
        for part in parts.keys() | expected.keys():
            held = parts.get(part, b"")
            if (hashlib.sha256(held).hexdigest(), len(held)) != expected.get(part):
                raise StoreError(f"{part} does not match its manifest")
        name, version = manifest.name, manifest.version
        folder = _folder(name, version)
        needed = {version, manifest.lineage.parent}
        self._refuse_removed(name, needed)
        encoded = encoded or manifests.encode(document)
        parts |= self._companions(manifest, encoded, companions or {})
        parts[MANIFEST] = encoded
        missing = list(parts)
        while missing:
            for part in missing:
                write = self._replace if part in COMPANIONS else self._write_once
                write(f"{folder}/{part}", parts[part])
            present = {entry.key for entry in self._objects.entries(f"{folder}/")}
            # A concurrent gc may have removed some of it, but no more than once.
            missing = [part for part in parts if f"{folder}/{part}" not in present]
        self._refuse_removed(name, needed)
        return manifest

    def _companions(
        self, manifest: Manifest, encoded: bytes, given: dict[str, bytes]
    ) -> dict[str, bytes]:
        if CARD not in given and self.companion(manifest.name, manifest.version, CARD) is None:
            given = {CARD: self.new_card(manifest).encode()} | given
        if self._signer:
            given = given | {SIGNATURE: self._signer(encoded)}
        return given

    def card(self, manifest: Manifest) -> str:
        """Card of a version; a new one if it was published without."""
        written = self.companion(manifest.name, manifest.version, CARD)
        return self.new_card(manifest) if written is None else written.decode(errors="replace")

    def new_card(self, manifest: Manifest, about: str = "") -> str:
        """A new card of a version, compared with its parent if that is in the store.

        about: what its author says of its use and its data, as Markdown.
        """
        parent = None
        if manifest.lineage.parent:
            with contextlib.suppress(NotInStore):
                parent = self.manifest(manifest.name, manifest.lineage.parent).document
        return card.render(manifest.document, parent, about)

    def companion(self, name: str, version: str, part: str) -> bytes | None:
        """Content of a version's card or signature; None if it has none."""
        with contextlib.suppress(NotInStore):
            return self.file(name, version, part)
        return None

    def accompany(self, name: str, version: str, part: str, content: bytes) -> None:
        """Write or replace a complete version's card or signature; raises NotInStore."""
        self.manifest(name, version)
        self._replace(f"{_folder(name, version)}/{part}", content)

    def manifest(self, name: str, version: str) -> Manifest:
        """Manifest of a complete version; raises NotInStore if there is none."""
        key = f"{_folder(name, version)}/{MANIFEST}"
        try:
            content, _ = self._objects.read(key)
        except NotInStore as error:
            raise NotInStore(
                f"{self.url} has no version {version} of {name!r}; "
                "`python -m model_build list` shows what it has"
            ) from error
        return manifests.parse(self._parsed(key, content))

    def sign(self, name: str, version: str, signer: signing.Signer) -> None:
        """Sign a version, or sign it again, after checking its files.

        Raises StoreError as `promote` does, except for the signature that is there.
        """
        self._check_files(name, version)
        content = signer(self.file(name, version, MANIFEST))
        self.accompany(name, version, SIGNATURE, content)

    def check(self, name: str, version: str) -> bytes:
        """Check a version's files and, with a key, its signature; return its manifest's bytes.

        Raises StoreError for a file that does not match, and BadSignature.
        """
        self._check_files(name, version)
        content = self.file(name, version, MANIFEST)
        self.check_signature(name, version, content)
        return content

    def check_signature(self, name: str, version: str, content: bytes | None = None) -> None:
        """Raise BadSignature if there is a key and a version's manifest is not signed by it."""
        if not self._signing_key:
            return
        signature = self.companion(name, version, SIGNATURE)
        advice = f"`python -m model_build sign {version} --name {name} --key FILE` signs it"
        if signature is None:
            raise BadSignature(f"{name} {version} has no {SIGNATURE}; {advice}")
        if content is None:
            content = self.file(name, version, MANIFEST)
        try:
            signing.check(self._signing_key, content, signature)
        except BadSignature as error:
            raise BadSignature(f"{SIGNATURE} of {name} {version}: {error}; {advice}") from error

    def _check_files(self, name: str, version: str) -> None:
        manifest = self.manifest(name, version)
        if (manifest.name, manifest.version) != (name, version):
            raise StoreError(
                f"the manifest of {name} {version} belongs to {manifest.name} {manifest.version}; "
                "build and publish a new version"
            )
        self.finder(name, version)
        self.model(name, version)

    def model(self, name: str, version: str) -> bytes:
        """Model file of a version, checked against its manifest."""
        return self._checked(name, version, MODEL, self.manifest(name, version).file.sha256)

    def finder(self, name: str, version: str) -> bytes | None:
        """Finder of a version, checked against its manifest; None if it has none."""
        expected = self.manifest(name, version).finder
        return self._checked(name, version, FINDER, expected.sha256) if expected else None

    def _checked(self, name: str, version: str, part: str, sha256: str) -> bytes:
        content = self.file(name, version, part)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StoreError(
                f"{part} of {name} {version} does not match its manifest; "
                "build and publish a new version"
            )
        return content

    def file(self, name: str, version: str, part: str = MODEL) -> bytes:
        """File of a version as it is, unchecked."""
        return self._objects.read(f"{_folder(name, version)}/{part}")[0]

    def channel(self, name: str, channel: str) -> Channel | None:
        """Content of a channel; None if nothing was ever promoted to it."""
        key = _channel_key(name, channel)
        try:
            content, _ = self._objects.read(key)
        except NotInStore:
            return None
        document = self._parsed_channel(key, content)
        return document if document["version"] else None

    def resolve(self, name: str, version: str) -> str:
        """Version that a channel points to; a version is returned as it is."""
        if VERSION.fullmatch(version):
            return version
        channel = self.channel(name, version)
        if channel is None:
            raise NotInStore(
                f"{self.url} has no channel {version!r} of {name!r}; "
                "`python -m model_build list` shows what it has"
            )
        return str(channel["version"])

    def listing(self, name: str = "") -> dict[str, Listing]:
        """Listings by model name; only the named model's if `name` is given."""
        if name:
            _check_name(name)
        listings: dict[str, Listing] = {}
        for entry in self._objects.entries(f"{name}/" if name else ""):
            owner, _, rest = entry.key.partition("/")
            if not rest or not NAME.fullmatch(owner):
                continue
            listing = listings.setdefault(owner, Listing())
            match rest.split("/"):
                case ["versions", version, file] if VERSION.fullmatch(version):
                    listing.versions.setdefault(version, {})[file] = entry
                case ["channels", file] if NAME.fullmatch(file) and file.endswith(".json"):
                    listing.channels.append(file.removesuffix(".json"))
                case ["removal.json"]:
                    pass
                case _:
                    listing.others.append(entry)
        return listings

    def promote(self, name: str, version: str, channel: str, *, force: bool = False) -> Channel:
        """Point a channel to a complete version that `check` passes; return the channel's content.

        Concurrent promotions all happen, one after the other: none is lost. Raises StoreError for
        a version with doubts, unless forced.
        """
        doubts = self.manifest(name, version).doubts
        if doubts and not force:
            raise StoreError(
                f"{name} {version} is not promoted, because {'; '.join(doubts)}. If you know "
                "better, promote it with --force"
            )
        self.check(name, version)

        def point(old: Channel) -> Channel:
            if old["version"] == version:
                return old
            rolled_back = [v for v in old.get("rolled_back", []) if v != version]
            previous = [old["version"], *old["previous"]] if old["version"] else []
            return _channel_content(old, version, previous, rolled_back)

        return self._change(name, channel, point)[1]

    def rollback(self, name: str, channel: str, to: str | None = None) -> tuple[Channel, Channel]:
        """Point a channel to its previous version, or to an earlier one in its history.

        Returns the channel's content before and after. The versions skipped are remembered in
        `rolled_back`. Raises StoreError if there is no such version, and as promote does.
        """

        def point_back(old: Channel) -> Channel:
            previous = old["previous"]
            if not previous:
                raise StoreError(
                    f"channel {channel} of {name} has no previous version; "
                    "`promote VERSION` points it to another version"
                )
            if to is not None and to not in previous:
                raise StoreError(
                    f"{to} is not in the history of channel {channel} of {name}; "
                    f"`promote {to}` points to it"
                )
            index = previous.index(to) if to else 0
            target = previous[index]
            self.check(name, target)
            skipped = [old["version"], *previous[:index], *old.get("rolled_back", [])]
            rolled_back = [v for v in dict.fromkeys(skipped) if v != target]
            return _channel_content(old, target, previous[index + 1 :], rolled_back)

        if self.channel(name, channel) is None:
            self.resolve(name, channel)  # raises NotInStore
        return self._change(name, channel, point_back)

    def touch(self, name: str, channel: str) -> Channel:
        """Rewrite a channel unchanged, so that every change in progress has to read it again."""
        return self._change(name, channel, dict)[1]

    def begin_removal(self, name: str, versions: list[str], *, take_over: bool = False) -> str:
        """Announce what will be removed; return the announcement's mark.

        Raises Conflict if another gc is running, or was killed less than ten minutes ago, unless it
        is to be taken over.
        """
        key = _removal_key(name)
        mark = uuid.uuid4().hex
        content = manifests.encode({"versions": versions, "mark": mark, "since": _now()})
        with contextlib.suppress(Conflict):
            self._objects.create(key, content)
            return mark
        old, tag = self._objects.read(key)
        removal = self._parsed(key, old)
        age = datetime.now(UTC) - datetime.fromisoformat(removal["since"])
        if removal["mark"] and not take_over and age.total_seconds() < _LEASE_SECONDS:
            raise Conflict(
                f"another gc of {name} is running (last progress {removal['since']}); let it "
                "finish, or use --take-over if it was killed"
            )
        self._objects.replace(key, content, tag)
        return mark

    def remove(self, name: str, version: str, mark: str) -> None:
        """Remove an announced version, its manifest first, so that it is never visible in part.

        Raises Conflict if another gc has taken over.
        """
        key = _removal_key(name)
        content, tag = self._objects.read(key)
        removal = self._parsed(key, content)
        if removal["mark"] != mark or version not in removal["versions"]:
            raise Conflict(f"another gc of {name} took over; let it finish")
        self._objects.replace(key, manifests.encode(removal | {"since": _now()}), tag)
        folder = _folder(name, version)
        self._objects.delete(f"{folder}/{MANIFEST}")
        for entry in list(self._objects.entries(f"{folder}/")):
            self._objects.delete(entry.key)

    def end_removal(self, name: str, mark: str) -> None:
        """Withdraw the announcement; raises Conflict if another gc has taken over."""
        key = _removal_key(name)
        content, tag = self._objects.read(key)
        if self._parsed(key, content)["mark"] != mark:
            raise Conflict(f"another gc of {name} took over; let it finish")
        ended: dict[str, Any] = {"versions": [], "mark": None, "since": _now()}
        self._objects.replace(key, manifests.encode(ended), tag)

    def removal(self, name: str) -> dict[str, Any]:
        """The removal that gc has announced; empty if there is none."""
        key = _removal_key(name)
        try:
            removal = self._parsed(key, self._objects.read(key)[0])
        except NotInStore:
            return {}
        return removal if removal["mark"] else {}

    def delete(self, entry: Entry) -> None:
        """Delete an object that belongs to no version."""
        self._objects.delete(entry.key)

    def _change(
        self, name: str, channel: str, step: Callable[[Channel], Channel]
    ) -> tuple[Channel, Channel]:
        """Compare-and-swap a channel until that succeeds; return its content before and after.

        The order protects against gc: read the channel, check that gc is not removing the version
        and that it exists, write. A gc that starts after the check touches the channel, and the
        write fails.
        """
        key = _channel_key(name, channel)
        change = uuid.uuid4().hex
        before: Channel = {}
        for attempt in range(_ATTEMPTS):
            try:
                content, tag = self._objects.read(key)
            except NotInStore:
                with contextlib.suppress(Conflict):  # empty, so that gc has something to touch
                    self._objects.create(key, manifests.encode(_channel_content({}, None, [], [])))
                continue
            old = self._parsed_channel(key, content)
            if old.get("change") == change:
                return before, old  # written earlier, although the response was lost
            new = step(old)
            if new is old:
                return old, old
            if new["version"] != old["version"]:
                self._refuse_removed(name, {new["version"]})
                self.manifest(name, new["version"])
            before, new = old, new | {"change": change}
            with contextlib.suppress(Conflict):
                self._objects.replace(key, manifests.encode(new), tag)
                return old, new
            time.sleep(random.uniform(0, min(0.03, 0.001 * attempt)))  # noqa: S311 - no secret
        raise Conflict(f"channel {channel} of {name} keeps changing; try again")

    def _refuse_removed(self, name: str, versions: set[str | None]) -> None:
        removal = self.removal(name)
        for version in versions & set(removal.get("versions", [])):
            raise Conflict(
                f"gc is removing {name} {version} (last progress {removal['since']}); try again "
                "when it has finished, or run gc --delete --take-over if it was killed"
            )

    def _parsed(self, key: str, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except ValueError as error:
            raise StoreError(f"{key} in {self.url} is corrupt: {error}") from error
        if not isinstance(document, dict):
            raise StoreError(f"{key} in {self.url} is corrupt: it is not a JSON object")
        return document

    def _parsed_channel(self, key: str, content: bytes) -> Channel:
        document = self._parsed(key, content)
        versions = [document.get("version"), *_listed(document, "previous")]
        versions += _listed(document, "rolled_back") if "rolled_back" in document else []
        if versions == [None]:  # created by a first promotion that has not finished
            return document
        if not all(isinstance(version, str) and VERSION.fullmatch(version) for version in versions):
            raise StoreError(
                f"{key} in {self.url} is corrupt: its version or its history is invalid"
            )
        return document

    def _write_once(self, key: str, content: bytes) -> None:
        for _ in range(_ATTEMPTS):
            try:
                return self._objects.create(key, content)
            except Conflict:
                with contextlib.suppress(NotInStore):  # removed just now: write it again
                    if self._objects.read(key)[0] == content:
                        return None
                    raise
        raise Conflict(f"{key} keeps appearing and disappearing; try again")

    def _replace(self, key: str, content: bytes) -> None:
        for _ in range(_ATTEMPTS):
            try:
                old, tag = self._objects.read(key)
            except NotInStore:
                with contextlib.suppress(Conflict):
                    return self._objects.create(key, content)
                continue
            if old == content:
                return None
            with contextlib.suppress(Conflict, NotInStore):
                return self._objects.replace(key, content, tag)
        raise Conflict(f"{key} keeps changing; try again")


def copy(source: ModelStore, target: ModelStore, name: str, version: str) -> str:
    """Copy a version, and its parents as far as the source has them; return the version."""
    version = source.resolve(name, version)
    manifest = source.manifest(name, version)
    with contextlib.suppress(NotInStore):
        if manifest.lineage.parent:
            copy(source, target, name, manifest.lineage.parent)
    companions = {part: source.companion(name, version, part) for part in COMPANIONS}
    target.publish(
        manifest.document,
        source.model(name, version),
        source.finder(name, version),
        {part: content for part, content in companions.items() if content is not None},
        source.file(name, version, MANIFEST),
    )
    return version


def _folder(name: str, version: str) -> str:
    if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
        raise StoreError(f"expected a model name and a version, got {name!r} and {version!r}")
    return f"{name}/versions/{version}"


def _channel_key(name: str, channel: str) -> str:
    if not NAME.fullmatch(name) or not NAME.fullmatch(channel) or VERSION.fullmatch(channel):
        raise StoreError(
            f"{channel!r} is not a channel name; expected letters, digits, '.', '_' and '-'"
        )
    return f"{name}/channels/{channel}.json"


def _removal_key(name: str) -> str:
    _check_name(name)
    return f"{name}/removal.json"


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is not a model name; expected letters, digits, '.', '_' and '-'"
        )


def _channel_content(
    old: Channel, version: str | None, previous: list[str], rolled_back: list[str]
) -> Channel:
    content = old | {"version": version, "previous": previous[:_HISTORY], "updated": _now()}
    content.pop("rolled_back", None)
    return content | ({"rolled_back": rolled_back[:_HISTORY]} if rolled_back else {})


def _listed(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else [value]


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
