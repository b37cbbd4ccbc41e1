"""What keeps the function quick, counted and not timed: it holds on any machine, busy or not."""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support import ROOT
from tests.support.local_s3 import serving, upload

MODULES = ROOT / "tests/performance/modules.txt"

type Publish = Callable[..., str]

# Answers one event in a new process, and prints what that took: python -c COLD EVENT.
COLD = """
import json, sys
started, opened = set(sys.modules), []
sys.addaudithook(lambda name, about: name == "open" and opened.append(str(about[0])))
import app
class Context: aws_request_id = "cold"
log, sys.stdout = sys.stdout, open("/dev/null", "w")
answer = app.handler(json.loads(sys.argv[1]), Context())
imported = sorted(set(sys.modules) - started)
json.dump({"status": answer["statusCode"], "modules": imported, "opened": opened}, log)
"""

# Counts the bytecode instructions of one warm request, of those modules that are the function's.
WARM = """
import json, sys
import app
class Context: aws_request_id = "warm"
log, sys.stdout = sys.stdout, open("/dev/null", "w")
event, count = json.loads(sys.argv[1]), 0
for _ in range(3):
    app.handler(event, Context())
def step(code, offset):
    global count
    count += 1
sys.monitoring.use_tool_id(5, "count")
sys.monitoring.register_callback(5, sys.monitoring.events.INSTRUCTION, step)
sys.monitoring.set_events(5, sys.monitoring.events.INSTRUCTION)
answer = app.handler(event, Context())
sys.monitoring.set_events(5, 0)
json.dump({"status": answer["statusCode"], "instructions": count}, log)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, publish: Publish) -> Path:
    """A model store with one version."""
    root = tmp_path_factory.mktemp("store")
    publish(root)
    return root


@pytest.fixture(scope="module")
def sample(digits: NDArray[np.uint8]) -> str:
    """Event of a 28 x 28 PNG, a sample as it is."""
    return event(digits[3])


@pytest.fixture(scope="module")
def drawing(digits: NDArray[np.uint8]) -> str:
    """Event of a PNG that goes all the way of `auto`: black ink on a large white page."""
    return event(255 - np.pad(digits[3].repeat(6, axis=0).repeat(6, axis=1), 100))


def event(*images: NDArray[np.uint8]) -> str:
    """Event of a REST API with an image [H, W], or a batch of them, as PNG in JSON."""
    files = [encoded(image) for image in images]
    body = {"images": files} if len(files) > 1 else {"image": files[0]}
    return json.dumps(
        {
            "httpMethod": "POST",
            "path": "/predict",
            "headers": {"Content-Type": "application/json"},
            "requestContext": {"requestId": "gateway-1", "stage": "dev"},
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }
    )


def encoded(image: NDArray[np.uint8]) -> str:
    """Image [H, W] as PNG, in base64."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def cold(store: Path, drawing: str) -> Iterator[dict[str, Any]]:
    """What a cold /predict imports and opens, with the model in S3."""
    with pytest.MonkeyPatch.context() as patch, serving(patch) as url:
        upload(store, url)
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        yield run(COLD, drawing, MODEL_STORE_URL=url, AWS_ENDPOINT_URL=endpoint)


def run(program: str, event: str, **settings: str) -> dict[str, Any]:
    """Run a program on an event in a new interpreter; what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "functions/predict"),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    found: dict[str, Any] = json.loads(
        subprocess.check_output(
            [sys.executable, "-c", program, event], env=environment | settings, text=True
        )
    )
    assert found["status"] == 200
    return found


def test_a_cold_request_imports_what_is_listed_and_nothing_else(cold: dict[str, Any]) -> None:
    """A new import fails here by its name; the list is a file beside the bench."""
    expected = set(MODULES.read_text().split())
    imported = outside_the_standard_library(cold["modules"])
    assert sorted(imported - expected) == [], "new on the path of a cold start: is it worth it?"
    assert sorted(expected - imported) == [], "no longer imported: take it off the list"


@pytest.mark.parametrize(
    "name",
    [
        "asyncio",
        "aws_lambda_powertools",
        "boto3",
        "botocore",
        "concurrent.futures",
        "dataclasses",
        "email",
        "http.client",
        "numpy.ma",
        "numpy.random",
        "pathlib",
        "PIL.JpegImagePlugin",
        "PIL.PngImagePlugin",
        "pydantic",
        "ssl",
        "subprocess",
        "urllib.parse",
    ],
)
def test_a_cold_request_leaves_a_heavy_module_alone(cold: dict[str, Any], name: str) -> None:
    """None of these is needed for a plain PNG, and each costs a cold start a hundredth or so."""
    assert name not in cold["modules"]


def test_a_cold_request_opens_hardly_a_file_but_modules(cold: dict[str, Any]) -> None:
    """Each module is a file or two, and the list above holds them; beside them next to nothing."""
    others = [name for name in cold["opened"] if not name.endswith((".py", ".pyc", ".so"))]
    assert len(others) <= 4, others
    assert len(cold["opened"]) <= 2 * len(cold["modules"]), len(cold["opened"])


def test_a_warm_request_takes_few_instructions(store: Path, sample: str) -> None:
    """Of Python's own, which are the same on every machine."""
    counted = run(WARM, sample, MODEL_STORE_URL=store.as_uri())["instructions"]
    assert counted <= 4_000, counted


@pytest.mark.slow
def test_a_batch_takes_half_of_the_instructions_of_its_images(
    store: Path, sample: str, digits: NDArray[np.uint8]
) -> None:
    one, many = (
        run(WARM, of, MODEL_STORE_URL=store.as_uri())["instructions"]
        for of in (sample, event(*[digits[3]] * 32))
    )
    assert many <= 32 * one / 2, (one, many)


def outside_the_standard_library(modules: list[str]) -> set[str]:
    """Names of modules that did not come with Python."""
    return {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
