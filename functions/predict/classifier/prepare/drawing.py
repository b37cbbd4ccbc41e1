"""Drawings: ink on a page of one colour, as on a canvas, found without an estimate of its paper.

In microseconds that tells a stroke that is alone, and where the digits are if they are small.
"""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import BlankImage
from classifier.image.pixels import Part, Pixels
from classifier.prepare.ink import Overview, Piece, box_of, direction, is_upright
from classifier.prepare.pieces import border, connected, reach

_SIDE = 128  # pixels on the longer side that are looked at
_PLAIN = 24  # of 255, within which a pixel has the page's colour: some canvases are sent as JPEG
_WHITE = 255
_CLEAR = 96  # of 255: of fainter ink, a part would be taken for the page
_BEND = 0.08  # of a stroke's height, by which it leaves the straight line
_BROAD = 0.25  # of its height
_SMALL = (0.1, 1 / 3)  # of the picture's longer side: below it is dust at times
_PAGE = 0.75  # of the border
_MOST = 0.85  # of the ink
_SHEET = 0.25  # of the picture: no pen covers as much
_INNER = 0.1  # of the ink: a frame has less, a 0 more
_SPANNING = 0.8  # of a side
_DARK = 0.6  # of the most contrast
_TIGHT, _NEAR_SIDE = 0.25, 0.125  # of the longer side
_NARROW = 0.1  # of the longer side: ink nearer to the border is taken for what lies there


def find_drawing(pixels: Pixels) -> NDArray[np.bool_] | None:
    """Where a picture [H, W, C] differs from its page [h, w], if that is upright or a small part.

    None for any other picture, most often after a look at one channel. One pixel of each block is
    looked at, so that a hairline has gaps.
    """
    seen = _seen(pixels)
    drawn: NDArray[np.bool_] | None = None
    for channel in range(seen.shape[2]):
        values = np.ascontiguousarray(seen[:, :, channel])
        page = int(values[0, 0])
        other = values < page - _PLAIN
        if page + _PLAIN < _WHITE:
            other |= values > page + _PLAIN
        drawn = other if drawn is None else drawn | other
        if drawn.any() and not is_upright(drawn) and not small_part(drawn):
            return None
    is_clear = float(np.ptp(seen, axis=(0, 1)).max()) > _CLEAR
    return drawn if is_clear else None


def missing_margin(pixels: Pixels) -> float:
    """Margin that a picture [H, W, C] needs, as a share of its longer side; most often 0.

    Ink at the edge is taken for what lies there, so a digit that comes near to a side needs one if
    nothing touches the border, and a tight crop needs more. The digit is the largest piece of ink.
    """
    seen = _seen(pixels)
    height, width, _ = seen.shape
    near = int(_NARROW * max(height, width))
    bands = seen[:near], seen[-near:], seen[:, :near], seen[:, -near:]
    least = _CLEAR - _PLAIN
    nears = [np.ptp(band) >= least for band in bands]  # in a few µs, over all channels
    if not any(nears):
        return 0.0
    edge = border(seen)
    if all(nears) and _fills(seen, edge, near):
        return _TIGHT
    if np.ptp(edge, axis=0).max() > _PLAIN:
        return 0.0
    if all(np.ptp(band, axis=(0, 1)).max() <= _CLEAR for band in bands):
        return 0.0
    drawn = np.abs(seen - edge[0].astype(np.int16)).max(axis=2) > 2 * _PLAIN
    if drawn.mean() > _SHEET:
        return 0.0
    pieces = connected(drawn)
    amounts = np.bincount(pieces.ravel())
    amounts[0] = 0
    rows, columns = reach(pieces == amounts.argmax())
    away = min(rows.start, height - rows.stop, columns.start, width - columns.stop)
    return _NEAR_SIDE if away < near else 0.0


def _fills(seen: NDArray[Any], edge: NDArray[Any], near: int) -> bool:
    """Whether a picture is cropped so tightly that its ink comes near to all its sides.

    So does nearly all of its ink: beside a bar or a finger, a digit lies in the middle. Never if
    most of the border is not of one colour, as that of a page, or lies around a sheet, nor for a
    frame.
    """
    page = np.partition(edge, len(edge) // 2, axis=0)[len(edge) // 2].astype(np.int16)
    if (np.abs(edge - page).max(axis=1) <= _PLAIN).mean() < _PAGE:
        return False
    contrast = np.abs(seen[:, :, 0] - page[0])
    for channel in range(1, len(page)):
        np.maximum(contrast, np.abs(seen[:, :, channel] - page[channel]), out=contrast)
    drawn = contrast > max(_CLEAR, _DARK * int(contrast.max()))  # ruling is paler than ink
    if not drawn.any() or (contrast > 2 * _PLAIN).mean() > _SHEET:
        return False
    rows, columns = reach(drawn)
    height, width = drawn.shape
    if max(rows.start, height - rows.stop, columns.start, width - columns.stop) >= near:
        return False
    if _is_frame(drawn):
        return False
    pieces = connected(drawn)
    outer = pieces.copy()
    outer[near : height - near, near : width - near] = 0
    amounts = np.bincount(pieces.ravel())
    amounts[0] = 0
    return bool(amounts[np.unique(outer)].sum() > _MOST * amounts.sum())


def _is_frame(drawn: NDArray[np.bool_]) -> bool:
    """Whether what is drawn lies along the sides, from corner to corner, and nowhere else."""
    down, across = (int(_NARROW * length) for length in drawn.shape)
    height, width = drawn.shape
    inner = np.count_nonzero(drawn[down : height - down, across : width - across])
    covered = min(drawn[:down].any(axis=0).mean(), drawn[:, :across].any(axis=1).mean())
    return bool(inner < _INNER * np.count_nonzero(drawn) and covered > _SPANNING)


def straight_stroke(drawn: NDArray[np.bool_], pixels: Pixels) -> Piece | None:
    """The ink of a drawing that is nothing but a straight, upright stroke, most likely a 1."""
    if not is_upright(drawn):
        return None
    written = drawn[reach(drawn)]
    tall, wide = written.shape
    left, right = written.argmax(axis=1), wide - written[:, ::-1].argmax(axis=1)
    middle = (left + right) / 2
    bend = np.abs(middle - np.linspace(middle[0], middle[-1], tall)).max()
    is_solid = written.sum() == (right - left).sum()
    if not is_solid or bend > _BEND * tall or (right - left).max() > _BROAD * tall:
        return None
    seen = _seen(pixels)
    page = seen[0, 0].astype(np.float32)
    ink = direction(seen[drawn].mean(axis=0, dtype=np.float32) - page)
    with contextlib.suppress(BlankImage):
        page = np.broadcast_to(page, seen.shape)
        return Overview(_step(pixels), page, ink, drawn).piece(pixels)
    return None


def small_part(drawn: NDArray[np.bool_]) -> Part | None:
    """Where all of a drawing is, if that is a small part of the picture."""
    rows, columns = reach(drawn)
    longer_side = max(rows.stop - rows.start, columns.stop - columns.start)
    least, most = _SMALL
    return box_of(drawn) if least < longer_side / max(drawn.shape) < most else None


def _seen(pixels: Pixels) -> NDArray[Any]:
    step = _step(pixels)
    return pixels[::step, ::step]


def _step(pixels: Pixels) -> int:
    return int(-(-max(pixels.shape[:2]) // _SIDE))
