"""The application, the console, and the options and progress bars that the commands share.

Each command is a function with `@app.command()` in its own module; `main.py` imports them all.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from classifier.model.address import AddressError, parse_address
from classifier.model.manifest import NAME
from model_build.store.model_store import ModelStore
from model_build.store.signing import PUBLIC_KEY, PrivateKey

if TYPE_CHECKING:
    from model_build.engine.engine import OnStage
    from model_build.engine.stage import OnEpoch

app = typer.Typer(
    help="Train, convert, quantise, check and publish the model that the function serves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, markup=False)  # users' names may contain brackets


class Architecture(StrEnum):
    """Networks to choose from."""

    CNN = "cnn"
    CNN_WIDE = "cnn-wide"
    MLP = "mlp"
    CNN_DENSE = "cnn-dense"


class DatasetName(StrEnum):
    """Data sets to choose from."""

    MNIST_5K = "mnist-5k"
    FULL = "full"
    FASHION = "fashion-mnist"


class Profile(StrEnum):
    """How long to train."""

    QUICK = "quick"
    FULL = "full"


DEFAULT_STORE = Path("build/model-store").resolve().as_uri()


def check_name(name: str | None) -> str | None:
    """Reject an invalid name of a model, version or channel; None and empty mean no name."""
    if name and not NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is not a name; expected letters, digits, '.', '_' and '-', the first a "
            "letter or digit"
        )
    return name


def check_address(url: str) -> str:
    """Reject a URL that is not a store's address."""
    try:
        parse_address(url)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from error
    return url


def check_public_key(key: str) -> str:
    """Reject what is not a public key; empty means none."""
    if key and not PUBLIC_KEY.fullmatch(key):
        raise typer.BadParameter(
            f"expected a public key such as MCowBQYDK2VwAyEA…=, which `sign` prints, got {key!r}"
        )
    return key


BuildOption = Annotated[
    Path, typer.Option("--build", file_okay=False, help="Folder for the build's files.")
]
DatasetOption = Annotated[
    DatasetName,
    typer.Option(
        "--dataset",
        help="5,000 bundled digits, all 70,000 digits, or 70,000 pictures of clothes.",
    ),
]
ArchitectureOption = Annotated[
    Architecture,
    typer.Option(help="For digits, cnn (small) or mlp (128 hidden units); for clothes, cnn-dense."),
]
ProfileOption = Annotated[Profile, typer.Option(help="quick trains for seconds, full for minutes.")]
SeedOption = Annotated[
    int, typer.Option(min=0, help="The same seed on the same machine builds the same model.")
]
StoreOption = Annotated[
    str,
    typer.Option(callback=check_address, help="Model store: s3://bucket/prefix or file:///folder."),
]
NameOption = Annotated[
    str, typer.Option("--name", callback=check_name, help="Name of the model in the store.")
]
VersionArgument = Annotated[str, typer.Argument(callback=check_name, help="Version or channel.")]
VersionOption = Annotated[str, typer.Option(callback=check_name, help="Version or channel.")]
MinAccuracyOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Minimum held-out accuracy of int8; by default the recipe's."),
]
ChannelOption = Annotated[
    str, typer.Option(callback=check_name, help="Channel to point at the version.")
]

SignOption = Annotated[
    Path | None,
    typer.Option("--sign", dir_okay=False, help="Sign what is published with this private key."),
]
SigningKeyOption = Annotated[
    str,
    typer.Option(
        envvar="MODEL_SIGNING_KEY",
        callback=check_public_key,
        help="Public key that versions must be signed by.",
    ),
]

RecipesOption = Annotated[
    Path | None,
    typer.Option(
        "--recipes",
        exists=True,
        file_okay=False,
        help="Folder of recipes, one TOML file each; by default the project's.",
    ),
]
CacheOption = Annotated[Path, typer.Option("--cache", help="Folder where built stages are cached.")]

BUILD = Path("build/model")
CACHE = Path("build/stages")


def publishing_store(store: str, sign: Path | None) -> ModelStore:
    """Store to publish to, which signs with a private key if there is one."""
    return ModelStore(store, signer=PrivateKey(sign).sign if sign else None)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print how long a step took when it is done."""
    started = time.perf_counter()
    yield
    console.print(f"{step}: {time.perf_counter() - started:.1f} s")


def progress_bars() -> Progress:
    """Progress bars with count and time left; draws nothing without a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def progress(*, announce: bool = False) -> Iterator["OnStage"]:
    """Draw a bar of epochs; without a terminal, print ten of them. announce: print each stage."""
    with progress_bars() as bars:
        task = bars.add_task("training", visible=False)

        def on_stage(technique: str, cached: bool) -> "OnEpoch":  # noqa: FBT001
            bars.reset(task, visible=False)
            if announce:
                console.print(f"  {technique}{', built before' if cached else ''}")
            return on_epoch

        def on_epoch(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            state = f"loss {loss:.3f}, accuracy {accuracy:.1%}"
            title = f"training, {state}"
            bars.update(task, completed=epoch, total=epochs, description=title, visible=True)
            if not console.is_terminal and (epoch % max(1, epochs // 10) == 0 or epoch == epochs):
                console.print(f"  epoch {epoch} of {epochs}: {state}")

        yield on_stage
