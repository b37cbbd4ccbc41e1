"""What can be written on a page: digits, letters, words and scribbles."""

from typing import NamedTuple

import numpy as np

from model_build.finding.handwriting import Spot, write_sign
from model_build.finding.letters import SIGNS
from model_build.finding.shapes import (
    SIDE,
    Generator,
    canvas,
    coverage_of,
    pick,
    scribble,
    text,
)
from model_build.finding.sheet import Sheet
from model_build.finding.strokes import Strokes

_FINE_PEN = 0.35  # share of the pens that are thin beside the digit, as a ballpoint in a large one
_LARGE = 0.25  # share of the single digits that fill the page
_CENTRED = 0.5  # share of the single digits in the middle, which most people aim for
_ENCLOSED = 0.25  # share of the single digits in a ring or a box, underlined or crossed out
_HAS_NEIGHBOUR = 0.7  # chance of a neighbour on either side of a digit cut out of a row
_SQUARE = 0.5  # share of the rings and boxes that are as wide as high


class Pens(NamedTuple):
    """What is written with: digits, and letters that are to be told from them."""

    digits: Strokes
    letters: Strokes


def write_nothing(_sheet: Sheet, _pens: Pens, _generator: Generator) -> None:
    """Leave it empty."""


def write_digit(sheet: Sheet, pens: Pens, generator: Generator) -> None:
    """A digit of any size, at times in a ring or crossed out."""
    left, top, right, bottom = sheet.area
    if sheet.is_close:
        share = generator.uniform(0.5, 0.95)
    elif generator.random() < _LARGE:
        share = generator.uniform(0.7, 1.0)
    else:
        share = generator.uniform(0.12, 0.75)
    size = max(sheet.area.room * share, 9.0)
    x = _between(left + size / 2, right - size / 2, generator)
    y = _between(top + size / 2, bottom - size / 2, generator)
    if generator.random() < _CENTRED:
        x, y = (x + (left + right) / 2) / 2, (y + (top + bottom) / 2) / 2
    spot = Spot(x, y, size, _pen(generator), generator.normal(0, 8))
    write_sign(sheet, pens.digits, spot, generator)
    if generator.random() < _ENCLOSED:
        _enclose(sheet, x, y, size, generator)


def write_row(sheet: Sheet, pens: Pens, generator: Generator) -> None:
    """Two to six digits side by side."""
    left, top, right, bottom = sheet.area
    count = int(generator.integers(2, 7))
    gap = generator.uniform(0.7, 1.1)
    most = min((right - left) / (count * gap + 0.1), (bottom - top) * 0.95)
    size = max(most * generator.uniform(0.55, 1.0), 8.0)
    x = _between(left, right - count * gap * size, generator) + gap * size / 2
    y = _between(top + size / 2, bottom - size / 2, generator)
    slope, pen = generator.normal(0, 0.06), _pen(generator)
    for index in range(count):
        height = size * generator.uniform(0.85, 1.1)
        level = y + slope * index * size + generator.normal(0, 0.05) * size
        spot = Spot(x + index * gap * size, level, height, pen, generator.normal(0, 6))
        write_sign(sheet, pens.digits, spot, generator)


def write_cut_row(sheet: Sheet, pens: Pens, generator: Generator) -> None:
    """A digit in the middle, and parts of those beside it."""
    size = SIDE * generator.uniform(0.5, 0.75)
    gap, pen = size * generator.uniform(0.75, 1.05), _pen(generator)
    for step in (-1, 1, 0):
        if step == 0 or generator.random() < _HAS_NEIGHBOUR:
            x = sheet.width / 2 + step * gap + generator.normal(0, 2)
            y = sheet.height / 2 + generator.normal(0, 3)
            spot = Spot(x, y, size, pen, generator.normal(0, 6))
            write_sign(sheet, pens.digits, spot, generator)


