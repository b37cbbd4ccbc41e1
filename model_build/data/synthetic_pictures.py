"""Simulate photos of a handwritten digit, with varying pen, paper, light and position."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_PENS = ((20, 20, 25), (25, 45, 140), (170, 30, 35), (30, 110, 60), (85, 85, 90), (120, 60, 150))
_PAPERS = ((255, 255, 255), (248, 246, 240), (235, 232, 222), (225, 232, 240), (250, 243, 200))


def take_picture(
    digit: NDArray[np.uint8],
    generator: np.random.Generator,
    *,
    side: int | None = None,
    image_format: str = "JPEG",
) -> bytes:
    """Return an image file of a digit [H, W], white on black, as dark ink on a sheet of paper.

    The digit takes 30 to 70 % of a page of `side` pixels (default: 120 to 480), off-centre; light
    falls off across the page by up to 40 %; the camera adds blur and noise.
    """
    side = side or int(generator.integers(120, 480))
    size = int(side * generator.uniform(0.3, 0.7))
    coverage = np.zeros((side, side), dtype=np.float32)
    top, left = generator.integers(0, side - size, 2)
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    coverage[top : top + size, left : left + size] = np.asarray(large, dtype=np.float32) / 255

    pen = np.array(_PENS[generator.integers(len(_PENS))], dtype=np.float32)
    page = np.array(_PAPERS[generator.integers(len(_PAPERS))], dtype=np.float32)
    picture = page + coverage[:, :, np.newaxis] * (pen - page)

    angle, fall_off = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.4)
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j] - 0.5
    light = 1 - fall_off * (0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y))
    picture = picture * light[:, :, np.newaxis]
    picture += generator.normal(0, generator.uniform(0, 5), picture.shape)

    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0, side / 250)))
    file = io.BytesIO()
    image.save(file, image_format, **({"quality": 85} if image_format == "JPEG" else {}))
    return file.getvalue()
