"""When to answer that a picture shows none of the classes: fitted on validation samples."""

import numpy as np
from numpy.typing import NDArray

from classifier.model.manifest import LEAST

REJECTED = 0.04  # share of the digits found on drawn pages, which are harder to read than most
_REJECTED_ALONE = 0.003  # where there is nothing but the confidence to go by


def fit(
    probabilities: NDArray[np.float32], scores: NDArray[np.float32], is_known: NDArray[np.bool_]
) -> dict[str, float]:
    """The manifest's `rejection` from softmax [N, K], and whether each picture was of a class.

    scores: of the finder, [N]. The probability is a logistic regression (Platt, "Probabilistic
    Outputs for Support Vector Machines", 1999) on the finder's score and on how far the softmax is
    from uniform: the mean of -log p, which a network trained to be undecided about other things
    (Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", 2019) keeps low for them, and
    which is high, unlike the largest p, where only two digits are in question. Both kinds are as
    likely beforehand. Raises ValueError unless there are some of both kinds.
    """
    if is_known.all() or not is_known.any():
        raise ValueError("rejection is fitted on pictures that show a class, and on others")
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    features = np.stack(
        [-logarithms.mean(axis=1), scores - 1.0, np.ones(len(probabilities))], axis=1
    )
    weights = np.where(is_known, 0.5 / is_known.sum(), 0.5 / (~is_known).sum())
    parameters = np.zeros(3)
    for _ in range(50):  # Newton's method
        probability = 1 / (1 + np.exp(-features @ parameters))
        gradient = features.T @ (weights * (probability - is_known))
        curvature = weights * probability * (1 - probability)
        hessian = features.T @ (features * curvature[:, np.newaxis]) + 1e-6 * np.eye(3)
        parameters -= np.linalg.solve(hessian, gradient)
    spread, finder, offset = (float(value) for value in parameters)
    probability = 1 / (1 + np.exp(-features @ parameters))
    threshold = float(np.quantile(probability[is_known], REJECTED))
    return {"threshold": threshold, "offset": offset, "spread": spread, "finder": finder}


def from_histogram(counts: list[int]) -> dict[str, float] | None:
    """The manifest's `rejection` where no other pictures are known: by the largest softmax alone.

    Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
    Examples", 2017.

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
