"""Memory sizes: what each costs, which one is recommended, and the page about them."""

import re

import pytest

from bench.pricing import Prices, billed_seconds, per_million
from bench.sizes import PAGE, Size, page, recommended
from tests.support import ROOT


def test_a_duration_is_billed_in_whole_milliseconds() -> None:
    assert [billed_seconds(ms) for ms in (0.2, 1.0, 1.01)] == [0.001, 0.001, 0.002]


def test_a_million_requests_cost_what_the_price_list_says() -> None:
    """A gigabyte for 10 ms each: 10,000 GB-seconds and a million requests."""
    assert per_million(1024, 10, 500, 0) == pytest.approx(0.20 + 10_000 * 16.6667e-6)
    assert per_million(512, 10, 500, 0) == pytest.approx(0.20 + 5_000 * 16.6667e-6)
    assert per_million(1024, 10, 510, 0.5) == pytest.approx(0.20 + 260_000 * 16.6667e-6)
    assert per_million(1024, 10, 10, 0, Prices(request=0, gb_second=1)) == pytest.approx(10_000)


def size(memory_mb: int, cold: float, warm: float) -> Size:
    return Size(memory_mb, memory_mb / 1769, [cold] * 3, [warm] * 9)


def test_the_fastest_size_that_costs_hardly_more_is_recommended() -> None:
    """3 GB for 40 ms cost over 5 % more, gateway included; for 4 ms they do not."""
    small, middle = size(128, 4000, 80), size(1024, 700, 8)
    assert recommended([small, middle, size(3008, 400, 40)]) is middle
    assert recommended([small, middle, size(3008, 400, 4)]).memory_mb == 3008
    assert recommended([Size(128, 0.1, [], [], "killed"), middle]) is middle


def test_more_memory_that_hardly_helps_is_not_recommended() -> None:
    """Two runs differ by a tenth of a cold start."""
    middle = size(1769, 400, 4)
    assert recommended([middle, size(3008, 380, 4)]) is middle
    assert recommended([middle, size(3008, 360, 4)]).memory_mb == 3008


def test_the_page_has_each_size() -> None:
    sizes = [Size(128, 0.07, [], [], "killed"), size(1024, 700, 8), size(3008, 400, 6)]
    text = page(sizes, {"cpu": "a CPU", "date": "1 May 2026"})
    assert "| 128 | 0.07 | does not answer |" in text
    assert "| **1,024** | 0.58 | 700 | 8.0 | 8.0 |" in text
    assert "nan" not in text


def test_the_templates_have_the_size_that_the_page_arrives_at() -> None:
    text = PAGE.read_text()
    found = re.search(r"^\*\*([\d,]+) MB\*\* is the templates' default", text, re.MULTILINE)
    assert found
    lines = (ROOT / "template.yaml").read_text().partition("  MemorySize:")[2]
    default = re.search(r"Default: (\d+)", lines)
    assert default
    assert int(found[1].replace(",", "")) == int(default[1])
