"""Where the model store's objects live: a folder or an S3 bucket, with the same guarantees.

An object appears whole or not at all, is never overwritten by accident, and is replaced only by a
writer that has read its current content.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from classifier.model.address import Folder, parse_address
from model_build.errors import Conflict, NotInStore, StoreError

UNFINISHED = ".writing-"  # prefix of a file that is still being written
_LOCK = ".lock"


@dataclass(frozen=True)
class Entry:
    """One object of a listing; modified is in UTC."""

    key: str
    bytes: int
    modified: datetime


class Objects(Protocol):
    """Where the store's objects live. A tag identifies an object's content."""

    def read(self, key: str) -> tuple[bytes, str]:
        """Content and tag; raises NotInStore."""

    def create(self, key: str, content: bytes) -> None:
        """Write an object that must not exist; raises Conflict if it does."""

    def replace(self, key: str, content: bytes, tag: str) -> None:
        """Replace the content that `tag` identifies; raises Conflict if it has changed."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All objects whose keys start with a prefix, which is empty or ends with a slash."""

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""


class FolderObjects:
    """Objects as files, written atomically by a hard link or a rename."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> tuple[bytes, str]:
        with _store_errors():
            try:
                content = (self._root / key).read_bytes()
            except FileNotFoundError as error:
                raise NotInStore(f"{self._root} has no {key}") from error
        return content, hashlib.sha256(content).hexdigest()

    def create(self, key: str, content: bytes) -> None:
        with _store_errors(), self._written(key, content) as written:
            try:
                os.link(written, self._root / key)  # unlike a rename, it fails on what exists
            except FileExistsError as error:
                raise Conflict(f"{key} exists already") from error

    def replace(self, key: str, content: bytes, tag: str) -> None:
        with _store_errors(), self._written(key, content) as written, self._lock():
            if self.read(key)[1] != tag:
                raise Conflict(f"{key} was changed by another writer")
            written.replace(self._root / key)

    def entries(self, prefix: str) -> Iterator[Entry]:
        with _store_errors():
            for folder, folders, files in os.walk(self._root / prefix, onerror=_unless_missing):
                folders.sort()
                for path in (Path(folder, name) for name in sorted(files) if name != _LOCK):
                    with contextlib.suppress(FileNotFoundError):  # removed just now
                        state = path.stat()
                        modified = datetime.fromtimestamp(state.st_mtime, UTC)
                        key = path.relative_to(self._root).as_posix()
                        yield Entry(key, state.st_size, modified)

    def delete(self, key: str) -> None:
        path = self._root / key
        with _store_errors():
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds more, or is gone
            path.parent.rmdir()

    @contextlib.contextmanager
    def _written(self, key: str, content: bytes) -> Iterator[Path]:
        """Write the content to a temporary file in the object's folder, flushed to disk."""
        folder = (self._root / key).parent
        number, name = _temporary_file(folder)
        path = Path(name)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o644)  # the Lambda container reads it as another user
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._root / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class S3Objects:
    """Objects in a bucket, with S3's conditional writes (If-None-Match and If-Match)."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # noqa: PLC0415 - not needed for a folder
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        try:
            self._client = boto3.client("s3")
        except (BotoCoreError, ValueError) as error:  # an invalid profile or endpoint
            raise StoreError(f"s3://{bucket}: {error}") from error
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

    def entries(self, prefix: str) -> Iterator[Entry]:
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    yield Entry(key, item["Size"], item["LastModified"].astimezone(UTC))

    def delete(self, key: str) -> None:
        with self._errors(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _put(self, key: str, content: bytes, condition: dict[str, Any]) -> None:
        with self._errors(key):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=content, **condition
            )

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        address = f"s3://{self._bucket}/{self._prefix}{key}"
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("NoSuchKey", "404"):
                raise NotInStore(f"there is no {address}") from error
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise Conflict(f"{address} was written by another writer") from error
            raise StoreError(f"{address}: {error}") from error
        except BotoCoreError as error:
            raise StoreError(f"{address}: {error}") from error


def open_objects(url: str) -> Objects:
    """Objects at `file:///folder` or `s3://bucket/prefix`; raises AddressError."""
    address = parse_address(url)
    if isinstance(address, Folder):
        return FolderObjects(Path(address.path))
    return S3Objects(*address)


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Turn the system's errors, such as missing permissions or a full disk, into StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store's folder can't be used: {error}") from error


def _temporary_file(folder: Path) -> tuple[int, str]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # emptied and removed just now
            return tempfile.mkstemp(dir=folder, prefix=UNFINISHED)


def _unless_missing(error: OSError) -> None:
    """Don't treat an unreadable folder as empty: gc would remove versions that it names."""
    if not isinstance(error, FileNotFoundError):
        raise error
