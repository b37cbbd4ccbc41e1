"""How far a compressed classifier agrees with the original on pictures without labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build.search.measurements import CONFIDENCE, Interval, wilson_interval

type Floats = NDArray[np.floating[Any]]

_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Agreement:
    """Figures over `pictures`, with their intervals of 95 %.

    top1: share of pictures with the same most probable class. difference: mean, over pictures, of
    the largest change of a probability; largest_difference: the largest of all. expected_loss: the
    accuracy that the compressed model loses if the original's probabilities are right: on average,
    how much less probable the original finds the class that the compressed model chooses.
    """

    pictures: int
    top1: float
    top1_interval: Interval
    difference: float
    largest_difference: float
    expected_loss: float
    expected_loss_interval: Interval

    def __str__(self) -> str:
        low, high = self.top1_interval
        return (
            f"the same answer for {self.top1:.1%} of {self.pictures} pictures (95 % interval "
            f"{low:.1%} to {high:.1%}), largest difference {self.largest_difference:.3f}"
        )


def compare(original: Floats, compressed: Floats) -> Agreement:
    """Compare probabilities [N, classes] of the same pictures."""
    count = len(original)
    first, second = original.argmax(axis=1), compressed.argmax(axis=1)
    rows = np.arange(count)
    same = int((first == second).sum())
    changes = np.abs(compressed - original).max(axis=1)
    losses = original[rows, first] - original[rows, second]
    return Agreement(
        pictures=count,
        top1=same / count,
        top1_interval=wilson_interval(same, count),
        difference=float(changes.mean()),
        largest_difference=float(changes.max()),
        expected_loss=float(losses.mean()),
        expected_loss_interval=_bootstrap(losses),
    )


def _bootstrap(values: Floats) -> Interval:
    """Percentile interval of the mean of values [N]."""
    generator = np.random.default_rng(_SEED)
    drawn = generator.integers(0, len(values), (_RESAMPLES, len(values)))
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [outside, 100 - outside])
    return float(low), float(high)
