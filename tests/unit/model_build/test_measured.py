"""The records of a search: their JSON, and Wilson's interval."""

import json
from dataclasses import replace
from math import comb, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_build.search.measurements import Search, to_json, wilson_interval
from tests.support.searches import measured, search


def test_a_search_comes_back_whole_from_json() -> None:
    """Tuples and the candidates' records included."""
    made = search()
    assert Search.from_dict(json.loads(to_json(made.to_dict()))) == made


def test_a_figure_that_is_not_a_number_is_not_written() -> None:
    """NaN is neither JSON nor a measurement."""
    made = search(replace(measured(), load_ratio=nan))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(made.to_dict())


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(
    correct: int, total: int, low: float, high: float
) -> None:
    """Four decimals, as printed."""
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97, 0.99])
def test_the_interval_covers_the_true_share_about_as_often_as_it_says(share: float) -> None:
    """Summed over all possible counts of 300 samples, by the binomial distribution."""
    total = 300
    covered = sum(
        comb(total, correct) * share**correct * (1 - share) ** (total - correct)
        for correct in range(total + 1)
        if wilson_interval(correct, total)[0] <= share <= wilson_interval(correct, total)[1]
    )
    assert 0.93 < covered < 0.98


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(counts: tuple[int, int]) -> None:
    """Also at 0 and 100 %, where it touches the end."""
    low, high = wilson_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1
    assert low < high


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (5, 4), (-1, 4)])
def test_counts_that_are_no_share_are_refused(correct: int, total: int) -> None:
    """The error quotes both."""
    with pytest.raises(ValueError, match=f"got {correct} of {total}"):
        wilson_interval(correct, total)
