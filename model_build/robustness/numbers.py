"""Pictures of numbers: two to six digits in a row."""

from collections.abc import Sequence

import numpy as np

from model_build.finding.strokes import Strokes
from model_build.robustness.drawing import (
    BLUE,
    DARK,
    PAPERS,
    WHITE,
    Digit,
    Floats,
    Generator,
    cover,
    cropped,
    encode,
    noisy,
    over,
    plain,
)


def draw_number(
    strokes: Strokes, indices: Sequence[int], generator: Generator
) -> tuple[bytes, str]:
    """Draw digits side by side without touching; give the file and the number's text.

    Pen, ink, paper, size, spacing and slope vary: dark on paper as JPEG, or white on black as PNG.
    """
    height = float(generator.uniform(70, 150))
    pen = None if generator.random() < 0.4 else float(generator.uniform(0.07, 0.14))
    gap, slope = generator.uniform(0.14, 0.4) * height, generator.normal(0, 0.04)
    digits = [
        cropped(
            cover(
                Digit(strokes.images[index], strokes.distances[index]),
                height * generator.uniform(0.88, 1.1),
                pen,
            )
        )
        for index in indices
    ]
    row = _side_by_side(digits, gap, slope)
    margins = (generator.uniform(0.25, 1.2, 4) * height).astype(int)
    coverage = np.pad(row, (margins[:2], margins[2:]))
    size = (coverage.shape[1], coverage.shape[0])
    number = "".join(str(strokes.labels[index]) for index in indices)
    if generator.random() < 0.25:
        return encode(over(plain(size, (0, 0, 0)), coverage, WHITE)), number
    paper = plain(size, PAPERS[generator.integers(len(PAPERS))])
    pixels = over(paper, coverage, (DARK, BLUE)[generator.integers(2)])
    return encode(noisy(pixels, 2, generator), "JPEG"), number


def _side_by_side(digits: Sequence[Floats], gap: float, slope: float) -> Floats:
    """Digits on a line that rises or falls, each in columns of its own."""
    lefts = np.cumsum([0, *(digit.shape[1] + gap for digit in digits[:-1])]).astype(int)
    tallest = max(digit.shape[0] for digit in digits)
    tops = [
        int(left * slope + (tallest - digit.shape[0]) / 2)
        for left, digit in zip(lefts, digits, strict=True)
    ]
    tops = [top - min(tops) for top in tops]
    ends = [
        (top + d.shape[0], left + d.shape[1])
        for top, left, d in zip(tops, lefts, digits, strict=True)
    ]
    row = np.zeros(np.max(ends, axis=0), np.float32)
    for digit, top, left in zip(digits, tops, lefts, strict=True):
        row[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return row
