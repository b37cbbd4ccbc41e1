"""What `make` would run, seen by `make -n`."""

import os
import re
import shlex
import subprocess
import tomllib

import pytest

from tests.support import ROOT

VARIABLES = {"MODEL", "STORE", "ENV", "PACKAGE", "PARAMETERS", "ROLE", "YES", "SETTINGS"}
VERSION = "20260131T120000Z-0123abcd"
DEFAULTS = ["deploy", "--env", "dev", "--package", "image"]


def commands(task: str, environment: dict[str, str], arguments: list[str]) -> list[list[str]]:
    """Commands that `make` would run for a task, each in words."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in VARIABLES | {"MAKEFLAGS"}
    }
    printed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", task, *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [shlex.split(line) for line in printed.splitlines() if line.startswith(".venv/")]


def deploy_command(environment: dict[str, str], arguments: list[str]) -> list[str]:
    """Arguments that `make deploy` would pass to tools.deploy."""
    python, *command = commands("deploy", environment, arguments)[-1]
    assert python == ".venv/test/bin/python"
    assert command[:2] == ["-m", "tools.deploy"]
    return command[2:]


def test_the_batch_stack_has_a_folder_and_settings_of_its_own() -> None:
    """With those of `make deploy`, either would overwrite the stack of the other."""
    given = "ModelVersion=a ImagesBucketName=b"
    build, deploy = commands("deploy-batch", {"PARAMETERS": given}, [])[-2:]
    sam = ".venv/sam/bin/sam"
    folder = "build/batch"
    assert build == [sam, "build", "--template", "infra/batch.yaml", "--build-dir", folder]
    assert deploy == [
        *(sam, "deploy", "--template-file", f"{folder}/template.yaml"),
        # By its whole path: SAM would look for it beside the template.
        *("--config-file", f"{ROOT}/samconfig.toml", "--config-env", "batch"),
        *("--parameter-overrides", *given.split()),
    ]
    sections = tomllib.loads((ROOT / "samconfig.toml").read_text())
    stacks = [
        section["deploy"]["parameters"]["stack_name"]
        for section in sections.values()
        if isinstance(section, dict) and "deploy" in section
    ]
    assert len(stacks) == len(set(stacks)) == 6
    assert sections["batch"]["deploy"]["parameters"]["stack_name"] == "classifier-batch"


@pytest.mark.parametrize(
    ("task", "template", "section"),
    [
        ("deploy-url", "infra/function-url.yaml", "url"),
        ("deploy-http-api", "infra/http-api.yaml", "http-api"),
    ],
)
def test_a_front_is_a_stack_of_its_own(task: str, template: str, section: str) -> None:
    """Deployed as it is, by settings that the stack behind it does not read."""
    *_, deploy = commands(task, {"PARAMETERS": "FunctionName=predict Audience=a,b"}, [])
    assert deploy == [
        *(".venv/sam/bin/sam", "deploy", "--template-file", template),
        *("--config-file", f"{ROOT}/samconfig.toml", "--config-env", section),
        *("--parameter-overrides", "FunctionName=predict", "Audience=a,b"),
    ]
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())[section]["deploy"]["parameters"]
    assert settings["stack_name"] == f"classifier-{section}"


def test_no_page_tells_to_save_answers_into_the_settings() -> None:
    """`sam deploy --guided` saves them into the section of `make deploy ENV=dev`."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"^\$ sam deploy .*--guided", page.read_text(), re.MULTILINE), page


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
        ({"SETTINGS": "own.toml"}, [*DEFAULTS, "--settings", "own.toml"]),
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
