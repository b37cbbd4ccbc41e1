"""Pictures → digits: where in any picture the finder sees them, or rules see a stroke."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from classifier.errors import BlankImage
from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.prepare import boxes, drawing, finder, rows
from classifier.prepare.encoding import Sample
from classifier.prepare.finder import Digit, Findings, MapsOf
from classifier.prepare.ink import (
    BLANK,
    Ink,
    Overview,
    Piece,
    find_ink,
    find_pieces,
    lone_stroke,
    shows_something,
    small_writing,
    written_on,
)
from classifier.prepare.located import Located
from classifier.prepare.pieces import border
from classifier.prepare.strokes import filled, without_outline, without_shadow

MAX_DIGITS = 32
_SURE = 0.6  # score of a digit that is not looked at as a stroke, too
_TINY = 8  # cells of the finder's map: it may be no more than a part of an upright stroke
_SCRATCH = 18.0  # height by mean width: no pen draws a small line as thin
_SMALL_FILE = 64  # pixels: a smaller picture is often cropped to its digit


class Search(NamedTuple):
    """How a pipeline looks for digits: for the most prominent, or for many.

    normalise: makes a sample of a digit's ink.
    """

    normalise: Callable[[Ink], Sample]
    maps_of: MapsOf
    many: bool

    def locate(self, pixels: Pixels, load_detail: DetailLoader | None) -> Located:
        """Samples of a picture [H, W, C]; raises BlankImage if nothing is written there."""
        longer_side = int(max(pixels.shape[:2]))
        if longer_side <= _SMALL_FILE:
            return self._in_margin(pixels, longer_side // 10 + 2)
        if margin := int(drawing.missing_margin(pixels) * longer_side):
            with contextlib.suppress(BlankImage):
                located = self._in_margin(pixels, margin)
                if located.boxes:
                    return located
        return self._find(pixels, load_detail)

    def _in_margin(self, pixels: Pixels, margin: int) -> Located:
        """The same as `_find`, of a picture with paper around it.

        The finder takes ink at the edge for what lies there.
        """
        located = self._find(_with_margin(pixels, margin), None)
        height, width, _ = pixels.shape
        return located.placed(lambda box: _without_margin(box, height, width, margin))

    def _find(self, pixels: Pixels, load_detail: DetailLoader | None) -> Located:
        """Samples of one digit or all, where the finder sees them, or rules see a lone stroke."""
        located = self._of_drawing(pixels, load_detail)
        if located:
            return located
        findings = finder.find(pixels, self.maps_of)
        if not findings.digits:
            if located := self._lone_stroke(pixels):
                return located
            overview = written_on(pixels)
            return self._zoom(pixels, overview, load_detail) or self._unseen(
                findings, pixels, overview, load_detail
            )
        if self.many:
            return self._all(findings, pixels, load_detail)
        return self._first(findings, pixels, load_detail)

    def _first(
        self, findings: Findings, pixels: Pixels, load_detail: DetailLoader | None
    ) -> Located:
        """The most prominent of the digits of a first look."""
        first, *others = findings.digits
        closer = finder.look_closer(first, pixels, self.maps_of, load_detail)
        # Which costs less than the rules for strokes do.
        if closer.score < _SURE and _may_be_stroke(first, pixels):
            if located := self._lone_stroke(pixels):
                return located
            if digits := finder.with_stroke(findings.digits, pixels):
                return self._located(digits)
        if row := self._row(first, pixels, findings):
            return self._located(sorted(row, key=lambda digit: -digit.prominence))
        if others and others[0].score >= _SURE:
            others[0] = finder.look_closer(others[0], pixels, self.maps_of, load_detail)
        return self._located([_plain(closer, pixels), *others])

    def _all(self, findings: Findings, pixels: Pixels, load_detail: DetailLoader | None) -> Located:
        """All digits around those of a first look."""
        first = findings.digits[0]
        if first.score < _SURE and _may_be_stroke(first, pixels):
            if located := self._lone_stroke(pixels):
                return located
            digits = finder.with_stroke(findings.digits, pixels)
            if len(digits) == 1:
                return self._located(digits)
            findings = findings._replace(digits=digits or findings.digits)
        overview = written_on(pixels)
        if first.cells <= _TINY and (located := self._zoom(pixels, overview, load_detail)):
            return located
        digits = (
            rows.of_pieces(find_pieces(pixels, overview), findings, pixels, self.maps_of)
            or self._on_sheet(findings, pixels)
            or rows.find_all(findings.digits, pixels, self.maps_of)
            or findings.digits
        )
        return self._located(digits)

    def _on_sheet(self, findings: Findings, pixels: Pixels) -> list[Digit]:
        """Pieces of ink that are digits, where a frame or a desk hides them from the rules."""
        part, near = rows.sheet_of(findings, pixels)
        cut = boxes.cut(pixels, part)
        pieces = [
            piece for piece in find_pieces(cut, written_on(cut)) if not border(piece.mask).any()
        ]
        digits = rows.of_pieces(pieces, near, cut, self.maps_of)
        return [digit._replace(box=boxes.within(digit.box, part)) for digit in digits]

    def _row(self, first: Digit, pixels: Pixels, findings: Findings) -> list[Digit]:
        """Digits of a row that a first look took for one digit, as it is so wide."""
        (height, width, _), box = pixels.shape, first.box
        is_wide = (box.right - box.left) * width > rows.WIDE * (box.bottom - box.top) * height
        is_row = is_wide and not findings.has_other  # beside which it may be a word
        if not is_row:
            return []
        pieces = find_pieces(pixels, written_on(pixels))
        row = rows.of_pieces(pieces, findings, pixels, self.maps_of)
        return row if len(row) > 1 else []

    def _lone_stroke(self, pixels: Pixels) -> Located | None:
        """An upright stroke, if a picture has nothing else on it."""
        stroke = lone_stroke(pixels)
        return None if stroke is None else self._of_stroke(stroke)

    def _of_stroke(self, stroke: Piece) -> Located:
        return Located([self.normalise(_solid(stroke))], [stroke.box])

    def _zoom(
        self, pixels: Pixels, overview: Overview | None, load_detail: DetailLoader | None
    ) -> Located | None:
        """All digits of a small part of a picture, or a stroke that is alone there."""
        box = small_writing(pixels, overview)
        if box is None:
            return None
        part, detail = finder.zoomed(box, pixels, load_detail)
        located = None
        stroke = lone_stroke(detail)
        if stroke is not None and not _is_scratch(stroke.ink):
            located = self._of_stroke(stroke)
        elif stroke is None and self.many:
            with contextlib.suppress(BlankImage):
                located = self._find(detail, None)
        if not located or not located.samples:
            return None
        return located.placed(lambda box: boxes.within(box, part))

    def _unseen(
        self,
        findings: Findings,
        pixels: Pixels,
        overview: Overview | None,
        load_detail: DetailLoader | None,
    ) -> Located:
        """What is on a picture on which a first look saw no digit. Raises BlankImage."""
        digits: list[Digit] = []
        if not findings.has_other:
            pieces = find_pieces(pixels, overview)
            digits = finder.find_small(pieces, pixels, self.maps_of, load_detail)
        if not digits and (findings.has_other or shows_something(pixels, overview)):
            return self._without_digit(pixels, load_detail)
        return self._located(digits)

    def _of_drawing(self, pixels: Pixels, load_detail: DetailLoader | None) -> Located | None:
        """Sample of a drawing that is one stroke, or of a small digit on it; None for others."""
        drawn = drawing.find_drawing(pixels)
        if drawn is None:
            return None
        stroke = drawing.straight_stroke(drawn, pixels)
        if stroke is not None:
            return Located([self.normalise(stroke.ink)], [stroke.box])
        box = None if self.many else drawing.small_part(drawn)
        if box is None:
            return None
        digits = finder.find_in(box, pixels, self.maps_of, load_detail)
        if not digits or digits[0].score < _SURE:
            return None
        closer = finder.look_closer(digits[0], pixels, self.maps_of, load_detail)
        return self._located([_plain(closer, pixels), *digits[1:]])

    def _without_digit(self, pixels: Pixels, load_detail: DetailLoader | None) -> Located:
        """What is there instead of a digit, in case the nearest is asked for."""
        if self.many:
            return Located([])
        return Located([self.normalise(find_ink(pixels, load_detail))], scores=[0.0])

    def _located(self, digits: list[Digit]) -> Located:
        """Samples of the first of some digits, or of all in reading order."""
        if not digits:
            raise BlankImage(BLANK)
        answered = rows.in_reading_order(digits[:MAX_DIGITS]) if self.many else digits[:1]
        located = Located(
            [self.normalise(digit.ink) for digit in answered],
            [digit.box for digit in answered],
            len(digits) - len(answered),
            [digit.score for digit in answered],
        )
        if self.many or len(digits) < 2 or digits[1].score < _SURE:
            return located
        _, second, *_ = digits
        sample = self.normalise(second.ink)
        return located._replace(instead=Located([sample], [second.box], scores=[second.score]))


def _with_margin(pixels: Pixels, margin: int) -> Pixels:
    """A picture with a margin of its edge's colour."""
    height, width, channels = pixels.shape
    wider = np.empty((height + 2 * margin, width + 2 * margin, channels), pixels.dtype)
    wider[:] = np.median(border(pixels), axis=0)
    wider[margin:-margin, margin:-margin] = pixels
    return wider


