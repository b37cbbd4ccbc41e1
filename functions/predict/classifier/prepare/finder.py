"""Pixels → digits: where they are in a picture, and the ink of each, by a small network.

The network (model_build/finding) looks at the whole picture at 96 pixels, and says of each cell of
2 x 2 pixels how much of it is a digit's ink, whether it lies in a digit's middle, and whether it is
other writing. A digit that is small there is looked at a second time, alone and larger.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.prepare.ink import SLENDER, Piece, quantile, stroke_at
from classifier.prepare.pieces import connected, extent, reach, window

type Maps = NDArray[np.float32]  # [h, w, 3], 0 to 1: a digit's ink, a digit's middle, other writing
type MapsOf = Callable[[NDArray[np.uint8]], Maps]  # picture [H, W, 3] → maps [H / 2, W / 2, 3]
type Ink = NDArray[np.float32]

_WHOLE = Part(0.0, 1.0, 0.0, 1.0)
SIDE = 96  # pixels of the longer side that the network is shown
_FAINT = (10, 64)  # of 255, from the darkest to the lightest pixel that the network is shown
_MOST_GAIN = 4.0
_MOST_SMALL = 6  # pieces of ink
_LEAST_SMALL = 10  # pixels
_CLEAR = 0.7  # score of what a close look shows where the first look saw nothing
_LARGE = 16  # cells: a digit at least as high or wide is seen well enough the first time
_CLOSE_SHARE = 0.62  # of the longer side that a digit takes when it is looked at again
_LEAST_DETAIL = 48  # pixels of a close look: the digit has 30, and its sample 20
_LEAST_CLOSE = 5 / 48  # of the longer side: where a smaller digit is shows no better at first
_WINDOW_SHARE = 0.42  # less than half: of windows that overlap by half, one holds it whole
_IN_MIDDLE = (0.5, 0.25, 0.12)  # from here on a cell belongs to a middle: sure ones are taken first
_SURENESS = 2  # power of the score: what looks like a digit comes before what is larger
_LEAST_MIDDLE = 3  # cells
_WRITTEN = 0.45  # of full ink: from here on a cell belongs to a digit
_OTHER = 0.5
_SAME = 0.4  # of the smaller of two boxes: as much within the other is the same digit
_EDGE = 0.03  # of a window: a digit nearer to its edge may go on beyond it
_MOST_WINDOWS = 64
_MIDDLE_SHARE = 0.6  # of a digit's height and width that its middle takes (model_build/finding)
_REACH = 1.5  # times the digit's half height and width: ink further away is another's
_LEAST_OTHER = 4  # cells of other writing that count
_ROOM = (0.5, 1.0)  # above and below digits, and beside them; times the usual height
_FREE = 0.2  # of full ink: at most, between digits
_PAPER = 0.3  # of the contrast between the digits and their paper
_SHOWS_PAPER = 0.1  # of a row of cells: even one that a 1 lies along shows as much
WIDE = 1.3  # times its height: a piece of two digits, and not a broad 2
_LEAST_SCORE = 0.4  # mean of the map of digits' ink over a piece of ink that is a digit
_MOSTLY = 0.6  # of a box
_ALIKE = 0.6  # of what two boxes cover together
_HIGHER = 1.4  # times a digit's height: that high is a frame, and no row of digits that touch
_LEAST_ROW = (0.1, 0.3)  # the same of each piece of a row; their mean
_LEAST_HEIGHT = 0.6  # of the highest, in a row


class Digit(NamedTuple):
    """One digit of a picture.

    box: where it is. ink: [h, w] of 0 to 1, cropped to it. score: of its middle, 0 to 1.
    """

    box: Part
    ink: Ink
    score: float
    prominence: float  # the higher, the more likely this one is meant

    @property
    def cells(self) -> int:
        """Height or width in cells of the map, whichever is more."""
        return max(len(self.ink), len(self.ink[0]))


class Findings(NamedTuple):
    """Digits of a picture, the most prominent first.

    ink: [h, w] of all digits. other: [h, w] of other writing.
    """

    digits: list[Digit]
    ink: Ink
    other: Ink

    @property
    def has_other(self) -> bool:
        """Whether there is other writing."""
        return bool((self.other > _OTHER).sum() >= _LEAST_OTHER)


def find_in(
    box: Part, pixels: Pixels, maps_of: MapsOf, load_detail: DetailLoader | None
) -> list[Digit]:
    """Find the digits in a box by a close look alone; none if there is other writing."""
    part = _around(box, pixels)
    findings = find(_detail(part, pixels, load_detail), maps_of)
    if findings.has_other:
        return []
    return [digit._replace(box=within(digit.box, part)) for digit in findings.digits]


def zoomed(box: Part, pixels: Pixels, load_detail: DetailLoader | None) -> tuple[Part, Pixels]:
    """The surroundings of a box, and what they show in all detail that there is."""
    part = _around(box, pixels)
    detail = load_detail(part) if load_detail else None
    return part, cut(pixels, part) if detail is None else detail


def find(pixels: Pixels, maps_of: MapsOf) -> Findings:
    """Find the digits of a picture [H, W, C], 0 to 255, as they show at a first look."""
    small = _small(pixels)
    maps = _maps(small, maps_of)
    digits = digits_of(maps)
    if digits and _is_faint(small):  # where nothing was seen, dust would become a digit
        maps = _maps(_strengthened(small), maps_of)
        digits = digits_of(maps)
    digits.sort(key=lambda digit: -digit.prominence)
    return Findings(digits, maps[:, :, 0], maps[:, :, 2])


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
        there = {
            index for index, digit in enumerate(findings.digits) if _covered(digit.box, box) > _SAME
        }
        score = _mean(findings.ink, mask)
        height, width = ink.shape
        is_as_high = _LEAST_HEIGHT * usual < box.bottom - box.top < _HIGHER * usual
        if width > WIDE * height and is_as_high and score >= _LEAST_SCORE:
            seen = _window_by_window([box], pixels, maps_of)
            parts = [digit for digit in seen if _is_in(digit.box, box)]
            if len(parts) > 1:
                digits += _apart(parts)
                accounted |= there
                continue
        if width > WIDE * height and len(there - accounted) > 1:
            return []
        if score < _LEAST_SCORE:
            seen = _look_at(box, pixels, maps_of) if is_as_high else []
            close = [digit.score for digit in seen if _overlap(digit.box, box) > _ALIKE]
            score = max(close, default=0.0)
            if score < _CLEAR:
                continue
        accounted |= there
        digits.append(Digit(box, ink, score, score))
    return digits if len(accounted) == len(findings.digits) else []


def _look_at(box: Part, pixels: Pixels, maps_of: MapsOf) -> list[Digit]:
    """Digits in the surroundings of a box, seen large."""
    part = _around(box, pixels)
    return _digits_in(part, _look(cut(pixels, part), maps_of))


def _is_in(first: Part, second: Part) -> bool:
    """Whether most of a box lies in another."""
    return _common(first, second) > _MOSTLY * _area(first)


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
    digits = [digit._replace(box=_of_part(digit.box, part)) for digit in findings.digits]
    there = np.s_[top:bottom, left:right]
    return part, Findings(digits, findings.ink[there], findings.other[there])


def _paper_cells(
    findings: Findings, pixels: Pixels, written: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Which cells of a map [h, w] have the colour of the paper between the digits."""
    rows, columns = findings.ink.shape
    size = columns, rows
    cells = np.asarray(_image(pixels).resize(size, Image.Resampling.BOX), np.float32)
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
    return _apart(_window_by_window(boxes, pixels, maps_of) + digits)


