"""Command line of the model build: the commands that its modules define."""

import sys

from rich.console import Console
from rich.text import Text

from model_build.cli import (  # noqa: F401 - each defines commands, listed in this order
    build_commands,
    companion_commands,
    drift_command,
    export_command,
    import_command,
    rebuild_command,
    robustness_command,
    score_command,
    search_command,
    store_commands,
)
from model_build.cli.console import app
from model_build.errors import BuildError


def main() -> None:
    """Run the command line; an expected failure is one sentence and exit code 1."""
    try:
        app()
    except BuildError as error:
        sentence = Text.assemble(("error:", "red"), f" {error}")
        Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)
        sys.exit(1)
