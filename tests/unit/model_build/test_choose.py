"""Which candidate is chosen, why, and why the others lost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_build.search.measurements import Measured
from model_build.search.selection import choose, pareto_front
from tests.support.searches import measured


def candidate(
    recipe: str,
    *,
    right: list[float] | None = None,
    size: int = 50_000,
    latency: float = 1.0,
    validation: float = 0.98,
    held_out: float = 0.98,
) -> Measured:
    """Candidate with these figures; right: each sample's share of views read correctly."""
    right = [1.0, 1.0, 1.0, 0.8] * 25 if right is None else right
    return replace(
        measured(recipe),
        bytes=size,
        latency_ratio=latency,
        validation_accuracy=validation,
        validation_views_right=right,
        validation_views_accuracy=float(np.mean(right)),
        accuracy=held_out,
    )


BETTER = [1.0, 1.0, 1.0, 0.9] * 25
WORSE = [1.0, 0.6, 1.0, 0.8] * 25
NOISE = [1.0, 1.0, 1.0, 0.8] * 24 + [1.0, 1.0, 1.0, 0.9]  # one view of a thousand


def test_the_most_accurate_of_those_that_keep_the_limits_wins() -> None:
    """Each of the others gets the first limit it exceeds as its reason, with the figures."""
    choice = choose(
        [
            candidate("good", right=BETTER),
            candidate("plain"),
            candidate("large", right=[1.0] * 100, size=50_001),
            candidate("slow", right=[1.0] * 100, latency=1.504),
            candidate("wrong", right=[1.0] * 100, validation=0.9699),
            candidate("both", right=[1.0] * 100, size=60_000, latency=9),
        ],
        max_bytes=50_000,
        max_latency_ratio=1.5,
        min_accuracy=0.97,
    )
    assert choice.chosen is not None
    assert choice.chosen.recipe == "good"
    assert choice.why == (
        "Of the 2 of 6 candidates within the limits, good reads 97.50% of the validation views, "
        "ahead of all others by more than the noise."
    )
    assert choice.reasons == {
        "plain": "reads 95.00% of the validation views, 2.50 points fewer than good; the noise of "
        "this comparison is 0.44 points",
        "large": "50,001 bytes exceed the 50,000 of --max-bytes",
        "slow": "a latency of 1.51 times the reference's exceeds the 1.5 of --max-latency-ratio",
        "wrong": "a validation accuracy of 96.99% is below the 97.00% of --min-accuracy",
        "both": "60,000 bytes exceed the 50,000 of --max-bytes",
    }


def test_without_limits_accuracy_alone_decides() -> None:
    """However large and slow the most accurate candidate is."""
    choice = choose([candidate("a"), candidate("b", right=BETTER, size=10**9, latency=99)])
    assert choice.chosen is not None
    assert choice.chosen.recipe == "b"


def test_the_reason_says_that_there_is_only_one_candidate() -> None:
    """With and without limits."""
    small, large = candidate("small", size=10), candidate("large", size=20)
    assert choose([small, large], max_bytes=10).why == (
        "small is the only one of 2 candidates within the limits; "
        "it reads 95.00% of the validation views."
    )
    assert choose([small]).why.startswith("small is the only candidate; it reads 95.00%")


def test_a_figure_equal_to_the_limit_is_within_it() -> None:
    """All three limits are inclusive."""
    only = candidate("a", size=100, latency=1.25, validation=0.97)
    assert choose([only], max_bytes=100, max_latency_ratio=1.25, min_accuracy=0.97).chosen is only


def test_of_those_within_the_noise_the_smallest_wins() -> None:
    """The reason of a larger candidate says so, even if it is the most accurate."""
    choice = choose(
        [
            candidate("best", right=NOISE, size=60_000),
            candidate("small"),
            candidate("big", size=70_000),
        ]
    )
    assert choice.chosen is not None
    assert choice.chosen.recipe == "small"
    assert choice.why == (
        "Of 3 candidates, small reads 95.00% of the validation views, 0.10 points fewer than best, "
        "which is within the noise of 0.10 points; of the 3 that tie it is the smallest, "
        "50,000 bytes against 60,000."
    )
    assert choice.reasons == {
        "best": "reads 0.10 points more of the validation views than small, which is within the "
        "noise, and is larger: 60,000 bytes against 50,000",
        "big": "reads as many of the validation views as small, and is larger: 70,000 bytes "
        "against 50,000",
    }


def test_the_noise_is_that_of_the_paired_difference() -> None:
    """Two candidates that fail on the same samples are told apart by a small, steady gain."""
    hard = np.linspace(0, 1, 100).tolist()
    steady = [min(share + 0.02, 1) for share in hard]
    choice = choose([candidate("a", right=hard, size=1), candidate("b", right=steady)])
    assert choice.chosen is not None
    assert choice.chosen.recipe == "b"


