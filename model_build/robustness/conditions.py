"""Families taken under hard conditions: shadows with an edge, small files, noise, odd sizes."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from model_build.robustness.drawing import (
    BLACK,
    BLUE,
    DARK,
    WHITE,
    Colour,
    Digit,
    Floats,
    Generator,
    blurred,
    cloud,
    cover,
    cropped,
    encode,
    noisy,
    over,
    plain,
    polygon,
    rectangle,
    write,
)
from model_build.robustness.ordinary import Draw

_SIZE = (400, 400)


def _shadowed(
    digit: Digit, generator: Generator, *, shadow: Callable[[Generator], Floats], depth: float
) -> bytes:
    ink = (DARK, BLUE)[generator.integers(2)]
    page = write(digit, generator, paper=(228, 226, 221), ink=ink)
    light = 1 - depth * shadow(generator)
    return encode(noisy(page.pixels * light[:, :, np.newaxis], 3, generator), "JPEG")


def half_plane(generator: Generator, *, soft: float) -> Floats:
    """A straight edge through the middle part of the picture."""
    angle = generator.uniform(0, 2 * np.pi)
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    middle = 200 + across * generator.uniform(-70, 70)
    corners = (
        middle + 600 * (a * along + b * across) for a, b in ((-1, 0), (1, 0), (1, 1), (-1, 1))
    )
    return blurred(polygon(_SIZE, [(float(x), float(y)) for x, y in corners]), soft)


def _phone(generator: Generator) -> Floats:
    x, top = generator.uniform(110, 240), generator.uniform(150, 250)
    return blurred(rectangle(_SIZE, (x, top, x + 120, 430), radius=14), generator.uniform(4, 10))


def _corner(generator: Generator) -> Floats:
    x, y = generator.uniform(150, 260, 2)
    shade = polygon(_SIZE, [(0, 0), (x + 120, 0), (x, y), (0, y + 120)])
    return blurred(np.rot90(shade, int(generator.integers(4))).copy(), 3)


def _blinds(generator: Generator) -> Floats:
    step = generator.uniform(50, 90)
    rows, columns = np.mgrid[0:400, 0:400].astype(np.float32)
    angle = generator.uniform(-0.6, 0.6)
    phase = (rows * np.cos(angle) + columns * np.sin(angle)) / step + generator.random()
    return blurred((phase % 1 < 0.45).astype(np.float32), 3)


def _small(digit: Digit, generator: Generator, *, side: int, share: float, margin: int) -> bytes:
    """A file of few pixels: white on black, or black on white."""
    pen = None if generator.random() < 0.5 else generator.uniform(0.1, 0.14)
    drawn = cropped(cover(digit, 240, pen))
    longer = max(drawn.shape)
    frame = np.zeros((round(longer / share),) * 2, np.float32)
    top, left = ((frame.shape[0] - length) // 2 for length in drawn.shape)
    frame[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    inner = side - 2 * margin
    small = Image.fromarray(frame).resize((inner, inner), Image.Resampling.BOX)
    coverage = np.pad(np.asarray(small), margin)
    paper, ink = ((BLACK, WHITE), (WHITE, BLACK))[generator.integers(2)]
    return encode(over(plain((side, side), paper), coverage, ink))


def _dim_pencil(digit: Digit, generator: Generator) -> bytes:
    """A pencil's thin line, 30 levels darker than the paper, under noise of 8."""
    page = write(
        digit,
        generator,
        paper=(160, 160, 160),
        ink=(130, 130, 130),
        pen=(0.015, 0.02),
        share=(0.5, 0.68),
    )
    noise = generator.normal(0, 8, (400, 400, 1))
    return encode((page.pixels + noise).astype(np.float32), "JPEG")


def _salt_and_pepper(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator)
    hit = generator.random((400, 400)) < generator.uniform(0.04, 0.1)
    values = generator.choice(np.array([0, 255], np.float32), (400, 400))
    return encode(np.where(hit[..., None], values[..., None], page.pixels))


