"""Write a model version's manifest; classifier.model.manifest reads it."""

import hashlib
import json
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import jsonschema

from classifier.model import manifest as served
from classifier.model.manifest import Document, InvalidManifest, Manifest
from model_build.errors import ManifestError
from model_build.evaluation.evaluate import Measurement
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME

SCHEMA = json.loads(Path(served.__file__).with_name("manifest.schema.json").read_text())
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
    rejection: dict[str, float] | None = None,
    finder: bytes | None = None,
    evaluation: Measurement,
    lineage: dict[str, Any],
    dtype: str = "uint8",
    batch: int | str = "N",
    output: dict[str, Any] | None = None,
    doubts: list[str] | None = None,
    created: datetime | None = None,
) -> Document:
    """Manifest of a model file's `content`, for `ModelStore.publish`, which checks it.

    image_shape, dtype: of one sample in the model's tensor. batch: 1 if the file takes one
    picture at a time. quantization: None for fp32.
    calibration: the temperature, and the number of samples that it was fitted on. rejection: when
    to answer that a picture shows no class. finder: content of the network that finds digits.
    output: what its `output` holds besides name and labels, such as `top_k`.
    doubts: why the version must not be promoted without --force.
    lineage: the result of `lineage()`, and the parent version.
    """
    created = created or datetime.now(UTC)
    digest = hashlib.sha256(content).hexdigest()
    metrics = {key: value for key, value in asdict(evaluation).items() if key not in _BASELINE}
    metrics.pop("bytes")
    return {
        "schema": 1,
        "name": name,
        "version": f"{created:%Y%m%dT%H%M%SZ}-{digest[:8]}",
        "created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "file": _file(content),
        "input": {
            "name": INPUT_NAME,
            "dtype": dtype,
            "shape": [batch, *image_shape],
            "preprocess": preprocess,
        },
        "output": {"name": OUTPUT_NAME, "labels": labels, **(output or {})},
        "quantization": quantization,
        "metrics": metrics | ({"calibration": calibration} if calibration else {}),
        "baseline": {key: asdict(evaluation)[key] for key in _BASELINE},
        "lineage": lineage,
        **({"finder": _file(finder)} if finder is not None else {}),
        **({"rejection": rejection} if rejection else {}),
        **({"doubts": doubts} if doubts else {}),
    }


def _file(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def parse(document: Any) -> Manifest:
    """Validate a manifest against the schema and read it; raises ManifestError."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    worst = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if worst is not None:
        raise ManifestError(f"manifest: {worst.json_path}: {worst.message}")
    try:
        return Manifest.from_document(document)
    except InvalidManifest as error:  # NaN or infinity, which JSON lacks
        raise ManifestError(str(error)) from error


def encode(document: Document) -> bytes:
    """Bytes of a JSON document in the store: sorted, indented, with a final newline."""
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def lineage(training: dict[str, Any], libraries: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Where a model came from; training: what its build recorded (dataset, seed, …).

    libraries: packages that made it, by default those used in training.
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
