"""Why a model that was evaluated should not go live as it is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_build.search.measurements import wilson_interval

_SURER = 0.3  # than right, on average: a model on pictures like its training's is not
_SHOWN = 3  # swapped labels in a sentence

type Rows = NDArray[np.float32]
type Truth = NDArray[np.bool_]


def doubts(probabilities: Rows, truth: Truth, labels: Sequence[object]) -> list[str]:
    """Sentences on a model by its best labels. probabilities, truth: [N, classes]."""
    predicted = probabilities.argmax(axis=1)
    is_right = truth[np.arange(len(truth)), predicted]
    rights, count = int(is_right.sum()), len(truth)
    low, high = wilson_interval(rights, count)
    shares = np.bincount(predicted, minlength=len(labels)) / count
    by_chance = float(shares @ truth.mean(axis=0))
    found = []
    if low <= by_chance:
        found.append(
            f"{rights} of {count} answers are right, which may be chance ({by_chance:.1%}): check "
            "the order of the labels and the preprocessing, or evaluate on more pictures"
        )
    certainty = float(probabilities.max(axis=1).mean())
    if high < certainty - _SURER:
        found.append(
            f"the model is {certainty:.0%} sure on average, and right in {rights / count:.0%}: "
            "check the labels, the preprocessing and the pictures"
        )
    if swapped := _swapped(np.where(is_right, -1, predicted), truth, labels):
        found.append(f"{swapped}: check the order of the labels")
    return found


def _swapped(wrong: NDArray[np.int64], truth: Truth, labels: Sequence[object]) -> str:
    """Which labels seem to have changed places with each other, or nothing.

    Those whose pictures are mostly answered with another label, of which the same is true: of one
    of two that look alike, it is not. wrong: each picture's answer, -1 for a right one.
    """
    instead: dict[int, tuple[int, int, int]] = {}
    for label in np.flatnonzero(truth.any(axis=0)):
        answers = wrong[truth[:, label]]
        rights, *others = np.bincount(answers + 1, minlength=len(labels) + 1).tolist()
        most = max(others)
        if wilson_interval(most, len(answers))[0] > wilson_interval(rights, len(answers))[1]:
            instead[int(label)] = (others.index(most), most, len(answers))
    told = [
        f"it returns {labels[other]} for {part} of {count} pictures of {labels[label]}"
        for label, (other, part, count) in instead.items()
        if other in instead
    ]
    return ", ".join(told[:_SHOWN]) + (f" and {len(told) - _SHOWN} more" if told[_SHOWN:] else "")
