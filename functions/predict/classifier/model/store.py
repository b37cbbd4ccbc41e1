"""Read side of the model store: reads objects from a folder or from S3.

It uses obstore, not boto3: one GET adds 12 ms to a cold start, imports included, and not 370 ms.
And open(), not pathlib, which nothing else in a cold start imports (docs/performance.md).
"""

import json
import os
import re
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from io import BufferedIOBase, BytesIO
from typing import TYPE_CHECKING, Protocol

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model.address import Folder, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from obstore.store import S3Credential
    from obstore.store import S3Store as Bucket

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")  # in order of precedence
_URL = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/[A-Za-z0-9._~/-]*)?"


class Store(Protocol):
    """A place to read objects from, by key."""

    def read(self, key: str, most: int, /) -> bytes:
        """Whole content of an object.

        Raises ModelUnavailable if there is none, or if it has more than `most` bytes, which are
        then not read.
        """

    def open(self, key: str, size: int, /) -> BufferedIOBase:
        """An object as a file, without another copy of it.

        Raises ModelUnavailable if the object is missing, or has another size.
        """


class FolderStore:
    """Objects as files under a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)

    def read(self, key: str, most: int) -> bytes:
        with _errors(key, FileNotFoundError), self._open(key) as file:
            _check_size(key, _size(file), most)
            return file.read()

    def open(self, key: str, size: int) -> BufferedIOBase:
        with _errors(key, FileNotFoundError):
            file = self._open(key)
            try:
                _require_size(key, _size(file), size)
            except ModelUnavailable:
                file.close()
                raise
            return file

    def tag(self, key: str) -> str:
        """A text that changes with an object, without reading it. Raises as `read` does."""
        with _errors(key, FileNotFoundError):
            status = os.stat(f"{self._root}/{key}")  # noqa: PTH116 - see above
        return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"

    def _open(self, key: str) -> BufferedIOBase:
        return open(f"{self._root}/{key}", "rb")  # noqa: PTH123 - see above


class S3Store:
    """Objects under a prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = open_bucket(bucket, prefix)

    def read(self, key: str, most: int) -> bytes:
        with self._errors(key):
            found = self._bucket.get(key)
            _check_size(key, found.meta["size"], most)
            return bytes(found.bytes())

    def open(self, key: str, size: int) -> BufferedIOBase:
        with self._errors(key):
            found = self._bucket.get(key)
            _require_size(key, found.meta["size"], size)
            file = _memory()
            file.write(found.bytes())
            file.seek(0)
            return file

    def tag(self, key: str) -> str:
        """The object's ETag, without reading it. Raises as `read` does."""
        with self._errors(key):
            return str(self._bucket.head(key)["e_tag"])

    def _errors(self, key: str) -> "AbstractContextManager[None]":
        from obstore.exceptions import PermissionDeniedError  # noqa: PLC0415 - as above

        # S3 returns "access denied" for a missing object if the caller can't list the bucket.
        return _errors(key, FileNotFoundError, PermissionDeniedError)


def _memory() -> BufferedIOBase:
    """An empty file in memory, without a name."""
    with suppress(AttributeError, OSError):  # only Linux has it
        return open(os.memfd_create("model"), "w+b")  # noqa: PTH123 - as above
    return BytesIO()


def _size(file: BufferedIOBase) -> int:
    return os.fstat(file.fileno()).st_size


@contextmanager
def _errors(key: str, *missing: type[Exception]) -> "Iterator[None]":
    """Raise any error as ModelUnavailable. missing: those that mean there is no such object."""
    try:
        yield
    except ModelUnavailable:
        raise
    except missing as error:
        raise ModelUnavailable(
            f"the model store has no {key}, or the function may not read it"
        ) from error
    except Exception as error:  # OSError; obstore's own errors: no network, no bucket
        raise ModelUnavailable("the model store can't be read") from error


def _check_size(key: str, size: int, most: int) -> None:
    if size > most:
        raise ModelUnavailable(
            f"{key} in the model store has {size} bytes; expected at most {most}"
        )


def _require_size(key: str, size: int, expected: int) -> None:
    if size != expected:
        raise ModelUnavailable(
            f"{key} in the model store has {size} bytes; its manifest says {expected}"
        )


def open_bucket(bucket: str, prefix: str, *, seconds: float = 5, retries: int = 2) -> "Bucket":
    """Bucket on S3, or on the environment's endpoint; seconds: timeout of one attempt.

    Raises Misconfigured for a malformed endpoint or region.
    """
    from obstore.store import S3Store as Bucket  # noqa: PLC0415 - not needed for a folder

    endpoint = _endpoint()
    return Bucket(
        bucket,
        prefix=prefix or None,
        credential_provider=_provider(),
        config={"endpoint": endpoint} if endpoint else {},
        client_options={
            "connect_timeout": timedelta(seconds=min(2, seconds)),
            "timeout": timedelta(seconds=seconds),
            # Plain HTTP only if the operator sets such an endpoint: a local S3.
            "allow_http": (endpoint or "").startswith("http://"),
        },
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=seconds)},
    )


def open_store(url: str) -> FolderStore | S3Store:
    """Store at `file:///folder` or `s3://bucket/prefix`; nothing is read yet.

    Raises AddressError for any other address, and Misconfigured as `open_bucket` does.
    """
    address = parse_address(url)
    return FolderStore(address.path) if isinstance(address, Folder) else S3Store(*address)


def _provider() -> "Callable[[], S3Credential] | None":
    """Credentials as Lambda's SnapStart gives them: at an address, for a token in a variable.

    obstore knows the address, but only a token in a file, and would ask EC2's metadata service.
    None where it finds the credentials by itself.
    """
    url = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    token = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if not (url and token) or os.environ.get("AWS_ACCESS_KEY_ID"):
        return None

    def credentials() -> "S3Credential":
        from urllib.request import (  # noqa: PLC0415 - SnapStart alone needs it
            ProxyHandler,
            Request,
            build_opener,
        )

        request = Request(url, headers={"Authorization": token})  # noqa: S310 - Lambda's own
        with build_opener(ProxyHandler({})).open(request, timeout=2) as response:
            document = json.load(response)
        return {
            "access_key_id": document["AccessKeyId"],
            "secret_access_key": document["SecretAccessKey"],
            "token": document["Token"],
            "expires_at": datetime.fromisoformat(document["Expiration"]),  # then it asks again
        }

    return credentials


def _endpoint() -> str | None:
    """The environment's endpoint, if any, checked because obstore panics on a malformed URL."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        region = os.environ.get(name, "")
        if not re.fullmatch("[A-Za-z0-9-]*", region):
            raise Misconfigured(f"{name} is {region!r}; expected a region such as eu-central-1")
    for name in _ENDPOINTS:
        if endpoint := os.environ.get(name):
            match = re.fullmatch(_URL, endpoint)
            if not match or int(match["port"] or 0) > 65_535:
                raise Misconfigured(
                    f"{name} is {endpoint!r}; expected http:// or https:// and a host"
                )
            return endpoint
    return None