def _gaussian(digit: Digit, generator: Generator) -> bytes:
    return encode(noisy(write(digit, generator).pixels, generator.uniform(30, 50), generator))


def _low_quality(digit: Digit, generator: Generator) -> bytes:
    return encode(write(digit, generator, size=(320, 320)).pixels, "JPEG", quality=10)


def _out_of_focus(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, ink=(DARK, BLUE)[generator.integers(2)])
    image = Image.fromarray(np.clip(page.pixels, 0, 255).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(generator.uniform(5, 8))), np.float32)
    return encode(noisy(soft, 3, generator), "JPEG")


def _shaken(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator)
    angle, length = generator.uniform(0, np.pi), generator.uniform(10, 18)
    steps = np.linspace(-length / 2, length / 2, 13)
    moved = [
        np.roll(page.pixels, (round(step * np.sin(angle)), round(step * np.cos(angle))), (0, 1))
        for step in steps.tolist()
    ]
    return encode(noisy(np.mean(moved, axis=0, dtype=np.float32), 3, generator), "JPEG")


def _small_in_a_photo(digit: Digit, generator: Generator) -> bytes:
    """A digit of 5 to 10 % of the height of a 1600 x 1200 photo of a sheet."""
    size = (1600, 1200)
    light = 1 + 0.06 * cloud(size, (4, 3), generator)[:, :, np.newaxis]
    page = write(digit, generator, size=size, share=(0.06, 0.1), pen=(0.09, 0.14), ink=DARK)
    return encode(noisy(page.pixels * light, 2, generator), "JPEG")


def _fills_the_frame(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, size=(300, 300), share=(0.92, 0.96), pen=(0.1, 0.15))
    return encode(page.pixels)


def _long(digit: Digit, generator: Generator, *, size: tuple[int, int]) -> bytes:
    page = write(digit, generator, size=size, share=(0.6, 0.8))
    return encode(noisy(page.pixels, 2, generator), "JPEG")


def _faint(digit: Digit, generator: Generator, *, paper: Colour, ink: Colour) -> bytes:
    return encode(noisy(write(digit, generator, paper=paper, ink=ink).pixels, 2, generator), "JPEG")


SHADOWS: Mapping[str, Draw] = {
    "hard shadow": partial(_shadowed, shadow=partial(half_plane, soft=1), depth=0.35),
    "soft shadow": partial(_shadowed, shadow=partial(half_plane, soft=18), depth=0.35),
    "strong shadow": partial(_shadowed, shadow=partial(half_plane, soft=3), depth=0.6),
    "phone's shadow": partial(_shadowed, shadow=_phone, depth=0.38),
    "shadow of a corner": partial(_shadowed, shadow=_corner, depth=0.4),
    "blinds": partial(_shadowed, shadow=_blinds, depth=0.35),
}
SMALL_FILES: Mapping[str, Draw] = {
    "8 x 8": partial(_small, side=8, share=1, margin=0),
    "16 x 16": partial(_small, side=16, share=0.85, margin=0),
    "28 x 28, filled": partial(_small, side=28, share=1, margin=1),
    "28 x 28, as in MNIST": partial(_small, side=28, share=0.72, margin=0),
    "32 x 32": partial(_small, side=32, share=0.75, margin=0),
}
NOISE: Mapping[str, Draw] = {
    "thin pencil in a dim room": _dim_pencil,
    "salt and pepper": _salt_and_pepper,
    "strong noise": _gaussian,
    "JPEG of quality 10": _low_quality,
    "out of focus": _out_of_focus,
    "shaken": _shaken,
    "yellow on white": partial(_faint, paper=WHITE, ink=(250, 220, 90)),
    "light grey on white": partial(_faint, paper=WHITE, ink=(205, 205, 205)),
}
SIZES: Mapping[str, Draw] = {
    "small in a large photo": _small_in_a_photo,
    "fills the frame": _fills_the_frame,
    "wide, 4:1": partial(_long, size=(800, 200)),
    "tall, 1:4": partial(_long, size=(200, 800)),
}
