"""Write side of the model store: immutable versions, and channels that point to them.

    <name>/versions/<version>/model.onnx      written once, by a conditional write
    <name>/versions/<version>/manifest.json   written last: a version with one is complete
    <name>/channels/<channel>.json            changed by compare-and-swap only

A folder and an S3 bucket keep the same promises, by their own means.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from model_build import manifest as manifests
from model_build.errors import Conflict, NotInStore, StoreError

VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HISTORY = 50  # versions that a channel remembers
_ATTEMPTS = 50  # of a compare-and-swap, against as many writers at once


class Objects(Protocol):
    """Where the store's objects live. A tag names one content of one object."""

    def read(self, key: str) -> tuple[bytes, str]:
        """Content and tag; raises NotInStore."""

    def create(self, key: str, content: bytes) -> None:
        """Write an object that must not exist; raises Conflict if it does."""

    def replace(self, key: str, content: bytes, tag: str) -> None:
        """Write over the content that `tag` names; raises Conflict if it has changed."""


class FolderObjects:
    """Objects as files: whole or absent, through a hard link or a rename."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> tuple[bytes, str]:
        try:
            content = (self._root / key).read_bytes()
        except FileNotFoundError as error:
            raise NotInStore(f"{self._root} has no {key}") from error
        return content, hashlib.sha256(content).hexdigest()

    def create(self, key: str, content: bytes) -> None:
        with self._written(key, content) as written:
            try:
                os.link(written, self._root / key)  # unlike a rename, it fails on what exists
            except FileExistsError as error:
                raise Conflict(f"{key} exists already") from error

    def replace(self, key: str, content: bytes, tag: str) -> None:
        with self._written(key, content) as written, self._lock():
            if self.read(key)[1] != tag:
                raise Conflict(f"{key} was changed by somebody else")
            written.replace(self._root / key)

    @contextlib.contextmanager
    def _written(self, key: str, content: bytes) -> Iterator[Path]:
        """Give a temporary file with the content, on disk, beside its later place."""
        folder = (self._root / key).parent
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=folder, prefix=".writing-", delete=False)  # noqa: SIM115
        path = Path(file.name)
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o644)  # the Lambda container reads it as another user
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class S3Objects:
    """Objects in a bucket, with S3's own conditional writes (If-None-Match and If-Match)."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # noqa: PLC0415 - a folder needs none of it

        self._client = boto3.client("s3")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def read(self, key: str) -> tuple[bytes, str]:
        with self._errors(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return answer["Body"].read(), answer["ETag"]

    def create(self, key: str, content: bytes) -> None:
        self._put(key, content, {"IfNoneMatch": "*"})

    def replace(self, key: str, content: bytes, tag: str) -> None:
        self._put(key, content, {"IfMatch": tag})

    def _put(self, key: str, content: bytes, condition: dict[str, Any]) -> None:
        with self._errors(key):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=content, **condition
            )

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        where = f"s3://{self._bucket}/{self._prefix}{key}"
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("NoSuchKey", "404"):
                raise NotInStore(f"there is no {where}") from error
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise Conflict(f"{where} was written by somebody else") from error
            raise StoreError(f"{where}: {error}") from error
        except BotoCoreError as error:
            raise StoreError(f"{where}: {error}") from error


