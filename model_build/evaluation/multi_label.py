"""Evaluate models whose labels are each true or false of a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_build.evaluation.evaluate import (
    Evaluation,
    Timing,
    expected_calibration_error,
    measure,
    shares,
)

_LEAST = 5  # pictures with a label, and without it, that its threshold is fitted on
_USUAL = 0.5

type Rows = NDArray[np.float32]
type Truth = NDArray[np.bool_]


def fit_thresholds(probabilities: Rows, truth: Truth) -> list[float]:
    """Threshold of each label with the highest F1 score; 0.5 for a label with few pictures.

    probabilities, truth: [N, classes]. A threshold is half-way between two probabilities that
    occurred. Source: Lipton, Elkan and Naryanaswamy, "Optimal Thresholding of Classifiers to
    Maximize F1 Measure", 2014.
    """
    return [
        _threshold(scores, is_true) if _LEAST <= is_true.sum() <= len(truth) - _LEAST else _USUAL
        for scores, is_true in zip(probabilities.T, truth.T, strict=True)
    ]


def score(
    probabilities: Rows, truth: Truth, thresholds: Sequence[float], path: Path, timing: Timing
) -> Evaluation:
    """Evaluation of a model file from its probabilities [N, classes].

    accuracy: share of the pictures whose labels are all right. per_class_accuracy: share of each
    label's pictures on which it was found.
    """
    found = probabilities >= np.array(thresholds, np.float32)
    return Evaluation(
        accuracy=float((found == truth).all(axis=1).mean()),
        per_class_accuracy=shares((found & truth).sum(axis=0), truth.sum(axis=0)),
        expected_calibration_error=round(
            expected_calibration_error(probabilities.ravel(), truth.ravel()), 6
        ),
        **vars(measure(probabilities, path, timing)),
    )


def _threshold(scores: NDArray[np.float32], is_true: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    hits = np.cumsum(is_true[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + is_true.sum())
    f1[:-1][ordered[:-1] == ordered[1:]] = -1  # no threshold lies between two equal scores
    last = int(f1.argmax())
    below = ordered[last + 1] if last + 1 < len(ordered) else 0.0
    return round(float(ordered[last] + below) / 2, 6)
