"""Every block of docs/clients.md runs, and prints what the page says it prints."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from model_build.data.datasets import load_mnist_5k
from tests.support import ROOT
from tests.support.commands import environment_without_account
from tests.support.local_service import LocalService, serving

PAGE = ROOT / "docs" / "clients.md"
KEY = "sesame"
SAID = re.compile(r"(?:print|console\.log)\(.*\);?\s+(?:#|//) (.*)")


class Block(NamedTuple):
    """A block of code and its heading."""

    language: str
    code: str
    heading: str
    line: int


def blocks() -> Iterator[Block]:
    heading, language, code = "", "", ""
    for number, line in enumerate(PAGE.read_text().splitlines(), start=1):
        if line.startswith("```"):
            if language:
                yield Block(language, code, heading, number)
            language, code = line[3:], ""
        elif language:
            code += f"{line}\n"
        elif line.startswith("#"):
            heading = line.lstrip("# ")


def of(*languages: str) -> pytest.MarkDecorator:
    """Parametrise a test over the blocks in a language."""
    chosen = [
        pytest.param(
            block,
            id=f"{block.heading}, up to line {block.line}",
            marks=[pytest.mark.clients] if "kserve" in block.code else [],
        )
        for block in blocks()
        if block.language in languages
    ]
    return pytest.mark.parametrize("block", chosen)


@pytest.fixture(scope="module")
def closed_service(
    model_version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalService]:
    """The service as in a stack: under a stage, and closed without the key."""
    log = tmp_path_factory.mktemp("clients") / "log"
    with serving(log, "--stage", "prod", "--key", KEY) as running:
        yield running


@pytest.fixture(scope="module")
def open_service(
    model_version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalService]:
    """The service of a stack that requires IAM instead of a key."""
    with serving(tmp_path_factory.mktemp("open") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures that the page mentions."""
    folder = tmp_path_factory.mktemp("pictures")
    data = load_mnist_5k()
    for name, digit in (("seven", 7), ("three", 3)):
        sample = data.test_images[data.test_labels == digit][0]
        Image.fromarray(sample).save(folder / f"mnist-{name}.png")
        paper = np.pad(255 - sample, 40, constant_values=255)
        Image.fromarray(paper).resize((400, 400)).save(folder / f"{name}.png")
    return folder


def run(command: list[str | Path], block: Block, service: LocalService, folder: Path) -> str:
    """Standard output of a block's program, which must succeed."""
    environment = environment_without_account() | {
        "URL": service.url.rstrip("/"),
        "CLASSIFIER_API_KEY": KEY,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # An example of AWS's own documentation; nothing here checks the signature.
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "no_proxy": "127.0.0.1",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=block.code,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.curl
@of("bash")
def test_a_block_of_shell_gets_the_answer(
    block: Block, closed_service: LocalService, folder: Path
) -> None:
    out = run(["bash", "-euo", "pipefail"], block, closed_service, folder)
    answers = [json.loads(line) for line in out.splitlines()]
    found = [one for answer in answers for one in answer.get("predictions", [answer])]
    expected = [7, 3] if "three.png" in block.code else [7]
    assert [one["prediction"] for one in found] == expected
    assert all(
        ("input" in one) == ("input=true" in block.code or "tools." in block.code) for one in found
    )


@of("python")
def test_a_block_of_python_prints_what_the_page_says(
    block: Block, closed_service: LocalService, open_service: LocalService, folder: Path
) -> None:
    service = open_service if block.heading == "With IAM" else closed_service
    command: list[str | Path] = [sys.executable, "-W", "error", "-"]
    if "kserve" in block.code:  # which has a hundred dependencies
        command = [ROOT / ".venv" / "clients" / "bin" / "python", "-"]
    out = run(command, block, service, folder)
    assert out.splitlines() == SAID.findall(block.code)


@pytest.mark.node
@of("js")
def test_a_block_of_javascript_prints_what_the_page_says(
    block: Block, closed_service: LocalService, folder: Path
) -> None:
    out = run(["node", "--input-type=module"], block, closed_service, folder)
    assert out.splitlines() == SAID.findall(block.code)


def test_the_page_has_blocks_of_every_kind() -> None:
    """A block in another language would not be run by the tests above."""
    languages = [block.language for block in blocks()]
    assert set(languages) == {"sh", "bash", "python", "js"}
    assert languages.count("sh") == 1, "the variables, which the tests set"
    assert all(SAID.search(block.code) for block in blocks() if block.language in {"python", "js"})
