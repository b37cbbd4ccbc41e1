"""Keys that sign versions of models, made as the documentation says."""

import subprocess
from pathlib import Path

from model_build.store.signing import PrivateKey


def write_key(path: Path) -> Path:
    """Write a new private key; return its path."""
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    return path


def public_key(path: Path) -> str:
    """The public key of a private one, as `ModelSigningKey` takes it."""
    return PrivateKey(path).public
