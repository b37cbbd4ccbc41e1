"""Masks → their connected pieces, and how far they reach."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    height, width = mask.shape
    marked = np.zeros(1 + height * (width + 1), dtype=bool)
    rows = marked[1:].reshape(height, width + 1)  # no run goes on in the next row
    rows[:, :width] = mask
    edges = np.flatnonzero(marked[1:] != marked[:-1])
    starts, stops = edges[::2], edges[1::2]  # of marked cells in a row
    # The runs that each touches in the next row follow one another.
    first = np.searchsorted(stops, starts + width + 1)
    counts = np.searchsorted(starts, stops + width + 1, "right") - first
    runs = np.arange(len(starts))
    upper = runs.repeat(counts)
    lower = np.arange(len(upper)) + (first - np.cumsum(counts) + counts).repeat(counts)
    if np.array_equal(lower, runs[1:]):  # each hangs on one before it
        return mask.astype(np.int64)
    piece = runs
    while True:  # each run takes the largest label of those that it touches, and so do they
        largest = piece.copy()
        np.maximum.at(largest, upper, piece[lower])
        np.maximum.at(largest, lower, piece[upper])
        largest = largest[largest]
        if np.array_equal(largest, piece):
            break
        piece = largest
    labels = np.zeros((height, width), dtype=np.int64)
    labels[mask] = (piece + 1).repeat(stops - starts)
    return labels


def around[T: np.generic](padded: NDArray[T], combine: np.ufunc) -> NDArray[T]:
    """Combine each cell of an array, padded by one, with its eight neighbours."""
    across = combine(padded[:, 1:-1], combine(padded[:, :-2], padded[:, 2:]))
    combined: NDArray[T] = combine(across[1:-1], combine(across[:-2], across[2:]))
    return combined


def extent(occupied: NDArray[np.bool_]) -> slice:
    """From the first to the last true value of flags [N]; at least one is true."""
    flags = occupied.tobytes()
    return slice(flags.index(1), flags.rindex(1) + 1)


def reach(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of what is marked of a mask [H, W]."""
    return extent(mask.any(axis=1)), extent(mask.any(axis=0))


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow by a pixel: the faint edge of a stroke belongs to it."""
    return around(np.pad(mask, 1), np.logical_or)


def border(picture: NDArray[Any]) -> NDArray[Any]:
    """Outermost pixels of a picture [H, W, …], [P, …]."""
    return np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
