"""Paper, ink and shapes that the families of pictures are drawn with.

Pictures are float32 [H, W, 3] of 0 to 255; coverages float32 [H, W] of 0 to 1. Boxes are left, top,
right, bottom in pixels.
"""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model_build.finding.strokes import GRID, thin

type Floats = NDArray[np.float32]
type Generator = np.random.Generator
type Box = tuple[float, float, float, float]
type Colour = tuple[float, float, float]

WHITE, BLACK = (255.0, 255.0, 255.0), (0.0, 0.0, 0.0)
DARK, BLUE, RED, GREEN = (22.0, 22.0, 26.0), (25.0, 45.0, 140.0), (175.0, 28.0, 36.0), (20, 105, 60)
PAPERS = (WHITE, (250.0, 247.0, 238.0), (244.0, 238.0, 216.0), (226.0, 227.0, 229.0))

_SAMPLE, _DIGIT = 28, 20  # pixels of an MNIST sample's side, and of its digit's longer one
_FINE = 0.09  # of the digit's height: thinner lines are drawn along a path thinned at full size


class Digit(NamedTuple):
    """One digit to draw: uint8 [28, 28], and float32 [56, 56] as in `Strokes`."""

    image: NDArray[np.uint8]
    distance: Floats


class Page(NamedTuple):
    """A picture with a digit on it: its pixels, the digit's coverage, and the box around it."""

    pixels: Floats
    ink: Floats
    box: Box


def cover(digit: Digit, height: float, pen: float | None = None) -> Floats:
    """Coverage of a digit, its longer side `height` pixels, with some margin.

    pen: width of the line as a share of the height; None keeps the writer's own line.
    """
    side = max(_SAMPLE, round(height * _SAMPLE / _DIGIT))
    scale = side / _SAMPLE
    if pen is None:
        fine = _smooth(_enlarged(digit.image.astype(np.float32), GRID)) / np.float32(255)
        return _clipped((_enlarged(fine, side) - 0.45) * max(1.5, 0.7 * scale) + 0.5)
    half = max(pen * height / 2, 0.6)
    if pen < _FINE:
        return _fine(digit, side, 2 * half)
    return _clipped(half - _enlarged(_smooth(digit.distance), side) * scale + 0.5)


def _fine(digit: Digit, side: int, width: float) -> Floats:
    """A thin line along the digit's path, without the steps of the distance map."""
    body = Image.fromarray(255 * (_enlarged(digit.distance, side) < 0.9).astype(np.uint8))
    smooth = np.asarray(body.filter(ImageFilter.GaussianBlur(side / 60))) > 127
    path = Image.fromarray(255 * thin(smooth[np.newaxis])[0].astype(np.uint8))
    line = path.filter(ImageFilter.MaxFilter(1 + 2 * round((width - 1) / 2))) if width > 2 else path
    blurred = np.asarray(line.filter(ImageFilter.GaussianBlur(max(0.6, width / 5))), np.float32)
    return _clipped(blurred / 255 * (1.6 if width > 2 else 2.4))


def _clipped(values: NDArray[np.floating]) -> Floats:
    return np.asarray(np.clip(values, 0, 1), np.float32)


def _enlarged(values: Floats, side: int) -> Floats:
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def _smooth(values: Floats) -> Floats:
    """Even out the steps of a grid of 56 cells, by a third of a sample's pixel."""
    padded: Floats = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16, np.float32)


def write(
    digit: Digit,
    generator: Generator,
    *,
    size: tuple[int, int] = (400, 400),
    paper: Colour | None = None,
    ink: Colour = DARK,
    share: tuple[float, float] = (0.45, 0.65),
    pen: tuple[float, float] | None = None,
    within: Box | None = None,
    on: Floats | None = None,
) -> Page:
    """Write a digit on a sheet, not quite in the middle.

    size: width and height. share: least and most height of the digit, of the room's shorter side.
    pen: least and most width of the line, of the digit's height; by default the writer's own or an
    ordinary pen's. within: the room to write in. on: what to write on, instead of plain paper.
    """
    colour = paper if paper is not None else PAPERS[generator.integers(len(PAPERS))]
    pixels = plain(size, colour) if on is None else on
    height, width = pixels.shape[:2]
    left, top, right, bottom = within or (0, 0, width, height)
    line = generator.uniform(*pen) if pen else _usual_pen(generator)
    tall = generator.uniform(*share) * min(right - left, bottom - top)
    coverage = cropped(cover(digit, tall, line))
    high, wide = coverage.shape
    x = _offset(left, right, wide, generator)
    y = _offset(top, bottom, high, generator)
    layer = np.zeros((height, width), np.float32)
    lower, further = min(y + high, height), min(x + wide, width)
    layer[y:lower, x:further] = coverage[: lower - y, : further - x]
    return Page(over(pixels, layer, ink), layer, (x, y, further, lower))


def _usual_pen(generator: Generator) -> float | None:
    return None if generator.random() < 0.5 else generator.uniform(0.09, 0.15)


def _offset(low: float, high: float, length: int, generator: Generator) -> int:
    """Where to begin, so that something of a length is about in the middle and inside."""
    room = max(high - low - length, 0)
    return max(int(low + room * np.clip(generator.normal(0.5, 0.13), 0.12, 0.88)), 0)


