"""Command `export`: write a version in the form that other model servers read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from model_build.cli.console import (
    DEFAULT_STORE,
    NameOption,
    StoreOption,
    VersionArgument,
    app,
    check_address,
    console,
)
from model_build.exporting import folder, kserve, triton
from model_build.store.model_store import CARD, ModelStore


class Server(StrEnum):
    """Servers to export to."""

    KSERVE = "kserve"
    TRITON = "triton"


DirectoryArgument = Annotated[
    Path,
    typer.Argument(file_okay=False, help="Directory; gets a folder of the model's name."),
]
ServerOption = Annotated[
    Server,
    typer.Option("--to", help="InferenceService for KServe, or model repository for Triton."),
]
ImageOption = Annotated[str, typer.Option(help="kserve: image of this project's server.")]
ServiceAccountOption = Annotated[
    str, typer.Option(help="kserve: service account whose role may read the bucket.")
]
TritonOption = Annotated[
    str,
    typer.Option(
        "--triton-repository",
        callback=lambda url: url and check_address(url),
        help="kserve: serve this uploaded --to triton with Triton instead: s3://bucket/prefix.",
    ),
]


@app.command("export")
def export(
    version: VersionArgument,
    directory: DirectoryArgument,
    server: ServerOption,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    image: ImageOption = "mnist-serving",
    service_account: ServiceAccountOption = "",
    triton_repository: TritonOption = "",
) -> None:
    """Write a version for another model server: KServe or Triton."""
    if server is Server.TRITON and (service_account or triton_repository):
        raise typer.BadParameter("--service-account and --triton-repository require --to kserve")
    models = ModelStore(store)
    version = models.resolve(name, version)
    manifest = models.manifest(name, version)
    if server is Server.TRITON:
        files = triton.files(manifest, models.model(name, version))
    else:
        files = kserve.files(
            manifest,
            store,
            image=image,
            service_account=service_account,
            triton=triton_repository,
        )
    files[CARD] = models.card(manifest).encode()
    folder.write(directory / name, files)
    for path in files:
        console.print(f"wrote {directory / name / path}", soft_wrap=True)
