"""Light and shadow on a page, and the camera, scanner or program that makes a file of it."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model_build.finding.shapes import DRAWN, SIDE, Floats, Generator, canvas, coverage_of, pick
from model_build.finding.sheet import Sheet

# Shares of the pages with …
_SLANTING_LIGHT = 0.3  # one side darker
_VIGNETTE = 0.08  # dark corners
_SHADOW = 0.33
_GLARE = 0.07
_LOW_CONTRAST = 0.3
_LITTLE_NOISE = 0.75  # as in good light
_COLOURED_NOISE = 0.6
_GREY_NOISE = 0.3  # of those without coloured noise
_SALT_AND_PEPPER = 0.05
_GREY = 0.2
_OUT_OF_FOCUS = 0.3
_SMALL_FILE = 0.2  # a picture of a few pixels, enlarged
_JPEG = 0.2
_THRESHOLD_SCAN = 0.03  # black and white only

_LEAST_DIGIT = 8  # pixels of a small file in which a digit is still legible

# Light


def lit(picture: Floats, generator: Generator) -> Floats:
    """A picture [96, 96, 3] in uneven light."""
    light = np.ones((SIDE, SIDE), np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE - 0.5
    if generator.random() < _SLANTING_LIGHT:
        angle, strength = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.6)
        slope = 0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y)
        light *= 1 - strength * slope.clip(0, 1)
    if generator.random() < _VIGNETTE:
        light *= 1 - generator.uniform(0.1, 0.7) * (2 * (x * x + y * y))
    if generator.random() < _SHADOW:
        light *= 1 - generator.uniform(0.2, 0.75) * _shadow(generator)
    if generator.random() < _GLARE:
        column, row = generator.uniform(-0.5, 0.5, 2)
        radius = generator.uniform(0.08, 0.4)
        glare = np.exp(-((x - column) ** 2 + (y - row) ** 2) / radius**2)[:, :, np.newaxis]
        picture = picture + glare * generator.uniform(20, 110)
    return picture * light[:, :, np.newaxis]


def _shadow(generator: Generator) -> Floats:
    """Shadow [96, 96] of 0 to 1, with a sharp edge or a soft one."""
    drawing = pick(generator, ((0.45, _half), (0.27, _telephone), (0.28, _blinds)))(generator)
    blur = float(generator.choice((0.3, 1, 3, 8)))
    return coverage_of(drawing.filter(ImageFilter.GaussianBlur(blur)))


def _half(generator: Generator) -> Image.Image:
    """All that is on one side of a line about the middle."""
    drawing, draw = canvas()
    angle, offset = generator.uniform(0, 2 * np.pi), generator.normal(0, 0.2) * DRAWN
    across, down = math.cos(angle), math.sin(angle)
    x, y = DRAWN / 2 + offset * across, DRAWN / 2 + offset * down
    far = 3 * DRAWN
    corners = (
        (x - far * down, y + far * across),
        (x + far * down, y - far * across),
        (x + far * (down + across), y - far * (across - down)),
        (x - far * (down - across), y + far * (across + down)),
    )
    draw.polygon(corners, fill=255)
    return drawing


def _telephone(generator: Generator) -> Image.Image:
    """A rectangle anywhere, as of the telephone that takes the picture."""
    drawing, draw = canvas()
    x, y = generator.uniform(0, DRAWN), generator.uniform(0, DRAWN)
    width, height = generator.uniform(0.15, 0.8, 2) * DRAWN
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    draw.rounded_rectangle(box, generator.uniform(0, 20), fill=255)
    return drawing.rotate(generator.uniform(-40, 40), Image.Resampling.BILINEAR, center=(x, y))


def _blinds(generator: Generator) -> Image.Image:
    drawing, draw = canvas()
    step = DRAWN * generator.uniform(0.08, 0.35)
    for level in np.arange(generator.uniform(-step, 0), DRAWN, step).tolist():
        bottom = level + step * generator.uniform(0.4, 0.6)
        draw.rectangle((0, level, DRAWN, bottom), fill=255)
    return drawing.rotate(generator.uniform(0, 180), Image.Resampling.BILINEAR)


# Camera


def photographed(picture: Floats, sheet: Sheet, generator: Generator) -> NDArray[np.uint8]:
    """What the finder is shown of a picture [96, 96, 3]: uint8 of the same shape.

    Beyond the sheet's size, its last row and column are repeated, as the function pads pictures.
    """
    pixels = _noisy(picture[: sheet.height, : sheet.width], generator)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if generator.random() < _GREY:
        image = image.convert("L").convert("RGB")
    if generator.random() < _OUT_OF_FOCUS:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.2, 1.6)))
    if generator.random() < _SMALL_FILE:
        image = _reduced(image, int(sheet.digit.any(axis=1).sum()), generator)
    if generator.random() < _JPEG:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(generator.integers(25, 95)))
        image = Image.open(file)
    if generator.random() < _THRESHOLD_SCAN:
        threshold = generator.uniform(80, 180)
        levels = [255 * (level > threshold) for level in range(256)]
        image = image.convert("L").point(levels).convert("RGB")
    padding = ((0, SIDE - sheet.height), (0, SIDE - sheet.width), (0, 0))
    return np.pad(np.asarray(image), padding, mode="edge")


def _noisy(picture: Floats, generator: Generator) -> NDArray[np.floating]:
    pixels: NDArray[np.floating] = picture
    if generator.random() < _LOW_CONTRAST:
        pixels = pixels * generator.uniform(0.35, 1) + generator.uniform(0, 40)
    is_little = generator.random() < _LITTLE_NOISE
    strength = generator.uniform(0, 5) if is_little else generator.uniform(5, 22)
    grey = (*pixels.shape[:2], 1)
    if generator.random() < _COLOURED_NOISE:
        pixels = pixels + generator.normal(0, strength, pixels.shape)
    elif generator.random() < _GREY_NOISE:
        pixels = pixels + generator.normal(0, strength, grey)
    if generator.random() < _SALT_AND_PEPPER:
        hit = generator.random(pixels.shape[:2]) < generator.uniform(0, 0.12)
        pixels = np.where(hit[:, :, np.newaxis], generator.choice((0.0, 255.0), grey), pixels)
    return pixels


def _reduced(image: Image.Image, digit_rows: int, generator: Generator) -> Image.Image:
    """A small file, enlarged, whose digits of so many rows are legible."""
    least = min(1.0, _LEAST_DIGIT / max(digit_rows, _LEAST_DIGIT))
    share = generator.uniform(max(least, 0.1), 1)
    small = max(3, round(image.width * share)), max(3, round(image.height * share))
    method = Image.Resampling(int(generator.choice((0, 2, 3))))
    return image.resize(small, Image.Resampling.BOX).resize(image.size, method)
