"""Command line of the model build: every step alone, `run` for all of them."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from model_build import data
from model_build.errors import BuildError
from model_build.evaluate import Evaluation
from model_build.pipeline import Build, contact_sheet
from model_build.store import ModelStore
from model_build.store import copy as copy_version

if TYPE_CHECKING:
    from model_build.train import OnEpoch

app = typer.Typer(
    help="Train, convert, quantise, check and publish the model that the function serves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, markup=False)  # what a user named may hold brackets


class Architecture(StrEnum):
    """Networks to choose from."""

    CNN = "cnn"
    MLP = "mlp"


class DatasetName(StrEnum):
    """Data sets to choose from."""

    MNIST_5K = "mnist-5k"
    FULL = "full"


class Profile(StrEnum):
    """How long to train."""

    QUICK = "quick"
    FULL = "full"


DEFAULT_STORE = Path("build/model-store").resolve().as_uri()

BuildOption = Annotated[Path, typer.Option("--build", help="Folder of the build's files.")]
DatasetOption = Annotated[
    DatasetName,
    typer.Option("--dataset", help="5,000 samples that are installed, or the full 70,000."),
]
ArchitectureOption = Annotated[
    Architecture, typer.Option(help="Small CNN, or the MLP with one hidden layer of 128.")
]
ProfileOption = Annotated[Profile, typer.Option(help="Seconds for a try, minutes for a model.")]
SeedOption = Annotated[int, typer.Option(help="Same seed, same machine: same model.")]
StoreOption = Annotated[
    str, typer.Option(help="Model store: s3://bucket/prefix or file:///folder.")
]
NameOption = Annotated[str, typer.Option("--name", help="Name of the model in the store.")]
MinAccuracyOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Least held-out accuracy of int8 (0.98 for the CNN, 0.92 for the MLP)."
    ),
]
ChannelOption = Annotated[str, typer.Option(help="Channel to point to the version.")]

BUILD = Path("build/model")


@app.command("data")
def show_data(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Load a data set, say what it is, and draw a sheet of samples."""
    loaded = data.load(dataset)
    build.mkdir(parents=True, exist_ok=True)
    sheet = build / "samples.png"
    Image.fromarray(contact_sheet(loaded)).save(sheet)
    console.print(f"{loaded.name}: {loaded.source}, sha256 {loaded.sha256}", soft_wrap=True)
    console.print(
        f"{len(loaded.train_labels):,} training and {len(loaded.test_labels):,} held-out samples, "
        f"drawn in {sheet}",
        soft_wrap=True,
    )


@app.command()
def train(
    dataset: DatasetOption = DatasetName.MNIST_5K,
    architecture: ArchitectureOption = Architecture.CNN,
    profile: ProfileOption = Profile.FULL,
    seed: SeedOption = 0,
    build: BuildOption = BUILD,
) -> None:
    """Train a network with Keras."""
    pipeline = Build(build)
    with _timed(f"train {architecture}, {profile}"), _progress() as on_epoch:
        pipeline.train(data.load(dataset), architecture.value, profile.value, seed, on_epoch)


