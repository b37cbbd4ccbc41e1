"""Command `robustness`: measure how the service reads pictures as people send them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_build.cli.console import (
    CACHE,
    DEFAULT_STORE,
    CacheOption,
    NameOption,
    Profile,
    StoreOption,
    VersionOption,
    app,
    console,
    progress_bars,
)

if TYPE_CHECKING:
    from model_build.robustness.measure import Classify

_ARTICLE = "mlp"  # recipe of the network that the corruptions are also measured on


class Part(StrEnum):
    """Digits to draw: test is held out; validation is for choosing."""

    TEST = "test"
    VALIDATION = "validation"


@app.command()
def robustness(
    version: VersionOption = "production",
    part: Annotated[
        Part, typer.Option(help="Held-out digits, or those that choices may be made on.")
    ] = Part.TEST,
    count: Annotated[int, typer.Option(min=1, help="Pictures per family.")] = 150,
    report: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path(
        "docs/robustness.md"
    ),
    cache: CacheOption = CACHE,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Measure families of pictures, numbers, corruptions and other things; write a report."""
    from model_build.robustness import measure, service  # noqa: PLC0415 - onnxruntime takes a second
    from model_build.robustness.report import mean_right, write  # noqa: PLC0415
    from model_build.store.model_store import ModelStore  # noqa: PLC0415

    resolved = ModelStore(store).resolve(name, version)
    send = service.serve(store, name, resolved)
    article = _article(cache)
    with progress_bars() as bars:
        task = bars.add_task("sending pictures", total=measure.size(part, count))
        results = measure.measure(send, part, count, article, lambda sent: bars.advance(task, sent))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(write(results, f"{name} {resolved}"))
    for group, members in results.digits.items():
        console.print(f"{group}: {mean_right(members.values()):.1%}")
    console.print(f"report: {report}", soft_wrap=True)


def _article(cache: Path) -> "Classify":
    """The tutorials' network, built if it is not in the cache, as a function of samples."""
    import numpy as np  # noqa: PLC0415 - as above
    import onnxruntime as ort  # noqa: PLC0415

    from model_build.data import datasets  # noqa: PLC0415
    from model_build.engine import recipe  # noqa: PLC0415
    from model_build.engine.engine import Engine, silent  # noqa: PLC0415

    chosen = recipe.chosen(recipe.load(), _ARTICLE).in_profile(Profile.FULL)
    built = Engine(cache, datasets.load("mnist-5k"), 0).build(chosen.parent, silent)
    session = ort.InferenceSession(built.file)
    return lambda images: np.argmax(session.run(None, {"image": images})[0], axis=1)
