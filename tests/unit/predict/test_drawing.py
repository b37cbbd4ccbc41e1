"""drawing.py: a stroke that is alone, and small digits, on a page of one colour."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from classifier.prepare.drawing import find_drawing, missing_margin, straight_stroke
from classifier.prepare.ink import Piece
from classifier.prepare.located import Located
from classifier.prepare.mnist import MnistPipeline

type Line = list[tuple[int, int]]

UPRIGHT = [(140, 60), (140, 220)]
LEANING = [(160, 60), (120, 220)]
BENT = [(140, 60), (165, 140), (140, 220)]


def drawn(
    *lines: Line,
    pens: tuple[tuple[int, int, int], ...] = ((0, 0, 0),) * 4,
    page: tuple[int, int, int] = (255, 255, 255),
    width: int = 14,
) -> NDArray[np.uint8]:
    """Canvas [280, 280, 3] with lines, each of its pen's colour."""
    canvas = Image.new("RGB", (280, 280), page)
    for line, pen in zip(lines, pens, strict=False):
        ImageDraw.Draw(canvas).line(line, fill=pen, width=width)
    return np.asarray(canvas)


def stroke_on(pixels: NDArray[np.uint8]) -> Piece | None:
    drawing = find_drawing(pixels)
    return None if drawing is None else straight_stroke(drawing, pixels)


WHITE, RED, GREEN, NAVY, YELLOW = (
    (255, 255, 255),
    (255, 0, 0),
    (0, 128, 0),
    (0, 0, 90),
    (255, 255, 0),
)


@pytest.mark.parametrize("line", [UPRIGHT, LEANING])
@pytest.mark.parametrize(
    ("pen", "page"), [(NAVY, WHITE), (RED, WHITE), (GREEN, YELLOW), (WHITE, (0, 0, 0))]
)
def test_a_straight_stroke_is_found_with_any_pen(
    line: Line, pen: tuple[int, int, int], page: tuple[int, int, int]
) -> None:
    piece = stroke_on(drawn(line, pens=(pen,), page=page))
    assert piece is not None
    assert piece.ink.shape[0] == pytest.approx(160, abs=4)
    assert (piece.box.top * 280, piece.box.bottom * 280) == pytest.approx((60, 220), abs=5)
    assert piece.ink.max() == 1


@pytest.mark.parametrize(
    "pixels",
    [
        drawn(BENT),
        drawn(UPRIGHT, width=50),
        drawn(UPRIGHT, [(154, 60), (154, 220)], width=4),
        drawn(UPRIGHT, [(140, 20), (140, 40)]),
        drawn(UPRIGHT, [(60, 60), (60, 220)]),
        drawn(UPRIGHT, [(60, 60), (60, 220)], pens=((0, 0, 0), YELLOW)),
        drawn([(140, 60), (140, 280)]),
        drawn(UPRIGHT, pens=((180, 180, 180),)),
        drawn([(60, 140), (220, 140)]),
        drawn([(140, 130), (140, 150)], width=4),
        drawn(),
    ],
    ids=[
        "bent",
        "broad",
        "hollow",
        "parts",
        "pair",
        "yellow",
        "border",
        "faint",
        "level",
        "speck",
        "nothing",
    ],
)
def test_anything_else_is_no_straight_stroke(pixels: NDArray[np.uint8]) -> None:
    assert stroke_on(pixels) is None


def test_a_stroke_that_is_lost_in_what_lies_between_the_pixels_looked_at_is_none() -> None:
    pixels = drawn(UPRIGHT, page=(128, 128, 128))[:, :, :1].copy()
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), pixels.shape)
    noise[::3, ::3] = pixels[::3, ::3]
    assert find_drawing(noise) is not None
    assert stroke_on(noise) is None


# A small digit

SMALL = [(60, 200), (60, 240), (80, 240)]


def maps_of(score: float = 0.9, other: float = 0.0) -> NDArray[np.float32]:
    """Maps [48, 48, 3] of a digit that fills a good part."""
    maps = np.zeros((48, 48, 3), np.float32)
    maps[9:39, 16:32, 0] = 1
    maps[15:33, 19:29, 1] = score
    maps[40:46, 40:46, 2] = other
    return maps


