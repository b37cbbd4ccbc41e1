"""What else is on a picture: bars, frames, captions, stains, fingers, marks and other things.

Each is drawn for a sheet, as a coverage float32 [96, 96] of 0 to 1.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw, ImageFilter

from model_build.finding.letters import SIGNS, SIGNS_AND_DIGITS
from model_build.finding.paper import any_colour
from model_build.finding.shapes import Floats, Generator, canvas, coverage_of, scribble, text
from model_build.finding.sheet import Sheet

_HIDDEN = 0.04  # of the digits' ink: what would hide more of it is left out

_AT_SIDE = 0.45  # chance of a bar at each of the four sides
_TITLED = 0.5  # share of the bars with a title
_ROUNDED = 0.4  # share of the frames with rounded corners
_ABOVE = 0.5  # share of the captions above the digits, and not below
_WITHOUT_DIGITS = 0.6  # share of the captions that are words only
_HOME_BAR = 0.6  # share of the status bars with a bar at the bottom, as telephones have it
_BLOT = 0.5  # share of the stains that are full, and not rings
_RULE = 0.5  # share of the lines that go across, and not from edge to edge


def things(sheet: Sheet, generator: Generator) -> list[tuple[Floats, Floats]]:
    """Coverage [96, 96] and colour [3] of whatever lies about on a sheet."""
    layers = []
    for share, draw in _THINGS:
        if generator.random() < share:
            coverage = draw(sheet, generator)
            if (coverage * sheet.digit).sum() <= _HIDDEN * sheet.digit.sum():
                layers.append((coverage, any_colour(generator)))
    return layers


def _bars(sheet: Sheet, generator: Generator) -> Floats:
    """Dark or light bars at the sides, as of a window or of a picture of another shape."""
    drawing, draw = canvas()
    width, height = 2 * sheet.width, 2 * sheet.height
    for side in range(4):
        if generator.random() < _AT_SIDE:
            depth = generator.uniform(0.02, 0.2)
            boxes = (
                (0, 0, width, height * depth),
                (0, height * (1 - depth), width, height),
                (0, 0, width * depth, height),
                (width * (1 - depth), 0, width, height),
            )
            draw.rectangle(boxes[side], fill=255)
    coverage = coverage_of(drawing)
    if generator.random() < _TITLED:
        words = "".join(generator.choice(SIGNS, size=int(generator.integers(3, 9))))
        y = height / 4 * generator.uniform(0.1, 0.2)
        title = text(words, sheet.width / 2, y, generator.uniform(4, 8), 0, generator)
        coverage = np.where(coverage > 0.5, coverage - np.float32(0.7) * title, coverage)
    return np.clip(coverage, 0, 1)


def _frame(sheet: Sheet, generator: Generator) -> Floats:
    drawing, draw = canvas()
    side = 2 * sheet.side
    inset = generator.uniform(0, 0.08) * side
    line = max(1, round(generator.uniform(0.005, 0.08) * side))
    box = (inset, inset, 2 * sheet.width - 1 - inset, 2 * sheet.height - 1 - inset)
    radius = generator.uniform(0, 30) if generator.random() < _ROUNDED else 0
    draw.rounded_rectangle(box, radius, outline=255, width=line)
    return coverage_of(drawing)


def _caption(sheet: Sheet, generator: Generator) -> Floats:
    """Printed words above or below the digits."""
    left, top, right, bottom = sheet.area
    size = max(5.0, (bottom - top) * generator.uniform(0.05, 0.16))
    rows = np.flatnonzero(sheet.digit.any(axis=1))
    is_above = generator.random() < _ABOVE
    y = top + size if is_above else bottom - size
    if len(rows):
        y = min(y, rows[0] - size * 0.7) if is_above else max(y, rows[-1] + size * 0.7)
    alphabet = SIGNS if generator.random() < _WITHOUT_DIGITS else SIGNS_AND_DIGITS
    words = "".join(generator.choice(alphabet, size=int(generator.integers(3, 12))))
    x = generator.uniform(left, right)
    coverage = text(words, x, y, size, generator.normal(0, 2), generator)
    return coverage * (sheet.digit < 0.05)


def _status_bar(sheet: Sheet, generator: Generator) -> Floats:
    """A telephone's clock, the strength of its signal, and its battery."""
    size = generator.uniform(4, 7)
    clock = f"{generator.integers(0, 24)}:{generator.integers(0, 60):02d}"
    y = size * generator.uniform(0.6, 1.2)
    coverage = text(clock, sheet.width * generator.uniform(0.06, 0.2), y, size, 0, generator)
    drawing, draw = canvas()
    x, level = 2 * sheet.width * generator.uniform(0.75, 0.93), 2 * y
    for bar in range(4):
        left = x - 16 + 4 * bar
        draw.rectangle((left, level + 3 - 2 * bar, left + 2, level + 4), fill=255)
    draw.rectangle((x + 4, level - 3, x + 14, level + 4), outline=255)
    if generator.random() < _HOME_BAR:
        half = sheet.width * generator.uniform(0.1, 0.35)
        bottom = 2 * sheet.height - 2 * generator.uniform(1, 4)
        draw.rectangle((sheet.width - half, bottom - 2, sheet.width + half, bottom), fill=255)
    return np.maximum(coverage, coverage_of(drawing))


