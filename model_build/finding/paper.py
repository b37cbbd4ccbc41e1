"""What is written on: colours, paper and its ruling, and what the sheet lies on.

Pictures are float32 [96, 96, 3] of 0 to 255, colours float32 [3] of the same.
"""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model_build.finding.shapes import (
    DRAWN,
    SIDE,
    Box,
    Floats,
    Generator,
    canvas,
    coverage_of,
    over,
    pick,
)
from model_build.finding.sheet import Sheet

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)

_FAINT = 0.2  # share of the inks that hardly stand out
_SQUARED = 0.5  # share of the ruled papers
_STRAIGHT = 0.6  # share of the rulings about level; the others are turned by any angle
_UNEVEN = 0.1  # share of the pencils and chalks, which let the paper through
_ADDED = 0.12  # share of the inks that change the paper's colour, and do not hide it
_SKEWED = 0.5  # share of the cornered sheets seen from aside
_SOFT = 0.3  # share of the sheets whose edge is out of focus
_ON_PHOTOGRAPH = 0.15  # share of the sheets with a photograph behind them

# Colours


def any_colour(generator: Generator) -> Floats:
    """A colour as paper, ink and things have it: often about white, black or grey."""
    kind = pick(generator, ((0.35, "white"), (0.15, "black"), (0.2, "grey"), (0.3, "colour")))
    if kind == "white":
        colour = 255 - abs(generator.normal(0, 25)) + generator.normal(0, 5, 3)
    elif kind == "black":
        colour = abs(generator.normal(0, 25)) + generator.normal(0, 4, 3)
    elif kind == "grey":
        colour = generator.uniform(0, 255) + generator.normal(0, 6, 3)
    else:
        colour = generator.uniform(0, 255, 3)
    return np.asarray(np.clip(colour, 0, 255), np.float32)


def ink_colour(paper: Floats, generator: Generator) -> Floats:
    """A colour that stands out from the paper, at times barely."""
    least = 25 if generator.random() < _FAINT else 70
    for _ in range(30):
        colour = any_colour(generator)
        if _contrast(colour, paper) > least:
            return colour
    return 255 - paper if _contrast(255 - paper, paper) > 70 else np.zeros(3, np.float32)


def shifted(colour: Floats, most: float, generator: Generator) -> Floats:
    """A lighter or darker colour."""
    return np.asarray(np.clip(colour + generator.uniform(-most, most), 0, 255), np.float32)


def _contrast(first: Floats, second: Floats) -> float:
    return abs(float((first - second) @ _LUMA))


# Paper


def plain(colour: Floats, generator: Generator) -> Floats:
    """Paper of one colour, at times cloudy, at times with a grain."""
    picture = np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)
    kind = pick(generator, ((0.25, "cloudy"), (0.07, "grained"), (0.68, "even")))
    if kind == "cloudy":
        picture = picture + _cloud(generator.uniform(2, 18), generator)[:, :, np.newaxis]
    elif kind == "grained":
        picture = picture + _grain(generator)[:, :, np.newaxis]
    return picture


def ruling(generator: Generator) -> Floats:
    """Coverage [96, 96] of the lines of ruled or squared paper."""
    drawing = Image.new("L", (2 * DRAWN, 2 * DRAWN))
    draw = ImageDraw.Draw(drawing)
    step = 2 * SIDE * generator.uniform(0.04, 0.25)
    line = int(generator.integers(1, 4))
    is_squared = generator.random() < _SQUARED
    for level in np.arange(generator.uniform(0, step), 2 * DRAWN, step).tolist():
        draw.line((0, level, 2 * DRAWN, level), fill=255, width=line)
        if is_squared:
            draw.line((level, 0, level, 2 * DRAWN), fill=255, width=line)
    is_straight = generator.random() < _STRAIGHT
    angle = generator.normal(0, 2) if is_straight else generator.uniform(-90, 90)
    drawing = drawing.rotate(angle, Image.Resampling.BILINEAR)
    corner = DRAWN // 2
    drawing = drawing.crop((corner, corner, corner + DRAWN, corner + DRAWN))
    return coverage_of(drawing) * np.float32(generator.uniform(0.2, 0.9))


