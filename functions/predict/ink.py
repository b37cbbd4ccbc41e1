"""Pixels → ink: where a picture was written on, whatever the pen, the paper and the light.

    paper     what the page would look like without ink, uneven light included
    colour    the direction, from paper, in which the ink lies: dark or light, any pen
    contrast  ink above the paper's noise, full ink brought to 1
    specks    pieces far smaller than the digit are dropped

Dark ink on light paper and light ink on dark paper are the same to it: ink is what differs from
the border of the picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import BlankImage
from pixels import Pixels

type Ink = NDArray[np.float32]

_OVERVIEW = 256  # pixels on the longer side: enough to find the digit
_DETAIL = 128  # of the digit's longer side: six times what a box of 20 can show
_GRID = 64  # cells on the longer side: enough for the light, and to tell specks from strokes
_MIN_CONTRAST = 10.0  # of 255: fainter than this is paper grain, JPEG noise or shadow
_WRITTEN = 0.2  # of full ink: from here on a pixel belongs to the digit


def find_ink(pixels: Pixels) -> Ink:
    """Ink of a picture [H, W, C], 0 to 255, as [h, w], 0 to 1, cropped to what is written.

    An overview says what the paper is like and where the digit is; the digit itself is then taken
    from the picture. Raises BlankImage if nothing stands out from the paper.
    """
    step = -(-max(pixels.shape[:2]) // _OVERVIEW)
    overview = _reduce(pixels, step)
    surface = paper(overview)
    away = overview - surface.at(_Window.over(pixels, step))
    colour = np.einsum("hwc,hw->c", away, np.einsum("hwc,hwc->hw", away, away))
    colour /= max(float(np.linalg.norm(colour)), 1e-6)
    kept = without_specks(contrast(away @ colour) > _WRITTEN)

    rows, columns = _extent(kept.any(axis=1)), _extent(kept.any(axis=0))
    window = _Window.around(pixels, rows, columns, step)
    detail = _reduce(window.cut(pixels), window.step) - surface.at(window)
    ink = contrast(detail @ colour)
    ink = np.where(window.look_up(_grown(kept), step), ink, 0)
    written = ink > _WRITTEN
    return ink[_extent(written.any(axis=1)), _extent(written.any(axis=0))]


@dataclass(frozen=True)
class Surface:
    """Quadratic surface a channel, over positions -1 to 1: coefficients [6, C]."""

    coefficients: NDArray[np.float32]

    def at(self, window: "_Window") -> NDArray[np.float32]:
        """Values [h, w, C] at the window's pixels."""
        y, x = window.positions()
        constant, along_x, along_y, xx, xy, yy = self.coefficients
        down = constant + y[:, np.newaxis] * along_y + (y * y)[:, np.newaxis] * yy
        across = x[:, np.newaxis] * along_x + (x * x)[:, np.newaxis] * xx
        twist = np.multiply.outer(y, x)[:, :, np.newaxis] * xy
        surface: NDArray[np.float32] = down[:, np.newaxis] + across[np.newaxis, :] + twist
        return surface


