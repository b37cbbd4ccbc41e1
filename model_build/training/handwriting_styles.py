"""Ways to write a digit that MNIST, written in the United States, hardly holds."""

import numpy as np
from numpy.typing import NDArray

type Ink = NDArray[np.float32]


def change_style(ink: Ink, labels: NDArray[np.int64], generator: np.random.Generator) -> Ink:
    """Write 1 with a flag, and at times a foot, 7 with a bar, and 9 with a hook.

    ink: [N, H, W], 0.0 paper to 1.0 ink; labels: [N]. Half the world writes these three so.
    """
    styled = ink.copy()
    seen = ink.max(axis=(1, 2)) > 0.5
    for index in np.flatnonzero(np.isin(labels, (1, 7, 9)) & seen):
        digit = ink[index]
        rows = np.flatnonzero((digit > 0.5).any(axis=1))

        def at(row: int, digit: Ink = digit) -> tuple[float, float]:
            return float(row), float(np.flatnonzero(digit[row] > 0.5).mean())

        match labels[index]:
            case 1:
                down, left = generator.uniform((2, 3), (9, 8))
                strokes = [(at(rows[0]), (down, -left))]
                if generator.random() < 0.4:
                    (row, column), foot = at(rows[-1]), generator.uniform(2, 6)
                    strokes.append(((row, column - foot), (0, 2 * foot)))
            case 7:
                row, column = at(rows[int(len(rows) * generator.uniform(0.4, 0.65))])
                reach, tilt = generator.uniform(2.5, 6), generator.uniform(-2, 1)
                strokes = [((row - tilt, column - reach), (2 * tilt, 2 * reach))]
            case _:
                up, left = generator.uniform((-1, 3), (3, 9))
                strokes = [(at(rows[-1]), (-up, -left))]
        pen = generator.uniform(0.7, 1.6)
        for start, along in strokes:
            styled[index] = np.maximum(styled[index], _stroke(digit.shape, start, along, pen))
    return styled


def _stroke(
    shape: tuple[int, ...], start: tuple[float, float], along: tuple[float, float], pen: float
) -> Ink:
    """Straight stroke from `start` (row, column) by `along`, `pen` pixels to either side."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    y, x = y - start[0], x - start[1]
    part = np.clip((y * along[0] + x * along[1]) / (along[0] ** 2 + along[1] ** 2), 0, 1)
    away = np.hypot(y - part * along[0], x - part * along[1])
    return np.asarray(np.clip(pen + 0.5 - away, 0, 1), dtype=np.float32)
