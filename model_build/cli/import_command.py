"""Command `import`: check, quantise, evaluate and publish a user's own ONNX classifier."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from classifier.prepare import encoding
from model_build.cli.console import (
    DEFAULT_STORE,
    StoreOption,
    app,
    check_name,
    console,
    progress_bars,
    timed,
)
from model_build.data import image_folders
from model_build.evaluation import gate
from model_build.evaluation.evaluate import Evaluation
from model_build.importing.adoption import adopt
from model_build.importing.publication import Imported, input_of, may_publish_int8
from model_build.store.model_store import ModelStore


class PipelineName(StrEnum):
    """Pipelines from any picture to the model's input."""

    MNIST = "mnist"
    RESIZE = "resize"
    IMAGENET = "imagenet"


class OutputKind(StrEnum):
    """What a model outputs."""

    AUTO = "auto"
    LOGITS = "logits"
    PROBABILITIES = "probabilities"


class Background(StrEnum):
    """Background of the pictures."""

    DARK = "dark"
    LIGHT = "light"


ModelArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="ONNX file.")]
LabelsOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Text file with one label per line, in the order of the model's output.",
    ),
]
PreprocessOption = Annotated[
    PipelineName, typer.Option(help="How to turn pictures into the model's input.")
]
CalibrationOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of pictures to calibrate with; at most 512 are used.",
    ),
]
EvaluationOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of pictures to evaluate on, one sub-folder per label.",
    ),
]
NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        callback=check_name,
        help="Name of the model in the store; by default the file's name.",
    ),
]
ChannelOption = Annotated[
    str, typer.Option(callback=check_name, help="Channel to point at the version, if any.")
]
BackgroundOption = Annotated[
    Background | None,
    typer.Option(help="resize: background the model was trained on; other pictures are inverted."),
]
PadOption = Annotated[bool, typer.Option("--pad", help="resize: pad to keep the aspect ratio.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(help="float32: scale in (value x scale - mean) / std; default 1/255."),
]
MeanOption = Annotated[str, typer.Option(help="mean in --scale: one number, or R,G,B.")]
StdOption = Annotated[str, typer.Option(help="std in --scale: one number, or R,G,B.")]
OutputOption = Annotated[OutputKind, typer.Option(help="What the model outputs; auto detects it.")]
OutputNameOption = Annotated[
    str | None, typer.Option(help="Output to use, if the model has several.")
]
MaxLossOption = Annotated[
    float, typer.Option(min=0, max=1, help="Accuracy that int8 may lose against fp32.")
]
MinAccuracyOption = Annotated[float, typer.Option(min=0, max=1, help="Minimum accuracy.")]
AllowOption = Annotated[
    bool, typer.Option("--allow-fp32", help="Publish only fp32 if int8 loses more.")
]
FolderOption = Annotated[
    Path, typer.Option("--build", file_okay=False, help="Folder for the import's files.")
]


@app.command("import")
def import_model(
    model: ModelArgument,
    labels: LabelsOption,
    preprocess: PreprocessOption,
    calibration: CalibrationOption,
    evaluation: EvaluationOption,
    name: NameOption = "",
    store: StoreOption = DEFAULT_STORE,
    channel: ChannelOption = "",
    background: BackgroundOption = None,
    pad: PadOption = False,  # noqa: FBT002 - a flag of the command line
    scale: ScaleOption = None,
    mean: MeanOption = "",
    std: StdOption = "",
    output: OutputOption = OutputKind.AUTO,
    output_name: OutputNameOption = None,
    max_loss: MaxLossOption = gate.MAX_LOSS,
    min_accuracy: MinAccuracyOption = 0,
    allow_fp32: AllowOption = False,  # noqa: FBT002 - a flag of the command line
    build: FolderOption = Path("build/import"),
) -> None:
    """Import an ONNX classifier of your own: check, quantise, evaluate, publish."""
    name = str(check_name(name or model.stem))
    parameters = _parameters(preprocess, background, pad=pad)
    numbers = _numbers(scale, mean, std)
    target = ModelStore(store)
    class_labels = image_folders.read_labels(labels)
    pictures = image_folders.pictures(calibration)
    evaluated, indices = image_folders.labelled(evaluation, class_labels)

    def encoder(dtype: str, shape: list[Any]) -> encoding.Encoding:
        source = input_of(dtype, shape, parameters, numbers)
        return encoding.Encoding.from_manifest(*source[1:])

    folder = build / name
    folder.mkdir(parents=True, exist_ok=True)
    with timed("check"):
        adopted = adopt(
            model,
            folder / "adopted.onnx",
            len(class_labels),
            encoder,
            output=output.value,
            output_name=output_name,
        )
    for note in adopted.notes:
        console.print(f"  {note}")
    source = input_of(adopted.dtype, adopted.shape, parameters, numbers)
    imported = Imported(folder, class_labels, source)
    with timed("quantise"), _bar("calibrating", min(len(pictures), 512)) as on_picture:
        quantization = imported.quantise(pictures, on_picture)
    evaluating = timed(f"evaluate on {len(evaluated):,} pictures")
    with evaluating, _bar("evaluating", len(evaluated)) as on_picture:
        evaluations = imported.evaluate(evaluated, indices, on_picture)
    console.print(_comparison(evaluations, class_labels))
    reason = may_publish_int8(evaluations, min_accuracy, max_loss, allow_fp32=allow_fp32)
    candidates: dict[str, dict[str, Any] | None] = {"fp32": None}
    if reason is None:
        candidates["int8"] = quantization
    else:
        console.print(f"int8 is not published: {reason}", soft_wrap=True)
    origin = {
        "dataset": {"name": evaluation.name, "sha256": image_folders.digest(evaluation, evaluated)},
        "imported": {"file": model.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()},
        "seed": None,
    }
    versions = imported.publish(target, name, evaluations, candidates, origin)
    for candidate, version in versions.items():
        console.print(f"published {name} {candidate}: {version}", soft_wrap=True)
    if channel:
        version = versions.get("int8", versions["fp32"])
        target.promote(name, version, channel)
        console.print(f"{channel} of {name} is {version}")


def _parameters(
    pipeline: PipelineName, background: Background | None, *, pad: bool
) -> dict[str, Any]:
    """Return a manifest's `preprocess`, without scale, mean and std."""
    if pipeline is not PipelineName.RESIZE and (background or pad):
        raise typer.BadParameter("--background and --pad require --preprocess resize")
    match pipeline:
        case PipelineName.MNIST:
            return {"pipeline": "mnist", "box": 20}
        case PipelineName.IMAGENET:
            return {"pipeline": "imagenet", "crop": 224 / 256}
        case PipelineName.RESIZE:
            own = {"background": background.value} if background else {}
            return {"pipeline": "resize", "pad": pad, **own}


def _numbers(scale: float | None, mean: str, std: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {} if scale is None else {"scale": scale}
    for key, text in (("mean", mean), ("std", std)):
        if text:
            try:
                numbers[key] = [float(part) for part in text.split(",")]
            except ValueError as error:
                raise typer.BadParameter(
                    f"expected a number, or three separated by commas, got {text!r}",
                    param_hint=f"--{key}",
                ) from error
    return numbers


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function that advances a progress bar by one picture."""
    with progress_bars() as bars:
        task = bars.add_task(title, total=total)
        yield lambda: bars.advance(task)


def _comparison(evaluations: dict[str, Evaluation], labels: list[int] | list[str]) -> Table:
    table = Table(title="Evaluation pictures, preprocessed by the function's own code")
    table.add_column("")
    for name in evaluations:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Evaluation], str]] = {
        "accuracy": lambda evaluation: f"{evaluation.accuracy:.2%}",
        "worst class": lambda evaluation: _worst(evaluation, labels),
        "calibration error": lambda evaluation: f"{evaluation.expected_calibration_error:.4f}",
        "size": lambda evaluation: f"{evaluation.bytes / 1024:.0f} KiB",
        "latency, median": lambda evaluation: f"{evaluation.latency_p50_ms:.3f} ms",
    }
    for title, row in rows.items():
        table.add_row(title, *(row(evaluation) for evaluation in evaluations.values()))
    return table


def _worst(evaluation: Evaluation, labels: list[int] | list[str]) -> str:
    share = min(evaluation.per_class_accuracy)
    return f"{share:.1%} ({labels[evaluation.per_class_accuracy.index(share)]})"
