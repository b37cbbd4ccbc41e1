"""Families with nothing on them: no digit, and nothing that someone wrote."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from model_build.robustness.conditions import half_plane
from model_build.robustness.drawing import (
    BLACK,
    DARK,
    PAPERS,
    WHITE,
    Colour,
    Generator,
    cloud,
    ellipse,
    encode,
    noisy,
    over,
    plain,
    rectangle,
    ruling,
    wood,
)

type DrawEmpty = Callable[[Generator], bytes]

_SIZE = (400, 400)


def _blank(generator: Generator, *, colour: Colour) -> bytes:
    size = (int(generator.integers(28, 500)), int(generator.integers(28, 500)))
    return encode(plain(size, colour), str(generator.choice(("PNG", "JPEG"))))


def _speck(generator: Generator) -> bytes:
    x, y = generator.uniform(40, 360, 2)
    radius = generator.uniform(1, 3)
    speck = ellipse(_SIZE, (x - radius, y - radius, x + radius, y + radius))
    return encode(noisy(over(plain(_SIZE, WHITE), speck, DARK), 1, generator), "JPEG")


def _bars(generator: Generator) -> bytes:
    depth = generator.uniform(30, 90)
    if generator.integers(2):
        return encode(over(plain(_SIZE, WHITE), rectangle(_SIZE, (0, 0, 400, depth)), BLACK))
    sheet = rectangle(_SIZE, (0, depth, 400, 400 - depth))
    return encode(over(plain(_SIZE, BLACK), sheet, WHITE))


def _frame(generator: Generator) -> bytes:
    inset, line = generator.uniform(0, 20), generator.uniform(3, 16)
    box = (inset, inset, 399 - inset, 399 - inset)
    return encode(over(plain(_SIZE, WHITE), rectangle(_SIZE, box, line=line), BLACK))


def _soft_shadow(generator: Generator) -> bytes:
    light = 1 - generator.uniform(0.15, 0.35) * half_plane(
        generator, soft=generator.uniform(15, 40)
    )
    paper = plain(_SIZE, PAPERS[generator.integers(len(PAPERS))])
    return encode(noisy(paper * light[:, :, np.newaxis], 3, generator), "JPEG")


def _ruled(generator: Generator, *, squared: bool) -> bytes:
    step, degrees = generator.uniform(24, 60), generator.choice((0, 3, 10))
    lines = ruling(_SIZE, step, float(degrees), squared=squared)
    pixels = over(plain(_SIZE, (250, 249, 246)), lines, (150, 175, 215))
    return encode(noisy(pixels, 2, generator), "JPEG")


def _gradient(generator: Generator) -> bytes:
    rows, columns = np.mgrid[0:400, 0:400].astype(np.float32) / 400
    angle = generator.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * columns + np.sin(angle) * rows
    level = 150 + generator.uniform(60, 100) * slope
    return encode(level[:, :, np.newaxis].repeat(3, axis=2))


def _noise(generator: Generator) -> bytes:
    grey = plain(_SIZE, (generator.uniform(90, 220),) * 3)
    return encode(noisy(grey, generator.uniform(10, 40), generator))


def _paper(generator: Generator) -> bytes:
    """A photo of paper: fibres, the lens's dark corners, noise, and JPEG's blocks."""
    rows, columns = np.mgrid[0:400, 0:400].astype(np.float32) / 400 - 0.5
    paper = plain(_SIZE, PAPERS[generator.integers(len(PAPERS))])
    paper = paper + 2 * cloud(_SIZE, (90, 90), generator)[:, :, np.newaxis]
    light = 1 - 0.4 * (rows**2 + columns**2)[:, :, np.newaxis]
    return encode(noisy(paper * light, 3, generator), "JPEG", quality=60)


def _sheet_on_a_desk(generator: Generator) -> bytes:
    left, top = generator.uniform(30, 110, 2)
    sheet = rectangle(_SIZE, (left, top, left + 260, top + 260))
    pixels = over(wood(_SIZE, (146, 98, 58), generator), sheet, WHITE)
    return encode(noisy(pixels, 2, generator), "JPEG")


def _transparent(_generator: Generator) -> bytes:
    return encode(np.zeros((300, 300, 4), np.float32))


EMPTY: Mapping[str, DrawEmpty] = {
    "white": partial(_blank, colour=WHITE),
    "grey": partial(_blank, colour=(128, 128, 128)),
    "black": partial(_blank, colour=BLACK),
    "coloured": partial(_blank, colour=(190, 210, 240)),
    "transparent": _transparent,
    "speck of dust": _speck,
    "bars": _bars,
    "frame": _frame,
    "paper under a soft shadow": _soft_shadow,
    "ruled page": partial(_ruled, squared=False),
    "squared page": partial(_ruled, squared=True),
    "gradient": _gradient,
    "noise": _noise,
    "photo of paper": _paper,
    "sheet on a desk": _sheet_on_a_desk,
}
