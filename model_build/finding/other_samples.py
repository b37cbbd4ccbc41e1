"""Samples that need no page: upright strokes, which are 1s, and things other than digits.

All are uint8 [N, 28, 28] and fill the box as digits do, so that nothing but their shape tells them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from classifier.prepare.mnist import MnistPipeline
from model_build.finding.letters import SIGNS, letters
from model_build.finding.shapes import FONTS, Generator, fonts

type Samples = NDArray[np.uint8]

_SIDE = 112  # pixels of a drawing


def upright_strokes(generator: Generator, count: int) -> Samples:
    """Strokes of any width, at most a bit slanted."""
    return _samples(generator, count, _stroke)


def without_digits(generator: Generator, count: int) -> Samples:
    """Letters, words, scribbles, doodles, blobs and textures, as many of each."""
    each = max(count // (1 + len(_KINDS)), 1)
    drawn = [_samples(generator, each, draw) for draw in _KINDS]
    return np.concatenate([letters(generator, each).images, *drawn])


def _samples(
    generator: Generator, count: int, draw: Callable[[Generator, ImageDraw.ImageDraw], None]
) -> Samples:
    pipeline = MnistPipeline(28, 28)
    samples = np.zeros((count, 28, 28), np.uint8)
    for index in range(count):
        drawing = Image.new("L", (_SIDE, _SIDE))
        draw(generator, ImageDraw.Draw(drawing))
        soft = drawing.filter(ImageFilter.GaussianBlur(generator.uniform(0.5, 3)))
        box = soft.getbbox()
        if box is not None:
            samples[index] = pipeline.normalise(
                np.asarray(soft.crop(box), np.float32) / np.float32(255)
            )
    return samples


def _stroke(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    slant, width = generator.normal(0, 6), generator.uniform(3, 22)
    ends = (_SIDE / 2 - slant, 16, _SIDE / 2 + slant, _SIDE - 16)
    draw.line(ends, fill=255, width=round(width))


def _word(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    words = "".join(generator.choice(SIGNS, size=int(generator.integers(2, 6))))
    font = fonts(int(generator.integers(16, 34)))[int(generator.integers(len(FONTS)))]
    draw.text((_SIDE / 2, _SIDE / 2), words, fill=255, font=font, anchor="mm")


def _scribble(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    """A line with many turns, smooth or with corners."""
    turns = int(generator.integers(7, 16))
    points = generator.uniform(10, _SIDE - 10, (turns, 2))
    if generator.random() < 0.6:
        along = np.linspace(0, turns - 1, 12 * turns)
        kernel = np.ones(13) / 13
        points = np.stack(
            [
                np.convolve(
                    np.pad(np.interp(along, np.arange(turns), points[:, axis]), 6, "edge"),
                    kernel,
                    "valid",
                )
                for axis in (0, 1)
            ],
            axis=1,
        )
    path = [(x, y) for x, y in points.tolist()]
    draw.line(path, fill=255, width=int(generator.integers(3, 14)), joint="curve")


def _doodle(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    """Three to six lines, arcs and boxes by one pen."""
    width = int(generator.integers(3, 11))
    for _ in range(int(generator.integers(3, 7))):
        x, y = np.sort(generator.uniform(10, _SIDE - 10, (2, 2)), axis=1).tolist()
        box = (x[0], y[0], x[1] + 8, y[1] + 8)
        kind = generator.integers(4)
        if kind == 0:
            draw.line(tuple(generator.uniform(10, _SIDE - 10, 4)), fill=255, width=width)
        elif kind == 1:
            draw.ellipse(box, outline=255, width=width)
        elif kind == 2:
            start = generator.uniform(0, 360)
            draw.arc(box, start, start + generator.uniform(60, 300), fill=255, width=width)
        else:
            draw.rectangle(box, outline=255, width=width)


def _blob(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    """A filled shape of three to eleven corners, or a round one."""
    if generator.random() < 0.2:
        reach = generator.uniform(15, 50, 2)
        middle = _SIDE / 2
        box = (middle - reach[0], middle - reach[1], middle + reach[0], middle + reach[1])
        draw.ellipse(box, fill=255)
        return
    corners = int(generator.integers(3, 12))
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    reach = generator.uniform(25, 52, corners)
    x, y = _SIDE / 2 + reach * np.cos(angles), _SIDE / 2 + reach * np.sin(angles)
    draw.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=255)


def _texture(generator: Generator, draw: ImageDraw.ImageDraw) -> None:
    """Coarse noise, smooth or in cells, over all of the drawing or a part of it."""
    cells = (generator.random((int(generator.integers(3, 16)),) * 2) * 255).astype(np.uint8)
    if generator.random() < 0.5:
        cells = np.where(cells > generator.uniform(90, 190), 255, 0).astype(np.uint8)
    size = (int(generator.integers(50, _SIDE)), int(generator.integers(50, _SIDE)))
    methods = (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    patch = Image.fromarray(cells).resize(size, methods[generator.integers(2)])
    draw.bitmap((0, 0), patch, fill=255)


_KINDS = (_word, _scribble, _doodle, _blob, _texture)
