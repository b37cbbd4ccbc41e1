"""Pixels → ink: where a picture was written on, whatever the pen, the paper and the light.

    paper     what the page would look like without ink, uneven light included
    colour    the direction, from paper, in which the ink lies: dark or light, any pen
    contrast  ink above the paper's noise, full ink brought to 1
    ruling    printed lines from edge to edge are dropped
    specks    pieces far smaller than the digit are dropped

Dark ink on light paper and light ink on dark paper are the same to it: ink is what differs from
the border of the picture.
"""

import contextlib
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import BlankImage
from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.prepare.boxes import window
from classifier.prepare.pieces import connected, grown, reach
from classifier.prepare.ruling import without_ruling

type Ink = NDArray[np.float32]

_OVERVIEW = 256  # pixels on the longer side: enough to find the digit
_STROKE_OVERVIEW = 128  # or a stroke that is alone
_DETAIL = 128  # of the digit's longer side: six times what a box of 20 can show
_SMALL = 40  # pixels: a digit below that is looked at closer, if there is more to see
_GRID = 64  # cells on the longer side: enough for the light, and to tell specks from strokes
_MIN_CONTRAST = 10.0  # of 255: fainter than this is paper grain, JPEG noise or shadow
BLANK = (
    "the image is blank, or nothing on it looks like a digit; send one dark digit on light "
    "paper, or a light one on dark"
)
SLENDER = 2.2  # height by width, from which on a stroke alone may be a 1
_LEAST_STROKE = 0.15  # of the picture's height
_OPEN, _BROADER = 0.1, 2  # of the rows of a stroke; times their usual width
_MOST_BESIDE = 2  # pieces of ink that are not the stroke
_WRITTEN = 0.2  # of full ink: from here on a pixel belongs to the digit
_LOW = 0.55  # of the usual height: a lower piece is a part of a digit
_WIDE, _FLAT = 1.2, 4.0  # times the usual height; its own: what is wider is a line
_SPECK = 0.15  # of the usual height: what is smaller belongs to no digit
_MOST_PIECES = 64
_SMALL_WRITING = 0.5  # of the picture's longer side
_ICON = 64  # pixels: on a picture this small, anything is drawn on purpose
_DUST = 10  # pixels
_SPANNING = 0.9  # of a side: ink that long is a frame, a line or a shadow
_COVERED = 0.3  # of the picture: ink as wide as that is a sheet on a desk


class Piece(NamedTuple):
    """Ink that hangs together: where it is, as a box and as a mask [h, w] of the whole picture."""

    box: Part
    mask: NDArray[np.bool_]
    ink: Ink


def find_ink(pixels: Pixels, load_detail: DetailLoader | None = None) -> Ink:
    """Ink of a picture [H, W, C], 0 to 255, as [h, w], 0 to 1, cropped to what is written.

    An overview says what the paper is like and where the digit is; the digit itself is then taken
    from the picture. If that shows it too small, `load_detail` loads its surroundings, and the
    ink is found in these. Raises BlankImage if nothing stands out from the paper.
    """
    overview = Overview.of(pixels)
    rows, columns = overview.extent
    longer_side = max(rows.stop - rows.start, columns.stop - columns.start) * overview.step
    if load_detail and longer_side < _SMALL:
        detail = load_detail(_surroundings(rows, columns, overview.kept.shape))
        if detail is not None:
            return find_ink(detail)
    return overview.ink(pixels)


def written_on(pixels: Pixels) -> "Overview | None":
    """Overview of a picture [H, W, C], or None if nothing is written there."""
    try:
        return Overview.of(pixels)
    except BlankImage:
        return None


def find_pieces(pixels: Pixels, overview: "Overview | None") -> list[Piece]:
    """Ink of a picture [H, W, C] by pieces that don't touch, as of the digits of a number.

    What is far lower than the others is a part of the nearest, as the bar of a 5. Empty where
    nothing stands out from the paper, or more than a page of digits.
    """
    if overview is None:
        return []
    labels = connected(overview.kept)
    indices = np.unique(labels[overview.kept])
    if len(indices) > _MOST_PIECES:
        return []
    masks = _joined([labels == index for index in indices])
    pieces = []
    for mask in masks:
        with contextlib.suppress(BlankImage):
            pieces.append(overview._replace(kept=mask).piece(pixels))
    return pieces


