"""Samples → other samples of the same digit: other hands, pens, cameras and crops.

`augment` is for uint8 images; the single changes take and give float32 [N, H, W], 0.0 paper to 1.0
ink. All draw from the generator they are handed: the same seed gives the same bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.prepare.mnist import MnistPipeline
from model_build.training.handwriting_styles import Ink, change_style


@dataclass(frozen=True)
class Strength:
    """How far a sample is taken from itself; a share is the part of the samples it happens to."""

    rotation: float = 10.0  # degrees, to either side
    slant: float = 0.25  # columns a row, to either side
    stretch: float = 0.12  # of height and of width, each on its own
    shift: float = 1.5  # pixels
    elastic: float = 1.2  # pixels, standard deviation at the nodes of the grid
    style: float = 0.3  # share written as in other countries; 0 if not digits
    pen: float = 0.5  # share with another stroke width
    gap: float = 0.05  # share with a broken stroke
    cut: float = 0.03  # share with an edge cut off
    coarse: float = 0.25  # share resampled through 8 to 16 pixels
    recrop: float = 0.15  # share cropped and centred once more, by the serving code
    blur: float = 0.3  # share
    noise: float = 0.1  # share


def augment(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    generator: np.random.Generator,
    strength: Strength,
) -> NDArray[np.uint8]:
    """Another sample of each digit: images uint8 [N, H, W], white ink (255) on black (0).

    labels: [N], what each image shows; it shows the same afterwards.
    """
    # In blocks that stay in the processor's cache: twice as fast as all at once.
    blocks = [slice(start, start + 128) for start in range(0, len(images), 128)]
    return np.concatenate(
        [_augment_block(images[block], labels[block], generator, strength) for block in blocks]
    )


def _augment_block(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    generator: np.random.Generator,
    strength: Strength,
) -> NDArray[np.uint8]:
    ink = images.astype(np.float32) / np.float32(255)
    chosen = np.flatnonzero(generator.random(len(ink)) < strength.style)
    ink[chosen] = change_style(ink[chosen], labels[chosen], generator)
    ink = warp(ink, generator, strength)
    for change, share in (
        (change_pen, strength.pen),
        (break_strokes, strength.gap),
        (cut_edge, strength.cut),
        (coarsen, strength.coarse),
        (recrop, strength.recrop),
        (blur, strength.blur),
        (add_noise, strength.noise),
    ):
        chosen = np.flatnonzero(generator.random(len(ink)) < share)
        ink[chosen] = change(ink[chosen], generator)
    return np.rint(np.clip(ink, 0, 1) * 255).astype(np.uint8)


def warp(ink: Ink, generator: np.random.Generator, strength: Strength) -> Ink:
    """Rotate, slant, stretch, shift and bend each image, in one bilinear resampling.

    The bend is a displacement drawn at the nodes of a coarse grid, made smooth between them: the
    elastic distortion of Simard, Steinkraus and Platt 2003, without its costly convolution.
    """
    count, height, width = ink.shape

    def spread(limit: float) -> Ink:
        return _uniform(generator, count, -limit, limit)

    angle, slant = np.deg2rad(spread(strength.rotation)), spread(strength.slant)
    tall, wide = 1 + spread(strength.stretch), 1 + spread(strength.stretch)
    y, x = np.meshgrid(
        np.arange(height, dtype=np.float32) - (height - 1) / 2,
        np.arange(width, dtype=np.float32) - (width - 1) / 2,
        indexing="ij",
    )
    nodes = generator.normal(0, strength.elastic, (2, count, 6, 6)).astype(np.float32)
    bend = np.asarray(_between_nodes(height, 6) @ nodes @ _between_nodes(width, 6).T, np.float32)
    slanted = x + slant * y
    rows = (np.cos(angle) * y + np.sin(angle) * slanted) / tall + spread(strength.shift) + bend[0]
    columns = (np.cos(angle) * slanted - np.sin(angle) * y) / wide + spread(strength.shift)
    return _sample(ink, rows + (height - 1) / 2, columns + bend[1] + (width - 1) / 2)


def change_pen(ink: Ink, generator: np.random.Generator) -> Ink:
    """Draw each image with a thinner or thicker pen: its edge moves to another level of ink."""
    paper = _uniform(generator, len(ink), 0.02, 0.5)
    softness = _uniform(generator, len(ink), 0.25, 0.6)
    drawn: Ink = np.clip((_smooth(ink, 0.25) - paper) / softness, 0, 1)
    lost = drawn.max(axis=(1, 2)) < 0.5  # a hairline that the thin pen would lose altogether
    drawn[lost] = ink[lost]
    return drawn


def break_strokes(ink: Ink, generator: np.random.Generator) -> Ink:
    """Rub out a thin line through each image."""
    height, width = ink.shape[1:]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = _uniform(generator, len(ink), 0, np.pi)
    row = _uniform(generator, len(ink), 0.3 * height, 0.7 * height)
    column = _uniform(generator, len(ink), 0.3 * width, 0.7 * width)
    reach = _uniform(generator, len(ink), 0.5, 1.2)
    distance = np.abs((y - row) * np.cos(angle) + (x - column) * np.sin(angle))
    kept: Ink = np.clip(distance - reach + 0.5, 0, 1)
    return ink * kept


def cut_edge(ink: Ink, generator: np.random.Generator) -> Ink:
    """Cut off the outermost one or two pixels of the 20 x 20 box at one side of each image."""
    height, width = ink.shape[1:]
    side = generator.integers(4, size=len(ink))
    depth = generator.integers(5, 7, size=len(ink))  # the box begins 4 pixels from the edge
    y, x = np.mgrid[0:height, 0:width]
    from_edge = np.stack([y, width - 1 - x, height - 1 - y, x])[side]
    return np.where(from_edge < depth[:, np.newaxis, np.newaxis], np.float32(0), ink)


def coarsen(ink: Ink, generator: np.random.Generator) -> Ink:
    """Bring each image down to 8 to 16 pixels, and back through the serving code."""
    sides = generator.integers(8, 17, size=len(ink))
    widths = generator.uniform(0.7, 1.2, size=len(ink))
    coarse = np.empty_like(ink)
    for index, image in enumerate(ink):
        coarse[index] = _recrop(image, int(sides[index]), widths[index])
    return coarse


def recrop(ink: Ink, _: np.random.Generator) -> Ink:
    """Crop each image to its ink and put it into box and centre, through the serving code."""
    cropped = np.empty_like(ink)
    for index, image in enumerate(ink):
        cropped[index] = _recrop(image)
    return cropped


def blur(ink: Ink, generator: np.random.Generator) -> Ink:
    """Blur each image by a camera out of focus."""
    amount = _uniform(generator, len(ink), 0.05, 0.5)
    return ink + amount * (_smooth(ink, 0.25) - ink)


def add_noise(ink: Ink, generator: np.random.Generator) -> Ink:
    """Add the grain of a sensor, and let the ink be fainter."""
    grain = _uniform(generator, len(ink), 0, 0.08)
    faint = _uniform(generator, len(ink), 0.7, 1)
    return ink * faint + grain * generator.standard_normal(ink.shape, dtype=np.float32)


def _recrop(image: Ink, side: int | None = None, wide: float = 1.0) -> Ink:
    """One image [H, W] through the serving code, by way of `side` pixels for its longer side."""
    inside = image > 0.2
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return image
    cropped = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if side:
        scale = side / max(cropped.shape)
        tall, wide = np.multiply(cropped.shape, (scale, scale * wide))
        size = max(2, round(wide)), max(2, round(tall))
        cropped = np.asarray(Image.fromarray(cropped).resize(size, Image.Resampling.BOX))
    pipeline = MnistPipeline(*image.shape)
    return np.divide(pipeline.normalise(cropped), 255, dtype=np.float32)


def _uniform(generator: np.random.Generator, count: int, low: float, high: float) -> Ink:
    """One draw [N, 1, 1] an image."""
    return generator.uniform(low, high, (count, 1, 1)).astype(np.float32)


def _sample(ink: Ink, rows: Ink, columns: Ink) -> Ink:
    """Ink [N, H, W] at rows and columns [N, H, W], bilinear; paper outside."""
    count, height, width = ink.shape
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1))).ravel()
    rows, columns = np.clip(rows, -1, height - 0.001) + 1, np.clip(columns, -1, width - 0.001) + 1
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    below, beside = rows - top, columns - left
    stride = width + 2
    first = np.arange(count, dtype=np.int32)[:, None, None] * (height + 2) * stride
    first = first + top * stride + left
    upper = padded[first] * (1 - beside) + padded[first + 1] * beside
    first += stride
    lower = padded[first] * (1 - beside) + padded[first + 1] * beside
    return np.asarray(upper * (1 - below) + lower * below, dtype=np.float32)


def _smooth(ink: Ink, beside: float) -> Ink:
    """Blur with the kernel [beside, 1 - 2 beside, beside] along both axes."""
    middle = 1 - 2 * beside
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    down = padded[:, 1:-1] * middle + (padded[:, :-2] + padded[:, 2:]) * beside
    smooth = down[:, :, 1:-1] * middle + (down[:, :, :-2] + down[:, :, 2:]) * beside
    return np.asarray(smooth, dtype=np.float32)


def _between_nodes(length: int, nodes: int) -> Ink:
    """Matrix [length, nodes] of cubic B-splines: values at nodes → a smooth curve over pixels."""
    away = np.abs(np.linspace(0.5, nodes - 1.5, length)[:, None] - np.arange(nodes))
    near = (4 - 6 * away**2 + 3 * away**3) / 6
    far = np.clip(2 - away, 0, None) ** 3 / 6
    return np.asarray(np.where(away < 1, near, far), dtype=np.float32)
