"""MNIST-C's fifteen corruptions of finished samples, made from the article's description.

Source: Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019. The names and
what each does are the article's; strengths were chosen so that a person still reads the digit.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model_build.finding.strokes import thin

type Images = NDArray[np.uint8]
type Floats = NDArray[np.float32]
type Generator = np.random.Generator
type Corrupt = Callable[[Floats, Generator], Floats]

_SIDE = 28


def corrupt(name: str, images: Images, generator: Generator) -> Images:
    """Corrupt samples uint8 [N, 28, 28], white ink on black, by a name of `CORRUPTIONS`.

    The result has the same shape and type.
    """
    make = CORRUPTIONS[name]
    corrupted = [make(image.astype(np.float32) / 255, generator) for image in images]
    return np.rint(np.clip(corrupted, 0, 1) * 255).astype(np.uint8)


def _shot_noise(image: Floats, generator: Generator) -> Floats:
    """Few photons: Poisson noise."""
    photons = 8
    return (generator.poisson(image * photons) / photons).astype(np.float32)


def _impulse_noise(image: Floats, generator: Generator) -> Floats:
    """Salt and pepper on a tenth of the pixels."""
    hit = generator.random(image.shape) < 0.1
    return np.where(hit, generator.integers(0, 2, image.shape), image).astype(np.float32)


def _glass_blur(image: Floats, generator: Generator) -> Floats:
    """Pixels change places with near ones, as behind frosted glass."""
    soft = _soft(image, 0.6)
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE]
    for _ in range(2):
        down, right = generator.integers(-1, 2, (2, _SIDE, _SIDE))
        moved = (rows + down).clip(0, _SIDE - 1), (columns + right).clip(0, _SIDE - 1)
        soft = soft[moved]
    return _soft(soft, 0.6)


def _motion_blur(image: Floats, generator: Generator) -> Floats:
    """The camera moved along a line."""
    angle = generator.uniform(0, math.pi)
    steps = np.linspace(-2.5, 2.5, 9).tolist()
    shifted = [
        _affine(image, (1, 0, step * math.cos(angle), 0, 1, step * math.sin(angle)))
        for step in steps
    ]
    return np.mean(shifted, axis=0, dtype=np.float32)


def _shear(image: Floats, generator: Generator) -> Floats:
    amount = generator.uniform(0.3, 0.5) * generator.choice((-1, 1))
    return _linear(image, np.array([[1, amount], [0, 1]]))


def _scale(image: Floats, generator: Generator) -> Floats:
    """Make the digit smaller."""
    return _linear(image, np.eye(2) / generator.uniform(0.55, 0.7))


def _rotate(image: Floats, generator: Generator) -> Floats:
    angle = math.radians(generator.uniform(20, 30) * generator.choice((-1, 1)))
    cos, sin = math.cos(angle), math.sin(angle)
    return _linear(image, np.array([[cos, sin], [-sin, cos]]))


def _brightness(image: Floats, generator: Generator) -> Floats:
    """Lift the black toward white."""
    lift = generator.uniform(0.35, 0.5)
    return image * (1 - lift) + lift


def _translate(image: Floats, generator: Generator) -> Floats:
    angle, reach = generator.uniform(0, 2 * math.pi), generator.uniform(3, 4)
    return _affine(image, (1, 0, reach * math.cos(angle), 0, 1, reach * math.sin(angle)))


def _stripe(image: Floats, _generator: Generator) -> Floats:
    """Invert the columns in the middle."""
    striped = image.copy()
    striped[:, 11:17] = 1 - striped[:, 11:17]
    return striped


def _fog(image: Floats, generator: Generator) -> Floats:
    """Noise at several scales over the picture (Perlin's way of clouds)."""
    haze = np.zeros((_SIDE, _SIDE), np.float32)
    for nodes, strength in ((3, 1.0), (5, 0.5), (9, 0.25)):
        noise = Image.fromarray(generator.random((nodes, nodes)).astype(np.float32))
        haze += strength * np.asarray(noise.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    return np.asarray(image * 0.6 + 0.4 * haze / 1.75 + 0.05, np.float32)


def _spatter(image: Floats, generator: Generator) -> Floats:
    """Drops of paint: the heights of smooth noise above a level."""
    noise = _soft(generator.random((_SIDE, _SIDE)).astype(np.float32), 0.9)
    level = np.quantile(noise, 0.92)
    drops = np.clip((noise - level) / (noise.max() - level + 1e-6) * 2.5, 0, 1)
    return np.asarray(np.maximum(image, drops * 0.8), np.float32)


def _dotted_line(image: Floats, generator: Generator) -> Floats:
    """A row of dots across the picture."""
    start, end = _across(generator)
    dots = np.linspace(start, end, 12)
    canvas = Image.new("L", (4 * _SIDE, 4 * _SIDE))
    draw = ImageDraw.Draw(canvas)
    for x, y in (4 * dots).tolist():
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=255)
    return np.maximum(image, _quartered(canvas))


def _zigzag(image: Floats, generator: Generator) -> Floats:
    """A zigzag line across the picture."""
    start, end = _across(generator)
    points = np.linspace(start, end, 9)
    aside = np.array([start[1] - end[1], end[0] - start[0]]) / _SIDE
    points += aside * (1.6 * (-1) ** np.arange(9))[:, np.newaxis]
    canvas = Image.new("L", (4 * _SIDE, 4 * _SIDE))
    ImageDraw.Draw(canvas).line([(4 * x, 4 * y) for x, y in points.tolist()], 255, width=4)
    return np.maximum(image, _quartered(canvas))


def _canny_edges(image: Floats, _generator: Generator) -> Floats:
    """Keep the outlines alone: steep places, a pixel wide, that hang together with the steepest.

    Source: Canny, "A computational approach to edge detection", 1986.
    """
    soft = np.pad(_soft(image, 0.7), 1, mode="edge")
    down = soft[2:, 1:-1] - soft[:-2, 1:-1]
    right = soft[1:-1, 2:] - soft[1:-1, :-2]
    steep = np.hypot(down, right)
    strong, edges = steep > 0.45, steep > 0.25
    kept = strong
    for _ in range(_SIDE):  # along edges, from the strong ones
        around = np.pad(kept, 1)
        grown = np.any(
            [around[y : y + _SIDE, x : x + _SIDE] for y in range(3) for x in range(3)], axis=0
        )
        kept = grown & edges
    return np.asarray(thin(kept[np.newaxis])[0], np.float32)


def _across(generator: Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of a line from one side to the other."""
    left, right = generator.uniform(4, 24, 2)
    start, end = np.array([1.5, left]), np.array([26.5, right])
    return (start, end) if generator.integers(2) else (start[::-1], end[::-1])


def _quartered(canvas: Image.Image) -> Floats:
    return np.asarray(canvas.reduce(4), np.float32) / np.float32(255)


def _soft(image: Floats, radius: float) -> Floats:
    """Gaussian blur of a standard deviation in pixels."""
    reach = np.arange(-3, 4)
    weights = np.exp(-np.square(reach / radius) / 2)
    kernel = weights / weights.sum()
    blur = partial(np.convolve, v=kernel, mode="same")
    rows = np.apply_along_axis(blur, 0, image)
    return np.apply_along_axis(blur, 1, rows).astype(np.float32)


def _linear(image: Floats, matrix: NDArray[np.float64]) -> Floats:
    """Map by a matrix, from the result's pixels to the image's, around the middle."""
    middle = np.array([_SIDE / 2, _SIDE / 2])
    shift = middle - matrix @ middle
    (a, b), (d, e) = matrix.tolist()
    return _affine(image, (a, b, float(shift[0]), d, e, float(shift[1])))


def _affine(image: Floats, coefficients: tuple[float, ...]) -> Floats:
    moved = Image.fromarray(image).transform(
        (_SIDE, _SIDE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(moved)


CORRUPTIONS: Mapping[str, Corrupt] = {
    "shot noise": _shot_noise,
    "impulse noise": _impulse_noise,
    "glass blur": _glass_blur,
    "motion blur": _motion_blur,
    "shear": _shear,
    "scale": _scale,
    "rotate": _rotate,
    "brightness": _brightness,
    "translate": _translate,
    "stripe": _stripe,
    "fog": _fog,
    "spatter": _spatter,
    "dotted line": _dotted_line,
    "zigzag": _zigzag,
    "canny edges": _canny_edges,
}
