"""Command `rebuild`: build a published version once more from its lineage, and compare."""

import hashlib
import tempfile
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import typer

from model_build.cli.console import (
    DEFAULT_STORE,
    NameOption,
    StoreOption,
    app,
    console,
    progress,
    timed,
)
from model_build.data import datasets
from model_build.engine.pipeline import Build
from model_build.errors import StepError
from model_build.store import manifest
from model_build.store.model_store import ModelStore

_NEEDED = ("architecture", "profile", "seed", "dataset")


@app.command()
def rebuild(
    version: Annotated[str, typer.Argument(help="Version, or the channel to take it from.")],
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Build a version once more from its manifest's lineage; exit 1 if the bytes differ."""
    models = ModelStore(store)
    described = models.manifest(name, models.resolve(name, version)).document
    lineage = described["lineage"]
    for change in differences(lineage):
        console.print(f"differs from then: {change}", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        digest = again(described, Build(Path(folder)))
    if digest != described["file"]["sha256"]:
        console.print(
            f"{described['version']} came out as {digest[:8]}, not as "
            f"{described['file']['sha256'][:8]}",
            soft_wrap=True,
        )
        raise typer.Exit(1)
    console.print(f"{described['version']} came out the same, byte for byte")


def again(described: dict[str, Any], build: Build) -> str:
    """SHA-256 of the model file that a manifest's lineage gives when it is followed once more.

    Raises StepError if the lineage does not say how it was built, or the data set is not the same.
    """
    lineage = described["lineage"]
    missing = [key for key in _NEEDED if lineage.get(key) is None]
    if missing:
        raise StepError(
            f"the lineage of {described['version']} has no {', '.join(missing)}; only what "
            "`python -m model_build run` built can be built again"
        )
    dataset = datasets.load(lineage["dataset"]["name"])
    if dataset.sha256 != lineage["dataset"]["sha256"]:
        raise StepError(
            f"the data set {dataset.name} is not the one of then: its sha256 is "
            f"{dataset.sha256[:8]}, not {lineage['dataset']['sha256'][:8]}"
        )
    architecture, profile = lineage["architecture"], lineage["profile"]
    with timed(f"train {architecture}, {profile}"), progress() as on_epoch:
        build.train(dataset, architecture, profile, lineage["seed"], on_epoch)
    build.convert(dataset)
    build.optimise()
    build.quantise(dataset)
    build.calibrate(dataset)
    candidate = "fp32" if described["quantization"] is None else "int8"
    return hashlib.sha256((build.folder / f"{candidate}.onnx").read_bytes()).hexdigest()


def differences(lineage: dict[str, Any]) -> list[str]:
    """Say what is not as it was: the commit, and versions of libraries."""
    now = manifest.lineage({})
    found = []
    if lineage["git_commit"] != now["git_commit"]:
        found.append(f"commit {lineage['git_commit']}, now {now['git_commit']}")
    for library, then in lineage["libraries"].items():
        try:
            have: str | None = installed(library)
        except ModuleNotFoundError:
            have = None
        if have != then:
            found.append(f"{library} {then}, now {have or 'not installed'}")
    return found
