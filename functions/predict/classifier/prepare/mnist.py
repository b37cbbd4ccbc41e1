"""Pixels → samples: the digits of any picture become samples like those of the training set."""

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import BlankImage
from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.exact import exact_sample, in_grey
from classifier.prepare.ink import (
    BLANK,
    Ink,
    Piece,
    find_ink,
    find_pieces,
    lone_stroke,
    quantile,
    shows_something,
    small_writing,
)

if TYPE_CHECKING:
    from classifier.prepare.finder import Digit, Findings, MapsOf

MAX_DIGITS = 32
_SURE = 0.6  # score of a digit that is not looked at as a stroke, too
_TINY = 8  # cells of the finder's map: it may be no more than a part of an upright stroke
_SCRATCH = 18.0  # height by mean width: no pen draws a small line as thin
_SMALL_FILE = 64  # pixels: a smaller picture is often cropped to its digit
_FULL_INK = 200  # of 255, at least somewhere


class Located(NamedTuple):
    """Samples of a picture and where they come from.

    boxes: of each sample; empty where the whole picture was taken. others: digits beside the one
    that was asked for. scores: how sure the finder is of each sample, 0.0 to 1.0; 0.0 where it saw
    something, but no digit. Empty, as 1.0 for each, where it had no choice.
    """

    samples: list[Sample]
    boxes: list[Part] = []  # noqa: RUF012 - never changed
    others: int = 0
    scores: list[float] = []  # noqa: RUF012 - as above

    def score_of(self, index: int) -> float:
        """How sure the finder is of a sample."""
        return self.scores[index] if self.scores else 1.0


