"""Ink that is not the digit's stroke: a shadow's edge, a ring around it, a hollow one's outline."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import BlankImage
from classifier.image.pixels import Part, Pixels
from classifier.prepare.boxes import window
from classifier.prepare.ink import Ink, Overview, Piece, quantile
from classifier.prepare.pieces import connected, extent, grown, reach

type Mask = NDArray[np.bool_]

_PAPER = 0.2  # of full ink: at most
_UNSURE = (0.25, 0.75)  # of full ink
_SHADED = 0.3  # of the ink that is unsure, from which on it may be a shadow
_FULL = 0.85
_LEAST_CELLS = 4
_SHADOW = (0.45, 0.2)  # of the ink's contrast: up to here it is shadow, and as much further none
_WRITTEN = 0.45
_LEAST_WRITTEN = 10  # cells

_ANY = 0.2  # of full ink: a ring is paler than the digit within
_RINGED = 0.1  # of the rows, and of the columns, that cross ink three times
_CLEAR = 0.6  # of full ink
_TWO_SIDED = (0.6, 0.45)  # of the rows and of the columns that cross ink twice
_LEAST_WITHIN = 0.45  # of a ring's height
_HOLLOW = 1.8  # times the ink: what an outline encloses. A 0 of a thin pen encloses as much,
_BROAD = 0.29  # of the longer side, but that is broader than a stroke
_HOLE = 0.12  # of a map's longer side: what is twice as broad is a hole and no hollow stroke
_MARGIN = 6  # pixels: the outline may go on beyond what the network took for ink


def without_shadow(digit: Ink, box: Part, pixels: Pixels) -> Ink:
    """A digit [h, w] of 0 to 1 without what is not nearly as dark as its surest ink.

    box: its place on the picture. The network takes the stripes of a blind for strokes, but is
    unsure of them.
    """
    written = np.count_nonzero(digit > _UNSURE[0])
    unsure = written - np.count_nonzero(digit > _UNSURE[1])
    full, paper = digit > _FULL, digit < _PAPER
    if (
        unsure < _SHADED * written
        or min(np.count_nonzero(full), np.count_nonzero(paper)) < _LEAST_CELLS
    ):
        return digit
    height, width = digit.shape
    shown = pixels[window(box, pixels.shape)]
    if shown.shape[0] < 2 * height or shown.shape[1] < 2 * width:  # no more than the network saw
        return digit
    image = Image.fromarray((shown[:, :, 0] if shown.shape[2] == 1 else shown).astype(np.uint8))
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
    small = small.reshape(height, width, -1)
    ground = quantile(small[paper], 0.5)
    ink = quantile(small[full], 0.5) - ground
    contrast = (small - ground) @ ink / max(float(ink @ ink), 1.0)
    kept = digit * np.clip((contrast - _SHADOW[0]) / _SHADOW[1], 0, 1)
    mask = kept > _WRITTEN
    if np.count_nonzero(mask) < _LEAST_WRITTEN:
        return digit
    return np.ascontiguousarray(kept[reach(mask)], dtype=np.float32)


def without_outline(digit: Ink, box: Part, pixels: Pixels) -> Piece | None:
    """The digit within a ring, or a hollow digit filled; None for any other.

    digit: [h, w] of 0 to 1, as found in a box of the picture.
    """
    written, clear = digit > _ANY, digit > _CLEAR
    is_ringed = _crossing(written, 3) > _RINGED and _crossing(written.T, 3) > _RINGED
    rows, columns = _TWO_SIDED
    is_two_sided = (
        _crossing(clear, 2) > rows and _crossing(clear.T, 2) > columns and not _has_hole(digit)
    )
    if not is_ringed and not is_two_sided:
        return None
    try:
        overview = Overview.of(pixels)
        within = _within_ring(overview, box) if is_ringed else None
        if within is not None:
            return within.piece(pixels)
    except BlankImage:
        return None
    return filled(Piece(box, overview.kept, digit)) if is_two_sided else None


def filled(piece: Piece) -> Piece | None:
    """A piece that is the outline of a stroke, filled; None for any other."""
    written = piece.mask[window(piece.box, piece.mask.shape, _MARGIN)]
    paper = connected(np.pad(~grown(written), 1, constant_values=True))[1:-1, 1:-1]
    regions = np.unique(paper[_enclosed(paper)])
    if len(regions) != 1:
        return None  # an outlined 8 has holes, and reads well as it is
    inside = grown(paper == regions[0]) & ~written
    if inside.sum() < _HOLLOW * written.sum():
        return None
    if _is_broad(inside, _BROAD / 2):
        return None
    ink = inside | written
    return piece._replace(ink=ink[reach(ink)].astype(np.float32))


def _has_hole(digit: Ink) -> bool:
    """Whether a digit encloses what is clearly broader than a stroke, as most 0s do."""
    return _is_broad(
        _enclosed(connected(np.pad(digit <= _WRITTEN, 1, constant_values=True))), _HOLE
    )


def _is_broad(region: Mask, share: float) -> bool:
    """Whether anything is left of a region without its edges, each a share of the longer side."""
    for _ in range(int(share * max(region.shape))):
        region = _eroded(region)
    return bool(region.any())


def _crossing(written: Mask, times: int) -> float:
    """Share of the rows of a mask [h, w] that have so many runs of ink, or more."""
    begins = (written[:, 1:] & ~written[:, :-1]).sum(axis=1) + written[:, 0]
    return np.count_nonzero(begins >= times) / len(written)


def _within_ring(overview: Overview, box: Part) -> Overview | None:
    """What is written within a ring: ink that nothing joins to the sides of a box."""
    place = window(box, overview.kept.shape)
    written = overview.kept[place]
    if not written.any():
        return None
    whole = reach(written)
    written = written[whole]
    within = _enclosed(connected(written))
    if not within.any():
        return None
    rows = extent(within.any(axis=1))
    if rows.stop - rows.start < _LEAST_WITHIN * len(written):
        return None
    kept = np.zeros_like(overview.kept)
    kept[place][whole] = within
    return overview._replace(kept=kept)


def _enclosed(pieces: NDArray[np.int64]) -> Mask:
    """Which cells of labelled pieces [h, w] belong to none that reaches a side."""
    sides = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    is_within = np.ones(int(pieces.max()) + 1, dtype=bool)
    is_within[sides] = is_within[0] = False
    return np.asarray(is_within[pieces])


def _eroded(mask: Mask) -> Mask:
    eroded = np.zeros_like(mask)
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1]
    eroded[1:-1, 1:-1] = inner & mask[1:-1, :-2] & mask[1:-1, 2:]
    return eroded
