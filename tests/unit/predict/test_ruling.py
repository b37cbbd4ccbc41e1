"""Ruled and squared paper: printed lines go, strokes stay."""

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.prepare.ruling import without_ruling


def page_with_a_stroke() -> NDArray[np.bool_]:
    """Page [200, 240] with one thick upright stroke, away from every border."""
    page = np.zeros((200, 240), dtype=bool)
    page[40:160, 110:126] = True
    return page


def ruled(page: NDArray[np.bool_], *, gap: int, skew: float) -> NDArray[np.bool_]:
    """Draw lines two pixels thick from edge to edge; skew: rows a column."""
    lined = page.copy()
    columns = np.arange(page.shape[1])
    for first in range(-page.shape[0], 2 * page.shape[0], gap):
        rows = np.round(first + skew * columns).astype(int)
        for row in (rows, rows + 1):
            inside = (row >= 0) & (row < page.shape[0])
            lined[row[inside], columns[inside]] = True
    return lined


@pytest.mark.parametrize("skew", [0.0, 0.02, -0.04])
@pytest.mark.parametrize("gap", [24, 37])
def test_ruling_goes_and_the_stroke_across_it_stays(gap: int, skew: float) -> None:
    page = page_with_a_stroke()
    cleaned = without_ruling(ruled(page, gap=gap, skew=skew))
    assert cleaned[page].mean() > 0.95
    assert cleaned[:, :100].mean() < 0.01
    assert cleaned[:, 136:].mean() < 0.01


def test_squared_paper_loses_its_lines_in_both_directions() -> None:
    page = page_with_a_stroke()
    squared = ruled(page, gap=30, skew=0) | ruled(page.T, gap=30, skew=0).T
    cleaned = without_ruling(squared)
    assert cleaned[page].mean() > 0.85
    assert (cleaned & ~page).mean() < 0.01


def test_paper_without_ruling_is_left_as_it_is() -> None:
    page = page_with_a_stroke()
    assert np.array_equal(without_ruling(page), page)


def test_a_stroke_from_border_to_border_is_no_ruling() -> None:
    """A one as high as its picture is far thicker than a printed line."""
    page = np.zeros((200, 150), dtype=bool)
    page[:, 60:80] = True
    assert np.array_equal(without_ruling(page), page)
