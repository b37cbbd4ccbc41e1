"""Commands that write what accompanies a version: its card and its signature."""

from pathlib import Path
from typing import Annotated

import typer

from model_build.cli.console import (
    DEFAULT_STORE,
    NameOption,
    StoreOption,
    VersionArgument,
    app,
    console,
)
from model_build.cli.store_commands import PANEL
from model_build.store.model_store import CARD, ModelStore
from model_build.store.signing import PrivateKey


@app.command("card", rich_help_panel=PANEL)
def write_card(
    version: VersionArgument,
    about: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Markdown on what the model is for, and on its data and their licences.",
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Write a version's model card again, with what its author says of it."""
    models = ModelStore(store)
    version = models.resolve(name, version)
    card = models.new_card(models.manifest(name, version), about.read_text())
    models.accompany(name, version, CARD, card.encode())
    console.print(f"wrote the card of {name} {version}; `show --card` shows it", soft_wrap=True)


@app.command(rich_help_panel=PANEL)
def sign(
    version: VersionArgument,
    key: Annotated[
        Path,
        typer.Option(dir_okay=False, help="Ed25519 private key in PEM."),
    ],
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
) -> None:
    """Sign a version, after checking its files; print the public key that checks it."""
    models, private = ModelStore(store), PrivateKey(key)
    version = models.resolve(name, version)
    models.sign(name, version, private.sign)
    console.print(f"signed {name} {version}\nModelSigningKey={private.public}", soft_wrap=True)
