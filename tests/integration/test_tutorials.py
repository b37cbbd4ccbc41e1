"""The Quickstart and the Tutorial run as they stand, and print what they say they print."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pytest

from tests.support import ROOT
from tests.support.commands import environment_without_account
from tools import deployment, emulator

pytestmark = [pytest.mark.slow, pytest.mark.sam, pytest.mark.emulator, pytest.mark.curl]

TIMEOUT = 1800.0
SERVER = "make serve\n"


class Step(NamedTuple):
    """A block of shell, and the lines that the page says it prints, each with … for anything."""

    line: int
    code: str
    printed: list[str]


def steps(page: Path) -> Iterator[Step]:
    text = page.read_text()
    block = re.compile(
        r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
    )
    for match in block.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Step(line, match[1], (match[2] or "").splitlines())


class Shell:
    """A shell that runs blocks one after the other, with the variables of those before."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.state = folder / "state"
        self.state.write_text("")
        self.environment = environment_without_account() | variables
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self, step: Step) -> None:
        """Run a block; fail if a command fails, or if a line that the page shows is missing."""
        if step.code == SERVER:
            self.serve(step)
            return
        before, after = f"set -euo pipefail\nset -a\n. {self.state}", f"export -p > {self.state}"
        output = self.state.with_suffix(".log")
        with output.open("w") as log:  # a file, because a server that goes on keeps a pipe open
            code = self.start(f"{before}\n{step.code}\n{after}\n", log).wait(TIMEOUT)
        printed = output.read_text()
        assert code == 0, f"line {step.line}:\n{step.code}\n{printed}"
        for line in step.printed:
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert re.search(pattern, printed), f"line {step.line}: {line!r} is not in\n{printed}"

    def serve(self, step: Step) -> None:
        """Start a server in the background, as in a terminal of its own, and wait for it."""
        server = self.start(step.code, None)
        ready = ["curl", "-sSf", "--noproxy", "*", "http://127.0.0.1:8000/ready"]
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            assert server.poll() is None, f"{step.code} exited with {server.returncode}"
            time.sleep(0.2)

    def start(self, script: str, output: TextIO | None) -> subprocess.Popen[bytes]:
        """Start a script in a session of its own, so that `close` ends what it leaves running."""
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def aws() -> Iterator[emulator.Emulator]:
    with emulator.running() as running:
        deployment.client("s3", running).create_bucket(Bucket="tutorial-artifacts")
        yield running


@pytest.fixture
def variables(aws: emulator.Emulator, tmp_path: Path) -> dict[str, str]:
    """An environment whose account is the local AWS, with a bucket for SAM's files."""
    settings = {
        "stack_name": "classifier-tutorial",
        "s3_bucket": "tutorial-artifacts",
        "capabilities": "CAPABILITY_IAM",
        "parameter_overrides": f"Environment=dev Architecture={deployment.architecture()}",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    file = tmp_path / "samconfig.toml"
    file.write_text("version = 0.1\n[default.deploy.parameters]\n" + "\n".join(lines) + "\n")
    return aws.environment() | deployment.docker_environment() | {"SETTINGS": str(file)}


def test_the_quickstart_runs_as_it_stands(model_version: str, tmp_path: Path) -> None:
    with contextlib.closing(Shell(tmp_path, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")) as shell:
        blocks = list(steps(ROOT / "docs/quickstart.md"))
        assert len(blocks) == 5
        for step in blocks:
            shell.run(step)


def test_the_page_about_own_pictures_runs_as_it_stands(model_version: str, tmp_path: Path) -> None:
    for folder in ("pictures", "scores"):
        shutil.rmtree(ROOT / "build" / folder, ignore_errors=True)
    with contextlib.closing(Shell(tmp_path)) as shell:
        for step in steps(ROOT / "docs/own-pictures.md"):
            shell.run(step)


def test_the_tutorial_runs_as_it_stands(variables: dict[str, Any], tmp_path: Path) -> None:
    with contextlib.closing(Shell(tmp_path, **variables)) as shell:
        blocks = list(steps(ROOT / "docs/tutorial.md"))
        assert len(blocks) > 10
        for step in blocks:
            shell.run(step)


@pytest.mark.parametrize("page", ["quickstart", "tutorial"])
def test_a_translation_has_the_same_blocks(page: str) -> None:
    original, translated = (
        [(step.code, step.printed) for step in steps(ROOT / f"docs/{page}{language}.md")]
        for language in ("", ".zh")
    )
    assert translated == original
