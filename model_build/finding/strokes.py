"""Digits as bitmaps → digits as lines: a distance from the pen's path that any pen can redraw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = 56  # cells of a digit's distance map on each side, twice those of an MNIST sample


class Strokes(NamedTuple):
    """Digits that can be redrawn with any pen.

    images: uint8 [N, 28, 28], white ink on black. distances: float32 [N, 56, 56], from the middle
    of the nearest stroke, in pixels of the image. labels: int64 [N].
    """

    images: NDArray[np.uint8]
    distances: NDArray[np.float32]
    labels: NDArray[np.int64]


def trace(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Strokes:
    """Thin each digit to the path of its pen, and measure the distance from it everywhere.

    images: [N, 28, 28]; labels: [N], -1 for other signs. A coarse image may close a loop, or
    open one: of several thresholds the first is used that leaves the digit the loops it has, and a
    digit that has them at none is left out.
    """
    enlarged = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BICUBIC))
            for image in images
        ]
    )
    distances = np.empty(enlarged.shape, np.float32)
    pending = np.arange(len(images))
    for threshold in _THRESHOLDS:
        if not pending.size:
            break
        paths = thin(enlarged[pending] > threshold)
        distances[pending] = [_distance(path) for path in paths]
        numbers = euler_numbers(distances[pending] < _PEN)
        legible = np.array(
            [
                number in _EULER_NUMBERS.get(int(label), (number,))
                for number, label in zip(numbers, labels[pending], strict=True)
            ]
        )
        pending = pending[~legible | ~paths.any(axis=(1, 2))]
    traced = np.ones(len(images), dtype=bool)
    traced[pending] = False
    return Strokes(images[traced], distances[traced], labels[traced])


_THRESHOLDS = (110, 150, 190, 80)  # of 255, for ink
_PEN = 0.8  # half the width, in pixels of the image, of the pen that loops must show with
# Pieces less loops of each digit, however it is written.
_EULER_NUMBERS = {
    0: (0,),
    1: (1,),
    2: (0, 1),
    3: (1,),
    4: (0, 1),
    5: (1, 2),
    6: (0,),
    7: (1, 2),
    8: (-1,),
    9: (0,),
}


def euler_numbers(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pieces less holes of masks [N, H, W], 8-connected.

    Source: Gray, "Local properties of binary images in two dimensions", 1971.
    """
    cells = np.pad(masks, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    corners = cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]
    count = corners[0] + corners[1] + corners[2] + corners[3]
    diagonal = (count == 2) & (corners[0] == corners[3])
    quads = (count == 1).astype(np.int64) - (count == 3) - 2 * diagonal
    numbers: NDArray[np.int64] = quads.sum(axis=(1, 2)) // 4
    return numbers


def thin(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Skeletons of masks [N, H, W], one pixel wide, connected as the masks are.

    Source: Zhang and Suen, "A fast parallel algorithm for thinning digital patterns", 1984.
    """
    thinned = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    inner = thinned[:, 1:-1, 1:-1]
    height, width = masks.shape[1:]
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            around = [
                thinned[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
                for down, right in _CLOCKWISE
            ]
            north, east, south, west = around[::2]
            count = sum(side.astype(np.uint8) for side in around)
            turns = sum(
                (~side & following).astype(np.uint8)
                for side, following in zip(around, [*around[1:], around[0]], strict=True)
            )
            if step == 0:
                outer = ~(north & east & south) & ~(east & south & west)
            else:
                outer = ~(north & east & west) & ~(north & south & west)
            removed = inner & (count >= 2) & (count <= 6) & (turns == 1) & outer
            changed |= bool(removed.any())
            inner &= ~removed
    return inner.copy()


_CLOCKWISE = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _distance(path: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.nonzero(path)
    if not rows.size:
        return np.full((GRID, GRID), GRID, np.float32)
    y, x = np.arange(GRID), np.arange(GRID)
    squared = (y[:, None, None] - rows) ** 2 + (x[None, :, None] - columns) ** 2
    return (np.sqrt(squared.min(axis=2)) * (28 / GRID)).astype(np.float32)
