"""Addresses of model stores and of folders of images: `s3://bucket/prefix` and `file:///folder`.

Parsed by hand: importing urllib.parse would cost a cold start more than reading a manifest.
"""

import os
import re
from typing import NamedTuple

_EXPECTED = "expected s3://bucket/prefix or file:///folder"


class AddressError(ValueError):
    """Not a valid address; the message quotes it and says what was expected."""


class Folder(NamedTuple):
    """A folder on this machine."""

    path: str  # absolute


class Bucket(NamedTuple):
    """An S3 bucket, or a prefix in it."""

    name: str
    prefix: str  # without leading or trailing slash; empty for the whole bucket


type Address = Folder | Bucket


def parse_address(url: str) -> Address:
    """Parse an address; trailing slashes are ignored.

    A folder's path is percent-decoded, a bucket's prefix is not. Raises AddressError.
    """
    scheme, _, rest = url.partition("://")
    if url != url.strip() or scheme not in ("s3", "file"):
        raise AddressError(f"{url!r} is not an address; {_EXPECTED}")
    if "?" in rest or "#" in rest:
        raise AddressError(f"{url!r} must not contain '?' or '#'; {_EXPECTED}")
    return _folder(url, rest) if scheme == "file" else _bucket(url, rest)


def _folder(url: str, path: str) -> Folder:
    if "%" in path:
        from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - rare; see above

        path = os.fsdecode(unquote_to_bytes(path))
    if not path.startswith("/") or "\0" in path:
        raise AddressError(f"{url!r} has no absolute path; {_EXPECTED}, with three slashes")
    return Folder(path.rstrip("/") or "/")


def _bucket(url: str, rest: str) -> Bucket:
    name, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise AddressError(
            f"{url!r} has the bucket {name!r}; expected s3://bucket/prefix, with letters, digits, "
            "'.', '_' and '-' in the bucket's name"
        )
    if prefix and (not prefix.isprintable() or {"", ".", ".."} & set(prefix.split("/"))):
        raise AddressError(
            f"{url!r} has the prefix {prefix!r}; expected s3://bucket/prefix, without empty parts, "
            "'.', '..' and control characters"
        )
    return Bucket(name, prefix)