def write_other(sheet: Sheet, pens: Pens, generator: Generator) -> None:
    """Things that are no digits: letters by hand or printed, a scribble."""
    left, top, right, bottom = sheet.area
    for _ in range(1 if sheet.is_close else int(generator.integers(1, 4))):
        size = sheet.area.room * generator.uniform(0.12, 0.8)
        x, y = generator.uniform(left, right), generator.uniform(top, bottom)
        if sheet.is_close:
            size = sheet.area.room * generator.uniform(0.5, 0.95)
            x = (left + right) / 2 + generator.normal(0, 4)
            y = (top + bottom) / 2 + generator.normal(0, 4)
        pick(generator, _OTHER_WRITING)(sheet, pens, x, y, max(size, 6.0), generator)


def write_both(sheet: Sheet, pens: Pens, generator: Generator) -> None:
    """A digit, and other things around it."""
    write_digit(sheet, pens, generator)
    write_other(sheet, pens, generator)


def _between(low: float, high: float, generator: Generator) -> float:
    """A number between two; the first where the second is not above it."""
    return generator.uniform(low, max(high, low + 1e-3))


def _pen(generator: Generator) -> float:
    is_fine = generator.random() < _FINE_PEN
    return generator.uniform(0.02, 0.06) if is_fine else generator.uniform(0.06, 0.24)


# Other writing


def _letter(
    sheet: Sheet, pens: Pens, x: float, y: float, size: float, generator: Generator
) -> None:
    spot = Spot(x, y, size, _pen(generator), generator.normal(0, 8))
    write_sign(sheet, pens.letters, spot, generator)


def _print(
    sheet: Sheet, _pens: Pens, x: float, y: float, size: float, generator: Generator
) -> None:
    count = int(generator.integers(1, 2 + int(3 * generator.random())))
    words = "".join(generator.choice(SIGNS, size=count))
    sheet.add_other(text(words, x, y, size, generator.normal(0, 10), generator))


def _scribble(
    sheet: Sheet, _pens: Pens, x: float, y: float, size: float, generator: Generator
) -> None:
    sheet.add_other(scribble(x, y, size, generator))


def _blob(sheet: Sheet, _pens: Pens, x: float, y: float, size: float, generator: Generator) -> None:
    """A filled shape of three to eleven corners."""
    drawing, draw = canvas()
    corners = int(generator.integers(3, 12))
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    reach = size * generator.uniform(0.3, 1, corners)  # half of the size, in pixels of the drawing
    points = np.stack([2 * x + reach * np.cos(angles), 2 * y + reach * np.sin(angles)], axis=1)
    draw.polygon([tuple(point) for point in points.tolist()], fill=255)
    sheet.add_other(coverage_of(drawing))


_OTHER_WRITING = ((0.4, _letter), (0.25, _print), (0.2, _scribble), (0.15, _blob))


def _enclose(sheet: Sheet, x: float, y: float, size: float, generator: Generator) -> None:
    """A ring or a box around a digit, or a line under it or through it, by the same pen."""
    drawing, draw = canvas()
    wide, tall = size * generator.uniform(0.6, 1.05), size * generator.uniform(0.6, 1.05)
    if generator.random() < _SQUARE:
        wide = tall = max(wide, tall)
    line = int(max(1, generator.uniform(0.015, 0.08) * 2 * size))
    box = (2 * (x - wide), 2 * (y - tall), 2 * (x + wide), 2 * (y + tall))
    kind = pick(generator, ((0.4, "ring"), (0.35, "box"), (0.1, "underlined"), (0.15, "crossed")))
    if kind == "ring":
        draw.ellipse(box, outline=255, width=line)
    elif kind == "box":
        draw.rectangle(box, outline=255, width=line)
    elif kind == "underlined":
        level, reach = 2 * (y + size * generator.uniform(0.56, 0.7)), wide * 0.7
        slanted = level + generator.normal(0, 3)
        draw.line((2 * (x - reach), level, 2 * (x + reach), slanted), fill=255, width=line)
    else:
        start, stop = (generator.uniform(-0.5, 0.5, 2) * size * 2).tolist()
        reach = wide * 0.8
        ends = (2 * (x - reach), 2 * y + start, 2 * (x + reach), 2 * y + stop)
        draw.line(ends, fill=255, width=line)
    sheet.add_mark(coverage_of(drawing))
