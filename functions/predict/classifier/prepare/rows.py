"""Many digits of a picture, by their pieces of ink or window by window, and their order."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import Part, Pixels
from classifier.prepare.boxes import around, cut, is_in, is_same, of_part, overlap
from classifier.prepare.finder import CLEAR, Digit, Findings, MapsOf, digits_in, image_of, look
from classifier.prepare.ink import SLENDER, Ink, Piece, quantile

WIDE = 1.3  # times its height: a piece of two digits, and not a broad 2
_LEAST_SCORE = 0.4  # mean of the map of digits' ink over a piece of ink that is a digit
_ALIKE = 0.6  # of what two boxes cover together
_HIGHER = 1.4  # times a digit's height: that high is a frame, and no row of digits that touch
_LEAST_HEIGHT = 0.6  # of the highest, in a row
_LEAST_ROW = (0.1, 0.3)  # the same of each piece of a row; their mean
_ROOM = (0.5, 1.0)  # above and below digits, and beside them; times the usual height
_FREE = 0.2  # of full ink: at most, between digits
_PAPER = 0.3  # of the contrast between the digits and their paper
_SHOWS_PAPER = 0.1  # of a row of cells: even one that a 1 lies along shows as much
_WINDOW_SHARE = 0.42  # less than half: of windows that overlap by half, one holds it whole
_BESIDE = 0.28  # of a window: room around a row, so that its height takes a single one
_EDGE = 0.03  # of a window: a digit nearer to its edge may go on beyond it
_MOST_WINDOWS = 64


def of_pieces(
    pieces: list[Piece], findings: Findings, pixels: Pixels, maps_of: MapsOf
) -> list[Digit]:
    """Pieces of ink that are digits: a digit each, and none is lost among others.

    A first look may tell; where it doesn't, or for a piece that is too wide to be one digit, a
    close look does. Unless they are a row: empty where they don't account for every digit that a
    first look saw.
    """
    if (row := _row(pieces, findings)) is not None:
        return row
    digits: list[Digit] = []
    accounted: set[int] = set()
    heights = sorted(digit.box.bottom - digit.box.top for digit in findings.digits)
    usual = heights[len(heights) // 2]
    for box, mask, ink in pieces:
        there = {index for index, digit in enumerate(findings.digits) if is_same(digit.box, box)}
        score = _mean(findings.ink, mask)
        height, width = ink.shape
        is_as_high = _LEAST_HEIGHT * usual < box.bottom - box.top < _HIGHER * usual
        if width > WIDE * height and is_as_high and score >= _LEAST_SCORE:
            seen = _window_by_window([box], pixels, maps_of, beyond=_BESIDE)
            parts = [digit for digit in seen if is_in(digit.box, box)]
            if len(parts) > 1:
                digits += _apart(parts)
                accounted |= there
                continue
        if width > WIDE * height and len(there - accounted) > 1:
            return []
        if score < _LEAST_SCORE:
            seen = _look_at(box, pixels, maps_of) if is_as_high else []
            close = [digit.score for digit in seen if overlap(digit.box, box) > _ALIKE]
            score = max(close, default=0.0)
            if score < CLEAR:
                continue
        accounted |= there
        digits.append(Digit(box, ink, score, score))
    return digits if len(accounted) == len(findings.digits) else []


def _look_at(box: Part, pixels: Pixels, maps_of: MapsOf) -> list[Digit]:
    """Digits in the surroundings of a box, seen large."""
    part = around(box, pixels)
    return digits_in(part, look(cut(pixels, part), maps_of))


def _row(pieces: list[Piece], findings: Findings) -> list[Digit] | None:
    """Pieces of nearly the same height as digits, if a first look took their ink for such.

    In a row, a 1 is a hair to the network, and others run together. None for any other pieces.
    """
    heights = sorted(piece.box.bottom - piece.box.top for piece in pieces)
    is_row = (
        len(pieces) > 1
        and heights[0] > _LEAST_HEIGHT * heights[-1]
        and all(ink.shape[1] <= WIDE * ink.shape[0] for _, _, ink in pieces)
    )
    if not is_row:
        return None
    # Between other digits, any upright stroke is a 1.
    broad = [piece for piece in pieces if piece.ink.shape[0] < SLENDER * piece.ink.shape[1]]
    masks = [piece.mask for piece in broad or pieces]
    scores = [_mean(findings.ink, mask) for mask in masks]
    score, (each, mean) = sum(scores) / len(scores), _LEAST_ROW
    other = sum(_mean(findings.other, mask) for mask in masks) / len(masks)
    if min(scores) < each or score < max(mean, other):
        return None
    return [Digit(box, ink, score, float(ink.sum())) for box, _, ink in pieces]


def sheet_of(findings: Findings, pixels: Pixels) -> tuple[Part, Findings]:
    """The part of a picture that all digits of a first look are in, and what it saw there.

    With room for another digit at either side, as a 1 is a hair to the network, as far as the
    digits' own paper goes: not as far as the frame or the desk around it.
    """
    rows, columns = findings.ink.shape
    boxes = [digit.box for digit in findings.digits]
    top = int(min(box.top for box in boxes) * rows)
    bottom = math.ceil(max(box.bottom for box in boxes) * rows)
    left = int(min(box.left for box in boxes) * columns)
    right = math.ceil(max(box.right for box in boxes) * columns)
    heights = sorted(box.bottom - box.top for box in boxes)
    height = heights[len(heights) // 2] * rows
    is_paper = _paper_cells(findings, pixels, np.s_[top:bottom, left:right])
    top, bottom = _as_far(is_paper[:, left:right], top, bottom, int(_ROOM[0] * height))
    left, right = _as_far(is_paper[top:bottom].T, left, right, int(_ROOM[1] * height))
    part = Part(top / rows, bottom / rows, left / columns, right / columns)
    digits = [digit._replace(box=of_part(digit.box, part)) for digit in findings.digits]
    there = np.s_[top:bottom, left:right]
    return part, Findings(digits, findings.ink[there], findings.other[there])


def _paper_cells(
    findings: Findings, pixels: Pixels, written: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Which cells of a map [h, w] have the colour of the paper between the digits."""
    rows, columns = findings.ink.shape
    size = columns, rows
    cells = np.asarray(image_of(pixels).resize(size, Image.Resampling.BOX), np.float32)
    cells = cells.reshape(rows, columns, -1)
    is_free = np.maximum(findings.ink, findings.other)[written] < _FREE
    if not is_free.any():
        return np.ones((rows, columns), dtype=bool)
    away = np.abs(cells - quantile(cells[written][is_free], 0.5)).max(axis=2)
    return np.asarray(away < _PAPER * away[written].max())


