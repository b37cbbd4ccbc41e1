"""Families of pictures that show something, but no digit.

Fonts and photographs are others than those that the finder's pages are drawn with.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from PIL import Image

from model_build.data import datasets
from model_build.robustness.drawing import (
    BLACK,
    DARK,
    PAPERS,
    WHITE,
    Floats,
    Generator,
    ellipse,
    encode,
    noisy,
    over,
    plain,
    polygon,
    polyline,
    text,
)
from model_build.robustness.empty import DrawEmpty

_SIZE = (400, 400)
_UNICODE_FONTS = (
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono-Bold",
    "DejaVuSerif-BoldItalic",
    "STIXGeneralBol",
    "STIXGeneralItalic",
)
FONTS = (*_UNICODE_FONTS, "cmtt10", "cmb10")  # the last two have other signs in place of symbols
_LETTERS = "AEFHKMNPRTWXacdefhkmnprtuvwx"  # none that is also a digit's shape, such as O, l or S
_SYMBOLS = "?&@#%+=<>~{}"
_WORDS = ("the", "and", "house", "Monday", "paper", "under", "from", "Kate", "wheat", "exam")


def _paper(generator: Generator) -> Floats:
    return plain(_SIZE, PAPERS[generator.integers(len(PAPERS))])


def _printed(
    generator: Generator, words: str, height: float, fonts: Sequence[str] = FONTS
) -> bytes:
    at = generator.uniform(175, 225, 2)
    font = str(generator.choice(fonts))
    coverage = text(_SIZE, words, (at[0], at[1]), height, font)
    return encode(noisy(over(_paper(generator), coverage, DARK), 2, generator), "JPEG")


def _letter(generator: Generator) -> bytes:
    return _printed(generator, str(generator.choice(list(_LETTERS))), generator.uniform(180, 300))


def _symbol(generator: Generator) -> bytes:
    symbol, height = str(generator.choice(list(_SYMBOLS))), generator.uniform(180, 300)
    return _printed(generator, symbol, height, _UNICODE_FONTS)


def _word(generator: Generator) -> bytes:
    return _printed(generator, str(generator.choice(_WORDS)), generator.uniform(60, 95))


def _page_of_text(generator: Generator) -> bytes:
    font, height = str(generator.choice(FONTS)), generator.uniform(14, 24)
    pixels = _paper(generator)
    for level in np.arange(30, 380, 1.6 * height).tolist():
        line = " ".join(generator.choice(_WORDS, size=6))
        pixels = over(pixels, text(_SIZE, line, (200, level), height, font), DARK)
    return encode(pixels, "JPEG")


def _scribble(generator: Generator) -> bytes:
    turns = generator.integers(9, 16)
    points = np.cumsum(generator.normal(0, 75, (turns, 2)), axis=0)
    points = (points - points.min(axis=0)) / (np.ptp(points, axis=0) + 1) * 240 + 80
    fine = np.linspace(0, turns - 1, 160)
    smooth = [np.interp(fine, np.arange(turns), points[:, axis]) for axis in (0, 1)]
    kernel = np.ones(9) / 9
    x, y = (np.convolve(np.pad(values, 4, mode="edge"), kernel, "valid") for values in smooth)
    line = polyline(_SIZE, list(zip(x.tolist(), y.tolist(), strict=True)), generator.uniform(4, 14))
    return encode(noisy(over(_paper(generator), line, DARK), 2, generator), "JPEG")


def _drawing(generator: Generator) -> bytes:
    """A face, a house, a star or a heart, drawn with a pen."""
    width = generator.uniform(5, 10)
    lines = _DRAWINGS[generator.integers(len(_DRAWINGS))]
    shift, scale = generator.uniform(170, 230, 2), generator.uniform(0.8, 1.3)
    pixels = _paper(generator)
    for points in lines:
        moved = [(shift[0] + scale * x, shift[1] + scale * y) for x, y in points]
        pixels = over(pixels, polyline(_SIZE, moved, width), DARK)
    return encode(noisy(pixels, 2, generator), "JPEG")


def _arc(x: float, y: float, radius: float, start: float, end: float) -> list[tuple[float, float]]:
    angles = np.radians(np.linspace(start, end, 40)).tolist()
    return [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in angles]


_STAR = [
    (100 * float(np.sin(turn)), -100 * float(np.cos(turn)))
    for turn in np.radians(144.0 * np.arange(6))
]
_DRAWINGS = (
    [
        _arc(0, 0, 100, 0, 360),
        _arc(-35, -30, 8, 0, 360),
        _arc(35, -30, 8, 0, 360),
        _arc(0, 10, 50, 20, 160),
    ],
    [
        [(-80, 100), (-80, -20), (80, -20), (80, 100), (-80, 100)],
        [(-95, -15), (0, -100), (95, -15)],
        [(-20, 100), (-20, 40), (20, 40), (20, 100)],
    ],
    [_STAR],
    [[*_arc(-42, -30, 45, 150, 360), *_arc(42, -30, 45, 180, 390), (0, 100), (-80, -6)]],
)


def _filled_shape(generator: Generator) -> bytes:
    x, y = generator.uniform(160, 240, 2)
    reach = generator.uniform(60, 120)
    corners = int(generator.integers(3, 7))
    turns = generator.uniform(0, 6) + 2 * np.pi * np.arange(corners) / corners
    points = [(x + reach * np.cos(turn), y + reach * np.sin(turn)) for turn in turns.tolist()]
    ball = ellipse(_SIZE, (x - reach, y - reach, x + reach, y + reach))
    shape = ball if corners == 6 else polygon(_SIZE, points)
    return encode(over(plain(_SIZE, WHITE), shape, DARK))


def _coarse_noise(generator: Generator) -> bytes:
    cells = int(generator.integers(6, 29))
    values = generator.integers(0, 256, (cells, cells), dtype=np.uint8)
    image = Image.fromarray(values).resize((280, 280), Image.Resampling.NEAREST)
    return encode(np.asarray(image, np.float32)[:, :, np.newaxis].repeat(3, axis=2))


@cache
def _photographs() -> list[Image.Image]:
    package = distribution("scikit-learn")
    folder = Path(str(package.locate_file("sklearn/datasets/images")))
    return [Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]


def _photograph(generator: Generator) -> bytes:
    photograph = _photographs()[generator.integers(2)]
    side = int(min(photograph.size) * generator.uniform(0.3, 1))
    x, y = (int(generator.integers(0, length - side + 1)) for length in photograph.size)
    part = photograph.resize((360, 360), Image.Resampling.BICUBIC, (x, y, x + side, y + side))
    return encode(np.asarray(part, np.float32), "JPEG")


@cache
def _clothes() -> datasets.Dataset:
    return datasets.load_fashion_mnist()


def _garment(generator: Generator) -> bytes:
    clothes = _clothes()
    garment = clothes.test_images[generator.integers(len(clothes.test_images))]
    image = Image.fromarray(garment).resize((224, 224), Image.Resampling.BICUBIC)
    coverage = np.asarray(image, np.float32) / np.float32(255)
    paper, ink = ((BLACK, WHITE), (WHITE, BLACK))[generator.integers(2)]
    return encode(over(plain((224, 224), paper), coverage, ink))


OUTLIERS: Mapping[str, DrawEmpty] = {
    "letter": _letter,
    "symbol": _symbol,
    "word": _word,
    "page of text": _page_of_text,
    "scribble": _scribble,
    "drawing": _drawing,
    "filled shape": _filled_shape,
    "coarse noise": _coarse_noise,
    "photograph": _photograph,
    "Fashion-MNIST": _garment,
}