def _without_margin(box: Part, height: int, width: int, margin: int) -> Part:
    """The same box as shares of the picture without its margin."""

    def share(edge: float, length: int) -> float:
        return min(max((edge * (length + 2 * margin) - margin) / length, 0.0), 1.0)

    return Part(
        share(box.top, height),
        share(box.bottom, height),
        share(box.left, width),
        share(box.right, width),
    )


def _solid(stroke: Piece) -> Ink:
    """Ink of a stroke, filled if it is hollow."""
    return (filled(stroke) or stroke).ink


def _is_scratch(stroke: Ink) -> bool:
    """Whether a stroke [H, W] is too thin for its height to have been written as a 1."""
    return len(stroke) ** 2 > _SCRATCH * float(stroke.sum())


def _plain(digit: Digit, pixels: Pixels) -> Digit:
    """A digit without a shadow or a ring in its ink, and filled if it is hollow."""
    piece = without_outline(digit.ink, digit.box, pixels)
    if piece is not None:
        return digit._replace(box=piece.box, ink=piece.ink)
    return digit._replace(ink=without_shadow(digit.ink, digit.box, pixels))


def _may_be_stroke(digit: Digit, pixels: Pixels) -> bool:
    """Whether a digit is slender, or so small that it may be a part of a stroke."""
    (height, width, _), box = pixels.shape, digit.box
    is_slender = (box.bottom - box.top) * height > 2 * (box.right - box.left) * width
    return digit.cells <= _TINY or is_slender
