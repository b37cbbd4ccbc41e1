"""Command `score`: write predictions for a folder of images."""

import os
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from model_build.cli.console import (
    DEFAULT_STORE,
    NameOption,
    StoreOption,
    VersionOption,
    app,
    check_address,
    console,
    progress_bars,
)


class Form(StrEnum):
    """File format of the predictions."""

    JSONL = "jsonl"
    CSV = "csv"


class Preprocess(StrEnum):
    """auto prepares any picture; none expects ready samples."""

    AUTO = "auto"
    NONE = "none"


def address(text: str) -> str:
    """Return a URL without trailing slashes; a path becomes `file://…`."""
    if re.match("[A-Za-z0-9]{2,}:/", text):
        return check_address(text).rstrip("/")
    return Path(text).resolve().as_uri()


@app.command()
def score(
    source: Annotated[
        str, typer.Argument(metavar="IN", callback=address, help="s3://…, file://… or a folder.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUT", callback=address, help="The same, for the predictions.")
    ],
    version: VersionOption = "production",
    preprocess: Annotated[
        Preprocess, typer.Option(help="Parameter preprocess of /predict.")
    ] = Preprocess.AUTO,
    form: Annotated[Form, typer.Option("--format", help="File format of the parts.")] = Form.JSONL,
    part_size: Annotated[int, typer.Option(min=1, help="Images per part.")] = 500,
    probabilities: Annotated[  # noqa: FBT002 - typer's way
        bool, typer.Option(help="Write the probability of every class.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Number of processes; 0 means one per core.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Score a folder of images; run again to resume an interrupted job.

    An invalid image gets an error record. Exit code 1 if every image is invalid.
    """
    from model_build.scoring import score as scoring  # noqa: PLC0415 - onnxruntime takes a second
    from model_build.scoring.score_part import Job  # noqa: PLC0415
    from model_build.store.model_store import ModelStore  # noqa: PLC0415

    models = ModelStore(store)
    job = Job(
        source,
        target,
        name,
        scoring.resolve(models, name, version, target),
        preprocess.value,
        form.value,
        part_size,
        probabilities,
    )
    started, now, before = time.perf_counter(), 0, 0
    with progress_bars() as bars:
        planned = sum(len(part) for part in scoring.parts(job))
        task = bars.add_task("scoring", total=planned)

        def on_part(images: int, _errors: int, earlier: bool) -> None:  # noqa: FBT001
            nonlocal now, before
            now, before = now + (0 if earlier else images), before + (images if earlier else 0)
            speed = now / (time.perf_counter() - started)
            bars.update(task, advance=images, description=f"scoring, {speed:,.0f} images/s")

        totals = scoring.score(job, models, workers or os.process_cpu_count() or 1, on_part)
    seconds = time.perf_counter() - started
    console.print(
        f"{now:,} images in {seconds:.1f} s, {now / seconds:,.0f} per second; {before:,} done "
        f"earlier; {totals.errors:,} of {totals.images:,} have errors",
        soft_wrap=True,
    )
    console.print(f"{name} {job.version}: {target}", soft_wrap=True)
    if totals.errors == totals.images:
        raise typer.Exit(1)