def cropped(coverage: Floats) -> Floats:
    """Cut to what is written."""
    rows, columns = (np.flatnonzero((coverage > 0.1).any(axis=axis)) for axis in (1, 0))
    return coverage[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def plain(size: tuple[int, int], colour: Colour) -> Floats:
    """One colour; size: width and height."""
    return np.full((size[1], size[0], 3), colour, np.float32)


def over(pixels: Floats, coverage: Floats, colour: Colour | Floats) -> Floats:
    """Cover a picture with a colour, or with another picture."""
    return pixels + coverage[:, :, np.newaxis] * (np.asarray(colour, np.float32) - pixels)


# Shapes, each a coverage of a picture's size (width and height)


def rectangle(size: tuple[int, int], box: Box, *, radius: float = 0, line: float = 0) -> Floats:
    """A filled rectangle, or with `line` its outline of that width; radius: of its corners."""
    canvas, draw = _canvas(size)
    corners = [2 * value for value in box]
    if line:
        draw.rounded_rectangle(corners, 2 * radius, outline=255, width=round(2 * line))
    else:
        draw.rounded_rectangle(corners, 2 * radius, fill=255)
    return _coverage(canvas)


def ellipse(size: tuple[int, int], box: Box, *, line: float = 0) -> Floats:
    """A filled ellipse, or with `line` its outline of that width."""
    canvas, draw = _canvas(size)
    corners = [2 * value for value in box]
    if line:
        draw.ellipse(corners, outline=255, width=round(2 * line))
    else:
        draw.ellipse(corners, fill=255)
    return _coverage(canvas)


def polygon(size: tuple[int, int], points: Sequence[tuple[float, float]]) -> Floats:
    """A filled polygon."""
    canvas, draw = _canvas(size)
    draw.polygon([(2 * x, 2 * y) for x, y in points], fill=255)
    return _coverage(canvas)


def polyline(size: tuple[int, int], points: Sequence[tuple[float, float]], width: float) -> Floats:
    """A line through points, round at its ends and joints."""
    canvas, draw = _canvas(size)
    doubled = [(2 * x, 2 * y) for x, y in points]
    draw.line(doubled, fill=255, width=max(1, round(2 * width)), joint="curve")
    for x, y in doubled:
        draw.ellipse((x - width, y - width, x + width, y + width), fill=255)
    return _coverage(canvas)


def text(
    size: tuple[int, int], words: str, at: tuple[float, float], height: float, font: str
) -> Floats:
    """Printed words around a point."""
    canvas, draw = _canvas(size)
    draw.text(
        (2 * at[0], 2 * at[1]), words, fill=255, font=_font(font, round(2 * height)), anchor="mm"
    )
    return _coverage(canvas)


def blurred(coverage: Floats, radius: float) -> Floats:
    """Soften a coverage's edges."""
    image = Image.fromarray(np.rint(coverage * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / np.float32(255)


def turned(values: Floats, degrees: float) -> Floats:
    """Turn a square coverage or channel about its middle, without empty corners.

    What is given is twice as large as what comes back.
    """
    image = Image.fromarray(values).rotate(degrees, Image.Resampling.BICUBIC)
    height, width = values.shape
    rows, columns = (slice(length // 4, length // 4 + length // 2) for length in (height, width))
    return np.asarray(image)[rows, columns]


def cloud(size: tuple[int, int], nodes: tuple[int, int], generator: Generator) -> Floats:
    """Smooth noise with a standard deviation of about one; nodes: across and down."""
    noise = generator.normal(0, 1, (nodes[1], nodes[0])).astype(np.float32)
    return np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC))


def wood(size: tuple[int, int], colour: Colour, generator: Generator) -> Floats:
    """Wood's grain along the picture's width."""
    grain = cloud(size, (4, size[1] // 4), generator) * 12 + cloud(size, (6, 14), generator) * 10
    return np.clip(np.asarray(colour, np.float32) + grain[:, :, np.newaxis], 0, 255)


def ruling(size: tuple[int, int], step: float, degrees: float, *, squared: bool) -> Floats:
    """Lines of ruled or squared paper, a pixel and a half thick."""
    side = 2 * max(size)
    canvas, draw = _canvas((side, side))
    for level in np.arange(step, side, step).tolist():
        draw.line((0, 2 * level, 2 * side, 2 * level), fill=255, width=3)
    coverage = _coverage(canvas)
    if squared:
        coverage = np.maximum(coverage, coverage.T)
    return turned(coverage, degrees)[: size[1], : size[0]]


def noisy(pixels: Floats, deviation: float, generator: Generator) -> Floats:
    """Add a camera's noise."""
    return pixels + generator.normal(0, deviation, pixels.shape).astype(np.float32)


def encode(pixels: Floats, file_format: str = "PNG", **options: Any) -> bytes:
    """Picture as the bytes of a file: PNG, or JPEG of quality 88."""
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    if file_format == "JPEG":
        options = {"quality": 88, **options}
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _canvas(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (2 * size[0], 2 * size[1]))
    return image, ImageDraw.Draw(image)


def _coverage(canvas: Image.Image) -> Floats:
    return np.asarray(canvas.reduce(2), np.float32) / np.float32(255)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)
