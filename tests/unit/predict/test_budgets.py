"""What a cold start must not pay for: the modules it imports, the same on every machine."""

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

# Answers one event in a new process, and prints what that imported: python -c COLD EVENT.
COLD = """
import json, sys
log, sys.stdout = sys.stdout, open("/dev/null", "w")
import app
class Context: aws_request_id = "cold"
response = app.handler(json.loads(sys.argv[1]), Context())
json.dump({"status": response["statusCode"], "modules": sorted(sys.modules)}, log)
"""

# Imports the function, and prints how often older objects were collected, and how it goes on.
IMPORT = """
import gc, json
import app
_, *older = gc.get_stats()
collections = [generation["collections"] for generation in older]
print(json.dumps([collections, gc.isenabled(), gc.get_freeze_count() > 10_000]))
"""


@pytest.fixture(scope="module")
def imported(
    tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., str], digits: NDArray[np.uint8]
) -> set[str]:
    """Modules that a cold POST /predict of a drawing imports."""
    root = tmp_path_factory.mktemp("store")
    publish(root)
    file = io.BytesIO()
    Image.fromarray(255 - np.pad(digits[3].repeat(4, axis=0).repeat(4, axis=1), 60)).save(
        file, "PNG"
    )
    event = {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"Content-Type": "image/png"},
        "body": base64.b64encode(file.getvalue()).decode(),
        "isBase64Encoded": True,
    }
    environment = {"MODEL_STORE_URL": Path(root).as_uri(), "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", COLD, json.dumps(event)]
    answer = json.loads(subprocess.check_output(command, env=environment, text=True))
    assert answer["status"] == 200
    return set(answer["modules"])


@pytest.mark.parametrize(
    "name",
    [
        "asyncio",
        "aws_lambda_powertools.event_handler",
        "aws_xray_sdk",
        "boto3",
        "botocore.session",
        "classifier.http.base64_text",
        "classifier.http.form",
        "classifier.http.inference_protocol",
        "classifier.http.invocation",
        "classifier.http.json_body",
        "classifier.http.mistakes",
        "classifier.http.page",
        "classifier.monitoring.capture",
        "classifier.prepare.picture",
        "concurrent.futures",
        "email",
        "http.client",
        "multipart",
        "numpy.ma",
        "numpy.random",
        "PIL.AvifImagePlugin",
        "PIL.JpegImagePlugin",
        "pi_heif",
        "pydantic",
        "ssl",
        "subprocess",
        "urllib.request",
    ],
)
def test_a_cold_request_does_not_import(imported: set[str], name: str) -> None:
    """Classifying a PNG does not need these, and each costs a cold start milliseconds."""
    assert "classifier.prepare.mnist" in imported
    assert name not in imported


def test_garbage_is_collected_only_once_all_is_imported() -> None:
    """Each collection would look at the objects of every module, and free hardly any."""
    printed = subprocess.check_output([sys.executable, "-c", IMPORT], text=True)
    collections, is_enabled, is_frozen = json.loads(printed)
    assert collections == [0, 0]
    assert is_enabled
    assert is_frozen
