"""Digits as bitmaps → digits as lines: a distance from the pen's path that any pen can redraw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = 56  # cells of a digit's distance map on each side, twice those of an MNIST sample
_BLOCK = 256


class Strokes(NamedTuple):
    """Digits that can be redrawn with any pen.

    images: uint8 [N, 28, 28], white ink on black. distances: float32 [N, 56, 56], from the middle
    of the nearest stroke, in pixels of the image. labels: int64 [N].
    """

    images: NDArray[np.uint8]
    distances: NDArray[np.float32]
    labels: NDArray[np.int64]


def trace(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Strokes:
    """Thin each digit to the path of its pen, and measure the distance from it everywhere."""
    enlarged = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BICUBIC))
            for image in images
        ]
    )
    paths = np.concatenate(
        [thin(enlarged[at : at + _BLOCK] > 110) for at in range(0, len(enlarged), _BLOCK)]
    )
    traced = paths.any(axis=(1, 2))
    distances = np.stack([_distance(path) for path in paths[traced]])
    return Strokes(images[traced], distances, labels[traced])


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
            north, north_east, east, south_east, south, south_west, west, north_west = around = [
                thinned[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
                for down, right in _CLOCKWISE
            ]
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
    y, x = np.arange(GRID), np.arange(GRID)
    squared = (y[:, None, None] - rows) ** 2 + (x[None, :, None] - columns) ** 2
    return (np.sqrt(squared.min(axis=2)) * (28 / GRID)).astype(np.float32)
