"""What `make` would run, seen by `make -n`."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VARIABLES = ("MODEL", "STORE", "ENV", "PACKAGE", "PARAMETERS", "ROLE", "YES", "MAKEFLAGS")
VERSION = "20260131T120000Z-0123abcd"
DEFAULTS = ["deploy", "--env", "dev", "--package", "image"]


def deploy_command(environment: dict[str, str], arguments: list[str]) -> list[str]:
    """Arguments that `make deploy` would pass to tools.deploy."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    printed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "deploy", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (line,) = (line for line in printed.splitlines() if " -m tools.deploy " in line)
    python, *command = shlex.split(line)
    assert python == ".venv/test/bin/python"
    return command[2:]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, DEFAULTS),
        ({"MODEL": VERSION}, [*DEFAULTS, "--model", VERSION]),
        ({"STORE": "s3://models/all"}, [*DEFAULTS, "--store", "s3://models/all"]),
        ({"ENV": "prod"}, ["deploy", "--env", "prod", "--package", "image"]),
        ({"PACKAGE": "zip"}, ["deploy", "--env", "dev", "--package", "zip"]),
        ({"PARAMETERS": "A=1 B=2"}, [*DEFAULTS, "A=1", "B=2"]),
        ({"YES": "1", "ROLE": "arn:x"}, [*DEFAULTS, "--yes", "--role", "arn:x"]),
        ({"MODEL": ""}, DEFAULTS),  # as the release workflow sets it for the channel
    ],
)
@pytest.mark.parametrize("by", ["environment", "command line"])
def test_make_deploy_passes_on_what_it_is_given(
    by: str, given: dict[str, str], expected: list[str]
) -> None:
    """The same from the environment, as the release workflow does, and from the command line."""
    if by == "environment":
        assert deploy_command(given, []) == expected
    else:
        assert deploy_command({}, [f"{name}={value}" for name, value in given.items()]) == expected
