"""What contributors meet: issue forms that GitHub accepts, hooks of tools that are installed."""

import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT

FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-issue-forms", ["bug.yml", "feature.yml"]),
        ("vendor.github-issue-config", ["config.yml"]),
    ],
)
def test_issue_forms_follow_the_schema_of_github(schema: str, files: list[str]) -> None:
    assert {path.name for path in FORMS.iterdir()} == {"bug.yml", "feature.yml", "config.yml"}
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", schema]
    command += [str(FORMS / name) for name in files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hooks_run_tools_of_the_test_environment() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert len(local["hooks"]) > 5
    for hook in local["hooks"]:
        program, *arguments = shlex.split(hook["entry"])
        assert program.startswith(".venv/test/bin/")
        assert (BIN / Path(program).name).exists(), hook["id"]
        if arguments:
            assert arguments[0] == "-m"
            assert find_spec(arguments[1]), hook["id"]