def _window_by_window(boxes: list[Part], pixels: Pixels, maps_of: MapsOf) -> list[Digit]:
    """Digits in and around some boxes, each seen large, some of them several times.

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
            for digit in _digits_in(part, _look(cut(pixels, part), maps_of))
            if not _is_cut_off(digit.box, part)
        ]
    return seen


def _apart(seen: list[Digit]) -> list[Digit]:
    """Each digit once, as it was seen best; what is less than half as high as usual is a piece."""
    whole: list[Digit] = []
    for digit in sorted(seen, key=lambda digit: -round(digit.score, 1)):
        if all(_covered(digit.box, other.box) < _SAME for other in whole):
            whole.append(digit)
    usual = sorted(digit.box.bottom - digit.box.top for digit in whole)[len(whole) // 2]
    return [digit for digit in whole if digit.box.bottom - digit.box.top > usual / 2]


def _starts(first: float, last: float, side: float, length: int) -> list[float]:
    """Where windows begin that reach from a side before one place to a side behind another."""
    start = max(first - side, 0.0)
    stop = min(last + side, float(length)) - side
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


def look_closer(
    digit: Digit,
    pixels: Pixels,
    maps_of: MapsOf,
    load_detail: DetailLoader | None,
    least: float = _LEAST_CLOSE,
) -> Digit:
    """The same digit with all the detail that a sample can show.

    least: share of the picture's longer side that is looked at, where the digit is smaller.
    """
    if digit.cells >= _LARGE:
        return digit
    part = _around(digit.box, pixels, least)
    small = _small(_detail(part, pixels, load_detail))
    maps = _maps(_strengthened(small) if _is_faint(small) else small, maps_of)
    candidates = [
        (_overlap(closer.box, digit.box), closer.prominence, closer)
        for closer in _digits_in(part, maps)
    ]
    if not candidates:
        return digit
    # The box of a few cells may lie beside the digit: then it is what shows best.
    *_, closer = max(candidates, key=lambda candidate: candidate[:2])
    closer = closer._replace(score=max(closer.score, digit.score))
    return look_closer(closer, pixels, maps_of, load_detail, least=0.0) if least else closer


def with_stroke(digits: list[Digit], pixels: Pixels) -> list[Digit]:
    """The same digits, the first with all of its ink, if rules see that it is an upright stroke.

    Empty for any other. What else was seen on the stroke belongs to it. On a tile or a desk, the
    rules see the stroke only near by.
    """
    if not digits:
        return []
    first, *others = digits
    for part in (_WHOLE, _around(first.box, pixels)):
        stroke = stroke_at(_of_part(first.box, part), cut(pixels, part))
        if stroke is not None:
            box = within(stroke.box, part)
            apart = [other for other in others if _covered(other.box, box) < _SAME]
            return [Digit(box, stroke.ink, 1.0, first.prominence), *apart]
    return []


def find_small(
    pieces: list[Piece], pixels: Pixels, maps_of: MapsOf, load_detail: DetailLoader | None
) -> list[Digit]:
    """Digits too small for a first look, the most prominent first: ink that the paper shows.

    Empty for so many pieces that they are rather grain than writing. A piece of a few pixels is
    dust.
    """
    if len(pieces) > _MOST_SMALL:
        return []
    digits: list[Digit] = []
    for piece in pieces:
        part = _around(piece.box, pixels)
        detail = _detail(part, pixels, load_detail)
        least = _LEAST_SMALL / max(detail.shape[:2]) * max(_sides(part, pixels))
        digits += [
            look_closer(digit, pixels, maps_of, load_detail, least=0.0)
            for digit in _digits_in(part, _look(detail, maps_of))
            if _overlap(digit.box, piece.box) > 0 and max(_sides(digit.box, pixels)) >= least
        ]
    clear = [digit for digit in digits if digit.score >= _CLEAR]
    return sorted(clear, key=lambda digit: -digit.prominence)


def _detail(part: Part, pixels: Pixels, load_detail: DetailLoader | None) -> Pixels:
    """A part of the picture with as much detail as a look needs, or all that there is."""
    detail = None
    if load_detail and (part.bottom - part.top) * len(pixels) < _LEAST_DETAIL:
        detail = load_detail(part)
    return cut(pixels, part) if detail is None else detail


def _digits_in(part: Part, maps: Maps) -> list[Digit]:
    """Digits that the maps of a part of the picture show, in their places on the picture."""
    return [digit._replace(box=within(digit.box, part)) for digit in digits_of(maps)]


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


def digits_of(maps: Maps) -> list[Digit]:
    """Digits of maps [h, w, 3]: each has a middle of its own, and the ink that is nearest to it."""
    middles = _middles(maps[:, :, 1])
    if not middles:
        return []
    rows, columns, _ = maps.shape
    y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    away = [
        (np.abs(y - middle.row) / middle.half_height, np.abs(x - middle.column) / middle.half_width)
        for middle in middles
    ]
    nearest = None
    if len(middles) > 1:
        nearest = np.argmin([np.maximum.outer(down, across) for down, across in away], axis=0)
    digits = []
    for index, (middle, (below, beside)) in enumerate(zip(middles, away, strict=True)):
        near = extent(below < _REACH), extent(beside < _REACH)
        ink = np.ascontiguousarray(maps[:, :, 0][near])
        if nearest is not None:
            ink = np.where(nearest[near] == index, ink, np.float32(0))
        written = ink > _WRITTEN
        if not written.any():
            continue
        down, across = reach(written)
        top, left = near[0].start, near[1].start
        box = Part(
            (top + down.start) / rows,
            (top + down.stop) / rows,
            (left + across.start) / columns,
            (left + across.stop) / columns,
        )
        off = math.hypot(middle.row / rows - 0.5, middle.column / columns - 0.5)
        prominence = float(ink.sum()) * middle.score**_SURENESS * (1 - off / 2)
        digits.append(Digit(box, ink[down, across], middle.score, prominence))
    return digits


class _Middle(NamedTuple):
    """Middle of a digit, and half of the digit's height and width, in cells."""

    row: float
    column: float
    half_height: float
    half_width: float
    score: float

    @property
    def surroundings(self) -> tuple[slice, slice]:
        """Rows and columns of the whole digit and a little more: no other has its middle there."""
        down, across = 1.2 * self.half_height, 1.2 * self.half_width
        return (
            slice(max(int(self.row - down), 0), math.ceil(self.row + down)),
            slice(max(int(self.column - across), 0), math.ceil(self.column + across)),
        )


