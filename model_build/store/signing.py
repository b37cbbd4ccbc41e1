"""Signatures of versions: Ed25519 over the manifest's bytes, which name every file by SHA-256.

A signature is the 64 bytes that `openssl pkeyutl -sign -rawin` writes. A public key is one line of
text: the one between the first and the last of `openssl pkey -pubout`.
"""

import base64
import re
from collections.abc import Callable
from pathlib import Path

from model_build.errors import BadSignature, StoreError

type Signer = Callable[[bytes], bytes]

# DER of a SubjectPublicKeyInfo with an Ed25519 key (RFC 8410), in base64.
PUBLIC_KEY = re.compile("MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=")
_MAKE_ONE = "`openssl genpkey -algorithm ed25519 -out model-key.pem` makes one"


class PrivateKey:
    """The key in a PEM file. Raises StoreError for any other than an Ed25519 key."""

    def __init__(self, path: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - as boto3
            Ed25519PrivateKey,
        )
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )

        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except TypeError as error:
            raise StoreError(
                f"{path} has a passphrase; `openssl pkey -in {path} -out plain.pem` removes it"
            ) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} is not a private key in PEM ({error}); {_MAKE_ONE}"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreError(f"{path} is a {type(key).__name__}; expected Ed25519. {_MAKE_ONE}")
        self.sign: Signer = key.sign
        self._public = key.public_key()

    @property
    def public(self) -> str:
        """The public key as one line of text, for `ModelSigningKey`."""
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            PublicFormat,
        )

        der = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode()


def check(public: str, content: bytes, signature: bytes) -> None:
    """Raise BadSignature unless a signature is that of a public key for this content."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    if not PUBLIC_KEY.fullmatch(public):
        raise StoreError(f"expected a public key such as MCowBQYDK2VwAyEA…=, got {public!r}")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public)[-32:])
    try:
        key.verify(signature, content)
    except InvalidSignature as error:
        raise BadSignature(f"it is not a signature by the key …{public[-12:]}") from error
