"""Cost and scaling: the arithmetic and the rules, on traffic whose outcome can be told by hand."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pricing import Prices, billed_seconds, per_million
from bench.scaling import Platform, Service, poisson, simulate
from bench.sizes import PAGE, Size, page, recommended
from tests.support import ROOT

SERVICE = Service(warm_ms=[10.0], cold_ms=[500.0], memory_mb=1024)


def test_a_duration_is_billed_in_whole_milliseconds() -> None:
    assert [billed_seconds(ms) for ms in (0.2, 1.0, 1.01)] == [0.001, 0.001, 0.002]


def test_a_million_requests_cost_what_the_price_list_says() -> None:
    """A gigabyte for 10 ms each: 10,000 GB-seconds and a million requests."""
    assert per_million(1024, 10, 500, 0) == pytest.approx(0.20 + 10_000 * 16.6667e-6)
    assert per_million(512, 10, 500, 0) == pytest.approx(0.20 + 5_000 * 16.6667e-6)
    assert per_million(1024, 10, 510, 0.5) == pytest.approx(0.20 + 260_000 * 16.6667e-6)
    assert per_million(1024, 10, 10, 0, Prices(request=0, gb_second=1)) == pytest.approx(10_000)


def test_one_client_after_another_needs_one_environment() -> None:
    outcome = simulate([0, 1, 2, 3], SERVICE)
    assert (outcome.cold, outcome.environments, outcome.throttled) == (1, 1, 0)
    assert outcome.p50_ms == 10
    assert outcome.billed_seconds == pytest.approx(0.53)
    assert outcome.cold_share == 0.25


def test_as_many_at_once_need_as_many_environments() -> None:
    outcome = simulate([0.0] * 50 + [1.0] * 50, SERVICE)
    assert (outcome.cold, outcome.environments) == (50, 50)


def test_starts_are_limited_within_ten_seconds() -> None:
    """The rest is throttled; after ten seconds as many may start again."""
    platform = Platform(starts_per_10_s=20)
    outcome = simulate([0.0] * 50 + [10.0] * 60, SERVICE, platform=platform)
    assert outcome.throttled == 30 + 20
    assert outcome.environments == 40


def test_the_concurrency_limit_holds() -> None:
    outcome = simulate([0.0] * 50, SERVICE, platform=Platform(concurrency=7))
    assert (outcome.environments, outcome.throttled) == (7, 43)


def test_an_environment_is_gone_when_it_was_idle_for_long() -> None:
    outcome = simulate([0, 100], SERVICE, platform=Platform(idle_seconds=60))
    assert (outcome.cold, outcome.environments) == (2, 1)


def test_provisioned_environments_answer_warm_from_the_first_request() -> None:
    """They cost for being there, and less for answering; what goes beyond them starts cold."""
    outcome = simulate([0.0] * 5 + [2.0], SERVICE, provisioned=3)
    assert (outcome.cold, outcome.environments) == (2, 5)
    assert outcome.provisioned_billed_seconds == pytest.approx(0.04)
    assert outcome.billed_seconds == pytest.approx(1.0)
    free = Prices(request=0, gb_second=0, provisioned_duration_gb_second=0)
    dollars = outcome.dollars_per_million(1024, 3, free)
    assert dollars == pytest.approx(1e6 / 6 * 3 * 2 * 4.1667e-6)


@given(
    rate=st.floats(1, 200),
    starts=st.integers(1, 50),
    provisioned=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_every_request_is_answered_or_throttled(
    rate: float, starts: int, provisioned: int, seed: int
) -> None:
    arrivals = poisson(rate, 3, seed)
    outcome = simulate(
        arrivals,
        SERVICE,
        platform=Platform(starts_per_10_s=starts),
        provisioned=provisioned,
        seed=seed,
    )
    assert outcome.requests == len(arrivals)
    assert outcome.cold <= starts
    assert outcome.environments <= starts + provisioned
    whole = outcome.billed_seconds + outcome.provisioned_billed_seconds
    warm = outcome.requests - outcome.throttled - outcome.cold
    assert whole == pytest.approx(outcome.cold * 0.5 + warm * 0.01)


def test_poisson_arrivals_have_the_rate_and_the_spread() -> None:
    arrivals = poisson(1000, 20, 1)
    assert len(arrivals) == pytest.approx(20_000, rel=0.03)
    assert arrivals == sorted(arrivals)
    assert poisson(1000, 20, 1) == arrivals


def size(memory_mb: int, cold: float, warm: float) -> Size:
    return Size(memory_mb, memory_mb / 1769, [cold] * 3, [warm] * 9)


def test_the_fastest_size_that_costs_hardly_more_is_recommended() -> None:
    """3 GB for 40 ms cost over 5 % more, gateway included; for 4 ms they do not."""
    small, middle = size(128, 4000, 80), size(1024, 700, 8)
    assert recommended([small, middle, size(3008, 400, 40)]) is middle
    assert recommended([small, middle, size(3008, 400, 4)]).memory_mb == 3008
    assert recommended([Size(128, 0.1, [], [], "killed"), middle]) is middle


def test_more_memory_that_hardly_helps_is_not_recommended() -> None:
    """A tenth of a cold start is what two runs differ by."""
    middle = size(1769, 400, 4)
    assert recommended([middle, size(3008, 380, 4)]) is middle
    assert recommended([middle, size(3008, 360, 4)]).memory_mb == 3008


def test_the_page_has_each_size_and_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.sizes.RATES", (1, 1200))
    sizes = [Size(128, 0.07, [], [], "killed"), size(1024, 700, 8), size(3008, 400, 6)]
    text = page(sizes, {"cpu": "a CPU", "date": "1 May 2026"})
    assert "| 128 | 0.07 | does not answer |" in text
    assert "| **1,024** | 0.58 | 700 | 8.0 | 8.0 |" in text
    assert text.count("| 1,200 |") == 2
    assert "nan" not in text


def test_the_templates_have_the_size_that_the_page_arrives_at() -> None:
    text = PAGE.read_text()
    found = re.search(r"^\*\*([\d,]+) MB\*\* is what the templates have", text, re.MULTILINE)
    assert found
    lines = (ROOT / "template.yaml").read_text().partition("  MemorySize:")[2]
    default = re.search(r"Default: (\d+)", lines)
    assert default
    assert int(found[1].replace(",", "")) == int(default[1])
