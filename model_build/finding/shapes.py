"""Shapes on a page of 96 pixels, drawn twice as large so that their edges are smooth.

Lengths and points are in pixels of the page, unless they are said to be of the drawing: its pixels
are half as wide. A coverage is float32 [96, 96] of 0 to 1: how much of each pixel a shape hides.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 96  # pixels of a page's longer side, as the finder sees it
DRAWN = 2 * SIDE  # pixels of a drawing's side
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSansMono",
    "DejaVuSans-Oblique",
    "STIXGeneral",
    "cmr10",
    "cmss10",
)
_SMOOTH = 0.6  # share of the scribbles that are curves; the others have corners

type Floats = NDArray[np.float32]
type Generator = np.random.Generator


class Box(NamedTuple):
    """An upright rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def room(self) -> float:
        """The shorter of its sides."""
        return min(self.right - self.left, self.bottom - self.top)


def pick[T](generator: Generator, choices: Sequence[tuple[float, T]]) -> T:
    """One of several things, each with its share; the shares add up to 1."""
    remaining = generator.random()
    for share, choice in choices:
        if remaining < share:
            return choice
        remaining -= share
    return choices[-1][1]


def canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty drawing, 192 x 192, and the means to draw on it."""
    image = Image.new("L", (DRAWN, DRAWN))
    return image, ImageDraw.Draw(image)


def coverage_of(drawing: Image.Image) -> Floats:
    """Coverage [96, 96] of a drawing."""
    return np.asarray(drawing.reduce(2), dtype=np.float32) / np.float32(255)


def over(picture: Floats, coverage: Floats, colour: Floats) -> Floats:
    """Cover a picture [96, 96, 3] with a colour [3]."""
    return picture + coverage[:, :, np.newaxis] * (colour - picture)


def text(
    words: str, x: float, y: float, height: float, angle: float, generator: Generator
) -> Floats:
    """Coverage of printed words around a point; angle: in degrees, 3 at least to be seen."""
    font = fonts(max(6, int(2 * height)))[int(generator.integers(len(FONTS)))]
    drawing, draw = canvas()
    draw.text((2 * x, 2 * y), words, fill=255, font=font, anchor="mm")
    if abs(angle) > 3:
        drawing = drawing.rotate(angle, Image.Resampling.BILINEAR, center=(2 * x, 2 * y))
    return coverage_of(drawing)


def scribble(x: float, y: float, size: float, generator: Generator) -> Floats:
    """Coverage of a line that wanders about a point, in a square of a size."""
    count = int(generator.integers(4, 10))
    knots = generator.uniform(-0.5, 0.5, (count, 2)) * size + (x, y)
    along = np.linspace(0, count - 1, 8 * count)
    is_smooth = generator.random() < _SMOOTH
    path = [np.interp(along, np.arange(count), knots[:, axis]) for axis in (0, 1)]
    if is_smooth:
        mean = np.ones(7) / 7
        path = [np.convolve(np.pad(values, 3, "edge"), mean, "valid") for values in path]
    drawing, draw = canvas()
    draw.line(
        [tuple(point) for point in (2 * np.stack(path, axis=1)).tolist()],
        fill=255,
        width=int(max(1, generator.uniform(0.03, 0.14) * size * 2)),
        joint="curve",
    )
    return coverage_of(drawing)


@cache
def fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    """The fonts of matplotlib's wheel that pages are printed with, `size` pixels high."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return [ImageFont.truetype(folder / f"{name}.ttf", size) for name in FONTS]
