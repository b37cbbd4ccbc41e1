"""Pixels → digits: where they are in a picture, and the ink of each, by a small network.

The network (model_build/finding) looks at the whole picture at 96 pixels, and says of each cell of
2 x 2 pixels how much of it is a digit's ink, whether it lies in a digit's middle, and whether it is
other writing. A digit that is small there is looked at a second time, alone and larger.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.prepare.boxes import around, cut, is_same, of_part, overlap, sides, within
from classifier.prepare.ink import Piece, quantile, stroke_at
from classifier.prepare.pieces import connected, extent, reach

type Maps = NDArray[np.float32]  # [h, w, 3], 0 to 1: a digit's ink, a digit's middle, other writing
type MapsOf = Callable[[NDArray[np.uint8]], Maps]  # picture [H, W, 3] → maps [H / 2, W / 2, 3]
type Ink = NDArray[np.float32]

_WHOLE = Part(0.0, 1.0, 0.0, 1.0)
SIDE = 96  # pixels of the longer side that the network is shown
_FAINT = (10, 64)  # of 255, from the darkest to the lightest pixel that the network is shown
_MOST_GAIN = 4.0
_MOST_SMALL = 6  # pieces of ink
_LEAST_SMALL = 10  # pixels
CLEAR = 0.7  # score of what a close look shows where the first look saw nothing
_LARGE = 16  # cells: a digit at least as high or wide is seen well enough the first time
_LEAST_DETAIL = 48  # pixels of a close look: the digit has 30, and its sample 20
_LEAST_CLOSE = 5 / 48  # of the longer side: where a smaller digit is shows no better at first
_IN_MIDDLE = (0.5, 0.25, 0.12)  # from here on a cell belongs to a middle: sure ones are taken first
_SURENESS = 2  # power of the score: what looks like a digit comes before what is larger
_LEAST_MIDDLE = 3  # cells
_WRITTEN = 0.45  # of full ink: from here on a cell belongs to a digit
_OTHER = 0.5
_MIDDLE_SHARE = 0.6  # of a digit's height and width that its middle takes (model_build/finding)
_REACH = 1.5  # times the digit's half height and width: ink further away is another's
_LEAST_OTHER = 4  # cells of other writing that count


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
    part = around(box, pixels)
    findings = find(_detail(part, pixels, load_detail), maps_of)
    if findings.has_other:
        return []
    return [digit._replace(box=within(digit.box, part)) for digit in findings.digits]


def zoomed(box: Part, pixels: Pixels, load_detail: DetailLoader | None) -> tuple[Part, Pixels]:
    """The surroundings of a box, and what they show in all detail that there is."""
    part = around(box, pixels)
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
    part = around(digit.box, pixels, least)
    small = _small(_detail(part, pixels, load_detail))
    maps = _maps(_strengthened(small) if _is_faint(small) else small, maps_of)
    candidates = [
        (overlap(closer.box, digit.box), closer.prominence, closer)
        for closer in digits_in(part, maps)
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
    for part in (_WHOLE, around(first.box, pixels)):
        stroke = stroke_at(of_part(first.box, part), cut(pixels, part))
        if stroke is not None:
            box = within(stroke.box, part)
            apart = [other for other in others if not is_same(other.box, box)]
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
        part = around(piece.box, pixels)
        detail = _detail(part, pixels, load_detail)
        least = _LEAST_SMALL / max(detail.shape[:2]) * max(sides(part, pixels))
        digits += [
            look_closer(digit, pixels, maps_of, load_detail, least=0.0)
            for digit in digits_in(part, look(detail, maps_of))
            if overlap(digit.box, piece.box) > 0 and max(sides(digit.box, pixels)) >= least
        ]
    clear = [digit for digit in digits if digit.score >= CLEAR]
    return sorted(clear, key=lambda digit: -digit.prominence)


def _detail(part: Part, pixels: Pixels, load_detail: DetailLoader | None) -> Pixels:
    """A part of the picture with as much detail as a look needs, or all that there is."""
    detail = None
    if load_detail and (part.bottom - part.top) * len(pixels) < _LEAST_DETAIL:
        detail = load_detail(part)
    return cut(pixels, part) if detail is None else detail


def digits_in(part: Part, maps: Maps) -> list[Digit]:
    """Digits that the maps of a part of the picture show, in their places on the picture."""
    return [digit._replace(box=within(digit.box, part)) for digit in digits_of(maps)]


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


def look(pixels: Pixels, maps_of: MapsOf) -> Maps:
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
    small = np.asarray(image_of(pixels).resize(size, method, reducing_gap=1.0))
    return small[:, :, np.newaxis] if channels == 1 else small


def image_of(pixels: Pixels) -> Image.Image:
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
