"""Signs as a hand writes them: digits and letters, with any pen, of any size, a bit slanted."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_build.finding.shapes import SIDE, Floats, Generator
from model_build.finding.sheet import Sheet
from model_build.finding.strokes import GRID, Strokes

_LEAST_PEN = 0.05  # of a sign's height: a thinner line is shown to the reader as if this wide
_MIDDLE_SHARE = 0.6  # of a digit's height and width that its middle takes
_CELLS = 28  # of a sample's side

# Shares of the signs written …
_OWN_LINE = 0.3  # with their writer's own line, and not with another pen along its path
_SHARPENED = 0.6  # with edges as sharp as a scan's, of those with their own line
_OUTLINED = 0.1  # as an outline, of those with another pen, if it is wide enough
_GLOWING = 0.04  # with a glow, of those with another pen
_DRY = 0.04  # with gaps, of those with another pen


class Spot(NamedTuple):
    """Where a sign is written, and how: its middle and height in pixels of the page.

    pen: half the width of its line, as a share of the height in pixels of the drawing; angle: in
    degrees.
    """

    x: float
    y: float
    height: float
    pen: float
    angle: float


def write_sign(sheet: Sheet, strokes: Strokes, spot: Spot, generator: Generator) -> None:
    """Write a random one of the strokes: a digit, or with label -1 something else."""
    index = int(generator.integers(len(strokes.images)))
    turned = _turned(spot, generator)
    has_own_line = generator.random() < _OWN_LINE
    placement = _placement(sheet, spot, turned, _CELLS if has_own_line else GRID)
    if placement is None:
        return
    if has_own_line:
        ink = target = _own_line(placement, strokes.images[index], generator)
    else:
        ink, target = _redrawn(placement, strokes.distances[index], spot, generator)
    written = np.argwhere(target > 0.3)
    if not len(written):
        return
    top, left, bottom, right = (
        side // 2 for side in (placement.top, placement.left, placement.bottom, placement.right)
    )
    part = np.s_[top:bottom, left:right]
    label = int(strokes.labels[index])
    if label < 0:
        free = sheet.digit[part] < 0.1
        sheet.other_ink[part] = np.maximum(sheet.other_ink[part], _halved(ink) * free)
        sheet.other[part] = np.maximum(sheet.other[part], _halved(target) * free)
        return
    sheet.ink[part] = np.maximum(sheet.ink[part], _halved(ink))
    sheet.digit[part] = np.maximum(sheet.digit[part], _halved(target))
    low, high = written.min(axis=0) / 2, (written.max(axis=0) + 1) / 2
    row, column = (low + high) / 2 + (top, left)
    axes = np.maximum((high - low) * (_MIDDLE_SHARE / 2), 2.2)
    rows, columns = np.ogrid[0:SIDE, 0:SIDE]
    inside = ((rows + 0.5 - row) / axes[0]) ** 2 + ((columns + 0.5 - column) / axes[1]) ** 2 <= 1
    sheet.middle[inside] = 1
    sheet.digits.append((label, row / 2, column / 2))


class _Placement(NamedTuple):
    """Part of a drawing that a sign takes, in even pixels, and how to get from there to its cells.

    coefficients: of an affine transform, as Pillow takes them.
    """

    left: int
    top: int
    right: int
    bottom: int
    coefficients: tuple[float, float, float, float, float, float]

    def sample(self, cells: Floats, method: Image.Resampling, outside: float) -> Floats:
        """Values of a sign's cells at each pixel of the part."""
        size = self.right - self.left, self.bottom - self.top
        image = Image.fromarray(cells).transform(
            size, Image.Transform.AFFINE, self.coefficients, method, fillcolor=outside
        )
        return np.asarray(image)


def _turned(spot: Spot, generator: Generator) -> NDArray[np.float64]:
    """Matrix from the drawing's pixels to those of an upright sample, a bit slanted."""
    stretch, shear = generator.uniform(0.8, 1.15), generator.normal(0, 0.08)
    turn = math.radians(spot.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    turned = np.array([[cos, sin], [-sin, cos]]) / (_scale(spot) * 2)
    slanted: NDArray[np.float64] = np.array([[1 / stretch, shear], [0, 1]]) @ turned
    return slanted


def _scale(spot: Spot) -> float:
    """Pixels of the page for a pixel of a sample, whose digit is 20 high."""
    return spot.height / 20


def _placement(
    sheet: Sheet, spot: Spot, turned: NDArray[np.float64], cells: int
) -> _Placement | None:
    """Where a sign of cells [cells, cells] comes on the sheet, or None if that is beside it."""
    matrix = turned * (cells / _CELLS)
    middle = np.array([spot.x * 2, spot.y * 2])
    corners = np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]])
    reach = np.linalg.inv(matrix) @ corners * cells / 2
    low, high = middle + reach.min(axis=1), middle + reach.max(axis=1)
    left, top = max(int(low[0]), 0) & ~1, max(int(low[1]), 0) & ~1
    right = min(int(high[0]) + 2, 2 * sheet.width) & ~1
    bottom = min(int(high[1]) + 2, 2 * sheet.height) & ~1
    if right <= left or bottom <= top:
        return None
    offset = cells / 2 - matrix @ middle + matrix @ np.array([left, top])
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    return _Placement(left, top, right, bottom, coefficients)


def _own_line(placement: _Placement, image: NDArray[np.uint8], generator: Generator) -> Floats:
    values = placement.sample(
        image.astype(np.float32) / np.float32(255), Image.Resampling.BICUBIC, 0.0
    )
    if generator.random() < _SHARPENED:
        edge, soft = generator.uniform(0.2, 0.65), generator.uniform(0.1, 0.6)
        values = (values - edge) / soft + 0.5
    return np.clip(values, 0, 1)


def _redrawn(
    placement: _Placement, distances: Floats, spot: Spot, generator: Generator
) -> tuple[Floats, Floats]:
    """Ink of another pen along a sign's path, and what the finder is to say of it."""
    distance = placement.sample(distances, Image.Resampling.BILINEAR, 9.0)
    distance = distance * _scale(spot) * 2  # in pixels of the drawing
    half = max(spot.pen * spot.height, 0.9)
    ink = np.clip(half - distance + 0.5, 0, 1)
    target = np.clip(max(half, _LEAST_PEN * spot.height * 2, 2.0) - distance + 0.5, 0, 1)
    if generator.random() < _OUTLINED and half > 3:
        line = max(generator.uniform(0.12, 0.3) * half, 1.0)
        ink = np.clip(line - np.abs(distance - half + line) + 0.5, 0, 1)
    elif generator.random() < _GLOWING:
        reach = half * generator.uniform(1.2, 2.5)
        ink = np.maximum(ink, 0.6 * np.exp(-((distance / reach) ** 2)))
    if generator.random() < _DRY:
        ink = ink * (generator.random(ink.shape) < generator.uniform(0.5, 0.9))
    return ink, target


def _halved(values: Floats) -> Floats:
    height, width = values.shape
    return values.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
