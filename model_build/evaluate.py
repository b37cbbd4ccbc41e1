"""Accuracy, calibration, size and speed of ONNX classifiers, side by side in one run."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model_build.convert import INPUT_NAME, OUTPUT_NAME

_BINS = 15  # of confidence, for the calibration error
_ROUNDS = 20  # of timing, each candidate in turn, so that a busy moment hits all alike
_RUNS = 25  # forward passes a round


@dataclass(frozen=True)
class Evaluation:
    """What one model file does on a labelled set. Times in milliseconds, one thread, batch 1."""

    accuracy: float
    per_class_accuracy: list[float]
    expected_calibration_error: float
    predicted_counts: list[int]
    confidence_histogram: list[int]
    bytes: int
    latency_p50_ms: float
    latency_p99_ms: float
    load_ms: float


def evaluate(
    candidates: Mapping[str, Path], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, Evaluation]:
    """Evaluate model files on images uint8 [N, H, W] with labels [N]."""
    loads: dict[str, list[float]] = {name: [] for name in candidates}
    runs: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(_ROUNDS):
        for name, path in candidates.items():
            load_ms, run_ms = _time(path, images)
            loads[name].append(load_ms)
            runs[name].extend(run_ms)
    return {
        name: _evaluation(path, images, labels, loads[name], runs[name])
        for name, path in candidates.items()
    }


def session(path: Path) -> ort.InferenceSession:
    """Session as the function opens it: one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def expected_calibration_error(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_], bins: int = _BINS
) -> float:
    """Mean gap between confidence [N] and accuracy, over equal bins, weighted by their size.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, confidence, bins) - np.bincount(bin_of, correct, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _time(path: Path, images: NDArray[np.uint8]) -> tuple[float, list[float]]:
    started = time.perf_counter()
    opened = session(path)
    load_ms = (time.perf_counter() - started) * 1000
    opened.run([OUTPUT_NAME], {INPUT_NAME: images[:1]})
    run_ms = []
    for index in range(_RUNS):
        image = images[index % len(images)][np.newaxis]
        started = time.perf_counter()
        opened.run([OUTPUT_NAME], {INPUT_NAME: image})
        run_ms.append((time.perf_counter() - started) * 1000)
    return load_ms, run_ms


def _evaluation(
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    load_ms: list[float],
    run_ms: list[float],
) -> Evaluation:
    (probabilities,) = session(path).run([OUTPUT_NAME], {INPUT_NAME: images})
    classes = probabilities.shape[1]
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = predicted == labels
    per_class = np.bincount(labels, correct, classes) / np.maximum(
        np.bincount(labels, minlength=classes), 1
    )
    return Evaluation(
        accuracy=float(correct.mean()),
        per_class_accuracy=[round(float(share), 6) for share in per_class],
        expected_calibration_error=round(expected_calibration_error(confidence, correct), 6),
        predicted_counts=np.bincount(predicted, minlength=classes).tolist(),
        confidence_histogram=np.histogram(confidence, bins=20, range=(0, 1))[0].tolist(),
        bytes=path.stat().st_size,
        latency_p50_ms=round(statistics.median(run_ms), 4),
        latency_p99_ms=round(float(np.quantile(run_ms, 0.99)), 4),
        load_ms=round(statistics.median(load_ms), 3),
    )