def inked(
    picture: Floats, coverage: Floats, ink: Floats, paper: Floats, generator: Generator
) -> Floats:
    """Write on a picture with a colour, where the coverage [96, 96] says so."""
    if generator.random() < _UNEVEN:
        coverage = coverage * np.clip(1 + _cloud(0.35, generator), 0.35, 1)
    if generator.random() < _ADDED:
        return picture + coverage[:, :, np.newaxis] * (ink - paper)
    return over(picture, coverage, ink)


def _cloud(strength: float, generator: Generator) -> Floats:
    nodes = int(generator.integers(3, 20))
    noise = generator.normal(0, strength, (nodes, nodes)).astype(np.float32)
    return np.asarray(Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _grain(generator: Generator) -> Floats:
    """Wood or cloth: noise drawn out in one direction."""
    strength = generator.uniform(4, 20)
    noise = generator.normal(0, strength, (int(generator.integers(2, 7)), 64)).astype(np.float32)
    size = (int(1.5 * SIDE), int(1.5 * SIDE))  # more than the page's diagonal
    streaks = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    streaks = streaks.rotate(generator.uniform(0, 180), Image.Resampling.BILINEAR)
    corner = SIDE // 4
    return np.asarray(streaks)[corner : corner + SIDE, corner : corner + SIDE]


# What the sheet lies on


def put_on_something(
    picture: Floats, paper: Floats, sheet: Sheet, generator: Generator
) -> tuple[Floats, Box]:
    """Lay the sheet on a desk, a screen or a tile, and say where there still is paper."""
    colour = any_colour(generator)
    if _contrast(colour, paper) < 20:
        colour = ink_colour(paper, generator)
    box = _part_of(sheet, generator)
    drawing, draw = canvas()
    shape = pick(generator, ((0.2, "disc"), (0.2, "rounded"), (0.6, "cornered")))
    left, top, right, bottom = (side / 2 for side in box)
    if shape == "disc":
        draw.ellipse(box, fill=255)
        x, y = (left + right) / 2, (top + bottom) / 2
        half_width, half_height = (right - left) / 2 * 0.7, (bottom - top) / 2 * 0.7
        area = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    elif shape == "rounded":
        draw.rounded_rectangle(box, generator.uniform(4, 40), fill=255)
        area = Box(left + 2, top + 2, right - 2, bottom - 2)
    else:
        skew = generator.normal(0, 0.04 * 2 * sheet.side, (4, 2))
        skew = skew * (generator.random() < _SKEWED)
        corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
        draw.polygon([tuple(corner) for corner in (np.array(corners) + skew).tolist()], fill=255)
        area = Box(left + 5, top + 5, right - 5, bottom - 5)
    if generator.random() < _SOFT:
        drawing = drawing.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 3)))
    ground = plain(colour, generator)
    if generator.random() < _ON_PHOTOGRAPH:
        ground = _photograph(generator)
    left, top = max(area.left, 0), max(area.top, 0)
    right, bottom = min(area.right, sheet.width), min(area.bottom, sheet.height)
    covered = ground + coverage_of(drawing)[:, :, np.newaxis] * (picture - ground)
    return covered, Box(left, top, max(right, left), max(bottom, top))  # a narrow sheet has none


def _part_of(sheet: Sheet, generator: Generator) -> Box:
    """A box that leaves a margin, at times on two sides only, in pixels of the drawing."""
    width, height = 2 * sheet.width, 2 * sheet.height
    left, right = width * generator.uniform(0, 0.3), width * (1 - generator.uniform(0, 0.3))
    top, bottom = height * generator.uniform(0, 0.3), height * (1 - generator.uniform(0, 0.3))
    margins = pick(generator, ((0.15, "above and below"), (0.15, "beside"), (0.7, "all around")))
    if margins == "above and below":
        left, right = -1.0, width + 1
    elif margins == "beside":
        top, bottom = -1.0, height + 1
    return Box(left, top, right, bottom)


def _photograph(generator: Generator) -> Floats:
    """Part of one of the photographs in matplotlib's wheel."""
    photographs = _photographs()
    photograph = photographs[int(generator.integers(len(photographs)))]
    side = int(min(photograph.size) * generator.uniform(0.2, 1))
    x, y = (int(generator.integers(0, length - side + 1)) for length in photograph.size)
    part = photograph.resize((SIDE, SIDE), Image.Resampling.BOX, (x, y, x + side, y + side))
    return np.asarray(part, dtype=np.float32)


@cache
def _photographs() -> list[Image.Image]:
    folder = Path(mpl.get_data_path()) / "sample_data"
    return [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
