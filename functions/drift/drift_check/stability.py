"""Has a distribution changed? Population stability index, a test with a p-value, and a verdict.

Pure Python, so that the daily function needs neither numpy nor scipy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["too few", "none", "watch", "drift"]
type Counts = Sequence[int]

VERDICTS: tuple[Verdict, ...] = ("too few", "none", "watch", "drift")  # in order of severity
MIN_IMAGES = 200  # with fewer, chance moves the index as much as a different pen does
WATCH, DRIFT = 0.1, 0.25  # thresholds of the index
SIGNIFICANCE = 0.01  # across all statistics of one comparison
_GROUP_SHARE = 0.1  # minimum share of a group of bins: ten groups at most
_LONE_SHARE = 0.01  # minimum where the group can't grow: a whole group follows, or the end


@dataclass(frozen=True)
class Comparison:
    """One statistic's distribution, expected and observed.

    psi: population stability index. p_value: of the chi-square test, corrected for the number of
    statistics compared. images: number of images observed.
    """

    psi: float
    p_value: float
    images: int
    verdict: Verdict


def compare(
    expected: Mapping[str, Counts], observed: Mapping[str, Counts]
) -> dict[str, Comparison]:
    """Compare the histograms of each statistic that both sides have.

    A statistic is flagged only if its change is both large (index) and significant (p-value): with
    few images chance alone moves the index, with many the smallest change is significant.
    """
    pairs = {
        name: _grouped(expected[name], observed[name])
        for name in expected
        if name in observed and any(expected[name])
    }
    p_values = holm({name: homogeneity(*pair) for name, pair in pairs.items()})
    comparisons = {}
    for name, pair in pairs.items():
        index, images = psi(*pair), sum(pair[1])
        comparisons[name] = Comparison(
            index, p_values[name], images, _verdict(index, p_values[name], images)
        )
    return comparisons


def overall(comparisons: Mapping[str, Comparison]) -> Verdict:
    """Return the most severe verdict."""
    verdicts = [comparison.verdict for comparison in comparisons.values()]
    return max(verdicts, key=VERDICTS.index, default="too few")


def psi(expected: Counts, observed: Counts) -> float:
    """Population stability index of two histograms over the same bins, half a count added to each.

    Below 0.1 means no change, 0.1 to 0.25 some, above 0.25 a large one. Source: Siddiqi, "Credit
    Risk Scorecards", 2006, chapter 9; it is Jeffreys' divergence. With no change, its expected
    value is about (bins - 1) (1/expected + 1/observed) (Yurdakul and Naranjo, "Statistical
    properties of the population stability index", 2020).
    """
    shares = []
    for counts in (expected, observed):
        total = sum(counts) + len(counts) / 2
        shares.append([(count + 0.5) / total for count in counts])
    return math.fsum((o - e) * math.log(o / e) for e, o in zip(*shares, strict=True))


def homogeneity(expected: Counts, observed: Counts) -> float:
    """p-value of Pearson's chi-square test that two histograms come from one distribution.

    A test of homogeneity, not of goodness of fit, because the baseline is a sample too.
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
    """Probability that chi-square with `freedom` degrees of freedom is at least `statistic`.

    Source: the finite sums of Abramowitz and Stegun, 26.4.4 and 26.4.5.
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
    """Correct p-values for their number, to bound the chance of any false alarm among them.

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
    """Merge neighbouring bins into groups that hold at least a tenth of both sides' counts.

    Grouping by the baseline alone would hide a shift into bins that are empty there.
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
