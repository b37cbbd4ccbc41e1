"""strokes.py: rings, shadows and outlines are told from the digit's own strokes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from classifier.image.pixels import Part
from classifier.prepare.ink import Piece, lone_stroke
from classifier.prepare.mnist import MnistPipeline
from classifier.prepare.pieces import extent
from classifier.prepare.strokes import filled, without_outline, without_shadow

type Floats = NDArray[np.float32]

WHOLE = Part(0, 1, 0, 1)
SEVEN = [(70, 60), (130, 60), (95, 145)]
BODY = [(40, 40), (160, 40), (160, 68), (96, 170), (64, 170), (124, 68), (40, 68)]


def drawn(*, ring: bool = False, outline: bool = False) -> Image.Image:
    """A page of 200 x 200 pixels: a 7, or the outline of one."""
    page = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(page)
    if outline:
        draw.line([*BODY, BODY[0]], fill=0, width=5)
    else:
        draw.line(SEVEN, fill=0, width=14, joint="curve")
    if ring:
        draw.ellipse((20, 20, 180, 180), outline=0, width=5)
    return page


def found_in(page: Image.Image) -> tuple[Floats, Part]:
    """What a network that takes all ink for the digit's finds on a page."""
    shown = page.resize((48, 48), Image.Resampling.BOX)
    ink = (1 - np.asarray(shown) / 255).astype(np.float32)
    rows, columns = (extent((ink > 0.45).any(axis=axis)) for axis in (1, 0))
    box = Part(rows.start / 48, rows.stop / 48, columns.start / 48, columns.stop / 48)
    return ink[rows, columns], box


def pixels_of(page: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(page)[:, :, np.newaxis]


# Rings


def test_a_ring_is_taken_away() -> None:
    page = drawn(ring=True)
    piece = without_outline(*found_in(page), pixels_of(page))
    assert piece is not None
    box = np.array(piece.box) * 200
    assert box == pytest.approx((60 - 7, 145 + 7, 70 - 7, 130 + 7), abs=8)
    assert piece.ink.shape == pytest.approx((box[1] - box[0], box[3] - box[2]), abs=3)


def test_ink_without_a_ring_or_on_an_empty_page_stays() -> None:
    page = drawn()
    assert without_outline(*found_in(page), pixels_of(page)) is None
    blank = np.full((200, 200, 1), 255, np.uint8)
    assert without_outline(*found_in(drawn(ring=True)), blank) is None


def test_a_dot_within_a_ring_is_not_the_digit() -> None:
    page = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(page)
    draw.ellipse((20, 20, 180, 180), outline=0, width=12)
    draw.ellipse((70, 70, 130, 130), fill=0)
    assert without_outline(*found_in(page), pixels_of(page)) is None


# Outlines


def test_the_outline_of_a_stroke_is_filled() -> None:
    page = drawn(outline=True)
    piece = without_outline(*found_in(page), pixels_of(page))
    assert piece is not None
    body = Image.new("L", (200, 200), 0)
    ImageDraw.Draw(body).polygon(BODY, fill=1)
    assert piece.ink.sum() == pytest.approx(np.asarray(body).sum(), rel=0.2)


def test_the_outline_of_an_upright_stroke_is_filled() -> None:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).rectangle((90, 50, 116, 150), outline=0, width=3)
    stroke = lone_stroke(pixels_of(page))
    assert stroke is not None
    solid = filled(stroke)
    assert solid is not None
    assert solid.ink.min() == 1


@pytest.mark.parametrize("width", [60, 80])
def test_a_nought_of_a_thin_pen_is_no_outline(width: int) -> None:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).ellipse((100 - width, 20, 100 + width, 180), outline=0, width=4)
    mask = np.asarray(page) < 128
    assert filled(Piece(WHOLE, mask, mask.astype(np.float32))) is None


def test_what_encloses_more_than_a_stroke_is_not_looked_at_as_an_outline() -> None:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).rectangle((87, 50, 113, 150), outline=0, width=3)
    is_hollow = []
    for width in (9, 20):
        ink = np.ones((24, width), np.float32)
        ink[2:-2, 2:-2] = 0
        piece = without_outline(ink, Part(0.25, 0.75, 0.4, 0.6), pixels_of(page))
        is_hollow.append(piece is not None)
    assert is_hollow == [True, False]


def test_what_encloses_two_parts_or_nothing_is_no_outline() -> None:
    page = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(page)
    draw.rectangle((60, 20, 100, 180), outline=0, width=3)
    draw.line([(60, 100), (100, 100)], fill=0, width=3)
    for picture in (page, drawn()):
        mask = np.asarray(picture) < 128
        assert filled(Piece(WHOLE, mask, mask.astype(np.float32))) is None


# In a picture


def test_a_digit_in_a_ring_and_a_hollow_one_are_read_by_their_strokes() -> None:
    page = drawn(ring=True)
    maps = np.zeros((48, 48, 3), np.float32)
    ink, box = found_in(page)
    top, left = round(box.top * 48), round(box.left * 48)
    maps[top : top + ink.shape[0], left : left + ink.shape[1], 0] = ink
    maps[14:34, 14:34, 1] = 0.9
    ringed = MnistPipeline(28, 28, maps_of=lambda _: maps).locate(pixels_of(page))
    assert ringed.boxes[0].left > box.left + 0.1
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).rectangle((90, 50, 116, 150), outline=0, width=3)
    hollow = MnistPipeline(28, 28, maps_of=lambda _: maps * 0).locate(pixels_of(page))
    assert hollow.samples[0][14, 14] == 255


# Shadows


def shaded() -> tuple[Floats, NDArray[np.uint8]]:
    """A stroke on a page with a paler stripe beside it, of which the network is unsure."""
    pixels = np.full((96, 96, 1), 230, np.uint8)
    pixels[10:80, 40:50] = 30
    pixels[30:60, 50:90] = 160
    ink = np.zeros((48, 48), np.float32)
    ink[5:40, 20:25] = 1
    ink[15:30, 25:45] = 0.6
    return ink, pixels


def test_a_shadow_is_taken_out_of_the_ink() -> None:
    ink, pixels = shaded()
    np.testing.assert_array_equal(without_shadow(ink, WHOLE, pixels), np.ones((35, 5)))


def test_unsure_ink_as_dark_as_the_rest_stays() -> None:
    ink, pixels = shaded()
    pixels[pixels == 160] = 30
    kept = without_shadow(ink, WHOLE, pixels)
    assert kept.shape == (35, 25)
    assert (kept > 0.5).sum() == (ink > 0.5).sum()


def test_sure_ink_is_not_looked_at() -> None:
    ink, pixels = shaded()
    ink[ink == np.float32(0.6)] = 0.9
    assert without_shadow(ink, WHOLE, pixels) is ink


def test_pixels_coarser_than_the_ink_are_not_asked() -> None:
    ink, pixels = shaded()
    assert without_shadow(ink, WHOLE, pixels[::4, ::4]) is ink


def test_ink_that_the_page_does_not_show_stays() -> None:
    ink, pixels = shaded()
    assert without_shadow(ink, WHOLE, np.full_like(pixels, 230)) is ink