def _stain(sheet: Sheet, generator: Generator) -> Floats:
    """A blot or a ring, as of coffee, not quite round."""
    x, y = generator.uniform(0, sheet.width), generator.uniform(0, sheet.height)
    radius = generator.uniform(0.05, 0.2) * sheet.side
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wobble = 1 + 0.25 * generator.standard_normal(3) @ np.sin(
        np.outer((1, 2, 3), angles) + generator.uniform(0, 6, (3, 1))
    )
    points = [
        (2 * (x + radius * reach * math.cos(angle)), 2 * (y + radius * reach * math.sin(angle)))
        for reach, angle in zip(wobble, angles, strict=True)
    ]
    drawing, draw = canvas()
    if generator.random() < _BLOT:
        draw.polygon(points, fill=255)
    else:
        draw.line([*points, points[0]], fill=255, width=int(generator.integers(2, 8)))
    blurred = drawing.filter(ImageFilter.GaussianBlur(generator.uniform(0, 6)))
    return coverage_of(blurred) * np.float32(generator.uniform(0.3, 1))


def _pen_or_ruler(sheet: Sheet, generator: Generator) -> Floats:
    """Something long that comes in from an edge."""
    drawing, draw = canvas()
    edge = _on_edge(sheet, generator)
    x, y = (2 * generator.uniform(0.15, 0.85) * length for length in (sheet.width, sheet.height))
    width = int(generator.uniform(0.02, 0.14) * 2 * sheet.side) + 2
    draw.line((*edge, x, y), fill=255, width=width)
    return coverage_of(drawing)


def _fingers(sheet: Sheet, generator: Generator) -> Floats:
    drawing, draw = canvas()
    x, y = _on_edge(sheet, generator)
    reach = 2 * generator.uniform(0.08, 0.35) * sheet.side
    for _ in range(int(generator.integers(1, 4))):
        right, down = generator.normal(0, 0.5, 2) * reach
        _draw_ellipse(draw, x + right, y + down, reach, reach * 0.7)
    return coverage_of(drawing.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 4))))


def _neighbour(sheet: Sheet, generator: Generator) -> Floats:
    """The end of a stroke of something beyond the edge."""
    x, y = _on_edge(sheet, generator)
    size = generator.uniform(0.2, 0.5) * sheet.side
    x, y = (value / 2 + generator.normal(0, 0.3) * size for value in (x, y))
    return scribble(x, y, size, generator)


def _corners(sheet: Sheet, generator: Generator) -> Floats:
    """What is beyond the rounded corners of a screenshot."""
    drawing, draw = canvas()
    width, height = 2 * sheet.width, 2 * sheet.height
    draw.rectangle((0, 0, width, height), fill=255)
    radius = generator.uniform(0.05, 0.5) * 2 * sheet.side
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius, fill=0)
    return coverage_of(drawing)


def _specks(sheet: Sheet, generator: Generator) -> Floats:
    drawing, draw = canvas()
    for _ in range(int(generator.integers(1, 8))):
        x, y = (2 * generator.uniform(0, length) for length in (sheet.width, sheet.height))
        radius = generator.uniform(0.5, 3.5)
        _draw_ellipse(draw, x, y, radius, radius)
    return coverage_of(drawing)


def _lines(sheet: Sheet, generator: Generator) -> Floats:
    """A rule or two across, under or beside what is written; a fold."""
    drawing, draw = canvas()
    for _ in range(int(generator.integers(1, 4))):
        start, stop = _on_edge(sheet, generator), _on_edge(sheet, generator)
        if generator.random() < _RULE:
            level = 2 * generator.uniform(0, sheet.height)
            start = 2 * generator.uniform(0, 0.4) * sheet.width, level
            stop = 2 * generator.uniform(0.6, 1) * sheet.width, level + generator.normal(0, 3)
        draw.line((*start, *stop), fill=255, width=int(generator.integers(1, 6)))
    return coverage_of(drawing)


def _cursor(sheet: Sheet, generator: Generator) -> Floats:
    drawing, draw = canvas()
    x, y = (2 * generator.uniform(0, length) for length in (sheet.width, sheet.height))
    size = generator.uniform(8, 22)
    outline = ((0, 0), (0, 1), (0.3, 0.75), (0.7, 0.7))
    draw.polygon([(x + right * size, y + down * size) for right, down in outline], fill=255)
    return coverage_of(drawing)


def _holes(sheet: Sheet, generator: Generator) -> Floats:
    """Punched for a binder, along the left side."""
    drawing, draw = canvas()
    x, radius = 2 * sheet.width * generator.uniform(0.03, 0.1), 2 * generator.uniform(1.5, 4)
    for y in (np.linspace(0.2, 0.8, int(generator.integers(2, 5))) * 2 * sheet.height).tolist():
        _draw_ellipse(draw, x, y, radius, radius)
    return coverage_of(drawing)


# Shares of the pages on which each of them lies
_THINGS: tuple[tuple[float, Callable[[Sheet, Generator], Floats]], ...] = (
    (0.10, _bars),
    (0.05, _frame),
    (0.07, _caption),
    (0.05, _status_bar),
    (0.05, _stain),
    (0.05, _pen_or_ruler),
    (0.04, _fingers),
    (0.04, _neighbour),
    (0.04, _corners),
    (0.08, _specks),
    (0.04, _lines),
    (0.03, _cursor),
    (0.02, _holes),
)


def _on_edge(sheet: Sheet, generator: Generator) -> tuple[float, float]:
    """A point on the page's edge, in pixels of the drawing."""
    along = generator.random()
    width, height = 2.0 * sheet.width, 2.0 * sheet.height
    points = ((along * width, 0.0), (along * width, height), (0.0, along * height))
    return (*points, (width, along * height))[int(generator.integers(4))]


def _draw_ellipse(
    draw: ImageDraw.ImageDraw, x: float, y: float, half_width: float, half_height: float
) -> None:
    draw.ellipse((x - half_width, y - half_height, x + half_width, y + half_height), fill=255)
