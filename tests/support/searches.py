"""Search results with made-up but consistent figures."""

from dataclasses import replace
from typing import Any

import numpy as np

from model_build.search.measurements import Measured, Search, wilson_interval

HELD_OUT, VALIDATION, VIEWS, PICTURES = 1000, 400, 10, 1197

# recipe, techniques, KiB, held-out accuracy, accuracy on views, latency to the reference
CANDIDATES: list[tuple[str, str, float, float, float, float]] = [
    ("cnn", "train convert", 235.5, 0.989, 0.968, 1.0),
    ("cnn-composed", "distil remove-filters prune qat", 46.1, 0.986, 0.964, 0.52),
    ("cnn-distilled", "distil convert quantise-static", 72.4, 0.990, 0.971, 0.71),
    ("cnn-dynamic", "train convert quantise-dynamic", 69.8, 0.988, 0.967, 1.72),
    ("cnn-pruned", "train prune convert", 235.9, 0.987, 0.963, 1.01),
    ("cnn-qat", "train qat", 73.0, 0.988, 0.967, 0.70),
    ("cnn-slim", "train remove-filters convert quantise-static", 31.2, 0.981, 0.951, 0.44),
    ("cnn-static", "train convert quantise-static", 72.6, 0.988, 0.967, 0.72),
    ("cnn-static-entropy", "train convert quantise-static", 72.6, 0.987, 0.966, 0.72),
    ("cnn-static-percentile", "train convert quantise-static", 72.6, 0.988, 0.966, 0.71),
    ("cnn-static-tensor", "train convert quantise-static", 68.2, 0.985, 0.965, 0.71),
    ("cnn-weights-int4", "train convert quantise-weights", 44.0, 0.979, 0.948, 1.31),
    ("cnn-weights-int8", "train convert quantise-weights", 70.5, 0.989, 0.968, 1.12),
    ("mlp", "train convert", 408.3, 0.929, 0.742, 0.11),
    ("mlp-augmented", "train convert", 408.3, 0.951, 0.871, 0.11),
    ("mlp-composed", "distil remove-filters prune factorise qat", 24.7, 0.937, 0.838, 0.10),
    ("mlp-distilled", "distil convert", 408.3, 0.957, 0.889, 0.11),
    ("mlp-dynamic", "train convert quantise-dynamic", 107.0, 0.928, 0.741, 0.17),
    ("mlp-factorised", "distil factorise fine-tune convert", 171.9, 0.952, 0.880, 0.12),
    ("mlp-static", "train convert quantise-static", 108.4, 0.929, 0.742, 0.095),
    ("mlp-weights-int4", "train convert quantise-weights", 63.0, 0.921, 0.729, 0.19),
]


def measured(
    recipe: str = "cnn",
    techniques: str = "train convert",
    kib: float = 100,
    accuracy: float = 0.98,
    views: float = 0.96,
    latency: float = 1,
    **other: Any,
) -> Measured:
    """A candidate whose errors, confusion, bins and intervals agree with its accuracy."""
    generator = np.random.default_rng([len(recipe), *recipe.encode()])
    labels = np.repeat(np.arange(10), HELD_OUT // 10)
    wrong = generator.choice(HELD_OUT, HELD_OUT - round(HELD_OUT * accuracy), replace=False)
    predicted = labels.copy()
    predicted[wrong] = (labels[wrong] + generator.integers(1, 10, len(wrong))) % 10
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, predicted), 1)
    confidence = np.where(
        labels == predicted, generator.beta(30, 1, HELD_OUT), generator.uniform(0.3, 0.99, HELD_OUT)
    )
    right = round(VALIDATION * VIEWS * views)
    hits = np.full(VALIDATION, VIEWS)
    # Hard samples are hard for every candidate: what is misread begins at the same ones.
    for step in range(VALIDATION * VIEWS - right):
        hits[step % 150] -= 1
    names = techniques.split()
    made = Measured(
        recipe=recipe,
        description=f"What {recipe} shows to a reader of the report",
        stages=[
            {
                "technique": name,
                "parameters": {"epochs": 60, "learning_rate": 1e-3, "per_channel": True},
                "seconds": 12.25,
                "cached": index == 0,
            }
            for index, name in enumerate(names)
        ],
        techniques=names,
        file=f"build/search/{recipe}/served.onnx",
        sha256="0" * 64,
        bytes=round(kib * 1024),
        gzip_bytes=round(kib * 900),
        parameters=round(kib * 256),
        operators={"Conv": 3, "Gemm": 2, "Relu": 4},
        validation_accuracy=round(400 * (accuracy - 0.002)) / 400,
        validation_views_accuracy=float(hits.mean() / VIEWS),
        validation_views_right=(hits / VIEWS).tolist(),
        accuracy=float((labels == predicted).mean()),
        accuracy_interval=wilson_interval(int((labels == predicted).sum()), HELD_OUT),
        pictures_accuracy=accuracy - 0.03,
        pictures_interval=wilson_interval(round((accuracy - 0.03) * PICTURES), PICTURES),
        expected_calibration_error=0.0123,
        temperature=1.21,
        per_class_accuracy=(confusion.diagonal() / 100).tolist(),
        confusion=confusion.tolist(),
        reliability=_reliability(confidence, labels == predicted),
        latency_p50_ms=0.1 * latency,
        latency_p99_ms=0.14 * latency,
        latency_ratio=latency,
        latency_ratio_interval=(latency * 0.97, latency * 1.04),
        load_ms=2.5,
        load_ratio=1.3,
        misread=[
            {
                "index": int(index),
                "label": int(labels[index]),
                "predicted": int(predicted[index]),
                "confidence": float(confidence[index]),
                "image": _strokes(int(labels[index]), generator),
            }
            for index in np.flatnonzero(labels != predicted)
        ],
    )
    return replace(made, **other)


def search(*candidates: Measured, **other: Any) -> Search:
    """A search of the candidates; by default of ones like the recipes'."""
    made = Search(
        created="2026-01-31T12:00:00Z",
        profile="full",
        seed=0,
        machine={
            "cpu": "A processor",
            "cores": 2,
            "flags": ["avx2", "avx512_vnni"],
            "python": "3.13.5",
            "onnxruntime": "1.32.0",
        },
        dataset={
            "name": "mnist-5k",
            "sha256": "1" * 64,
            "train": 3600,
            "validation": VALIDATION,
            "views": VIEWS,
            "held_out": HELD_OUT,
            "pictures": PICTURES,
        },
        timing={"rounds": 40, "runs": 25},
        reference="cnn",
        candidates=list(candidates) or [measured(*row) for row in CANDIDATES],
        failed=[{"recipe": "cnn-odd", "error": "keep of remove-filters is 0: it leaves no filter"}],
    )
    return replace(made, **other)


def _reliability(confidence: np.ndarray, correct: np.ndarray) -> list[dict[str, Any]]:
    bin_of = np.minimum((confidence * 15).astype(int), 14)
    return [
        {
            "confidence": float(confidence[bin_of == at].mean()) if (bin_of == at).any() else 0.0,
            "accuracy": float(correct[bin_of == at].mean()) if (bin_of == at).any() else 0.0,
            "count": int((bin_of == at).sum()),
        }
        for at in range(15)
    ]


def _strokes(label: int, generator: np.random.Generator) -> list[list[int]]:
    image = np.zeros((28, 28), np.uint8)
    image[4 + label : 7 + label, 5:23] = 255
    image[5:24, 8 + label : 11 + label] = generator.integers(100, 255)
    rows: list[list[int]] = image.tolist()
    return rows
