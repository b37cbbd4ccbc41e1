"""The Python version is stated once for each reader that can't read .python-version."""

import subprocess

import pytest

from tests.support import ROOT

VERSION = (ROOT / ".python-version").read_text().strip()
STATED = {  # how each writes it
    "pyproject.toml": f'requires-python = "=={VERSION}.*"',
    "template.yaml": f"Runtime: python{VERSION}",
    "Dockerfile": f"FROM ${{BASE:-public.ecr.aws/lambda/python:{VERSION}}}",
    ".devcontainer/devcontainer.json": f'"mcr.microsoft.com/devcontainers/python:{VERSION}"',
    "layers/onnxruntime/Makefile": f"PYTHON_VERSION := {VERSION}",  # SAM copies the folder away
}


@pytest.mark.parametrize(("path", "statement"), STATED.items())
def test_every_statement_of_the_python_version_agrees(path: str, statement: str) -> None:
    assert (ROOT / path).read_text().count(statement) == 1


def test_the_python_version_is_stated_nowhere_else() -> None:
    """Except on pages and in requirements, which name other Python versions."""
    major, minor = VERSION.split(".")
    after_py = rf"[Pp][Yy][A-Za-z_]*[^0-9]{{0,9}}{major}\.?{minor}([^0-9.]|$|\.\*)"
    pattern = rf"{after_py}|\({major}, {minor}\)"
    command = ["git", "grep", "-I", "-c", "-E", pattern, "--", ":!*.md", ":!*requirements*"]
    lines = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    assert dict(line.split(":") for line in lines) == dict.fromkeys(STATED, "1")
