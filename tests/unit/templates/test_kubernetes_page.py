"""docs/kubernetes.md lists the chart's values, and its commands exist."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml
from typer.main import get_command

from model_build.cli import main  # noqa: F401 - defines the commands
from model_build.cli.console import app
from tests.support import ROOT

PAGE = (ROOT / "docs/kubernetes.md").read_text()
CHART = ROOT / "infra" / "chart"


def test_the_table_lists_every_value_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `(.+?)` \|", PAGE, re.MULTILINE)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [(name, json.loads(default)) for name, default in rows] == list(leaves(values))


def test_the_export_commands_have_these_options() -> None:
    commands = re.findall(
        r"^\.venv/test/bin/python -m model_build (export .+)$",
        PAGE.replace("\\\n", ""),
        re.MULTILINE,
    )
    assert len(commands) == 3
    application = get_command(app)
    for command in commands:
        name, *arguments = shlex.split(command)
        export = application.commands[name]  # type: ignore[attr-defined]
        assert export.make_context(name, arguments).params["version"] == "production"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name; an empty table is a value."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
