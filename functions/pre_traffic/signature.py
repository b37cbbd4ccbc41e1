"""Check that the pinned model is signed, before a new version of the function gets traffic.

The function itself loads no other manifest than the one whose SHA-256 it is pinned to, and no file
that this manifest does not name by its SHA-256. So one check, before traffic, holds.
"""

import base64
import hashlib
import json
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

PINNED = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")  # any other version is a channel
_MOST_BYTES = 2**20  # of a manifest, as in the function


class Untrusted(Exception):
    """The model is not signed by the stack's key; the message says what to do next."""


def check() -> None:
    """Raise Untrusted unless the pinned model is signed by the stack's key.

    Environment: MODEL_SIGNING_KEY, the public key as one line of base64, empty for no check;
    MODEL_BUCKET; MODEL_NAME and MODEL_VERSION; MANIFEST_SHA256, which the function is pinned to.
    """
    key = os.environ.get("MODEL_SIGNING_KEY")
    if not key:
        return
    name, version = os.environ["MODEL_NAME"], os.environ["MODEL_VERSION"]
    if not PINNED.fullmatch(version):
        raise Untrusted(
            f"ModelVersion is {version}, a channel, which whoever can write to the bucket may "
            "move; a stack with a ModelSigningKey needs a version, as make deploy sets it"
        )
    folder = f"models/{name}/versions/{version}"
    manifest, signature = (_read(f"{folder}/manifest.{suffix}") for suffix in ("json", "sig"))
    _verify(key, manifest, signature)
    if hashlib.sha256(manifest).hexdigest() != os.environ["MANIFEST_SHA256"]:
        raise Untrusted(
            f"{folder}/manifest.json is not the one that the function is pinned to by "
            f"ManifestSha256, {os.environ['MANIFEST_SHA256']}; run make deploy again"
        )
    signed = json.loads(manifest)
    if (signed["name"], signed["version"]) != (name, version):
        raise Untrusted(
            f"{folder}/manifest.json is that of {signed['name']} {signed['version']}; copy the "
            "version to the stack's bucket again"
        )


def _verify(key: str, manifest: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only with a key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[-32:])
    try:
        public.verify(signature, manifest)
    except InvalidSignature as error:
        raise Untrusted(
            f"manifest.sig is not a signature of the manifest by the key …{key[-12:]}; sign the "
            "version with `python -m model_build sign`, then deploy it again"
        ) from error


def _read(key: str) -> bytes:
    settings = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 3})
    bucket = os.environ["MODEL_BUCKET"]
    try:
        answer = boto3.client("s3", config=settings).get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise Untrusted(
            f"s3://{bucket}/{key} can't be read ({error.response['Error']['Code']}); sign the "
            "version with `python -m model_build sign`, then deploy it again"
        ) from error
    return bytes(answer["Body"].read(_MOST_BYTES))
