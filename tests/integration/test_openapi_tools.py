"""openapi.yaml with the tools of others: two linters, and a client that is generated from it."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from events.make_events import encode_png
from model_build.data.datasets import load_mnist_5k
from tests.support import ROOT
from tests.support.commands import environment_without_account
from tests.support.local_service import LocalService
from tools import openapi

NODE = ROOT / ".venv" / "node" / "node_modules" / ".bin"
CLIENTS = ROOT / ".venv" / "clients" / "bin"
RULES = ROOT / "requirements" / "node"
SOURCE = ROOT / "openapi.yaml"
PROGRAM = """
import sys
from generated import Client
from generated.api.classify import predict
from generated.api.open_inference_protocol import infer, model_ready, model_statistics
from generated.models import InferenceRequest
from generated.types import File

url, picture = sys.argv[1:]
client = Client(base_url=url)
print(model_ready.sync("mnist", client=client).name)
answer = predict.sync(client=client, body=File(payload=open(picture, "rb")), top_k=2)
print(answer.prediction, len(answer.top))
document = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 28, 28],
                        "data": [0] * 784}]}
answer = infer.sync("mnist", client=client, body=InferenceRequest.from_dict(document))
print(answer.model_name, len(answer.outputs[0].data))
print(model_statistics.sync("mnist", client=client).model_stats[0].inference_count > 1)
"""


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command, which must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment_without_account() | {"REDOCLY_TELEMETRY": "off", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_linters_are_pinned_by_their_content_and_from_no_address() -> None:
    lock = json.loads((RULES / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert len(packages) > 100
    assert all("integrity" in package and "resolved" not in package for package in packages)


@pytest.mark.linters
def test_redocly_finds_nothing(tmp_path: Path) -> None:
    run(NODE / "redocly", "lint", SOURCE, "--config", RULES / "redocly.yaml", folder=tmp_path)


@pytest.mark.linters
def test_spectral_finds_nothing(tmp_path: Path) -> None:
    rules = RULES / "spectral.yaml"
    run(
        *(NODE / "spectral", "lint", SOURCE, "--ruleset", rules, "--fail-severity", "hint"),
        folder=tmp_path,
    )


@pytest.mark.clients
def test_a_generated_client_calls_every_operation(service: LocalService, tmp_path: Path) -> None:
    """The generator leaves out an operation that it can't read."""
    sample = load_mnist_5k().test_images[-1]
    picture = tmp_path / "nine.png"
    picture.write_bytes(encode_png(np.pad(255 - sample, 9, constant_values=255)))
    folder = tmp_path / "generated"
    run(
        *(CLIENTS / "openapi-python-client", "generate", "--path", SOURCE, "--meta", "none"),
        *("--output-path", folder),
        folder=tmp_path,
    )
    out = run(CLIENTS / "python", "-c", PROGRAM, service.url, picture, folder=tmp_path)
    assert out.splitlines() == ["mnist", "9 2", "mnist 10", "True"]
    generated = {path.stem for path in folder.glob("api/*/*.py")} - {"__init__"}
    document = openapi.read()
    named = [
        operation["operationId"]
        for item in document["paths"].values()
        for _, operation in openapi.operations(item)
    ]
    assert generated == {re.sub("(?=[A-Z])", "_", name).lower() for name in named}