class MnistPipeline(NamedTuple):
    """How MNIST was made (LeCun et al. 1998, section III-A), for any picture of digits.

    height, width: the model's input, in pixels. box: the digit's longer side, in pixels. maps_of:
    finds the digits; without it, everything that stands out from the picture's border is one.
    """

    height: int
    width: int
    box: int = 20
    maps_of: "MapsOf | None" = None

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W], and its parameters.

        Raises ValueError, TypeError or OverflowError for sizes that make no sense.
        """
        _, height, width = shape
        pipeline = cls(int(height), int(width), int(parameters.get("box", 20)))
        if not 0 < pipeline.box <= min(pipeline.height, pipeline.width):
            raise ValueError(
                f"box must be 1 to {min(pipeline.height, pipeline.width)}, got {pipeline.box}"
            )
        return pipeline

    def __call__(
        self, pixels: Pixels, mode: Mode, load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width], white ink on black.

        load_detail: loads a part of the picture in more detail than `pixels`, for a small digit.
        Raises BlankImage when `auto` finds no ink, UnreadableImage for a wrong size in `none`.
        """
        if mode == "none":
            return exact_sample(pixels, self.height, self.width)
        return self.locate(pixels, load_detail).samples[0]

    def locate(
        self, pixels: Pixels, load_detail: DetailLoader | None = None, *, many: bool = False
    ) -> Located:
        """Samples of the most prominent digit of a picture [H, W, C], or of all in reading order.

        Raises BlankImage if nothing is written there.
        """
        if pixels.shape == (self.height, self.width, 1):
            sample = in_grey(pixels)
            if self.is_sample(sample):
                return Located([sample])
        if not self.maps_of:
            return Located([self.normalise(find_ink(pixels, load_detail))])
        from classifier.prepare import drawing  # noqa: PLC0415 - finished samples don't need it

        longer_side = int(max(pixels.shape[:2]))
        if longer_side <= _SMALL_FILE:
            return self._in_margin(pixels, self.maps_of, longer_side // 10 + 2, many=many)
        if drawing.fills(pixels):
            with contextlib.suppress(BlankImage):
                located = self._in_margin(pixels, self.maps_of, longer_side // 4, many=many)
                if located.boxes:
                    return located
        return self._find(pixels, self.maps_of, load_detail, many=many)

    def _in_margin(self, pixels: Pixels, maps_of: "MapsOf", margin: int, *, many: bool) -> Located:
        """The same as `_find`, of a picture with paper around it.

        The finder takes ink at the edge for what lies there.
        """
        located = self._find(_with_margin(pixels, margin), maps_of, None, many=many)
        height, width, _ = pixels.shape
        return located._replace(
            boxes=[_without_margin(box, height, width, margin) for box in located.boxes]
        )

    def _find(
        self, pixels: Pixels, maps_of: "MapsOf", load_detail: DetailLoader | None, *, many: bool
    ) -> Located:
        """Samples of one digit or all, where the finder sees them, or rules see a lone stroke."""
        from classifier.prepare import finder  # noqa: PLC0415 - finished samples don't need it

        located = self._of_drawing(pixels, maps_of, load_detail, many=many)
        if located:
            return located
        findings = finder.find(pixels, maps_of)
        if not findings.digits:
            located = self._lone_stroke(pixels) or self._zoom(
                pixels, maps_of, load_detail, many=many
            )
            return located or self._unseen(findings, pixels, maps_of, load_detail, many=many)
        if many:
            return self._all(findings, pixels, maps_of, load_detail)
        return self._first(findings, pixels, maps_of, load_detail)

    def _first(
        self,
        findings: "Findings",
        pixels: Pixels,
        maps_of: "MapsOf",
        load_detail: DetailLoader | None,
    ) -> Located:
        """The most prominent of the digits of a first look."""
        from classifier.prepare import finder  # noqa: PLC0415 - as above

        first, *others = findings.digits
        closer = finder.look_closer(first, pixels, maps_of, load_detail)
        # Which costs less than the rules for strokes do.
        if closer.score < _SURE and _may_be_stroke(first, pixels):
            if located := self._lone_stroke(pixels):
                return located
            if digits := finder.with_stroke(findings.digits, pixels):
                return self._located(digits, many=False)
        if row := _row(first, pixels, findings):
            return self._located(sorted(row, key=lambda digit: -digit.prominence), many=False)
        return self._located([_plain(closer, pixels), *others], many=False)

    def _all(
        self,
        findings: "Findings",
        pixels: Pixels,
        maps_of: "MapsOf",
        load_detail: DetailLoader | None,
    ) -> Located:
        """All digits around those of a first look."""
        from classifier.prepare import finder  # noqa: PLC0415 - as above

        first = findings.digits[0]
        if first.score < _SURE and _may_be_stroke(first, pixels):
            if located := self._lone_stroke(pixels):
                return located
            digits = finder.with_stroke(findings.digits, pixels)
            if len(digits) == 1:
                return self._located(digits, many=True)
            findings = findings._replace(digits=digits or findings.digits)
        if first.cells <= _TINY and (
            located := self._zoom(pixels, maps_of, load_detail, many=True)
        ):
            return located
        digits = (
            finder.of_pieces(find_pieces(pixels), findings)
            or finder.find_all(findings.digits, pixels, maps_of)
            or findings.digits
        )
        return self._located(digits, many=True)

    def _lone_stroke(self, pixels: Pixels) -> Located | None:
        """An upright stroke, if a picture has nothing else on it."""
        stroke = lone_stroke(pixels)
        return None if stroke is None else self._of_stroke(stroke)

    def _of_stroke(self, stroke: Piece) -> Located:
        return Located([self.normalise(_solid(stroke))], [stroke.box])

    def _zoom(
        self, pixels: Pixels, maps_of: "MapsOf", load_detail: DetailLoader | None, *, many: bool
    ) -> Located | None:
        """All digits of a small part of a picture, or a stroke that is alone there."""
        from classifier.prepare import finder  # noqa: PLC0415 - as above

        box = small_writing(pixels)
        if box is None:
            return None
        part, detail = finder.zoomed(box, pixels, load_detail)
        located = None
        stroke = lone_stroke(detail)
        if stroke is not None and not _is_scratch(stroke.ink):
            located = self._of_stroke(stroke)
        elif stroke is None and many:
            with contextlib.suppress(BlankImage):
                located = self._find(detail, maps_of, None, many=True)
        if not located or not located.samples:
            return None
        return located._replace(boxes=[finder.within(box, part) for box in located.boxes])

    def _unseen(
        self,
        findings: "Findings",
        pixels: Pixels,
        maps_of: "MapsOf",
        load_detail: DetailLoader | None,
        *,
        many: bool,
    ) -> Located:
        """What is on a picture on which a first look saw no digit. Raises BlankImage."""
        from classifier.prepare import finder  # noqa: PLC0415 - as above

        digits: list[Digit] = []
        if not findings.has_other:
            digits = finder.find_small(find_pieces(pixels), pixels, maps_of, load_detail)
        if not digits and (findings.has_other or shows_something(pixels)):
            return self._without_digit(pixels, load_detail, many=many)
        return self._located(digits, many=many)

    def _of_drawing(
        self, pixels: Pixels, maps_of: "MapsOf", load_detail: DetailLoader | None, *, many: bool
    ) -> Located | None:
        """Sample of a drawing that is one stroke, or of a small digit on it; None for others."""
        from classifier.prepare import drawing, finder  # noqa: PLC0415 - as above

        drawn = drawing.find_drawing(pixels)
        if drawn is None:
            return None
        stroke = drawing.straight_stroke(drawn, pixels)
        if stroke is not None:
            return Located([self.normalise(stroke.ink)], [stroke.box])
        box = None if many else drawing.small_part(drawn)
        if box is None:
            return None
        digits = finder.find_in(box, pixels, maps_of, load_detail)
        if not digits or digits[0].score < _SURE:
            return None
        closer = finder.look_closer(digits[0], pixels, maps_of, load_detail)
        return self._located([_plain(closer, pixels), *digits[1:]], many=False)

    def _without_digit(
        self, pixels: Pixels, load_detail: DetailLoader | None, *, many: bool
    ) -> Located:
        """What is there instead of a digit, in case the nearest is asked for."""
        if many:
            return Located([])
        return Located([self.normalise(find_ink(pixels, load_detail))], scores=[0.0])

    def _located(self, digits: "list[Digit]", *, many: bool) -> Located:
        """Samples of the first of some digits, or of all in reading order."""
        from classifier.prepare.finder import in_reading_order  # noqa: PLC0415 - as above

        if not digits:
            raise BlankImage(BLANK)
        answered = in_reading_order(digits[:MAX_DIGITS]) if many else digits[:1]
        return Located(
            [self.normalise(digit.ink) for digit in answered],
            [digit.box for digit in answered],
            len(digits) - len(answered),
            [digit.score for digit in answered],
        )

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole pictures, not reduced ones and parts in detail."""
        return False

    def is_sample(self, picture: Sample) -> bool:
        """Whether a picture [height, width] was made as MNIST already, so that it stays as it is.

        Full ink on pure black, a box of the right size, its centre of mass in the middle. A
        lopsided digit reaches one side of the frame that way, but never two.
        """
        rows, columns = picture.max(axis=1).tobytes(), picture.max(axis=0).tobytes()
        touched = sum(map(bool, (rows[0], rows[-1], columns[0], columns[-1])))
        if touched > 1 or max(rows) < _FULL_INK:
            return False
        longer_side = max(len(rows.strip(b"\0")), len(columns.strip(b"\0")))
        row, column = center_of_mass(picture)
        return (
            abs(longer_side - self.box) <= 1
            and abs(row - self.height / 2) <= 1
            and abs(column - self.width / 2) <= 1
        )

    def normalise(self, ink: Ink) -> Sample:
        """Fit cropped ink [H, W] of 0 to 1 into the box and put its centre of mass in the middle.

        Where the ink is so lopsided that it would leave the frame, it stays at the frame's edge.
        """
        scale = self.box / max(ink.shape)
        if not 0.88 < scale < 1.12:  # nearer to 1, resampling would blur more than it mends
            size = [max(1, round(side * scale)) for side in ink.shape]
            resized = Image.fromarray(ink).resize((size[1], size[0]), Image.Resampling.BICUBIC)
            ink = np.clip(np.asarray(resized), 0, 1)
            ink = ink / max(
                float(quantile(ink.ravel(), 0.97)), 1e-3
            )  # hairlines keep their full black
        frame = np.zeros((self.height, self.width), dtype=np.uint8)
        row, column = center_of_mass(ink)
        top = _offset(self.height, ink.shape[0], row)
        left = _offset(self.width, ink.shape[1], column)
        frame[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(
            np.clip(ink, 0, 1) * 255
        )
        return frame


def center_of_mass(ink: NDArray[np.uint8] | NDArray[np.float32]) -> tuple[float, float]:
    """Row and column of the centre of mass of ink [H, W], in pixels; 0 is paper.

    (0, 0) where there is no ink. Source: LeCun et al. 1998, section III-A.
    """
    rows, columns = ink.sum(axis=1, dtype=np.float64), ink.sum(axis=0, dtype=np.float64)
    total = rows.sum() or 1.0
    row, column = rows @ np.arange(len(rows)), columns @ np.arange(len(columns))
    return float(row / total), float(column / total)


def _with_margin(pixels: Pixels, margin: int) -> Pixels:
    """A picture with a margin of its edge's colour."""
    edges = (pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1])
    height, width, channels = pixels.shape
    wider = np.empty((height + 2 * margin, width + 2 * margin, channels), pixels.dtype)
    wider[:] = np.median(np.concatenate(edges), axis=0)
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
    from classifier.prepare.strokes import filled  # noqa: PLC0415 - as in _plain

    return (filled(stroke) or stroke).ink


def _is_scratch(stroke: Ink) -> bool:
    """Whether a stroke [H, W] is too thin for its height to have been written as a 1."""
    return len(stroke) ** 2 > _SCRATCH * float(stroke.sum())


def _plain(digit: "Digit", pixels: Pixels) -> "Digit":
    """A digit without a shadow or a ring in its ink, and filled if it is hollow."""
    from classifier.prepare.strokes import (  # noqa: PLC0415 - finished samples don't need it
        without_outline,
        without_shadow,
    )

    piece = without_outline(digit.ink, digit.box, pixels)
    if piece is not None:
        return digit._replace(box=piece.box, ink=piece.ink)
    return digit._replace(ink=without_shadow(digit.ink, digit.box, pixels))


def _may_be_stroke(digit: "Digit", pixels: Pixels) -> bool:
    """Whether a digit is slender, or so small that it may be a part of a stroke."""
    (height, width, _), box = pixels.shape, digit.box
    is_slender = (box.bottom - box.top) * height > 2 * (box.right - box.left) * width
    return digit.cells <= _TINY or is_slender


def _row(first: "Digit", pixels: Pixels, findings: "Findings") -> "list[Digit]":
    """Digits of a row that a first look took for one digit, as it is so wide."""
    from classifier.prepare.finder import WIDE, of_pieces  # noqa: PLC0415 - as in _plain

    (height, width, _), box = pixels.shape, first.box
    is_wide = (box.right - box.left) * width > WIDE * (box.bottom - box.top) * height
    is_row = is_wide and not findings.has_other  # beside which it may be a word
    row = of_pieces(find_pieces(pixels), findings) if is_row else []
    return row if len(row) > 1 else []


def _offset(frame: int, length: int, center: float) -> int:
    """Offset that puts `center` of something `length` long on pixel frame/2, as MNIST has it."""
    return min(max(round(frame / 2 - center), 0), frame - length)