def _joined(masks: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """Masks of pieces, each low one joined with the nearest that is not.

    Low is what is far lower than its neighbours to the left and right. Specks are left out, and
    lines below a number.
    """
    extents = [reach(mask) for mask in masks]
    sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in extents]
    amounts = [int(mask.sum()) for mask in masks]
    usual = [
        _usual(
            [
                (sizes[other][0], amounts[other])
                for other in range(len(masks))
                if _gap(extents[index][0], extents[other][0]) <= max(size) / 2
            ]
        )
        for index, size in enumerate(sizes)
    ]
    least = _SPECK * _usual([(height, amounts[i]) for i, (height, _) in enumerate(sizes)])
    high = [index for index, (height, _) in enumerate(sizes) if height >= _LOW * usual[index]]
    joined = {index: masks[index] for index in high if max(sizes[index]) >= least}
    for index, (height, width) in enumerate(sizes):
        is_line = width > max(_WIDE * usual[index], _FLAT * height)
        if joined and index not in joined and max(height, width) >= least and not is_line:
            distance, nearest = min((_distance(extents[index], extents[i]), i) for i in joined)
            if distance < _LOW * usual[index]:
                joined[nearest] = joined[nearest] | masks[index]
    return list(joined.values())


def _usual(pieces: list[tuple[int, int]]) -> int:
    """Median of heights, each weighted by itself and by its amount of ink: specks may be many.

    pieces: height and amount of each.
    """
    remaining = sum(height * amount for height, amount in pieces) / 2
    for height, amount in sorted(pieces):
        remaining -= height * amount
        if remaining <= 0:
            return height
    return 0


def _distance(first: tuple[slice, slice], second: tuple[slice, slice]) -> int:
    """Pixels between two boxes of rows and columns; 0 where they touch."""
    rows, columns = zip(first, second, strict=True)
    return max(_gap(*rows), _gap(*columns))


def _gap(first: slice, second: slice) -> int:
    return int(max(first.start - second.stop, second.start - first.stop, 0))


def lone_stroke(pixels: Pixels) -> Piece | None:
    """The ink of a picture on which nothing is written but one upright stroke: most likely a 1.

    A network takes it for a line or an edge at times. None for any other picture, and for a stroke
    that reaches the border.
    """
    try:
        overview = Overview.of(pixels, _STROKE_OVERVIEW)
        if not is_upright(overview.kept) or _is_column(overview.kept):
            return None
        return overview.piece(pixels)
    except BlankImage:
        return None


def _is_column(written: NDArray[np.bool_]) -> bool:
    """Whether what is written is several pieces that change in width, as digits do, not dashes."""
    written = written[reach(written)]
    if written.any(axis=1).all():
        return False
    rows = written[written.any(axis=1)]
    left, right = rows.argmax(axis=1), rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    widths = right - left
    is_open = np.count_nonzero(rows, axis=1) < widths
    return bool(
        is_open.mean() > _OPEN or widths.max() > _BROADER * quantile(widths.astype(np.float32), 0.5)
    )


def stroke_at(box: Part, pixels: Pixels) -> Piece | None:
    """An upright stroke that the ink in a box of the picture belongs to: most likely a 1.

    There may be a ring around it, and something else, but no line of writing.
    """
    try:
        overview = Overview.of(pixels, _STROKE_OVERVIEW)
        labels = connected(overview.kept)
        if len(np.unique(labels)) > 2 + _MOST_BESIDE:  # the paper and the stroke
            return None
        there = labels[window(box, labels.shape)]
        if not there.any():
            return None
        overview = overview._replace(kept=labels == np.bincount(there[there > 0]).argmax())
        return overview.piece(pixels) if is_upright(overview.kept) else None
    except BlankImage:
        return None


def is_upright(written: NDArray[np.bool_]) -> bool:
    """Whether what is written is as slender as a stroke, of some height, and reaches no border."""
    rows, columns = reach(written)
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    height, width = written.shape
    is_inside = rows.start and columns.start and rows.stop < height and columns.stop < width
    return bool(is_inside and tall >= SLENDER * wide and tall > _LEAST_STROKE * height)


def small_writing(pixels: Pixels, overview: "Overview | None") -> Part | None:
    """Where all ink of a picture is, if that is a small part of it."""
    height, width, _ = pixels.shape
    if overview is None or max(height, width) <= _ICON:
        return None
    box = box_of(overview.kept)
    longer_side = max((box.bottom - box.top) * height, (box.right - box.left) * width)
    return box if longer_side < _SMALL_WRITING * max(height, width) else None


def shows_something(pixels: Pixels, overview: "Overview | None") -> bool:
    """Whether a picture [H, W, C] has ink besides dust, bars, frames, ruling, shadows, sheets."""
    if overview is None:
        return False
    rows, columns = overview.extent
    height, width = overview.kept.shape
    sides = rows.stop - rows.start, columns.stop - columns.start
    ends = rows.start == 0, columns.start == 0, rows.stop == height, columns.stop == width
    is_within = sum(ends) <= 1 and max(sides[0] / height, sides[1] / width) < _SPANNING
    is_mark = is_within and overview.kept.mean() < _COVERED and max(sides) * overview.step >= _DUST
    return bool(is_mark or max(pixels.shape[:2]) <= _ICON)


