"""Command `rebuild`: rebuild a published version from its lineage and compare the bytes."""

import hashlib
import tempfile
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
from model_build.engine import build
from model_build.engine.engine import library_versions
from model_build.store import manifest
from model_build.store.model_store import ModelStore


@app.command()
def rebuild(
    version: Annotated[str, typer.Argument(help="Version or channel.")],
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Rebuild a version from its manifest's lineage; exit 1 if the bytes differ."""
    models = ModelStore(store)
    described = models.manifest(name, models.resolve(name, version)).document
    lineage = described["lineage"]
    for change in differences(lineage):
        console.print(f"differs from the original build: {change}", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder, timed("rebuild"), progress() as on_stage:
        model = build.rebuild(lineage, Path(folder), on_stage)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
    if digest != described["file"]["sha256"]:
        console.print(
            f"{described['version']}: expected sha256 {described['file']['sha256'][:8]}…, "
            f"got {digest[:8]}…",
            soft_wrap=True,
        )
        raise typer.Exit(1)
    console.print(f"{described['version']} is the same, byte for byte")


def differences(lineage: dict[str, Any]) -> list[str]:
    """List what changed since the original build: the commit and library versions."""
    now = {"commit": manifest.lineage({}, ("numpy",))["git_commit"], **library_versions()}
    then = {"commit": lineage["git_commit"], **lineage["libraries"]}
    return [
        f"{name} {value}, now {now.get(name, 'not installed')}"
        for name, value in then.items()
        if now.get(name) != value
    ]
