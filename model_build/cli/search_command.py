"""Command `search`: build every recipe, measure the models, report, choose one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from model_build.cli.build_commands import publish_build
from model_build.cli.console import (
    CACHE,
    DEFAULT_STORE,
    CacheOption,
    DatasetName,
    DatasetOption,
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
from model_build.data import datasets
from model_build.engine import recipe
from model_build.engine.build import Build
from model_build.engine.engine import Engine, silent

if TYPE_CHECKING:
    from model_build.search.measurements import Measured, Search
    from model_build.search.selection import Choice

OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", help="Build only this recipe; may be repeated."),
]
ReferenceOption = Annotated[
    str, typer.Option(help="Recipe whose latency counts as 1; always built.")
]
MaxBytesOption = Annotated[
    int | None, typer.Option(min=1, help="Maximum file size of the chosen model, in bytes.")
]
MaxLatencyOption = Annotated[
    float | None,
    typer.Option(min=0, help="Maximum latency of the chosen model, as a ratio to the reference."),
]
MinAccuracyOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Minimum accuracy on the validation samples.")
]


@app.command()
def search(
    recipes: RecipesOption = None,
    only: OnlyOption = None,
    reference: ReferenceOption = "cnn",
    dataset: DatasetOption = DatasetName.MNIST_5K,
    profile: ProfileOption = Profile.FULL,
    seed: SeedOption = 0,
    max_bytes: MaxBytesOption = None,
    max_latency_ratio: MaxLatencyOption = None,
    min_accuracy: MinAccuracyOption = None,
    report: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build/report"),
    cache: CacheOption = CACHE,
    publish: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--publish", help="Publish the chosen model, if it passes the gate.")
    ] = False,
    sign: SignOption = None,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Build all recipes, measure them side by side, write a report, choose one.

    Cached stages are not rebuilt. Exit code 1 if no candidate is within the limits.
    """
    known = recipe.load(recipes or recipe.folder_of(dataset))
    wanted = {
        recipe_name: recipe.chosen(known, recipe_name).in_profile(profile)
        for recipe_name in (*(only or known), reference)
    }

    from model_build.report import report as reports  # noqa: PLC0415
    from model_build.search import selection  # noqa: PLC0415 - onnxruntime and matplotlib take a second
    from model_build.search.search import search as run_search  # noqa: PLC0415

    engine = Engine(cache, datasets.load(dataset), seed)
    with progress(announce=True) as on_stage:
        results = run_search(engine, wanted, profile.value, reference, on_stage, console.print)
    choice = selection.choose(
        results.candidates,
        max_bytes=max_bytes,
        max_latency_ratio=max_latency_ratio,
        min_accuracy=min_accuracy,
    )
    reports.write(results, choice, report)
    console.print(_table(results, choice))
    for failure in results.failed:
        console.print(f"failed: {failure['recipe']}: {failure['error']}", soft_wrap=True)
    for candidate, reason in choice.reasons.items():
        console.print(f"  {candidate}: {reason}", soft_wrap=True)
    console.print(choice.why, soft_wrap=True)
    console.print(f"report: {report / 'index.html'}", soft_wrap=True)
    if choice.chosen is None:
        raise typer.Exit(1)
    console.print(f"chosen: {choice.chosen.recipe}, {choice.chosen.file}", soft_wrap=True)
    if publish:
        winner = Build(engine, wanted[choice.chosen.recipe], profile.value)
        winner.evaluate(silent)
        publish_build(winner, publishing_store(store, sign), name, None)


def _table(results: "Search", choice: "Choice") -> Table:
    table = Table(title=f"Candidates; latency and load relative to {results.reference}")
    table.add_column("recipe")
    columns = ("views", "held-out", "± 95 %", "pictures", "ECE", "KiB", "latency", "load")
    for column in columns:
        table.add_column(column, justify="right")

    def row(candidate: "Measured") -> tuple[str, ...]:
        low, high = candidate.accuracy_interval
        return (
            f"{candidate.validation_views_accuracy:.2%}",
            f"{candidate.accuracy:.1%}",
            f"{(high - low) / 2:.1%}",
            f"{candidate.pictures_accuracy:.1%}",
            f"{candidate.expected_calibration_error:.4f}",
            f"{candidate.bytes / 1024:.0f}",
            f"{candidate.latency_ratio:.2f}",
            f"{candidate.load_ratio:.2f}",
        )

    for candidate in sorted(
        results.candidates, key=lambda candidate: -candidate.validation_views_accuracy
    ):
        mark = (
            "* " if choice.chosen is not None and choice.chosen.recipe == candidate.recipe else "  "
        )
        table.add_row(mark + candidate.recipe, *row(candidate))
    return table
