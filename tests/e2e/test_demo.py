"""`make demo`, as a user runs it."""

import os
import re
import socket
import subprocess

import pytest

from tests.support import ROOT

TIMEOUT = 900.0  # one of them trains a model


pytestmark = [pytest.mark.sam, pytest.mark.emulator]


def test_zip_packaging_answers_without_docker() -> None:
    """From the model that ships to the answer, on the zip and its layer; nothing stays running."""
    demonstrate("PACKAGE=zip")


def test_container_image_answers(base_image: str) -> None:
    """With a model trained before, in the container image; no container is left either."""
    before = containers()
    demonstrate("PACKAGE=image", f"BASE={base_image}", "TRAIN=1")
    assert containers() == before


def demonstrate(*variables: str) -> None:
    done = subprocess.run(
        ["make", "demo", *variables],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1", "AWS_PROFILE": "must-not-be-used"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"answer: 7  \(confidence \d+\.\d\d%\)", said), said
    assert re.search(r"model: +mnist \d{8}T\d{6}Z-[0-9a-f]{8}", said), said
    assert "without the key: 403" in said
    assert "█" in said
    assert "\x1b" not in said, "a log gets no control characters"
    for port in (int(folder.name) for folder in (ROOT / "build/emulator").iterdir()):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), f"something listens on {port}"


def containers() -> list[str]:
    command = ["docker", "ps", "--all", "--quiet", "--no-trunc"]
    return sorted(subprocess.check_output(command, text=True).split())