def _as_far(is_paper: NDArray[np.bool_], first: int, last: int, room: int) -> tuple[int, int]:
    """The first and the last of some rows, and of up to so many more that show some paper."""
    shows = is_paper.mean(axis=1) > _SHOWS_PAPER
    start, stop = first, last
    while start > max(first - room, 0) and shows[start - 1]:
        start -= 1
    while stop < min(last + room, len(shows)) and shows[stop]:
        stop += 1
    return start, stop


def _mean(values: Ink, mask: NDArray[np.bool_]) -> float:
    """Mean of a map [h, w] over a piece; 0 where Pillow's rounding leaves nothing of a hairline."""
    shares = _shrunk(mask, values.shape)
    return float((shares * values).sum() / max(float(shares.sum()), 1e-9))


def _shrunk(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Ink:
    """How much of each cell of a map a mask covers, float32 [h, w]."""
    image = Image.fromarray(mask.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BOX))


def find_all(digits: list[Digit], pixels: Pixels, maps_of: MapsOf) -> list[Digit]:
    """All digits around those of a first look, each seen large: the picture window by window."""
    boxes = [digit.box for digit in digits]
    return _apart(_window_by_window(boxes, pixels, maps_of, beyond=1.0) + digits)


def _window_by_window(
    boxes: list[Part], pixels: Pixels, maps_of: MapsOf, *, beyond: float
) -> list[Digit]:
    """Digits in and around some boxes, each seen large, some of them several times.

    beyond: how far around the boxes, in sides of a window.

    A row of digits is so small at a first look that a 1 is a hair. The windows overlap by half, so
    that each digit is whole in one of them.
    """
    height, width, _ = pixels.shape
    heights = sorted((box.bottom - box.top) * height for box in boxes)
    side = max(heights[len(heights) // 2] / _WINDOW_SHARE, 8.0)
    tops, lefts = (
        _starts(
            min(getattr(box, start) for box in boxes) * length,
            max(getattr(box, stop) for box in boxes) * length,
            side,
            beyond * side,
            length,
        )
        for start, stop, length in (("top", "bottom", height), ("left", "right", width))
    )
    seen: list[Digit] = []
    for top, left in itertools.islice(itertools.product(tops, lefts), _MOST_WINDOWS):
        part = Part(
            top / height,
            min(top + side, height) / height,
            left / width,
            min(left + side, width) / width,
        )
        seen += [
            digit
            for digit in digits_in(part, look(cut(pixels, part), maps_of))
            if not _is_cut_off(digit.box, part)
        ]
    return seen


def _apart(seen: list[Digit]) -> list[Digit]:
    """Each digit once, as it was seen best; what is less than half as high as usual is a piece."""
    whole: list[Digit] = []
    for digit in sorted(seen, key=lambda digit: -round(digit.score, 1)):
        if all(not is_same(digit.box, other.box) for other in whole):
            whole.append(digit)
    usual = sorted(digit.box.bottom - digit.box.top for digit in whole)[len(whole) // 2]
    return [digit for digit in whole if digit.box.bottom - digit.box.top > usual / 2]


def _starts(first: float, last: float, side: float, beyond: float, length: int) -> list[float]:
    """Where windows begin that reach from somewhat before one place to as much behind another."""
    start = max(first - beyond, 0.0)
    stop = min(last + beyond, float(length)) - side
    steps = max(math.ceil((stop - start) / (side / 2)), 0)
    return [start + (stop - start) * step / max(steps, 1) for step in range(steps + 1)]


def _is_cut_off(box: Part, part: Part) -> bool:
    """Whether a box touches an edge of a part that is not an edge of the picture."""
    down, across = _EDGE * (part.bottom - part.top), _EDGE * (part.right - part.left)
    return (
        (box.top <= part.top + down and part.top > 0)
        or (box.left <= part.left + across and part.left > 0)
        or (box.bottom >= part.bottom - down and part.bottom < 1)
        or (box.right >= part.right - across and part.right < 1)
    )


def in_reading_order(digits: list[Digit]) -> list[Digit]:
    """Order digits by line, from top to bottom, and from left to right in each."""
    lines: list[list[Digit]] = []
    for digit in sorted(digits, key=lambda digit: digit.box.top + digit.box.bottom):
        for line in lines:
            if _is_beside(digit.box, line[-1].box) or _is_beside(line[-1].box, digit.box):
                line.append(digit)
                break
        else:
            lines.append([digit])
    return [digit for line in lines for digit in sorted(line, key=lambda digit: digit.box.left)]


def _is_beside(first: Part, second: Part) -> bool:
    """Whether the middle of a box is as high as a part of another: cents, an exponent, a row."""
    return second.top < (first.top + first.bottom) / 2 < second.bottom
