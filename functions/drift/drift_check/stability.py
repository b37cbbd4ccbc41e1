"""Has a distribution changed? Population stability index, a test with a p-value, and a verdict.

Pure Python: the function that runs it daily needs neither numpy nor scipy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["too few", "none", "watch", "drift"]
type Counts = Sequence[int]

VERDICTS: tuple[Verdict, ...] = ("too few", "none", "watch", "drift")  # from mild to grave
MIN_IMAGES = 200  # below, chance alone moves the index as much as a pen does
WATCH, DRIFT = 0.1, 0.25  # of the index
SIGNIFICANCE = 0.01  # of all statistics of one comparison together
_GROUP_SHARE = 0.1  # of a group of bins, at least: ten groups or fewer
_LONE_SHARE = 0.01  # of a group that has no more to take: the end, or a whole group, comes next


@dataclass(frozen=True)
class Comparison:
    """One statistic's distribution, expected and observed.

    psi: population stability index. p_value: of the chi-square test, corrected for the number of
    statistics compared. images: that were observed.
    """

    psi: float
    p_value: float
    images: int
    verdict: Verdict


def compare(
    expected: Mapping[str, Counts], observed: Mapping[str, Counts]
) -> dict[str, Comparison]:
    """Compare the histograms of each statistic that both sides have.

    A statistic is called only where the change is large (index) and no chance (p-value): with
    few images chance alone moves the index, with many the smallest change is significant.
    """
    pairs = {
        name: _grouped(expected[name], observed[name])
        for name in expected
        if name in observed and any(expected[name])
    }
    p_values = holm({name: homogeneity(*pair) for name, pair in pairs.items()})
    found = {}
    for name, pair in pairs.items():
        index, images = psi(*pair), sum(pair[1])
        found[name] = Comparison(
            index, p_values[name], images, _verdict(index, p_values[name], images)
        )
    return found


def overall(comparisons: Mapping[str, Comparison]) -> Verdict:
    """Gravest verdict of all."""
    found = [one.verdict for one in comparisons.values()]
    return max(found, key=VERDICTS.index, default="too few")


def psi(expected: Counts, observed: Counts) -> float:
    """Population stability index of two histograms over the same bins; half a count is added each.

    Below 0.1 is no change, 0.1 to 0.25 some, above much. Source: Siddiqi, "Credit Risk
    Scorecards", 2006, chapter 9; it is Jeffreys' divergence. Where nothing changed it is about
    (bins - 1) (1/expected + 1/observed) by chance (Yurdakul and Naranjo, "Statistical properties
    of the population stability index", 2020).
    """
    shares = []
    for counts in (expected, observed):
        total = sum(counts) + len(counts) / 2
        shares.append([(count + 0.5) / total for count in counts])
    return math.fsum((o - e) * math.log(o / e) for e, o in zip(*shares, strict=True))


def homogeneity(expected: Counts, observed: Counts) -> float:
    """p-value of Pearson's chi-square test that two histograms are draws from one distribution.

    The baseline is a sample too, so it is no goodness of fit: its own chance counts.
    Source: Pearson, "On the probability that two independent distributions of frequency are
    really samples from the same population", 1911.
    """
    rows = (sum(expected), sum(observed))
    if not all(rows):
        return 1.0
    statistic, bins = 0.0, 0
    for pair in zip(expected, observed, strict=True):
        column = sum(pair)
        if column:
            bins += 1
            for row, count in zip(rows, pair, strict=True):
                mean = row * column / sum(rows)
                statistic += (count - mean) ** 2 / mean
    return chi_square_tail(statistic, bins - 1) if bins > 1 else 1.0


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability that chi-square of `freedom` degrees is at least `statistic`.

    The finite sums for whole degrees: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    if freedom % 2:
        total, power = math.erfc(math.sqrt(half)), 0.5
    else:
        total, power = math.exp(-half), 1.0
    while power < freedom / 2:
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
        power += 1
    return min(total, 1.0)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number, so that one false alarm among all stays as rare as one.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected, least = {}, 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        least = min(1.0, max(least, p_value * (len(p_values) - rank)))
        corrected[name] = least
    return corrected


def _verdict(index: float, p_value: float, images: int) -> Verdict:
    if images < MIN_IMAGES:
        return "too few"
    if p_value >= SIGNIFICANCE or index < WATCH:
        return "none"
    return "drift" if index >= DRIFT else "watch"


def _grouped(expected: Counts, observed: Counts) -> tuple[list[int], list[int]]:
    """Neighbouring bins put together to groups of a tenth of what both sides hold.

    The groups follow from both sides, not from the baseline alone: where the baseline has one
    full bin and empty ones, a change into the empty ones is to be seen.
    """
    totals = max(sum(expected), 1), max(sum(observed), 1)
    pairs = list(zip(expected, observed, strict=True))
    shares = [sum(count / total for count, total in zip(p, totals, strict=True)) / 2 for p in pairs]
    groups: list[list[int]] = []
    held = 0.0
    for index, (pair, share) in enumerate(zip(pairs, shares, strict=True)):
        is_full = held >= _GROUP_SHARE or (held >= _LONE_SHARE and share >= _GROUP_SHARE)
        if not groups or (is_full and sum(shares[index:]) >= _LONE_SHARE):
            groups.append([0, 0])
            held = 0.0
        groups[-1][0] += pair[0]
        groups[-1][1] += pair[1]
        held += share
    return [group[0] for group in groups], [group[1] for group in groups]
