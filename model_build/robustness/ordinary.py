"""Families of ordinary pictures: a pen on paper, a board, a canvas, a screen."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from model_build.robustness.drawing import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    RED,
    WHITE,
    Colour,
    Digit,
    Floats,
    Generator,
    blurred,
    cloud,
    encode,
    noisy,
    over,
    plain,
    polyline,
    ruling,
    write,
)

type Draw = Callable[[Digit, Generator], bytes]

_PENCIL = (96.0, 96.0, 100.0)
_RULING = (150.0, 175.0, 215.0)


def _pen(
    digit: Digit, generator: Generator, *, ink: Colour, pen: tuple[float, float] | None = None
) -> bytes:
    page = write(digit, generator, ink=ink, pen=pen)
    return encode(noisy(page.pixels, 2, generator), "JPEG")


def _pencil(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, pen=(0.05, 0.08))
    grain = np.clip(0.85 + 0.2 * generator.normal(0, 1, page.ink.shape), 0.3, 1)
    drawn = over(plain((400, 400), (246, 245, 241)), page.ink * grain.astype(np.float32), _PENCIL)
    return encode(noisy(drawn, 2, generator), "JPEG")


def _brush(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, pen=(0.14, 0.2), paper=(248, 246, 240))
    dry = np.clip(1 + 0.18 * cloud((400, 400), (80, 80), generator), 0.5, 1)
    return encode(over(plain((400, 400), (248, 246, 240)), page.ink * dry, DARK), "JPEG")


def _lit(digit: Digit, generator: Generator, *, light: Callable[[Generator], Floats]) -> bytes:
    page = write(digit, generator, ink=(DARK, BLUE)[generator.integers(2)])
    return encode(noisy(page.pixels * light(generator), 3, generator), "JPEG")


def _across() -> tuple[Floats, Floats]:
    rows, columns = np.mgrid[0:400, 0:400].astype(np.float32) / 400 - 0.5
    return rows, columns


def _from_a_side(generator: Generator) -> Floats:
    rows, columns = _across()
    angle = generator.uniform(0, 2 * np.pi)
    slope = 0.5 + 0.7 * (np.cos(angle) * columns + np.sin(angle) * rows)
    return np.asarray(1 - generator.uniform(0.3, 0.55) * slope, np.float32)[:, :, np.newaxis]


def _vignette(generator: Generator) -> Floats:
    rows, columns = _across()
    dark = generator.uniform(0.8, 1.3) * (rows**2 + columns**2)
    return (1 - dark)[:, :, np.newaxis].astype(np.float32)


def _lamp(generator: Generator) -> Floats:
    rows, columns = _across()
    at = generator.uniform(-0.5, 0.5, 2)
    glow = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 0.3)[:, :, np.newaxis]
    return np.asarray((0.45 + 0.55 * glow) * (1, 0.9, 0.68), np.float32)


def _glare(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=(205, 203, 198))
    rows, columns = _across()
    at = generator.uniform(-0.35, 0.35, 2)
    spot = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 0.03)[:, :, np.newaxis]
    return encode(noisy(page.pixels + 75 * spot, 2, generator), "JPEG")


def _ruled(digit: Digit, generator: Generator, *, degrees: float, squared: bool) -> bytes:
    step = generator.uniform(22, 34) if squared else generator.uniform(40, 64)
    lines = ruling((400, 400), step, degrees * generator.choice((-1, 1)), squared=squared)
    paper = over(plain((400, 400), (250, 249, 246)), lines, _RULING)
    page = write(digit, generator, on=paper, ink=(DARK, BLUE)[generator.integers(2)])
    return encode(noisy(page.pixels, 2, generator), "JPEG")


def _chalk(digit: Digit, generator: Generator, *, board: Colour) -> bytes:
    wiped = cloud((400, 400), (6, 5), generator)[:, :, np.newaxis] * 6
    ground = plain((400, 400), board) + wiped
    page = write(digit, generator, on=ground, pen=(0.09, 0.14))
    grain = np.clip(0.8 + 0.3 * generator.normal(0, 1, page.ink.shape), 0.2, 1)
    return encode(over(ground, page.ink * grain.astype(np.float32), (236, 236, 228)), "JPEG")


def _whiteboard(digit: Digit, generator: Generator) -> bytes:
    rows, columns = _across()
    shine = 18 * np.exp(-((columns - generator.uniform(-0.4, 0.4)) ** 2) / 0.02)
    ground = plain((400, 400), (226, 230, 232)) + shine[:, :, np.newaxis] - 12 * rows[..., None]
    ink = (DARK, BLUE, RED, GREEN)[generator.integers(4)]
    page = write(digit, generator, on=ground.astype(np.float32), ink=ink, pen=(0.08, 0.12))
    return encode(noisy(page.pixels, 2, generator), "JPEG")


def _canvas(digit: Digit, generator: Generator, *, ink: Colour, paper: Colour) -> bytes:
    page = write(
        digit, generator, size=(280, 280), paper=paper, ink=ink, pen=(0.08, 0.14), share=(0.5, 0.8)
    )
    return encode(page.pixels)


def _transparent(
    digit: Digit, generator: Generator, *, ink: Colour, pen: tuple[float, float]
) -> bytes:
    page = write(digit, generator, size=(300, 300), pen=pen, share=(0.5, 0.75))
    colours = (
        np.broadcast_to(np.asarray(ink, np.float32), (300, 300, 3)) * (page.ink > 0)[..., None]
    )
    return encode(np.dstack([colours, page.ink * 255]))


def _dark_mode(digit: Digit, generator: Generator) -> bytes:
    paper = ((18, 18, 18), (32, 33, 36), (0, 0, 0), (24, 28, 40))[generator.integers(4)]
    ink = ((236, 236, 236), (255, 214, 80), (138, 180, 248))[generator.integers(3)]
    page = write(digit, generator, size=(360, 360), paper=paper, ink=ink, pen=(0.06, 0.12))
    return encode(page.pixels)


def _turned_by_exif(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, size=(400, 300))
    tag = int(generator.choice((3, 6, 8)))
    quarters = {3: 2, 6: 1, 8: -1}[tag]  # the viewer turns it back
    exif = Image.Exif()
    exif[0x0112] = tag
    return encode(np.rot90(noisy(page.pixels, 2, generator), quarters), "JPEG", exif=exif)


def _glowing(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, size=(360, 360), pen=(0.06, 0.1))
    glow = np.clip(blurred(page.ink, 12) * 1.5, 0, 1) * 0.7
    hue = ((60, 200, 255), (255, 90, 200), (120, 255, 140))[generator.integers(3)]
    night = over(plain((360, 360), (12, 12, 24)), glow, hue)
    return encode(over(night, page.ink, WHITE))


def _outlined(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, pen=(0.15, 0.19), share=(0.55, 0.72))
    body = Image.fromarray(np.rint(page.ink * 255).astype(np.uint8))
    inner = np.asarray(body.filter(ImageFilter.MinFilter(9)), np.float32) / 255
    return encode(over(plain((400, 400), WHITE), np.clip(page.ink - inner, 0, 1), DARK))


def _dashed(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, pen=(0.1, 0.13), share=(0.55, 0.7))
    gaps = np.zeros((400, 400), np.float32)
    step = generator.uniform(22, 28)
    for at in np.arange(-400, 400, step).tolist():
        gaps = np.maximum(gaps, polyline((400, 400), [(at, 0), (at + 400, 400)], 5))
    return encode(over(plain((400, 400), WHITE), page.ink * (1 - gaps), DARK))


PLAIN: Mapping[str, Draw] = {
    "dark pen": partial(_pen, ink=DARK),
    "blue pen": partial(_pen, ink=BLUE),
    "red pen": partial(_pen, ink=RED),
    "green pen": partial(_pen, ink=GREEN),
    "felt pen": partial(_pen, ink=BLACK, pen=(0.12, 0.16)),
    "thick pen": partial(_pen, ink=DARK, pen=(0.16, 0.19)),
    "thin pen": partial(_pen, ink=DARK, pen=(0.025, 0.05)),
    "pencil": _pencil,
    "brush": _brush,
}
LIGHT: Mapping[str, Draw] = {
    "light from a side": partial(_lit, light=_from_a_side),
    "dark corners": partial(_lit, light=_vignette),
    "lamp": partial(_lit, light=_lamp),
    "glare": _glare,
}
RULED: Mapping[str, Draw] = {
    f"{'squared' if squared else 'ruled'}, {degrees} degrees": partial(
        _ruled, degrees=degrees, squared=squared
    )
    for squared in (False, True)
    for degrees in (0, 5, 15, 45)
}
SCREENS: Mapping[str, Draw] = {
    "chalk on a blackboard": partial(_chalk, board=(38, 40, 42)),
    "chalk on a green board": partial(_chalk, board=(34, 72, 56)),
    "whiteboard": _whiteboard,
    "canvas, white on black": partial(_canvas, ink=WHITE, paper=BLACK),
    "canvas, black on white": partial(_canvas, ink=BLACK, paper=WHITE),
    "black ink on transparency": partial(_transparent, ink=BLACK, pen=(0.08, 0.14)),
    "thick white ink on transparency": partial(_transparent, ink=WHITE, pen=(0.14, 0.19)),
    "dark mode": _dark_mode,
    "turned by EXIF": _turned_by_exif,
}
LINES: Mapping[str, Draw] = {
    "white ink with a glow": _glowing,
    "outlined": _outlined,
    "dashed": _dashed,
}