def paper(overview: Pixels) -> Surface:
    """Estimate of the page [H, W, C] without ink, as a surface.

    It is fitted to the border first, then to every cell near the fit, so that light which falls
    off across the page is followed and ink is not.
    """
    step = -(-max(overview.shape[:2]) // _GRID)
    cells = _reduce(overview, step)
    rows, columns, channels = cells.shape
    y, x = (
        side.ravel()
        for side in np.meshgrid(*_Window.over(overview, step).positions(), indexing="ij")
    )
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    ring = np.ones((rows, columns), dtype=bool)
    ring[1:-1, 1:-1] = False
    flat = cells.reshape(-1, channels).astype(np.float32)
    border = np.median(flat[ring.ravel()], axis=0)
    coefficients = np.zeros((6, channels), dtype=np.float32)
    near = ring.ravel() & (np.abs(flat - border).max(axis=1) < 60)
    for tolerance in (40, 20, 12):
        if near.sum() < 12:  # too little paper to tell its light from the ink
            break
        chosen = basis[near]
        ridge = 1e-3 * len(chosen) * np.diag(np.array([0, 1, 1, 1, 1, 1], dtype=np.float32))
        coefficients = np.linalg.solve(chosen.T @ chosen + ridge, chosen.T @ (flat[near] - border))
        near = np.abs(flat - border - basis @ coefficients).max(axis=1) < tolerance
    coefficients[0] += border
    return Surface(coefficients)


def contrast(signed: Ink) -> Ink:
    """Ink [H, W] of 0 to 1 from how far each pixel lies from paper, towards the ink positive.

    Raises BlankImage if nothing stands out.
    """
    other_side = -signed[signed < 0]  # of paper, away from ink: noise alone, however much is ink
    noise = 1.4826 * float(np.median(other_side)) if other_side.size else 0.0
    ink = np.maximum(signed - 2.5 * noise, 0)
    written = ink[ink > otsu(ink[ink > 0])]
    level = float(np.quantile(written, 0.9)) if written.size else 0.0
    if level < max(_MIN_CONTRAST, 3 * noise):
        raise BlankImage(
            "the image is blank: nothing stands out from its background; send one dark digit on "
            "light paper, or a light one on dark"
        )
    return np.asarray(np.minimum(ink / level, 1), dtype=np.float32)


def otsu(values: NDArray[np.float32]) -> float:
    """Threshold that splits values into two classes with the most variance between them.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    # In float64, because float32 has no 128 steps between neighbours such as 99.99999 and 100.
    counts, edges = np.histogram(values.astype(np.float64), bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    mass = np.cumsum(counts * centres)
    above = below[-1] - below
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[int(np.argmax(between)) + 1])


def without_specks(written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask [H, W] of the largest connected piece, and of those at least 8 % of its size."""
    step = -(-max(written.shape) // _GRID)
    amount = _reduce(written[:, :, np.newaxis].astype(np.float32), step)[:, :, 0]
    pieces = connected(amount > 0)
    sizes = np.bincount(pieces.ravel(), amount.ravel())
    sizes[0] = 0
    kept = np.isin(pieces, np.flatnonzero(sizes >= 0.08 * sizes.max()))
    height, width = written.shape
    return written & kept.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    padded = np.zeros(np.add(mask.shape, 2), dtype=np.int64)
    labels = padded[1:-1, 1:-1]
    labels[mask] = np.arange(1, int(mask.sum()) + 1)
    while True:  # each piece takes its largest label, one cell a round
        spread = _around(padded, np.maximum) * mask
        if np.array_equal(spread, labels):
            return spread
        labels[:] = spread


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow by a pixel: the faint edge of a stroke belongs to it."""
    return _around(np.pad(mask, 1), np.logical_or)


def _around[T: np.generic](padded: NDArray[T], combine: np.ufunc) -> NDArray[T]:
    """Combine each cell of an array, padded by one, with its eight neighbours."""
    across = combine(padded[:, 1:-1], combine(padded[:, :-2], padded[:, 2:]))
    around: NDArray[T] = combine(across[1:-1], combine(across[:-2], across[2:]))
    return around


@dataclass(frozen=True)
class _Window:
    """Part of a picture, at a whole fraction of its size: one pixel for `step` x `step`."""

    rows: slice
    columns: slice
    step: int
    height: int  # of the whole picture
    width: int

    @classmethod
    def over(cls, pixels: Pixels, step: int) -> "_Window":
        """Window over the whole picture."""
        height, width, _ = pixels.shape
        return cls(slice(0, height), slice(0, width), step, height, width)

    @classmethod
    def around(cls, pixels: Pixels, rows: slice, columns: slice, step: int) -> "_Window":
        """Window over the rows and columns of an overview of `step`, with a margin of one."""
        height, width, _ = pixels.shape
        cut_rows, cut_columns = (
            slice(max(part.start - 1, 0) * step, min((part.stop + 1) * step, side))
            for part, side in ((rows, height), (columns, width))
        )
        longer = max(cut_rows.stop - cut_rows.start, cut_columns.stop - cut_columns.start)
        return cls(cut_rows, cut_columns, max(1, longer // _DETAIL), height, width)

    def cut(self, pixels: Pixels) -> Pixels:
        return pixels[self.rows, self.columns]

    def positions(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vertical and horizontal position of the pixels' centres, the picture being -1 to 1."""
        y, x = self._centres()
        return (
            (2 * y / self.height - 1).astype(np.float32),
            (2 * x / self.width - 1).astype(np.float32),
        )

    def look_up(self, overview: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
        """Values that an overview of `step` has at the window's pixels."""
        y, x = (
            np.minimum(c // step, side - 1).astype(int)
            for c, side in zip(self._centres(), overview.shape, strict=True)
        )
        return overview[np.ix_(y, x)]

    def _centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y, x = (
            part.start + (np.arange(-(-(part.stop - part.start) // self.step)) + 0.5) * self.step
            for part in (self.rows, self.columns)
        )
        return y, x


def _extent(occupied: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(occupied)
    return slice(int(found[0]), int(found[-1]) + 1)


def _reduce(pixels: Pixels, step: int) -> Pixels:
    """Means of blocks of step x step pixels of [H, W, C]; a last, partial block counts as one."""
    if step == 1:
        return pixels
    single = pixels.shape[2] == 1
    reduced = np.asarray(Image.fromarray(pixels[:, :, 0] if single else pixels).reduce(step))
    return reduced[:, :, np.newaxis] if single else reduced
