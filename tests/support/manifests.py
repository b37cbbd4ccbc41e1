"""Complete manifests for the tests of the store, as a build would write them."""

from datetime import UTC, datetime
from typing import Any

from model_build.data.datasets import load_mnist_5k
from model_build.evaluation.evaluate import Evaluation
from model_build.store import manifest

MNIST_SHA256 = load_mnist_5k().sha256
PARENT = "20260130T080000Z-0123abcd"


def evaluation(accuracy: float = 0.99, **other: Any) -> Evaluation:
    """A possible result of `evaluate`."""
    figures: dict[str, Any] = {
        "accuracy": accuracy,
        "per_class_accuracy": [accuracy] * 10,
        "expected_calibration_error": 0.01,
        "predicted_counts": [100] * 10,
        "confidence_histogram": [0] * 19 + [1000],
        "bytes": 1,
        "latency_p50_ms": 0.1,
        "latency_p99_ms": 0.2,
        "load_ms": 1.5,
    }
    return Evaluation(**figures | other)


def training() -> dict[str, Any]:
    """A possible record of `train`."""
    return {
        "dataset": {"name": "mnist-5k", "source": "a test", "sha256": MNIST_SHA256},
        "architecture": "mlp",
        "profile": "quick",
        "seed": 7,
    }


def lineage(parent: str | None = None) -> dict[str, Any]:
    """A possible lineage."""
    return training() | {"git_commit": None, "libraries": {"onnx": "1.23.2"}, "parent": parent}


def describe(
    content: bytes,
    *,
    name: str = "mnist",
    minute: int = 0,
    parent: str | None = None,
    finder: bytes | None = None,
    rejection: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Manifest of a model file, made at 12:`minute` of one day."""
    return manifest.build(
        name=name,
        content=content,
        image_shape=(28, 28),
        preprocess={"pipeline": "mnist", "box": 20},
        labels=list(range(10)),
        quantization={"method": "static"} if parent else None,
        rejection=rejection,
        finder=finder,
        evaluation=evaluation(),
        lineage=lineage(parent),
        created=datetime(2026, 1, 31, 12, minute, tzinfo=UTC),
    )
