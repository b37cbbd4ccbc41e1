"""Check a running service against openapi.yaml with Schemathesis, a property-based client."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.commands import environment_without_account
from tools import openapi

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def check_conformance(url: str, folder: Path, *options: str) -> None:
    """Fail if a response of the service at `url` does not follow openapi.yaml.

    The API key is the gateway's to ask for: the interface is held against the function without it.
    folder: where to put the document. options: more of Schemathesis's own.
    """
    document = openapi.read()
    del document["security"]
    stated = folder / "openapi.json"
    stated.write_text(json.dumps(document))
    command: list[str | Path] = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", CONFIGURATION, "run", stated, "--url", url, "--no-color"]
    command += options
    if "CI" in os.environ:
        command += ["--seed", "1"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment_without_account() | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{done.stdout}\n{done.stderr}", pytrace=False)