def test_the_reason_of_a_weaker_candidate_names_the_best_and_the_chosen() -> None:
    """When a smaller one than the best was chosen."""
    choice = choose(
        [
            candidate("best", right=NOISE, size=60_000),
            candidate("small"),
            candidate("c", right=WORSE),
        ]
    )
    assert choice.reasons["c"].startswith(
        "reads 85.00% of the validation views, 10.10 points fewer than best (as good as small "
        "within the noise, but larger)"
    )


def test_of_equal_size_the_faster_wins_then_the_first_by_name() -> None:
    """The order of the candidates does not matter."""
    candidates = [candidate("c", latency=0.5), candidate("a"), candidate("b", latency=0.5)]
    for order in (candidates, candidates[::-1]):
        choice = choose(order)
        assert choice.chosen is not None
        assert choice.chosen.recipe == "b"
        assert choice.why.endswith(", the most; it ties with 2 others, none smaller.")
        assert choice.reasons == {
            "a": "reads as many of the validation views as b, and is slower at the same size: "
            "1.00 times the reference's latency against 0.50",
            "c": "reads as many of the validation views as b, and is as large and as fast; "
            "b comes first by name",
        }


def test_the_held_out_samples_change_nothing() -> None:
    """They stay an honest estimate."""
    names = ["a", "b", "c"]
    shares = [BETTER, WORSE, NOISE]
    made = [candidate(name, right=right) for name, right in zip(names, shares, strict=True)]
    turned = [replace(one, accuracy=0.1 * index) for index, one in enumerate(made)]
    assert choose(made).reasons == choose(turned).reasons


def test_if_no_candidate_is_within_the_limits_the_reason_says_what_to_loosen() -> None:
    """Under the loosened limits the nearest is chosen."""
    candidates = [
        candidate("large", size=1_000_000),
        candidate("near", size=55_001),
        candidate("slow", size=50_000, latency=3.333),
    ]
    choice = choose(candidates, max_bytes=50_000, max_latency_ratio=2)
    assert choice.chosen is None
    assert choice.why == (
        "No candidate is within the limits. The nearest is near: 55,001 bytes exceed the 50,000 "
        "of --max-bytes. To choose it, use --max-bytes 55001."
    )
    assert set(choice.reasons) == {"large", "near", "slow"}
    loosened = choose(candidates, max_bytes=55_001, max_latency_ratio=2).chosen
    assert loosened is candidates[1]


def test_the_nearest_names_every_limit_it_breaks() -> None:
    """Rounded so that the loosened limits include it."""
    only = candidate("a", size=200, latency=1.2345, validation=0.912345)
    choice = choose([only], max_bytes=100, max_latency_ratio=1, min_accuracy=0.95)
    assert choice.why.endswith(
        "use --max-bytes 200 --max-latency-ratio 1.24 --min-accuracy 0.9123."
    )
    loosened = choose([only], max_bytes=200, max_latency_ratio=1.24, min_accuracy=0.9123)
    assert loosened.chosen is only


def test_twice_the_errors_is_as_far_off_as_twice_the_size() -> None:
    """A shortfall of 1 point is little at 80 % and much at 99 %."""
    wrong = candidate("wrong", validation=0.975)  # 2.5 times the errors
    large = candidate("large", size=100_000, validation=0.995)  # twice the size
    choice = choose([wrong, large], max_bytes=50_000, min_accuracy=0.99)
    assert "The nearest is large" in choice.why


def test_without_a_candidate_the_reason_says_what_to_do() -> None:
    """All recipes failed."""
    assert choose([]).why.startswith("No candidate was built: fix the recipes")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    """Against the definition: a point beats another if it is no worse in both, better in one."""

    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and (a[0] < b[0] or a[1] > b[1])

    costs, gains = zip(*points, strict=True)
    expected = [not any(beats(other, point) for other in points) for point in points]
    assert pareto_front(costs, gains) == expected
    assert any(expected)


@pytest.mark.parametrize("count", [1, 2])
def test_equal_points_are_all_on_the_front(count: int) -> None:
    """Neither beats the other."""
    assert pareto_front([1.0] * count, [0.9] * count) == [True] * count


def test_the_reason_says_if_the_chosen_is_the_fastest_of_the_smallest() -> None:
    """Where size does not decide between it and the most accurate."""
    choice = choose([candidate("best", right=NOISE), candidate("fast", latency=0.5)])
    assert choice.why.endswith(
        "it is the fastest of the smallest, 0.50 times the reference's latency against 1.00."
    )
