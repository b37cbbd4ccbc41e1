"""Chooses a candidate under limits, and says why each of the others lost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_build.search.measurements import Measured


@dataclass(frozen=True)
class Limits:
    """What a model must keep; None means no limit. min_accuracy is of the validation samples."""

    max_bytes: int | None = None
    max_latency_ratio: float | None = None
    min_accuracy: float | None = None


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, or None, and why; for every other one a sentence why it lost."""

    chosen: Measured | None
    why: str
    reasons: dict[str, str]
    limits: Limits


@dataclass(frozen=True)
class _Miss:
    """A limit that a candidate breaks; excess: by how much of what was allowed."""

    sentence: str
    remedy: str
    excess: float


def choose(
    candidates: Sequence[Measured],
    *,
    max_bytes: int | None = None,
    max_latency_ratio: float | None = None,
    min_accuracy: float | None = None,
) -> Choice:
    """Choose the best candidate that keeps the limits, on validation figures alone.

    Best is the largest accuracy on augmented views of the validation samples. Whoever is within
    one standard error of it, paired by sample, ties with it, and the smallest of these wins, then
    the fastest. The held-out samples are not looked at: they stay an honest estimate.
    Source: the one-standard-error rule of Breiman et al., "Classification and Regression Trees",
    1984, section 3.4.3; Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
    2009, section 7.10.
    """
    limits = Limits(max_bytes, max_latency_ratio, min_accuracy)
    misses = {one.recipe: _misses(one, limits) for one in candidates}
    reasons = {recipe: found[0].sentence for recipe, found in misses.items() if found}
    fitting = [one for one in candidates if not misses[one.recipe]]
    if not fitting:
        return Choice(None, _nearest(candidates, misses), reasons, limits)
    best = min(fitting, key=lambda one: (-one.validation_views_accuracy, _size(one)))
    # One sample's difference is exactly one standard error: rounding must not decide.
    tied = [one for one in fitting if _gap(best, one) <= _noise(best, one) * (1 + 1e-9)]
    chosen = min(tied, key=_size)
    for one in fitting:
        if one is not chosen:
            reasons[one.recipe] = (
                _larger(one, chosen) if one in tied else _weaker(one, best, chosen)
            )
    why = _why(chosen, best, len(fitting), len(tied), len(candidates), limited=limits != Limits())
    return Choice(chosen, why, reasons, limits)


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Which points no other one beats: none costs at most as much and gains at least as much.

    Of two points alike in both, both are on the front.
    """
    points = list(zip(costs, gains, strict=True))
    return [
        not any(other != (cost, gain) and other[0] <= cost and other[1] >= gain for other in points)
        for cost, gain in points
    ]


def _size(one: Measured) -> tuple[int, float, str]:
    return one.bytes, one.latency_ratio, one.recipe


def _misses(one: Measured, limits: Limits) -> list[_Miss]:
    found = []
    if limits.max_bytes is not None and one.bytes > limits.max_bytes:
        found.append(
            _Miss(
                f"{one.bytes:,} bytes are over the {limits.max_bytes:,} of --max-bytes",
                f"--max-bytes {one.bytes}",
                one.bytes / max(limits.max_bytes, 1) - 1,
            )
        )
    if limits.max_latency_ratio is not None and one.latency_ratio > limits.max_latency_ratio:
        ratio = _up(one.latency_ratio, 2)
        found.append(
            _Miss(
                f"a latency of {ratio:.2f} times the reference's is over the "
                f"{limits.max_latency_ratio:g} of --max-latency-ratio",
                f"--max-latency-ratio {ratio:.2f}",
                one.latency_ratio / max(limits.max_latency_ratio, 1e-9) - 1,
            )
        )
    if limits.min_accuracy is not None and one.validation_accuracy < limits.min_accuracy:
        accuracy = -_up(-one.validation_accuracy, 4)
        found.append(
            _Miss(
                f"a validation accuracy of {accuracy:.2%} is under the "
                f"{limits.min_accuracy:.2%} of --min-accuracy",
                f"--min-accuracy {accuracy:.4f}",
                # In errors: from 99 % to 98 % is twice as many, as 200 KB is to 100 KB.
                (1 - one.validation_accuracy) / max(1 - limits.min_accuracy, 1e-9) - 1,
            )
        )
    return found


def _nearest(candidates: Sequence[Measured], misses: dict[str, list[_Miss]]) -> str:
    if not candidates:
        return "No candidate was built: fix the recipes that failed, and search again."
    nearest = min(
        candidates,
        key=lambda one: (
            len(misses[one.recipe]),
            max(miss.excess for miss in misses[one.recipe]),
            _size(one),
        ),
    )
    found = misses[nearest.recipe]
    return (
        f"No candidate is within the limits. The nearest is {nearest.recipe}: "
        f"{' and '.join(miss.sentence for miss in found)}. "
        f"To choose it, use {' '.join(miss.remedy for miss in found)}."
    )


def _gap(best: Measured, one: Measured) -> float:
    return best.validation_views_accuracy - one.validation_views_accuracy


def _noise(best: Measured, one: Measured) -> float:
    """One standard error of the accuracies' difference, paired by sample.

    The views of a sample are no independent draws, so the sample is the unit.
    """
    differences = np.subtract(best.validation_views_right, one.validation_views_right)
    return float(differences.std(ddof=1) / math.sqrt(len(differences)))


def _weaker(one: Measured, best: Measured, chosen: Measured) -> str:
    tie = "" if best is chosen else f" (as good as {chosen.recipe} within the noise, but larger)"
    return (
        f"reads {one.validation_views_accuracy:.2%} of the validation views, "
        f"{_points(_gap(best, one))} fewer than {best.recipe}{tie}; "
        f"the noise of this comparison is {_points(_noise(best, one))}"
    )


def _larger(one: Measured, chosen: Measured) -> str:
    gap = one.validation_views_accuracy - chosen.validation_views_accuracy
    if gap == 0:
        compared = f"reads as many of the validation views as {chosen.recipe}"
    else:
        side = "more" if gap > 0 else "fewer"
        compared = (
            f"reads {_points(abs(gap))} {side} of the validation views than {chosen.recipe}, "
            "which is within the noise"
        )
    if one.bytes != chosen.bytes:
        return f"{compared}, and is larger: {one.bytes:,} bytes against {chosen.bytes:,}"
    if one.latency_ratio != chosen.latency_ratio:
        return (
            f"{compared}, and is slower at the same size: "
            f"{one.latency_ratio:.2f} times the reference's latency against "
            f"{chosen.latency_ratio:.2f}"
        )
    return f"{compared}, and is as large and as fast; {chosen.recipe} comes first by name"


def _why(
    chosen: Measured, best: Measured, fitting: int, tied: int, total: int, *, limited: bool
) -> str:
    reads = f"reads {chosen.validation_views_accuracy:.2%} of the validation views"
    if fitting == 1:
        one = f"one of {total} candidates that keeps the limits" if limited else "candidate"
        return f"{chosen.recipe} is the only {one}; it {reads}."
    among = f"the {fitting} of {total} candidates that keep the limits"
    reads = f"Of {among if limited else f'{total} candidates'}, {chosen.recipe} {reads}"
    if tied == 1:
        return f"{reads}, more than any other by more than the noise."
    if chosen is best:
        others = "1 other" if tied == 2 else f"{tied - 1} others"
        return f"{reads}, the most; it ties with {others}, none of them smaller."
    if chosen.bytes < best.bytes:
        better = f"smallest, {chosen.bytes:,} bytes against {best.bytes:,}"
    else:
        better = (
            f"fastest of the smallest, {chosen.latency_ratio:.2f} times the reference's latency "
            f"against {best.latency_ratio:.2f}"
        )
    return (
        f"{reads}, {_points(_gap(best, chosen))} fewer than {best.recipe}, which is within "
        f"the noise of {_points(_noise(best, chosen))}; of the {tied} that tie it is the "
        f"{better}."
    )


def _points(share: float) -> str:
    return f"{share * 100:.2f} points"


def _up(number: float, digits: int) -> float:
    """Round up, so that the limit that is shown takes the candidate in."""
    scale = 10.0**digits
    return math.ceil(round(number * scale, 6)) / scale