class Overview(NamedTuple):
    """A picture made small, and what is known of it.

    step: pixels of the picture per side of a pixel of this. page: paper without ink, [h, w, C].
    colour: direction of the ink, [C]. kept: what is written, [h, w].
    """

    step: int
    page: NDArray[np.float32]
    colour: NDArray[np.float32]
    kept: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels: Pixels, side: int = _OVERVIEW) -> Self:
        """Overview of a picture [H, W, C]. Raises BlankImage if nothing is written there."""
        step = -(-max(pixels.shape[:2]) // side)
        overview = _reduce(pixels, step)
        page = paper(overview)
        away = overview - page
        colour = direction(np.einsum("hwc,hw->c", away, np.einsum("hwc,hwc->hw", away, away)))
        kept = without_specks(
            without_ruling(contrast(np.asarray(away @ colour, np.float32)) > _WRITTEN)
        )
        if not kept.any():
            raise BlankImage(BLANK)
        return cls(step, page, colour, kept)

    @property
    def extent(self) -> tuple[slice, slice]:
        """Rows and columns of what is written."""
        return reach(self.kept)

    def piece(self, pixels: Pixels) -> Piece:
        """What is written, as one piece. Raises BlankImage as `ink` does."""
        return Piece(box_of(self.kept), self.kept, self.ink(pixels))

    def ink(self, pixels: Pixels) -> Ink:
        """Ink [h, w] of the picture, 0 to 1, cropped to what is written.

        Raises BlankImage if none is left of it in the picture's own detail.
        """
        window = _Window.around(pixels, *self.extent, self.step)
        away = _reduce(window.cut(pixels), window.step) - window.look_up(self.page)
        ink = contrast(np.asarray(away @ self.colour, dtype=np.float32))
        ink = np.where(window.look_up(grown(self.kept)), ink, 0)
        written = ink > _WRITTEN
        if not written.any():
            raise BlankImage(BLANK)
        return ink[reach(written)]


def box_of(mask: NDArray[np.bool_]) -> Part:
    """Where a mask [H, W] is marked, as a box."""
    height, width = mask.shape
    rows, columns = reach(mask)
    return Part(
        rows.start / height, rows.stop / height, columns.start / width, columns.stop / width
    )


def _surroundings(rows: slice, columns: slice, shape: tuple[int, ...]) -> Part:
    """Part of a picture around rows and columns of its overview, with paper on every side."""
    height, width = shape
    margin = 3 + max(rows.stop - rows.start, columns.stop - columns.start) // 2
    return Part(
        max(rows.start - margin, 0) / height,
        min(rows.stop + margin, height) / height,
        max(columns.start - margin, 0) / width,
        min(columns.stop + margin, width) / width,
    )


def paper(overview: Pixels) -> NDArray[np.float32]:
    """Estimate of the page without ink, [H, W, C] as the overview: light may fall off across it.

    A quadratic surface a channel is fitted to the border first, then to every cell near the fit:
    light that falls off is followed, and ink is not.
    """
    cells = np.asarray(_reduce(overview, -(-max(overview.shape[:2]) // _GRID)), dtype=np.float32)
    return _enlarged(_quadratic(cells), overview.shape[:2])


def _quadratic(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns, channels = cells.shape
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, np.newaxis]
    x = np.linspace(-1, 1, columns, dtype=np.float32)
    terms = np.ones((6, rows, columns), dtype=np.float32)
    terms[1], terms[2], terms[3], terms[4], terms[5] = x, y, x * x, x * y, y * y
    basis = terms.reshape(6, -1)
    flat = cells.reshape(-1, channels)
    ring = np.zeros((rows, columns), dtype=bool)
    ring[[0, -1]] = ring[:, [0, -1]] = True
    border = quantile(flat[ring.ravel()], 0.5)
    planes = np.ascontiguousarray((flat - border).T)
    coefficients = np.zeros((6, channels), dtype=np.float32)
    near = ring.ravel() & (np.abs(planes).max(axis=0) < 60)
    for tolerance in (40, 20, 12):
        count = np.count_nonzero(near)
        if count < 12:  # too little paper to tell its light from the ink
            break
        chosen = basis * near
        ridge = np.diag(1e-3 * count * np.array([0, 1, 1, 1, 1, 1])).astype(np.float32)
        coefficients = np.linalg.solve(chosen @ basis.T + ridge, chosen @ planes.T)
        near = np.abs(planes - coefficients.T @ basis).max(axis=0) < tolerance
    surface = (coefficients.T @ basis).T + border
    return np.asarray(surface.reshape(cells.shape), dtype=np.float32)


def direction(away: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction of an ink [C] from paper; grey ink is as dark in one channel as in three."""
    length = max(float(np.linalg.norm(away)), 1e-6)
    return np.asarray(away / length * (3 / len(away)) ** 0.5, dtype=np.float32)


def contrast(signed: Ink) -> Ink:
    """Ink [H, W] of 0 to 1 from how far each pixel lies from paper, towards the ink positive.

    Raises BlankImage if nothing stands out.
    """
    noise = _noise(signed)
    ink = np.maximum(signed - 2.5 * noise, 0)
    written = ink[ink > otsu(ink[ink > 0])]
    level = float(quantile(written, 0.9)) if written.size else 0.0
    if level < max(_MIN_CONTRAST, 3 * noise):
        raise BlankImage(BLANK)
    return np.asarray(np.minimum(ink / level, 1), dtype=np.float32)


def _noise(signed: Ink) -> float:
    """Standard deviation of the paper, the smaller of two robust estimates.

    On the other side of paper than ink there is noise alone, unless light is uneven; between
    neighbours there is noise alone, unless the picture is soft.
    """
    other_side = -signed[signed < 0]
    steps = np.abs(np.diff(signed, axis=1))
    if not other_side.size or not steps.size:
        return 0.0
    return 1.4826 * min(
        float(quantile(other_side, 0.5)), float(quantile(steps.ravel(), 0.5)) / 2**0.5
    )


def quantile(values: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Quantile of [N, …] along its first axis, linear between neighbours as numpy's own.

    In a tenth of the time, and np.median imports numpy.ma, a fifteenth of a cold start
    (docs/performance.md).
    """
    place = share * (len(values) - 1)
    low, high = int(place), min(int(place) + 1, len(values) - 1)
    sorted_there = np.partition(values, (low, high), axis=0)
    below, above = sorted_there[low], sorted_there[high]
    return np.asarray(below + (above - below) * np.float32(place - low))


def otsu(values: NDArray[np.float32]) -> float:
    """Threshold that splits values into two classes with the most variance between them.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    # In float64, because float32 has no 128 steps between neighbours such as 99.99999 and 100.
    counts, edges = np.histogram(values.astype(np.float64), bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    mass = np.cumsum(counts * centres)
    above = below[-1] - below
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[int(np.argmax(between)) + 1])


def without_specks(written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask [H, W] of the largest connected piece, and of those at least 8 % of its size."""
    step = -(-max(written.shape) // _GRID)
    amount = _reduce(written[:, :, np.newaxis].astype(np.float32), step)[:, :, 0]
    pieces = connected(amount > 0)
    sizes = np.bincount(pieces.ravel(), amount.ravel())
    sizes[0] = 0
    is_kept = sizes >= 0.08 * sizes.max()
    is_kept[0] = False
    kept = is_kept[pieces]
    height, width = written.shape
    return written & kept.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]


class _Window(NamedTuple):
    """Part of a picture, one pixel for `step` x `step`; edges in pixels of the picture."""

    top: int
    bottom: int
    left: int
    right: int
    step: int
    overview_step: int

    @classmethod
    def around(cls, pixels: Pixels, rows: slice, columns: slice, step: int) -> "_Window":
        """Window over the rows and columns of an overview of `step`, with a margin of one."""
        height, width, _ = pixels.shape
        top, bottom = max(rows.start - 1, 0) * step, min((rows.stop + 1) * step, height)
        left, right = max(columns.start - 1, 0) * step, min((columns.stop + 1) * step, width)
        detail = max(1, max(bottom - top, right - left) // _DETAIL)
        return cls(top, bottom, left, right, detail, step)

    def cut(self, pixels: Pixels) -> Pixels:
        return pixels[self.top : self.bottom, self.left : self.right]

    def look_up[T: np.generic](self, overview: NDArray[T]) -> NDArray[T]:
        """Values that an overview [H, W, …] has at the window's pixels."""
        y, x = (
            np.minimum(start + np.arange(0, stop - start, self.step) + self.step // 2, stop - 1)
            // self.overview_step
            for start, stop in ((self.top, self.bottom), (self.left, self.right))
        )
        return overview[np.ix_(y, x)]


def _enlarged(cells: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Cells [h, w, C] brought to [H, W, C], linearly."""
    if cells.shape[:2] == shape:
        return cells
    size = (shape[1], shape[0])
    channels = (
        Image.fromarray(np.ascontiguousarray(cells[:, :, c])) for c in range(cells.shape[2])
    )
    return np.stack([np.asarray(c.resize(size, Image.Resampling.BILINEAR)) for c in channels], 2)


def _reduce(pixels: Pixels, step: int) -> Pixels:
    """Means of blocks of step x step pixels of [H, W, C]; a last, partial block counts as one."""
    if step == 1:
        return pixels
    single = pixels.shape[2] == 1
    reduced = np.asarray(Image.fromarray(pixels[:, :, 0] if single else pixels).reduce(step))
    return reduced[:, :, np.newaxis] if single else reduced
