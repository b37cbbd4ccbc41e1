"""Pages with digits on them, as people photograph, draw and scan them, and where the digits are.

Everything is drawn from one generator: the same seed gives the same pages.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_build.finding import writing
from model_build.finding.camera import lit, photographed
from model_build.finding.lying_about import things
from model_build.finding.paper import (
    any_colour,
    ink_colour,
    inked,
    plain,
    put_on_something,
    ruling,
    shifted,
)
from model_build.finding.shapes import SIDE, Generator, over
from model_build.finding.sheet import Sheet
from model_build.finding.writing import Pens

# What is on a page, in which share of the pages, and of those that are a second look.
_CONTENTS = (
    (writing.write_nothing, 0.11, 0.05),
    (writing.write_digit, 0.51, 0.56),
    (writing.write_row, 0.18, 0.0),
    (writing.write_other, 0.13, 0.2),
    (writing.write_both, 0.05, 0.04),
    (writing.write_cut_row, 0.02, 0.15),
)
_ELONGATED = 0.4  # share of the pages that are not square; a second look always is
_UPRIGHT = 0.4  # share of the pages that are higher than wide, if they are not square
_ON_SOMETHING = 0.28  # share of the sheets of which the picture shows more than the sheet
_ON_SOMETHING_CLOSE = 0.1
_RULED = 0.22


class Page(NamedTuple):
    """One page: what the finder is shown, and what it is to say.

    picture: uint8 [96, 96, 3]. targets: uint8 [48, 48, 3], 0 to 255: how much of each cell is a
    digit's ink, whether it lies in a digit's middle, and whether it is other writing or drawing.
    """

    picture: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    digits: list[tuple[int, float, float]]  # label, and the row and column of its middle in cells


def draw_page(pens: Pens, generator: Generator, *, close: bool = False) -> Page:
    """Draw a page with no digit, one, or several, and whatever else lies on it.

    close: a digit, or something else in its place, fills a good part of the page: as the finder
    looks at one for the second time.
    """
    sheet = _blank(generator, is_close=close)
    paper = any_colour(generator)
    ink = ink_colour(paper, generator)
    picture = plain(paper, generator)
    if generator.random() < (_ON_SOMETHING_CLOSE if close else _ON_SOMETHING):
        picture, sheet.area = put_on_something(picture, paper, sheet, generator)
    if generator.random() < _RULED:
        picture = over(picture, ruling(generator), shifted(paper, 90, generator))
    shares = [close_share if close else share for _, share, close_share in _CONTENTS]
    write, _, _ = _CONTENTS[generator.choice(len(_CONTENTS), p=shares)]
    write(sheet, pens, generator)
    for coverage, colour in things(sheet, generator):
        picture = over(picture, coverage, colour)
        sheet.digit *= 1 - coverage
    picture = inked(picture, np.maximum(sheet.ink, sheet.other_ink), ink, paper, generator)
    picture = lit(picture, generator)
    return Page(photographed(picture, sheet, generator), _targets(sheet), sheet.digits)


def _blank(generator: Generator, *, is_close: bool) -> Sheet:
    is_elongated = generator.random() < _ELONGATED
    shorter = int(SIDE * generator.uniform(0.2, 1)) if is_elongated and not is_close else SIDE
    is_upright = generator.random() < _UPRIGHT
    width, height = (shorter, SIDE) if is_upright else (SIDE, shorter)
    return Sheet(width, height, is_close=is_close)


def _targets(sheet: Sheet) -> NDArray[np.uint8]:
    planes = np.stack([sheet.digit, sheet.middle, sheet.other], axis=2)
    planes[sheet.height :] = 0
    planes[:, sheet.width :] = 0
    halved = planes.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    return np.rint(np.clip(halved, 0, 1) * 255).astype(np.uint8)
