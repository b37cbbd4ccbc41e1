"""Masks → their connected pieces, and how far they reach."""

import numpy as np
from numpy.typing import NDArray


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    height, width = mask.shape
    labels = np.zeros((height, width + 1), dtype=np.int64)  # no run goes on in the next row
    labels[:, :width] = mask
    flat = labels.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    starts, stops = edges[::2], edges[1::2]  # of marked cells in a row
    # The runs that each touches in the next row follow one another.
    first = np.searchsorted(stops, starts + width + 1)
    counts = np.searchsorted(starts, stops + width + 1, "right") - first
    runs = np.arange(len(starts))
    upper = runs.repeat(counts)
    lower = np.arange(len(upper)) + (first - np.cumsum(counts) + counts).repeat(counts)
    piece = runs
    while True:  # each run takes the largest label of those that it touches, and so do they
        largest = piece.copy()
        np.maximum.at(largest, upper, piece[lower])
        np.maximum.at(largest, lower, piece[upper])
        largest = largest[largest]
        if np.array_equal(largest, piece):
            break
        piece = largest
    flat[flat > 0] = (piece + 1).repeat(stops - starts)
    return labels[:, :width]


def around[T: np.generic](padded: NDArray[T], combine: np.ufunc) -> NDArray[T]:
    """Combine each cell of an array, padded by one, with its eight neighbours."""
    across = combine(padded[:, 1:-1], combine(padded[:, :-2], padded[:, 2:]))
    combined: NDArray[T] = combine(across[1:-1], combine(across[:-2], across[2:]))
    return combined


def extent(occupied: NDArray[np.bool_]) -> slice:
    """From the first to the last true value of flags [N]; at least one is true."""
    indices = np.flatnonzero(occupied)
    return slice(int(indices[0]), int(indices[-1]) + 1)