class ModelStore:
    """Versions and channels at `file:///folder` or `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self._objects: Objects
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            self._objects = FolderObjects(Path(unquote(parts.path)))
        elif parts.scheme == "s3" and parts.netloc:
            self._objects = S3Objects(parts.netloc, parts.path.strip("/"))
        else:
            raise StoreError(
                f"{url!r} is no model store; write s3://bucket/prefix or file:///folder"
            )

    def publish(self, manifest: dict[str, Any], content: bytes) -> None:
        """Write a version: the file, then its manifest. Publishing the same again is no error.

        Raises ManifestError, and Conflict if the version exists with another content.
        """
        manifests.check(manifest)
        digest = hashlib.sha256(content).hexdigest()
        if (digest, len(content)) != (manifest["file"]["sha256"], manifest["file"]["bytes"]):
            raise StoreError("the model file is not the one that the manifest describes")
        folder = _folder(manifest["name"], manifest["version"])
        self._write_once(f"{folder}/model.onnx", content)
        self._write_once(f"{folder}/manifest.json", manifests.encode(manifest))

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        """Manifest of a complete version; raises NotInStore if there is none."""
        key = f"{_folder(name, version)}/manifest.json"
        manifest = self._parsed(key, self._objects.read(key)[0])
        manifests.check(manifest)
        return manifest

    def model(self, name: str, version: str) -> bytes:
        """Model file of a version, checked against its manifest."""
        content, _ = self._objects.read(f"{_folder(name, version)}/model.onnx")
        if hashlib.sha256(content).hexdigest() != self.manifest(name, version)["file"]["sha256"]:
            raise StoreError(f"the file of {name} {version} is not what its manifest says")
        return content

    def channel(self, name: str, channel: str) -> dict[str, Any] | None:
        """Content of a channel; None if nothing was ever promoted to it."""
        key = _channel_key(name, channel)
        try:
            content, _ = self._objects.read(key)
        except NotInStore:
            return None
        return self._parsed_channel(key, content)

    def resolve(self, name: str, version: str) -> str:
        """Version that a channel points to; a version is itself."""
        if VERSION.fullmatch(version):
            return version
        channel = self.channel(name, version)
        if channel is None:
            raise NotInStore(f"{self.url} has no channel {version!r} of {name!r}")
        return str(channel["version"])

    def promote(self, name: str, version: str, channel: str) -> dict[str, Any]:
        """Point a channel to a complete version; give the channel's content.

        Two promotions at once both happen, one after the other: none is lost.
        """
        self.manifest(name, version)
        key = _channel_key(name, channel)
        for _ in range(_ATTEMPTS):
            try:
                content, tag = self._objects.read(key)
            except NotInStore:
                new = _channel_document(version, [])
                with contextlib.suppress(Conflict):
                    self._objects.create(key, manifests.encode(new))
                    return new
                continue
            old = self._parsed_channel(key, content)
            if old["version"] == version:
                return old
            new = _channel_document(version, [old["version"], *old["previous"]][:_HISTORY])
            with contextlib.suppress(Conflict):
                self._objects.replace(key, manifests.encode(new), tag)
                return new
        raise Conflict(f"channel {channel} of {name} is changed all the time; try again")

    def _parsed(self, key: str, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except ValueError as error:
            raise StoreError(f"{key} in {self.url} is corrupt: {error}") from error
        if not isinstance(document, dict):
            raise StoreError(f"{key} in {self.url} is corrupt: it is no JSON object")
        return document

    def _parsed_channel(self, key: str, content: bytes) -> dict[str, Any]:
        document = self._parsed(key, content)
        if not isinstance(document.get("version"), str) or not isinstance(
            document.get("previous"), list
        ):
            raise StoreError(f"{key} in {self.url} is corrupt: it names no version and history")
        return document

    def _write_once(self, key: str, content: bytes) -> None:
        try:
            self._objects.create(key, content)
        except Conflict:
            if self._objects.read(key)[0] != content:
                raise


def copy(source: ModelStore, target: ModelStore, name: str, version: str) -> str:
    """Copy one version, and the parents it names, from store to store; give the version."""
    version = source.resolve(name, version)
    manifest = source.manifest(name, version)
    parent = manifest["lineage"]["parent"]
    if parent:
        copy(source, target, name, parent)
    target.publish(manifest, source.model(name, version))
    return version


def _folder(name: str, version: str) -> str:
    if not _NAME.fullmatch(name) or not VERSION.fullmatch(version):
        raise StoreError(f"{name!r} {version!r} is no model name and version")
    return f"{name}/versions/{version}"


def _channel_key(name: str, channel: str) -> str:
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(channel) or VERSION.fullmatch(channel):
        raise StoreError(f"{channel!r} is no channel name: letters, digits, '.', '_' and '-'")
    return f"{name}/channels/{channel}.json"


def _channel_document(version: str, previous: list[str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"version": version, "previous": previous, "updated": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
