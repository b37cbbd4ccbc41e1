"""Accuracy, calibration, size and speed of ONNX classifiers, side by side in one run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME

_BINS = 15  # of confidence, for the calibration error
_ROUNDS = 20  # of timing, each candidate in turn, so that load on the machine affects all alike
_RUNS = 25  # forward passes per round
_BATCH = 500  # images per run


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures of a model file that need no labels. Times in milliseconds, one thread, batch 1.

    predicted_counts, confidence_histogram: of the pictures, all zero if there were none. samples,
    pictures: histograms for drift, as `baseline` returns them.
    """

    predicted_counts: list[int]
    confidence_histogram: list[int]
    bytes: int
    latency_p50_ms: float
    latency_p99_ms: float
    load_ms: float
    samples: dict[str, list[int]] = field(default_factory=dict)
    pictures: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation(Measurement):
    """Figures of a model file on a labelled set.

    per_class_accuracy: None for a class without pictures.
    """

    accuracy: float
    per_class_accuracy: list[float | None]
    expected_calibration_error: float


def evaluate(
    candidates: Mapping[str, Path], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, Evaluation]:
    """Evaluate model files on images uint8 [N, H, W] with labels [N]."""
    timings = time_side_by_side(candidates, images)
    return {
        name: score(probabilities(path, images), labels, path, timings[name])
        for name, path in candidates.items()
    }


def probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Output of a model file for images uint8 [N, H, W]: [N, classes]."""
    model_session = session(path)
    parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return np.concatenate(
        [model_session.run([OUTPUT_NAME], {INPUT_NAME: part})[0] for part in parts]
    )


def right(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a model file's prediction for each of images uint8 [N, H, W] is its label: [N]."""
    return np.asarray(probabilities(path, images).argmax(axis=1) == labels)


@dataclass(frozen=True)
class Timing:
    """Loads [rounds] and forward passes [rounds, runs] of one model file, in milliseconds."""

    load_ms: NDArray[np.float64]
    run_ms: NDArray[np.float64]

    def ratio(self, reference: "Timing") -> tuple[float, float, float]:
        """Ratio of forward passes to the reference's in the same round: median and 95 % interval.

        The interval is that of the median, by order statistics (Conover, "Practical Nonparametric
        Statistics", 1999, section 3.2), which assumes nothing about the distribution of times.
        """
        ratios = np.sort(np.median(self.run_ms, axis=1) / np.median(reference.run_ms, axis=1))
        count = len(ratios)
        half_width = 1.96 * np.sqrt(count) / 2
        low, high = round(count / 2 - half_width), round(count / 2 + half_width)
        bounds = ratios[max(low, 0)], ratios[min(high, count - 1)]
        return float(np.median(ratios)), float(bounds[0]), float(bounds[1])


def time_side_by_side(
    candidates: Mapping[str, Path], images: NDArray[np.uint8], rounds: int = _ROUNDS
) -> dict[str, Timing]:
    """Time loads and forward passes, batch 1: each file in turn, in random order per round."""
    loads: dict[str, list[float]] = {name: [] for name in candidates}
    runs: dict[str, list[list[float]]] = {name: [] for name in candidates}
    generator = np.random.default_rng(0)
    names = list(candidates)
    for _ in range(rounds):
        for name in generator.permutation(names):
            load_ms, run_ms = _time(candidates[name], images)
            loads[name].append(load_ms)
            runs[name].append(run_ms)
    return {name: Timing(np.array(loads[name]), np.array(runs[name])) for name in names}


def session(path: Path) -> ort.InferenceSession:
    """Open a session of one thread, as the function does for small models."""
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
    model_session = session(path)
    load_ms = (time.perf_counter() - started) * 1000
    model_session.run([OUTPUT_NAME], {INPUT_NAME: images[:1]})
    run_ms = []
    for index in range(_RUNS):
        image = images[index % len(images)][np.newaxis]
        started = time.perf_counter()
        model_session.run([OUTPUT_NAME], {INPUT_NAME: image})
        run_ms.append((time.perf_counter() - started) * 1000)
    return load_ms, run_ms


def measure(probabilities: NDArray[np.float32], path: Path, timing: Timing) -> Measurement:
    """Measurement of a model file from its probabilities [N, classes]; N may be 0."""
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1, initial=0)
    return Measurement(
        predicted_counts=np.bincount(predicted, minlength=probabilities.shape[1]).tolist(),
        confidence_histogram=np.histogram(confidence, bins=20, range=(0, 1))[0].tolist(),
        bytes=path.stat().st_size,
        latency_p50_ms=round(float(np.median(timing.run_ms)), 4),
        latency_p99_ms=round(float(np.quantile(timing.run_ms, 0.99)), 4),
        load_ms=round(float(np.median(timing.load_ms)), 3),
    )


def score(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], path: Path, timing: Timing
) -> Evaluation:
    """Evaluation of a model file from its probabilities [N, classes] for labels [N]."""
    classes = probabilities.shape[1]
    correct = probabilities.argmax(axis=1) == labels
    rights, totals = (np.bincount(labels, weights, classes) for weights in (correct, None))
    return Evaluation(
        accuracy=float(correct.mean()),
        per_class_accuracy=shares(rights, totals),
        expected_calibration_error=round(
            expected_calibration_error(probabilities.max(axis=1), correct), 6
        ),
        **vars(measure(probabilities, path, timing)),
    )


def shares(parts: NDArray[np.generic], totals: NDArray[np.generic]) -> list[float | None]:
    """Share of each part in its total; None where that is 0."""
    return [
        round(float(part / total), 6) if total else None
        for part, total in zip(parts, totals, strict=True)
    ]


def worst(per_class: list[float | None], labels: Sequence[object]) -> str:
    """Lowest accuracy of a class that has pictures, and the class, for a table."""
    share, label = min((share, index) for index, share in enumerate(per_class) if share is not None)
    return f"{share:.1%} ({labels[label]})"