@app.command()
def convert(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Convert to ONNX, uint8 in, and show that the answers stay the same."""
    pipeline = Build(build)
    with _timed("convert"):
        difference = pipeline.convert(data.load(dataset))
    console.print(f"  largest difference to Keras on 1,000 held-out images: {difference:.1e}")


@app.command()
def optimise(build: BuildOption = BUILD) -> None:
    """Optimise the graph once, instead of at every cold start."""
    pipeline = Build(build)
    with _timed("optimise"):
        pipeline.optimise()


@app.command()
def quantise(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Quantise to int8, calibrated on training samples."""
    pipeline = Build(build)
    with _timed("quantise"):
        pipeline.quantise(data.load(dataset))


@app.command()
def evaluate(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Evaluate fp32 and int8 on the held-out samples, side by side."""
    pipeline = Build(build)
    with _timed("evaluate"):
        found = pipeline.evaluate(data.load(dataset))
    console.print(_comparison(found))


@app.command()
def gate(min_accuracy: MinAccuracyOption = None, build: BuildOption = BUILD) -> None:
    """Say whether the int8 model may be published; exit 1 if not."""
    Build(build).gate(min_accuracy)
    console.print("gate: passed")


@app.command()
def publish(
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    min_accuracy: MinAccuracyOption = None,
    build: BuildOption = BUILD,
) -> None:
    """Publish fp32 and int8 as new versions, through the gate."""
    versions = Build(build).publish(ModelStore(store), name, min_accuracy)
    for candidate, version in versions.items():
        console.print(f"published {name} {candidate}: {version}", soft_wrap=True)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Version, or the channel to take it from.")],
    channel: ChannelOption = "production",
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Point a channel to a version."""
    models = ModelStore(store)
    document = models.promote(name, models.resolve(name, version), channel)
    console.print(f"{channel} of {name} is {document['version']}")


@app.command("copy")
def copy_command(
    target: Annotated[str, typer.Argument(help="Model store to copy to.")],
    version: Annotated[str, typer.Option(help="Version or channel.")] = "production",
    channel: Annotated[str, typer.Option(help="Channel to promote it to in the target.")] = "",
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Copy a version, with its parent, to another store; promote it there if asked."""
    models = ModelStore(target)
    copied = copy_version(ModelStore(store), models, name, version)
    console.print(f"copied {name} {copied} to {target}", soft_wrap=True)
    if channel:
        models.promote(name, copied, channel)
        console.print(f"{channel} of {name} is {copied}")


@app.command()
def run(
    dataset: DatasetOption = DatasetName.MNIST_5K,
    architecture: ArchitectureOption = Architecture.CNN,
    profile: ProfileOption = Profile.FULL,
    seed: SeedOption = 0,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    channel: ChannelOption = "production",
    min_accuracy: MinAccuracyOption = None,
    build: BuildOption = BUILD,
) -> None:
    """Build everything: train, convert, optimise, quantise, evaluate, gate, publish, promote."""
    started = time.perf_counter()
    show_data(dataset, build)
    train(dataset, architecture, profile, seed, build)
    convert(dataset, build)
    optimise(build)
    quantise(dataset, build)
    evaluate(dataset, build)
    gate(min_accuracy, build)
    versions = Build(build).publish(ModelStore(store), name, min_accuracy)
    for candidate, version in versions.items():
        console.print(f"published {name} {candidate}: {version}", soft_wrap=True)
    promote(versions["int8"], channel, store, name)
    console.print(f"done in {time.perf_counter() - started:.0f} s")


def main() -> None:
    """Run the command line; an expected failure is one sentence and exit code 1."""
    try:
        app()
    except (BuildError, OSError, ValueError) as error:
        sentence = Text.assemble(("error:", "red"), f" {error}")
        Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)
        sys.exit(1)


@contextmanager
def _timed(step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    console.print(f"{step}: {time.perf_counter() - started:.1f} s")


@contextmanager
def _progress() -> Iterator["OnEpoch"]:
    """Give what draws a bar, an epoch a step; without a terminal, a line every tenth."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training")

        def on_epoch(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            state = f"loss {loss:.3f}, accuracy {accuracy:.1%}"
            progress.update(task, completed=epoch, total=epochs, description=f"training, {state}")
            if not console.is_terminal and (epoch % max(1, epochs // 10) == 0 or epoch == epochs):
                console.print(f"  epoch {epoch} of {epochs}: {state}")

        yield on_epoch


def _comparison(found: dict[str, Evaluation]) -> Table:
    table = Table(title="Held-out samples, onnxruntime, one thread, batch 1")
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Evaluation], str]] = {
        "accuracy": lambda one: f"{one.accuracy:.2%}",
        "worst class": lambda one: _worst_class(one.per_class_accuracy),
        "calibration error": lambda one: f"{one.expected_calibration_error:.4f}",
        "size": lambda one: f"{one.bytes / 1024:.0f} KiB",
        "latency, median": lambda one: f"{one.latency_p50_ms * 1000:.0f} µs",
        "latency, p99": lambda one: f"{one.latency_p99_ms * 1000:.0f} µs",
        "load": lambda one: f"{one.load_ms:.1f} ms",
    }
    for title, row in rows.items():
        table.add_row(title, *(row(one) for one in found.values()))
    for label, shares in enumerate(_per_class(found)):
        table.add_row(f"  class {label}", *(f"{share:.1%}" for share in shares))
    return table


def _per_class(found: dict[str, Evaluation]) -> list[tuple[float, ...]]:
    return list(zip(*(one.per_class_accuracy for one in found.values()), strict=True))


def _worst_class(per_class: list[float]) -> str:
    worst = min(per_class)
    return f"{worst:.1%} ({per_class.index(worst)})"