def _middles(scores: NDArray[np.float32]) -> list[_Middle]:
    """Middles of digits: first the sure ones, which lie apart, then the unsure ones elsewhere."""
    middles: list[_Middle] = []
    possible = scores > _IN_MIDDLE[-1]
    if np.count_nonzero(possible) < _LEAST_MIDDLE:
        return []
    place = reach(possible)
    top, left = place[0].start, place[1].start
    near = np.ascontiguousarray(scores[place])
    free = np.ones(scores.shape, dtype=bool)
    for threshold in _IN_MIDDLE:
        mask = (near > threshold) & free[place]
        if np.count_nonzero(mask) < _LEAST_MIDDLE:
            continue
        pieces = connected(mask)
        for piece in sorted(set(pieces.ravel().tolist()) - {0}):
            own = pieces == piece
            if np.count_nonzero(own) < _LEAST_MIDDLE:
                continue
            down, across = reach(own)
            middle = _Middle(
                top + (down.start + down.stop) / 2,
                left + (across.start + across.stop) / 2,
                (down.stop - down.start) / 2 / _MIDDLE_SHARE,
                (across.stop - across.start) / 2 / _MIDDLE_SHARE,
                float(near[own].mean()),
            )
            middles.append(middle)
        for middle in middles:
            free[middle.surroundings] = False
    return middles


