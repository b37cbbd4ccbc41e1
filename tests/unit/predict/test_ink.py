"""ink.py: what was written, told from the paper, its light and its specks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from classifier.errors import BlankImage
from classifier.image.pixels import Part, Pixels
from classifier.prepare.ink import (
    Piece,
    contrast,
    find_ink,
    find_pieces,
    lone_stroke,
    otsu,
    shows_something,
    without_specks,
    written_on,
)
from classifier.prepare.pieces import connected


def page(height: int = 240, width: int = 200, *, fall_off: float = 0.0) -> NDArray[np.uint8]:
    """Sheet [H, W, 3] under light that falls off towards the lower right corner."""
    light = 1 - fall_off * np.add.outer(np.linspace(0, 0.6, height), np.linspace(0, 0.4, width))
    return np.repeat(220 * light[:, :, np.newaxis], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("fall_off", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("scale", [1, 4])
def test_ink_is_cropped_to_what_is_written(fall_off: float, scale: int) -> None:
    picture = page(240 * scale, 200 * scale, fall_off=fall_off)
    picture[60 * scale : 180 * scale, 90 * scale : 110 * scale] //= 5
    ink = find_ink(picture)
    assert ink.dtype == np.float32
    assert ink.shape[0] / ink.shape[1] == pytest.approx(6, rel=0.15)
    assert 0 <= ink.min() <= ink.max() <= 1
    assert ink.mean() > 0.75


def test_ink_of_bytes_and_of_floats_is_the_same() -> None:
    picture = np.full((90, 70, 1), 230, dtype=np.uint8)
    picture[20:70, 30:36] = 40
    before = picture.copy()
    assert np.allclose(find_ink(picture), find_ink(picture.astype(np.float32)), atol=0.02)
    assert np.array_equal(picture, before)


def test_faint_grey_ink_is_the_same_in_one_channel_as_in_three() -> None:
    picture = np.full((90, 70, 3), 230, dtype=np.uint8)
    picture[20:70, 30:36] -= 8
    assert np.allclose(find_ink(picture[:, :, :1]), find_ink(picture), atol=0.01)


@pytest.mark.parametrize("fall_off", [0.0, 0.3, 0.5])
def test_a_page_of_paper_alone_is_blank(fall_off: float) -> None:
    with pytest.raises(BlankImage):
        find_ink(page(fall_off=fall_off))


def stroke_on_a_page(length: int) -> NDArray[np.uint8]:
    """Page [1000, 800, 1] with one upright stroke, near its lower right corner."""
    picture = np.full((1000, 800, 1), 230, dtype=np.uint8)
    picture[800 : 800 + length, 600 : 600 + length // 4] = 40
    return picture


def test_a_small_digit_is_found_again_in_its_surroundings() -> None:
    asked: list[Part] = []

    def closer(part: Part) -> Pixels:
        asked.append(part)
        picture = np.full((90, 90, 1), 230, dtype=np.uint8)
        picture[20:70, 40:45] = 40
        return picture

    ink = find_ink(stroke_on_a_page(24), closer)
    assert ink.shape == (50, 5)
    (part,) = asked
    assert 0.7 < part.top < 0.8
    assert 0.824 < part.bottom < 0.9
    assert 0.65 < part.left < 0.75
    assert 0.7575 < part.right < 0.85


def test_what_is_no_ink_from_close_by_is_blank() -> None:
    with pytest.raises(BlankImage):
        find_ink(stroke_on_a_page(24), lambda _part: np.full((90, 90, 1), 230, dtype=np.uint8))


def test_a_digit_that_is_large_enough_is_not_looked_at_twice() -> None:
    def closer(part: Part) -> Pixels:
        raise AssertionError(part)

    assert find_ink(stroke_on_a_page(80), closer).shape[0] == pytest.approx(80, abs=8)


def test_where_there_is_nothing_more_to_see_the_first_look_counts() -> None:
    picture = stroke_on_a_page(24)
    assert np.array_equal(find_ink(picture, lambda _part: None), find_ink(picture))


def test_contrast_brings_full_ink_to_one_and_noise_to_nothing() -> None:
    signed = np.random.default_rng(0).normal(0, 3, (80, 80)).astype(np.float32)
    signed[20:60, 38:42] += 90
    ink = contrast(signed)
    assert ink[20:60, 38:42].mean() > 0.9
    ink[20:60, 38:42] = 0
    assert ink.mean() < 0.01


@pytest.mark.parametrize("signed", [np.zeros((9, 9)), np.full((9, 9), -80.0), np.full((9, 9), 9.0)])
def test_contrast_without_ink_is_blank(signed: NDArray[np.float64]) -> None:
    with pytest.raises(BlankImage):
        contrast(signed.astype(np.float32))


def test_otsu_splits_two_groups_between_them() -> None:
    values = np.concatenate([np.full(90, 0.2), np.linspace(0.7, 0.9, 10)]).astype(np.float32)
    assert 0.2 < otsu(values) <= 0.71


@given(
    hnp.arrays(np.float32, st.integers(2, 60), elements=st.floats(0, 1, width=16)).filter(
        lambda values: np.ptp(values) > 0.01
    )
)
def test_otsu_has_the_greatest_variance_between_its_classes(values: NDArray[np.float32]) -> None:
    counts, edges = np.histogram(values, bins=128)
    rounded = np.repeat((edges[:-1] + edges[1:]) / 2, counts)  # otsu sees values by their bin

    def between(threshold: float) -> float:
        low, high = rounded[rounded <= threshold], rounded[rounded > threshold]
        if not (low.size and high.size):
            return 0.0
        return float(low.size * high.size * (high.mean() - low.mean()) ** 2)

    assert between(otsu(values)) == pytest.approx(
        max(between(float(edge)) for edge in edges), rel=1e-6
    )


def flood_fill(mask: NDArray[np.bool_]) -> list[frozenset[tuple[int, int]]]:
    """Pieces of a mask that touch by a side or a corner, by walking from pixel to pixel."""
    left = set(zip(*np.nonzero(mask), strict=True))
    pieces = []
    while left:
        edge = [left.pop()]
        piece = set(edge)
        while edge:
            row, column = edge.pop()
            around = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= around
            piece |= around
            edge.extend(around)
        pieces.append(frozenset(piece))
    return pieces


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_connected_finds_the_pieces_that_a_flood_fill_finds(mask: NDArray[np.bool_]) -> None:
    labels = connected(mask)
    assert np.array_equal(labels > 0, mask)
    found = {
        frozenset(zip(*np.nonzero(labels == label), strict=True))
        for label in np.unique(labels[mask])
    }
    assert found == set(flood_fill(mask))


def test_connected_follows_a_spiral_to_its_end() -> None:
    rows = ["########", "       #", "###### #", "#    # #", "# ## # #", "# #### #", "#      #"]
    rows = [row.replace("#", "1").replace(" ", "0") for row in [*rows, "########"]]
    spiral = np.array([list(map(int, row)) for row in rows], dtype=bool)
    assert len(np.unique(connected(spiral)[spiral])) == len(flood_fill(spiral))


@pytest.mark.parametrize("scale", [1, 3])
def test_specks_are_dropped_and_the_parts_of_a_digit_are_kept(scale: int) -> None:
    written = np.zeros((64 * scale, 64 * scale), dtype=bool)
    written[10 * scale : 50 * scale, 10 * scale : 14 * scale] = True  # a stroke
    written[10 * scale : 14 * scale, 30 * scale : 50 * scale] = True  # its bar, apart from it
    speck = np.zeros_like(written)
    speck[60 * scale, 60 * scale] = True
    assert np.array_equal(without_specks(written | speck), written)


def test_a_picture_of_nothing_but_specks_keeps_the_largest() -> None:
    written = np.zeros((20, 20), dtype=bool)
    written[2, 2] = written[17, 17] = True
    assert without_specks(written).any()


@pytest.mark.parametrize("mask", [np.zeros((5, 5)), np.zeros((1, 1)), np.ones((7, 3))])
def test_a_mask_of_one_piece_or_none_stays_as_it_is(mask: NDArray[np.float64]) -> None:
    assert np.array_equal(without_specks(mask > 0), mask > 0)


@pytest.mark.parametrize(
    ("box", "is_stroke"),
    [
        ((60, 240, 140, 160), True),
        ((60, 240, 100, 190), False),  # as wide as another digit
        ((0, 300, 140, 160), False),  # a bar from edge to edge
        ((60, 240, 280, 300), False),  # at the border
        ((140, 160, 146, 153), False),  # a speck
    ],
)
def test_an_upright_stroke_alone_may_be_a_one(
    box: tuple[int, int, int, int], *, is_stroke: bool
) -> None:
    picture = np.full((300, 300, 1), 255, dtype=np.uint8)
    top, bottom, left, right = box
    picture[top:bottom, left:right] = 0
    assert (lone_stroke(picture) is not None) == is_stroke
    assert lone_stroke(np.full((300, 300, 1), 255, dtype=np.uint8)) is None


@pytest.mark.parametrize("is_digits", [True, False])
def test_a_column_of_digits_is_no_stroke_but_dashes_are(*, is_digits: bool) -> None:
    picture = np.full((300, 300, 1), 255, dtype=np.uint8)
    for top in (30, 110, 190):
        picture[top : top + 60, 130:170] = 0
        if is_digits:
            picture[top + 10 : top + 50, 140:160] = 255  # as a 0
    assert (lone_stroke(picture) is None) == is_digits


def test_a_column_of_sevens_is_no_stroke() -> None:
    picture = np.full((300, 300, 1), 255, dtype=np.uint8)
    for top in (30, 110, 190):
        picture[top : top + 10, 130:170] = picture[top : top + 60, 160:170] = 0
    assert lone_stroke(picture) is None


def test_a_stroke_that_is_lost_in_the_noise_of_its_own_detail_is_none() -> None:
    picture = np.full((400, 400, 1), 160.0)
    picture[100:300, 198:202] = 130
    noise = np.random.default_rng(0).normal(0, 8, picture.shape)
    assert lone_stroke((picture + noise).astype(np.uint8)) is None


def row_with(*rectangles: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    picture = np.full((120, 400, 1), 255, dtype=np.uint8)
    for top, bottom, left, right in rectangles:
        picture[top:bottom, left:right] = 0
    return picture


def pieces_of(picture: NDArray[np.uint8]) -> list[Piece]:
    return find_pieces(picture, written_on(picture))


def test_a_row_has_a_piece_for_each_digit() -> None:
    rectangles = [(30, 90, 40, 70), (35, 88, 90, 96), (28, 92, 120, 160)]
    pieces = sorted(pieces_of(row_with(*rectangles)), key=lambda piece: piece.box.left)
    assert [piece.ink.shape for piece in pieces] == [(60, 30), (53, 6), (64, 40)]
    lefts = [piece.box.left * 400 for piece in pieces]
    assert lefts == pytest.approx([40, 90, 120], abs=2)


def test_a_low_piece_belongs_to_the_nearest_digit_and_far_ones_to_none() -> None:
    digits = [(30, 90, 40, 70), (30, 90, 110, 140)]
    bar, speck = (30, 38, 74, 90), (30, 40, 250, 262)
    pieces = pieces_of(row_with(*digits, bar, speck))
    pieces = sorted(pieces, key=lambda piece: piece.box.left)
    assert [piece.ink.shape for piece in pieces] == [(60, 50), (60, 30)]


def test_small_digits_beside_a_large_one_are_pieces_of_their_own() -> None:
    large, small = (2, 72, 20, 40), [(92, 114, left, left + 12) for left in (150, 180, 210)]
    heights = [piece.ink.shape[0] for piece in pieces_of(row_with(large, *small))]
    assert sorted(heights) == [22, 22, 22, 70]


def test_a_line_below_a_number_is_left_out() -> None:
    digits = [(20, 80, left, left + 30) for left in (60, 120, 180)]
    pieces = pieces_of(row_with(*digits, (90, 96, 50, 220)))
    assert [piece.ink.shape for piece in pieces] == [(60, 30)] * 3


def test_specks_are_no_pieces_however_many() -> None:
    digits = [(30, 90, left, left + 4) for left in (60, 160, 260)]
    specks = [(8, 15, left, left + 7) for left in range(20, 380, 30)]
    pieces = pieces_of(row_with(*digits, *specks))
    assert [piece.ink.shape for piece in pieces] == [(60, 4)] * 3


def test_an_empty_page_and_one_full_of_marks_have_no_pieces() -> None:
    assert pieces_of(row_with()) == []
    many = [(y, y + 8, x, x + 8) for y in range(10, 110, 20) for x in range(10, 390, 20)]
    assert pieces_of(row_with(*many)) == []


@pytest.mark.parametrize(
    ("name", "rows", "columns", "expected"),
    [
        ("mark", slice(90, 150), slice(70, 130), True),
        ("mark that goes on beyond the picture", slice(0, 60), slice(70, 130), True),
        ("dust", slice(90, 93), slice(70, 73), False),
        ("bar", slice(0, 40), slice(None), False),
        ("line across", slice(120, 126), slice(4, 196), False),
        ("sheet", slice(40, 200), slice(30, 170), False),
        ("nothing", slice(0), slice(0), False),
    ],
)
def test_a_mark_is_something_and_what_a_page_has_by_itself_is_not(
    name: str, rows: slice, columns: slice, *, expected: bool
) -> None:
    picture = page()
    picture[rows, columns] //= 5
    assert shows_something(picture, written_on(picture)) is expected, name


def test_ink_across_an_icon_is_something() -> None:
    picture = page(32, 32)
    picture[8:30, :] //= 5
    assert shows_something(picture, written_on(picture))
    assert not shows_something(picture, written_on(page(32, 32)))
