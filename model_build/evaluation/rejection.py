"""When to answer that a picture shows none of the classes: fitted on validation samples."""

import numpy as np
from numpy.typing import NDArray

REJECTED = 0.01  # share of the pictures that show one of the classes
_REJECTED_ALONE = 0.003  # where there is nothing but the confidence to go by


def fit(
    confidence: NDArray[np.float32], scores: NDArray[np.float32], is_known: NDArray[np.bool_]
) -> dict[str, float]:
    """The manifest's `rejection` from the largest softmax [N], and whether it was of a class.

    scores: of the finder, [N]. The probability is a logistic regression on both (Platt,
    "Probabilistic Outputs for Support Vector Machines", 1999), both kinds as likely beforehand;
    the threshold rejects one known picture in a hundred. Raises ValueError unless there are some
    of both kinds.

    Source of the score: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples", 2017.
    """
    if is_known.all() or not is_known.any():
        raise ValueError("rejection is fitted on pictures that show a class, and on others")
    certain = np.clip(confidence.astype(np.float64), 1e-6, 1 - 1e-6)
    features = np.stack(
        [np.log(certain / (1 - certain)), scores - 1.0, np.ones(len(certain))], axis=1
    )
    weights = np.where(is_known, 0.5 / is_known.sum(), 0.5 / (~is_known).sum())
    parameters = np.zeros(3)
    for _ in range(50):  # Newton's method
        probability = 1 / (1 + np.exp(-features @ parameters))
        gradient = features.T @ (weights * (probability - is_known))
        curvature = weights * probability * (1 - probability)
        hessian = features.T @ (features * curvature[:, np.newaxis]) + 1e-6 * np.eye(3)
        parameters -= np.linalg.solve(hessian, gradient)
    slope, finder, offset = (float(value) for value in parameters)
    probability = 1 / (1 + np.exp(-features @ parameters))
    threshold = float(np.quantile(probability[is_known], REJECTED))
    return {"threshold": threshold, "slope": slope, "offset": offset, "finder": finder}


def from_histogram(counts: list[int]) -> dict[str, float] | None:
    """The manifest's `rejection` where no other pictures are known: by confidence alone.

    counts: of validation pictures by their largest softmax, in equal bins of 0 to 1. The threshold
    is the bins' highest edge that rejects at most three in a thousand; None if no edge does,
    or if there are fewer than a hundred pictures to tell.
    """
    total = sum(counts)
    if total < _LEAST_PICTURES:
        return None
    below = np.cumsum(counts)
    edges = np.flatnonzero(below <= _REJECTED_ALONE * total)
    if not edges.size:
        return None
    return {"threshold": float(edges[-1] + 1) / len(counts), "slope": 1.0, "offset": 0.0}


_LEAST_PICTURES = 100