def looks_at(*answers: NDArray[np.float32], many: bool = False) -> tuple[list[int], Located]:
    """How large a network is shown a small digit, each time, and what its answers make of it."""
    heights = []
    remaining = iter(answers)

    def network(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        heights.append(int((picture[:, :, 1] < 128).any(axis=1).sum()))
        return next(remaining, answers[-1])

    located = MnistPipeline(28, 28, maps_of=network).locate(drawn(SMALL, width=6), many=many)
    return heights, located


def test_a_small_digit_is_looked_at_once_and_large() -> None:
    (height,), located = looks_at(maps_of())
    assert height > 48
    (box,) = located.boxes
    assert 180 < box.top * 280 < 210
    assert 235 < box.bottom * 280 < 260


@pytest.mark.parametrize("first", [maps_of(0), maps_of(0.5), maps_of(other=1)])
def test_where_that_look_is_not_clear_the_whole_is_looked_at(first: NDArray[np.float32]) -> None:
    heights, located = looks_at(first, maps_of())
    assert heights[0] > 48 > heights[1]
    (box,) = located.boxes
    assert box.top < 0.3


def test_many_digits_are_looked_for_everywhere() -> None:
    heights, _ = looks_at(maps_of(), many=True)
    assert heights[0] < 48


# Ink near the border

TIGHT = 0.25

type Mark = tuple[int, int, int, int]  # top, bottom, left and right in pixels


def marked(*marks: Mark) -> NDArray[np.uint8]:
    """A white page [400, 400, 1] with black marks."""
    page = np.full((400, 400, 1), 255, np.uint8)
    for top, bottom, left, right in marks:
        page[top:bottom, left:right] = 0
    return page


@pytest.mark.parametrize(
    "marks",
    [
        [(20, 380, 10, 40), (350, 380, 10, 380)],
        [(20, 60, 20, 380), (340, 380, 20, 380)],
        [(10, 390, 10, 30), (10, 390, 370, 390)],
        [(10, 390, 10, 30), (10, 390, 370, 390), (180, 220, 180, 220)],
    ],
    ids=["cropped", "rows", "pair", "a little within"],
)
@pytest.mark.parametrize("is_light", [False, True])
def test_ink_near_the_border_fills_a_picture(marks: list[Mark], *, is_light: bool) -> None:
    page = marked(*marks)
    assert missing_margin(255 - page if is_light else page) == TIGHT


@pytest.mark.parametrize(
    "marks",
    [
        [(4, 80, 4, 10)],
        [(8, 200, 10, 30), (180, 200, 10, 150)],
        [(10, 390, 180, 220)],
        [(10, 50, 10, 390), (100, 300, 180, 220)],
        [(9, 391, 9, 14), (9, 391, 386, 391), (9, 14, 9, 391), (386, 391, 9, 391)],
    ],
    ids=["small", "corner", "high", "title", "frame"],
)
def test_ink_near_a_side_needs_a_smaller_margin(marks: list[Mark]) -> None:
    assert 0 < missing_margin(marked(*marks)) < TIGHT
    tinted = marked(*marks) * np.array([1, 0.9, 0.6])  # whose channels are far apart everywhere
    assert 0 < missing_margin(tinted.astype(np.uint8)) < TIGHT


@pytest.mark.parametrize(
    "marks",
    [
        [],
        [(100, 300, 180, 220)],
        [(0, 60, 0, 400), (0, 400, 0, 20)],
        [(0, 400, 0, 20), (0, 400, 380, 400), (0, 20, 0, 400), (380, 400, 0, 400)],
        [(20, 380, 20, 380)],
        [(0, 30, 0, 400), (100, 300, 180, 220)],
        [(100, 300, 180, 220), (180, 200, 0, 60)],
        [(100, 300, 180, 220), (10, 30, 10, 60)],
    ],
    ids=["empty", "margin", "bars", "border", "sheet", "title bar", "neighbour", "caption"],
)
def test_nothing_else_needs_one(marks: list[Mark]) -> None:
    page = marked(*marks)
    assert missing_margin(page) == 0
    tinted = (page * np.array([1, 0.9, 0.6])).astype(np.uint8)
    assert missing_margin(tinted) == 0