def _look(pixels: Pixels, maps_of: MapsOf) -> Maps:
    """Maps of a picture, its longer side brought to 96 pixels."""
    return _maps(_small(pixels), maps_of)


def _is_faint(small: NDArray[np.uint8]) -> bool:
    return _FAINT[0] < int(small.max()) - int(small.min()) < _FAINT[1]


def _strengthened(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A faint picture with more contrast: of a pencil's hair the network sees pieces."""
    contrast = int(small.max()) - int(small.min())
    paper = quantile(small.astype(np.float32).ravel(), 0.5)
    gain = min(_MOST_GAIN, 2 * _FAINT[1] / contrast)
    return np.asarray(np.clip((small - paper) * gain + paper, 0, 255), dtype=np.uint8)


def _small(pixels: Pixels) -> NDArray[np.uint8]:
    """A picture [h, w, C], its longer side brought to 96 pixels."""
    height, width, channels = pixels.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.BICUBIC
    small = np.asarray(_image(pixels).resize(size, method, reducing_gap=1.0))
    return small[:, :, np.newaxis] if channels == 1 else small


def _image(pixels: Pixels) -> Image.Image:
    whole = np.asarray(pixels if pixels.dtype == np.uint8 else np.rint(pixels), dtype=np.uint8)
    return Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else whole)


