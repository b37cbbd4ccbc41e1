"""The function and its peers: how each is started, and what it must answer."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import ROOT
from model_build.data.datasets import load_mnist_5k

BUILD = ROOT / "build" / "bench"
STORE = ROOT / "build" / "model-store"
VERSION = (ROOT / ".python-version").read_text().strip()
PACKAGES, TENSORFLOW, MOTO = (
    ROOT / ".venv" / name / f"lib/python{VERSION}/site-packages"
    for name in ("bench", "model", "test")
)
BASE_IMAGES = (  # the real one, and the stand-in of .ci/base-image
    f"public.ecr.aws/lambda/python:{VERSION}",
    f"classifier-on-lambda/lambda-python:{VERSION}-stand-in",
)
INVOKE = "/2015-03-31/functions/function/invocations"

# The function's environment variables, as the templates set them by default.
OWN: dict[str, Any] = {
    "OPENBLAS_NUM_THREADS": "1",
    "CORS_ORIGIN": "",
    "BASE_PATH": "",
    "CAPTURE_URL": "",
}

LABELS = {
    "floor, one BLAS thread": "The floor with this function's OPENBLAS_NUM_THREADS=1",
    "floor": "The floor: numpy, onnxruntime, Pillow, local model",
    "function": "This function, model from S3, logs and metrics on",
    "function, model on disk": "This function, model from a folder",
    "empty": "An empty handler",
    "usual": "boto3 and Powertools: resolver, Logger, Metrics, Tracer",
    "flask": "Flask behind gunicorn, local model (no emulator)",
    "tensorflow": "TensorFlow, local Keras model",
}


@dataclass(frozen=True)
class Versions:
    """The served version and its fp32 parent, as files."""

    name: str
    file: Path
    parent: Path


def versions() -> Versions:
    """Versions on channel production of the local store; raises FileNotFoundError without one."""
    channel = json.loads((STORE / "mnist/channels/production.json").read_text())
    folder = STORE / "mnist/versions" / channel["version"]
    manifest = json.loads((folder / "manifest.json").read_text())
    parent = STORE / "mnist/versions" / manifest["lineage"]["parent"]
    return Versions(folder.name, folder / "model.onnx", parent / "model.onnx")


def sample() -> NDArray[np.uint8]:
    """A held-out digit [28, 28]."""
    image: NDArray[np.uint8] = load_mnist_5k().test_images[40]
    return image


def png(image: NDArray[np.uint8]) -> bytes:
    """Image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def event(body: Mapping[str, Any]) -> dict[str, Any]:
    """Event of a REST API (v1) that POSTs JSON to /predict."""
    template: dict[str, Any] = json.loads((ROOT / "events/json.json").read_text())
    return template | {"body": json.dumps(body), "isBase64Encoded": False}


def prepare() -> None:
    """Compile the candidates as the image does: bytecode next to the source, unchecked."""
    for name, source in (
        ("task", ROOT / "functions/predict"),
        ("peers", ROOT / "bench/peers"),
    ):
        shutil.rmtree(BUILD / name, ignore_errors=True)
        shutil.copytree(source, BUILD / name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall: list[str | Path] = [
        ROOT / ".venv/bench/bin/python",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    subprocess.run([*compileall, BUILD / "task", BUILD / "peers", PACKAGES], check=True)
    marker = BUILD / "tensorflow-compiled"
    if not marker.exists():  # two minutes
        subprocess.run([*compileall, "-j", "2", TENSORFLOW], check=False)  # tests of syntax errors
        marker.touch()


def spec(rounds: int, *, emulator: str, python: str) -> dict[str, Any]:
    """Input of cold.py: every candidate's command and environment."""
    chosen = versions()
    image = base64.b64encode(png(sample())).decode()
    settings = {
        "LANG": "C.UTF-8",
        "ORT_DISABLE_TELEMETRY": "1",
        "AWS_LAMBDA_FUNCTION_NAME": "predict",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "POWERTOOLS_SERVICE_NAME": "predict",
        "POWERTOOLS_METRICS_NAMESPACE": "ClassifierOnLambda",
        "MODEL_VERSION": chosen.name,  # pinned, as `make deploy` does
        "MODEL_FILE": str(chosen.file),
        "MODEL_URL": f"s3://models/mnist/versions/{chosen.name}/model.onnx",
        "KERAS_FILE": str(ROOT / "build/model/model.keras"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }

    def emulated(
        handler: str, *, task: str = "peers", path: Path = PACKAGES, **env: str
    ) -> dict[str, Any]:
        folder = BUILD / task
        return {
            "command": [
                emulator,
                "--runtime-interface-emulator-address",
                "127.0.0.1:{0}",
                "--runtime-api-address",
                "127.0.0.1:{1}",
                python,
                "-m",
                "awslambdaric",
                handler,
            ],
            "env": settings | {"PYTHONPATH": f"{folder}:{path}:{PACKAGES}"} | env,
            "cwd": str(folder),
            "path": INVOKE,
            "emulated": True,
            "expects": "prediction" if task == "task" else "statusCode",
        }

    return {
        "rounds": rounds,
        "s3": {
            "command": [python, str(ROOT / "bench/s3_server.py"), str(STORE)],
            "env": settings | {"PYTHONPATH": str(MOTO)},
        },
        "request": json.dumps(event({"image": image})),
        "candidates": {
            "floor": emulated("floor.handler"),
            "floor, one BLAS thread": emulated("floor.handler", OPENBLAS_NUM_THREADS="1"),
            "function": emulated("app.handler", task="task", **OWN, MODEL_STORE_URL="s3://models"),
            "function, model on disk": emulated(
                "app.handler", task="task", **OWN, MODEL_STORE_URL=STORE.as_uri()
            ),
            "empty": emulated("empty.handler"),
            "usual": emulated("usual.handler"),
            "flask": {
                "command": [
                    python,
                    "-m",
                    "gunicorn",
                    "--bind",
                    "127.0.0.1:{0}",
                    "--workers",
                    "1",
                    "flask_app:app",
                ],
                "env": settings | {"PYTHONPATH": f"{BUILD / 'peers'}:{PACKAGES}"},
                "cwd": str(BUILD / "peers"),
                "path": "/predict",
                "request": json.dumps({"image": image}),
                "emulated": False,
                "expects": "prediction",
            },
            "tensorflow": emulated("tensorflow_handler.handler", path=TENSORFLOW) | {"rounds": 5},
        },
    }
