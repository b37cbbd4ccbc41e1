"""Read side of the model store: one small read from a folder or from S3.

obstore and not boto3: one GET costs a cold start 12 ms against 370 ms, imports included. And open()
on an address taken apart by hand, because pathlib and urllib.parse are a thirtieth of a cold start,
and nothing else on its way imports them (docs/performance.md).
"""

import os
from datetime import timedelta
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Protocol

from classifier.errors import ModelUnavailable

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

_BUCKET = frozenset(ascii_letters + digits + "._-")  # obstore panics on a name that is none


class Store(Protocol):
    """A place to read objects from, by key."""

    def read(self, key: str) -> bytes:
        """Whole content of an object; raises ModelUnavailable if there is none."""


class FolderStore:
    """Objects as files under a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)

    def read(self, key: str) -> bytes:
        try:
            with open(f"{self._root}/{key}", "rb") as file:  # noqa: PTH123 - see above
                return file.read()
        except FileNotFoundError as error:
            raise ModelUnavailable(f"the model store has no {key}") from error
        except (OSError, ValueError) as error:  # ValueError: no path of this system
            raise ModelUnavailable("the model store can't be read") from error


class S3Store:
    """Objects under a prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = open_bucket(bucket, prefix)

    def read(self, key: str) -> bytes:
        from obstore.exceptions import PermissionDeniedError  # noqa: PLC0415 - as above

        try:
            return bytes(self._bucket.get(key).bytes())
        except (FileNotFoundError, PermissionDeniedError) as error:
            # S3 answers "denied" for a missing object to those who may not list the bucket.
            raise ModelUnavailable(
                f"the model store has no {key}, or it may not be read"
            ) from error
        except Exception as error:  # obstore's own errors: no network, no bucket
            raise ModelUnavailable("the model store can't be read") from error


def open_bucket(bucket: str, prefix: str, *, seconds: float = 10, retries: int = 2) -> "Bucket":
    """Bucket of S3, or of the endpoint that the environment names; `seconds` for one try."""
    from obstore.store import S3Store as Bucket  # noqa: PLC0415 - not paid for with a folder

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return Bucket(
        bucket,
        prefix=prefix or None,
        config={"endpoint": endpoint} if endpoint else {},
        client_options={
            "connect_timeout": timedelta(seconds=min(2, seconds)),
            "timeout": timedelta(seconds=seconds),
            # Plain HTTP only where the operator names such an endpoint: a local S3.
            "allow_http": (endpoint or "").startswith("http://"),
        },
        # API Gateway waits 29 s: give up in time to say so.
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=8)},
    )


def open_store(url: str) -> Store:
    """Store at `file:///folder` or `s3://bucket/prefix`; nothing is read yet.

    Raises ModelUnavailable for any other address.
    """
    scheme, _, place = url.partition("://")
    if scheme == "file" and place.startswith("/"):
        if "%" in place:
            from urllib.parse import unquote  # noqa: PLC0415 - as above

            place = unquote(place)
        return FolderStore(place)
    bucket, _, prefix = place.partition("/")
    if scheme == "s3" and bucket and _BUCKET.issuperset(bucket):
        return S3Store(bucket, prefix.strip("/"))
    raise ModelUnavailable("MODEL_STORE_URL is neither s3://bucket/prefix nor file:///folder")