def _maps(small: NDArray[np.uint8], maps_of: MapsOf) -> Maps:
    rows, columns, _ = small.shape
    shown = np.empty((SIDE, SIDE, 3), dtype=np.uint8)  # np.pad takes ten times as long
    shown[:rows, :columns] = small
    shown[rows:, :columns] = small[-1]
    shown[:, columns:] = shown[:, columns - 1 : columns]
    maps = maps_of(shown)
    return maps[: -(-rows // 2), : -(-columns // 2)]


def cut(pixels: Pixels, part: Part) -> Pixels:
    return pixels[window(part, pixels.shape)]


def _around(box: Part, pixels: Pixels, least: float = 0.0) -> Part:
    """A square around a box, as far as the picture goes, in which the digit fills a good part.

    least: share of the picture's longer side that the digit is assumed to have.
    """
    height, width, _ = pixels.shape
    half = max(*_sides(box, pixels), least * max(height, width)) / _CLOSE_SHARE / 2
    row, column = (box.top + box.bottom) / 2 * height, (box.left + box.right) / 2 * width
    return Part(
        max(row - half, 0) / height,
        min(row + half, height) / height,
        max(column - half, 0) / width,
        min(column + half, width) / width,
    )


def _sides(box: Part, pixels: Pixels) -> tuple[float, float]:
    """Height and width of a box in pixels."""
    height, width, _ = pixels.shape
    return (box.bottom - box.top) * height, (box.right - box.left) * width


def within(box: Part, part: Part) -> Part:
    """A box of a part of the picture, as a box of the picture."""
    height, width = part.bottom - part.top, part.right - part.left
    return Part(
        part.top + box.top * height,
        part.top + box.bottom * height,
        part.left + box.left * width,
        part.left + box.right * width,
    )


def _of_part(box: Part, part: Part) -> Part:
    """A box of the picture, as a box of a part of it: the inverse of `within`."""
    height, width = part.bottom - part.top, part.right - part.left
    return Part(
        (box.top - part.top) / height,
        (box.bottom - part.top) / height,
        (box.left - part.left) / width,
        (box.right - part.left) / width,
    )


def _overlap(first: Part, second: Part) -> float:
    """Common area of two boxes by the area that they cover together."""
    common = _common(first, second)
    return common / max(_area(first) + _area(second) - common, 1e-9)


def _covered(first: Part, second: Part) -> float:
    """Common area of two boxes by the area of the smaller."""
    return _common(first, second) / max(min(_area(first), _area(second)), 1e-9)


def _common(first: Part, second: Part) -> float:
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    width = min(first.right, second.right) - max(first.left, second.left)
    return max(height, 0.0) * max(width, 0.0)


def _area(box: Part) -> float:
    return (box.bottom - box.top) * (box.right - box.left)
