"""Manifest of a model version: what it is, what it takes, where it came from."""

import hashlib
import json
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import jsonschema

from model_build.errors import ManifestError
from model_build.evaluation.evaluate import Evaluation
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME

SCHEMA = json.loads((Path(__file__).parent / "manifest.schema.json").read_text())
_LIBRARIES = ("keras", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime", "numpy")
_BASELINE = ("predicted_counts", "confidence_histogram", "samples", "pictures")


def build(
    *,
    name: str,
    content: bytes,
    image_shape: tuple[int, ...],
    preprocess: dict[str, Any],
    labels: list[int] | list[str],
    quantization: dict[str, Any] | None,
    calibration: dict[str, Any] | None = None,
    evaluation: Evaluation,
    lineage: dict[str, Any],
    dtype: str = "uint8",
    created: datetime | None = None,
) -> dict[str, Any]:
    """Manifest of a model file's `content`, checked against the schema.

    image_shape, dtype: of one sample in the model's tensor. quantization: None for fp32.
    calibration: the temperature inside, and the number of samples that it was fitted on. lineage:
    what `lineage()` gives, and the parent version.
    """
    created = created or datetime.now(UTC)
    digest = hashlib.sha256(content).hexdigest()
    metrics = {key: value for key, value in asdict(evaluation).items() if key not in _BASELINE}
    metrics.pop("bytes")
    manifest = {
        "schema": 1,
        "name": name,
        "version": f"{created:%Y%m%dT%H%M%SZ}-{digest[:8]}",
        "created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "file": {"sha256": digest, "bytes": len(content)},
        "input": {
            "name": INPUT_NAME,
            "dtype": dtype,
            "shape": ["N", *image_shape],
            "preprocess": preprocess,
        },
        "output": {"name": OUTPUT_NAME, "labels": labels},
        "quantization": quantization,
        "metrics": metrics | ({"calibration": calibration} if calibration else {}),
        "baseline": {key: asdict(evaluation)[key] for key in _BASELINE},
        "lineage": lineage,
    }
    check(manifest)
    return manifest


def check(manifest: Any) -> None:
    """Raise ManifestError, naming the place, if a manifest does not follow the schema."""
    error = jsonschema.Draft202012Validator(SCHEMA)
    worst = jsonschema.exceptions.best_match(error.iter_errors(manifest))
    if worst is not None:
        raise ManifestError(f"manifest: {worst.json_path}: {worst.message}")


def encode(document: dict[str, Any]) -> bytes:
    """Bytes of a JSON document of the store: sorted, indented, with a last newline."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def lineage(training: dict[str, Any], libraries: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Where a model came from; training: what `train` recorded (dataset, seed, …).

    libraries: packages that made it, by default those of a training.
    """
    return {
        "git_commit": _git_commit(),
        "libraries": {library: installed(library) for library in libraries or _LIBRARIES},
        **training,
    }


def _git_commit() -> str | None:
    def git(*arguments: str) -> str:
        return subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
