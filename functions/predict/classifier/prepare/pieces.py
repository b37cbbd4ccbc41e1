"""Masks → their connected pieces, and how far they reach."""

import numpy as np
from numpy.typing import NDArray


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    height, width = mask.shape
    labels = np.zeros((height + 1, width + 1), dtype=np.int64)  # no run goes on in the next row
    labels[:height, :width] = mask
    flat = labels.ravel()
    marked = np.flatnonzero(flat)
    runs = np.cumsum(flat[marked - 1] == 0)  # of marked cells in a row, from 1
    flat[marked] = runs
    below = flat[marked + np.arange(width, width + 3)[:, np.newaxis]]
    touching = below > 0
    upper, lower = runs[touching.nonzero()[1]], below[touching]
    piece = np.arange(flat.max() + 1)
    while True:  # each run takes the largest label of those that it touches, and so do they
        largest = piece.copy()
        np.maximum.at(largest, upper, piece[lower])
        np.maximum.at(largest, lower, piece[upper])
        largest = largest[largest]
        if np.array_equal(largest, piece):
            return piece[labels[:height, :width]]
        piece = largest


def around[T: np.generic](padded: NDArray[T], combine: np.ufunc) -> NDArray[T]:
    """Combine each cell of an array, padded by one, with its eight neighbours."""
    across = combine(padded[:, 1:-1], combine(padded[:, :-2], padded[:, 2:]))
    combined: NDArray[T] = combine(across[1:-1], combine(across[:-2], across[2:]))
    return combined


def extent(occupied: NDArray[np.bool_]) -> slice:
    """From the first to the last true value of flags [N]; at least one is true."""
    indices = np.flatnonzero(occupied)
    return slice(int(indices[0]), int(indices[-1]) + 1)
