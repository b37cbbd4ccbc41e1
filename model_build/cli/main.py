"""Command line of the model build: every step alone, `run` for all of them.

Commands that are no step live in modules of their own, imported at the end.
"""

import sys
import time
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_build.cli.console import (
    BUILD,
    DEFAULT_STORE,
    Architecture,
    ArchitectureOption,
    BuildOption,
    ChannelOption,
    DatasetName,
    DatasetOption,
    MinAccuracyOption,
    NameOption,
    Profile,
    ProfileOption,
    SeedOption,
    StoreOption,
    app,
    console,
    progress,
    timed,
)
from model_build.cli.store_commands import promote
from model_build.data import datasets
from model_build.engine.pipeline import Build, contact_sheet
from model_build.errors import BuildError
from model_build.evaluation.evaluate import Evaluation
from model_build.store.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable


@app.command("data")
def show_data(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Load a data set, say what it is, and draw a sheet of samples."""
    loaded = datasets.load(dataset)
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
    with timed(f"train {architecture}, {profile}"), progress() as on_epoch:
        pipeline.train(datasets.load(dataset), architecture.value, profile.value, seed, on_epoch)


@app.command()
def convert(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Convert to ONNX, uint8 in, and show that the answers stay the same."""
    pipeline = Build(build)
    with timed("convert"):
        difference = pipeline.convert(datasets.load(dataset))
    console.print(f"  largest difference to Keras on 1,000 held-out images: {difference:.1e}")


@app.command()
def optimise(build: BuildOption = BUILD) -> None:
    """Optimise the graph once, instead of at every cold start."""
    pipeline = Build(build)
    with timed("optimise"):
        pipeline.optimise()


@app.command()
def quantise(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Quantise to int8, calibrated on training samples."""
    pipeline = Build(build)
    with timed("quantise"):
        pipeline.quantise(datasets.load(dataset))


@app.command()
def calibrate(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Make confidence agree with accuracy: a temperature, fitted on validation samples."""
    pipeline = Build(build)
    with timed("calibrate"):
        temperatures = pipeline.calibrate(datasets.load(dataset))
    for candidate, fitted in temperatures.items():
        console.print(f"  temperature of {candidate}: {fitted:.3f}")


@app.command()
def evaluate(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Evaluate fp32 and int8 on the held-out samples, side by side."""
    pipeline = Build(build)
    with timed("evaluate"):
        found = pipeline.evaluate(datasets.load(dataset))
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
    """Build everything: every step from train to gate, then publish and promote."""
    started = time.perf_counter()
    show_data(dataset, build)
    train(dataset, architecture, profile, seed, build)
    convert(dataset, build)
    optimise(build)
    quantise(dataset, build)
    calibrate(dataset, build)
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
    except BuildError as error:
        sentence = Text.assemble(("error:", "red"), f" {error}")
        Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)
        sys.exit(1)


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


# Each defines commands; the help lists them after those above.
from model_build.cli import (  # noqa: E402, F401
    drift_command,
    import_command,
    rebuild_command,
    score_command,
    search_command,
)
