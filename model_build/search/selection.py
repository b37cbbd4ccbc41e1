"""Choose a candidate within limits, and say why each of the others lost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_build.search.measurements import Measured


@dataclass(frozen=True)
class Limits:
    """Limits that a model must meet; None means no limit. min_accuracy: on validation samples."""

    max_bytes: int | None = None
    max_latency_ratio: float | None = None
    min_accuracy: float | None = None


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, or None, and why; for each of the others, why it lost."""

    chosen: Measured | None
    why: str
    reasons: dict[str, str]
    limits: Limits


@dataclass(frozen=True)
class _Miss:
    """A limit that a candidate exceeds; excess: by what share of the limit."""

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
    """Choose the best candidate within the limits, by validation figures alone.

    Best is the highest accuracy on augmented views of the validation samples. Candidates within one
    standard error of it, paired by sample, tie with it; of these the smallest wins, then the
    fastest. The held-out samples are not used, so their accuracy stays an honest estimate.
    Source: the one-standard-error rule of Breiman et al., "Classification and Regression Trees",
    1984, section 3.4.3; Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
    2009, section 7.10.
    """
    limits = Limits(max_bytes, max_latency_ratio, min_accuracy)
    misses = {candidate.recipe: _misses(candidate, limits) for candidate in candidates}
    reasons = {recipe: missed[0].sentence for recipe, missed in misses.items() if missed}
    fitting = [candidate for candidate in candidates if not misses[candidate.recipe]]
    if not fitting:
        return Choice(None, _nearest(candidates, misses), reasons, limits)
    best = min(
        fitting, key=lambda candidate: (-candidate.validation_views_accuracy, _size(candidate))
    )
    # A difference in one sample is exactly one standard error: rounding must not decide.
    tied = [
        candidate
        for candidate in fitting
        if _gap(best, candidate) <= _noise(best, candidate) * (1 + 1e-9)
    ]
    chosen = min(tied, key=_size)
    for candidate in fitting:
        if candidate is not chosen:
            reasons[candidate.recipe] = (
                _larger(candidate, chosen)
                if candidate in tied
                else _weaker(candidate, best, chosen)
            )
    why = _why(chosen, best, len(fitting), len(tied), len(candidates), limited=limits != Limits())
    return Choice(chosen, why, reasons, limits)


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Which points no other point beats, with at most its cost and at least its gain.

    Equal points are both on the front.
    """
    points = list(zip(costs, gains, strict=True))
    return [
        not any(other != (cost, gain) and other[0] <= cost and other[1] >= gain for other in points)
        for cost, gain in points
    ]


def _size(candidate: Measured) -> tuple[int, float, str]:
    return candidate.bytes, candidate.latency_ratio, candidate.recipe


def _misses(candidate: Measured, limits: Limits) -> list[_Miss]:
    misses = []
    if limits.max_bytes is not None and candidate.bytes > limits.max_bytes:
        misses.append(
            _Miss(
                f"{candidate.bytes:,} bytes exceed the {limits.max_bytes:,} of --max-bytes",
                f"--max-bytes {candidate.bytes}",
                candidate.bytes / max(limits.max_bytes, 1) - 1,
            )
        )
    if limits.max_latency_ratio is not None and candidate.latency_ratio > limits.max_latency_ratio:
        ratio = _up(candidate.latency_ratio, 2)
        misses.append(
            _Miss(
                f"a latency of {ratio:.2f} times the reference's exceeds the "
                f"{limits.max_latency_ratio:g} of --max-latency-ratio",
                f"--max-latency-ratio {ratio:.2f}",
                candidate.latency_ratio / max(limits.max_latency_ratio, 1e-9) - 1,
            )
        )
    if limits.min_accuracy is not None and candidate.validation_accuracy < limits.min_accuracy:
        accuracy = -_up(-candidate.validation_accuracy, 4)
        misses.append(
            _Miss(
                f"a validation accuracy of {accuracy:.2%} is below the "
                f"{limits.min_accuracy:.2%} of --min-accuracy",
                f"--min-accuracy {accuracy:.4f}",
                # In errors: 98 % has twice those of 99 %, as 200 KB is twice 100 KB.
                (1 - candidate.validation_accuracy) / max(1 - limits.min_accuracy, 1e-9) - 1,
            )
        )
    return misses


def _nearest(candidates: Sequence[Measured], misses: dict[str, list[_Miss]]) -> str:
    if not candidates:
        return "No candidate was built: fix the recipes that failed and search again."
    nearest = min(
        candidates,
        key=lambda candidate: (
            len(misses[candidate.recipe]),
            max(miss.excess for miss in misses[candidate.recipe]),
            _size(candidate),
        ),
    )
    missed = misses[nearest.recipe]
    return (
        f"No candidate is within the limits. The nearest is {nearest.recipe}: "
        f"{' and '.join(miss.sentence for miss in missed)}. "
        f"To choose it, use {' '.join(miss.remedy for miss in missed)}."
    )


def _gap(best: Measured, candidate: Measured) -> float:
    return best.validation_views_accuracy - candidate.validation_views_accuracy


def _noise(best: Measured, candidate: Measured) -> float:
    """One standard error of the accuracies' difference, paired by sample.

    The views of one sample are not independent draws, so the sample is the unit.
    """
    differences = np.subtract(best.validation_views_right, candidate.validation_views_right)
    return float(differences.std(ddof=1) / math.sqrt(len(differences)))


def _weaker(candidate: Measured, best: Measured, chosen: Measured) -> str:
    tie = "" if best is chosen else f" (as good as {chosen.recipe} within the noise, but larger)"
    return (
        f"reads {candidate.validation_views_accuracy:.2%} of the validation views, "
        f"{_points(_gap(best, candidate))} fewer than {best.recipe}{tie}; "
        f"the noise of this comparison is {_points(_noise(best, candidate))}"
    )


def _larger(candidate: Measured, chosen: Measured) -> str:
    gap = candidate.validation_views_accuracy - chosen.validation_views_accuracy
    if gap == 0:
        compared = f"reads as many of the validation views as {chosen.recipe}"
    else:
        side = "more" if gap > 0 else "fewer"
        compared = (
            f"reads {_points(abs(gap))} {side} of the validation views than {chosen.recipe}, "
            "which is within the noise"
        )
    if candidate.bytes != chosen.bytes:
        return f"{compared}, and is larger: {candidate.bytes:,} bytes against {chosen.bytes:,}"
    if candidate.latency_ratio != chosen.latency_ratio:
        return (
            f"{compared}, and is slower at the same size: "
            f"{candidate.latency_ratio:.2f} times the reference's latency against "
            f"{chosen.latency_ratio:.2f}"
        )
    return f"{compared}, and is as large and as fast; {chosen.recipe} comes first by name"


def _why(
    chosen: Measured, best: Measured, fitting: int, tied: int, total: int, *, limited: bool
) -> str:
    reads = f"reads {chosen.validation_views_accuracy:.2%} of the validation views"
    if fitting == 1:
        only = f"one of {total} candidates within the limits" if limited else "candidate"
        return f"{chosen.recipe} is the only {only}; it {reads}."
    among = f"the {fitting} of {total} candidates within the limits"
    reads = f"Of {among if limited else f'{total} candidates'}, {chosen.recipe} {reads}"
    if tied == 1:
        return f"{reads}, ahead of all others by more than the noise."
    if chosen is best:
        others = "1 other" if tied == 2 else f"{tied - 1} others"
        return f"{reads}, the most; it ties with {others}, none smaller."
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
    """Round up, so that the limit shown includes the candidate."""
    scale = 10.0**digits
    return math.ceil(round(number * scale, 6)) / scale
