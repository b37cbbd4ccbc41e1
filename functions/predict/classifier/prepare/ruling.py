"""Ruled and squared paper: finds the printed lines in an overview, and takes them out of the ink.

A ruling is what no digit is: thin, and straight from edge to edge. A photo may hold it askew by a
few degrees.
"""

import numpy as np
from numpy.typing import NDArray

_SKEW = 0.06  # rows a column, to either side: 3.4 degrees
_COVERED = 0.55  # of the picture's width that a line must be seen on
_THICKNESS = 0.02  # of the picture's height, at most


def without_ruling(written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask [H, W] of what is written, without lines that run from edge to edge.

    Where a stroke crosses a line, it goes on: what is ink on both sides of the line stays.
    """
    if not _reaches_the_border(written):
        return written
    level = _without_level_lines(written)
    return _without_level_lines(level.T).T


def _reaches_the_border(written: NDArray[np.bool_]) -> bool:
    """Most pictures have nothing on opposite borders: they pay for no search."""
    sides = written[:, :2].any(), written[:, -2:].any(), written[:2].any(), written[-2:].any()
    return bool((sides[0] and sides[1]) or (sides[2] and sides[3]))


def _without_level_lines(written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    height, width = written.shape
    rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
    most = round(_SKEW * width / 2)
    best: tuple[float, NDArray[np.int64], NDArray[np.bool_]] | None = None
    for skew in range(-most, most + 1):
        shift = np.round((2 * columns / width - 1) * skew).astype(np.int64)
        source = np.clip(rows + shift, 0, height - 1)
        covered = written[source, columns].mean(axis=1)
        score = float((covered[covered > _COVERED] ** 2).sum())
        if score and (best is None or score > best[0]):
            best = score, source, covered > _COVERED
    if best is None:
        return written
    _, source, lines = best
    straight = written[source, columns]
    cleaned = straight.copy()
    for start, stop in _runs(lines):
        if stop - start > max(3, _THICKNESS * height):
            continue  # as thick as a stroke
        above, below = start - 2, stop + 1
        kept = (
            straight[above] & straight[below]
            if above >= 0 and below < height
            else np.zeros(width, dtype=bool)
        )
        cleaned[max(start - 1, 0) : stop + 1] &= kept
    result = np.zeros_like(written)
    result[source, columns] = cleaned
    return result & written


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
