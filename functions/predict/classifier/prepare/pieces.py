"""Masks → their connected pieces, and how far they reach."""

import numpy as np
from numpy.typing import NDArray


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    padded = np.zeros(np.add(mask.shape, 2), dtype=np.int64)
    labels = padded[1:-1, 1:-1]
    labels[mask] = np.arange(1, int(mask.sum()) + 1)
    while True:  # each piece takes its largest label, one cell a round
        spread = around(padded, np.maximum) * mask
        if np.array_equal(spread, labels):
            return spread
        labels[:] = spread


def around[T: np.generic](padded: NDArray[T], combine: np.ufunc) -> NDArray[T]:
    """Combine each cell of an array, padded by one, with its eight neighbours."""
    across = combine(padded[:, 1:-1], combine(padded[:, :-2], padded[:, 2:]))
    combined: NDArray[T] = combine(across[1:-1], combine(across[:-2], across[2:]))
    return combined


def extent(occupied: NDArray[np.bool_]) -> slice:
    """From the first to the last true value of flags [N]; at least one is true."""
    indices = np.flatnonzero(occupied)
    return slice(int(indices[0]), int(indices[-1]) + 1)
