"""Pixels → tensor: any picture of one digit becomes the sample that the model was trained on.

The steps of the `mnist` pipeline in `auto` mode, in order:

    paper      what the page would look like without ink, uneven light included
    ink        how far each pixel lies from its paper, along the colour of the ink
    cut out    specks and noise dropped, the rest cropped
    normalise  20 x 20 box, centre of mass in the middle, the way MNIST was made

Dark ink on light paper and light ink on dark paper are the same to it: ink is what differs from
the border of the picture.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import BlankImage, UnreadableImage
from pixels import Pixels

type Mode = Literal["auto", "none"]

MODES: tuple[Mode, ...] = ("auto", "none")
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"
_GRID = 64  # cells on the longer side, for the paper's light and for the specks
_MIN_CONTRAST = 10.0  # of 255: fainter than this is paper grain, JPEG noise or shadow


@dataclass(frozen=True)
class MnistPipeline:
    """How MNIST was made (LeCun et al. 1998, section III-A), for any picture of a digit.

    height, width: the model's input, in pixels. box: the digit's longer side, in pixels.
    """

    height: int
    width: int
    box: int = 20

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from a manifest's `input`: shape [N, H, W] and its parameters."""
        _, height, width = shape
        return cls(int(height), int(width), int(parameters.get("box", 20)))

    def __call__(self, pixels: Pixels, mode: Mode) -> NDArray[np.uint8]:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width], white ink on black.

        Raises BlankImage when `auto` finds no ink, UnreadableImage for a wrong size in `none`.
        """
        return self.as_is(pixels) if mode == "none" else self.normalise(find_ink(pixels))

    def as_is(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Take a sample that already is what the model was trained on, pixel for pixel."""
        height, width, channels = pixels.shape
        if (height, width) != (self.height, self.width):
            raise UnreadableImage(
                f"preprocess=none takes an image of {self.width} x {self.height} pixels, this one "
                f"has {width} x {height}; send preprocess=auto for any other picture"
            )
        grey = pixels @ _LUMA if channels == 3 else pixels[:, :, 0]
        return np.rint(grey).astype(np.uint8)

    def normalise(self, ink: Pixels) -> NDArray[np.uint8]:
        """Fit cropped ink [H, W] of 0 to 1 into the box and put its centre of mass in the middle.

        Where the ink is so lopsided that it would leave the frame, it stays at the frame's edge.
        """
        scale = self.box / max(ink.shape)
        if not 0.88 < scale < 1.12:  # nearer to 1, resampling would blur more than it mends
            size = [max(1, round(side * scale)) for side in ink.shape]
            resized = Image.fromarray(ink).resize((size[1], size[0]), Image.Resampling.BICUBIC)
            ink = np.clip(np.asarray(resized), 0, 1)
            ink = ink / max(float(np.quantile(ink, 0.97)), 1e-3)  # hairlines keep their full black
        frame = np.zeros((self.height, self.width), dtype=np.uint8)
        row, column = center_of_mass(ink)
        top = _place(self.height, ink.shape[0], row)
        left = _place(self.width, ink.shape[1], column)
        frame[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(
            np.clip(ink, 0, 1) * 255
        )
        return frame


PIPELINES = {"mnist": MnistPipeline}


def find_ink(pixels: Pixels) -> Pixels:
    """Ink of a picture [H, W, C], 0 to 255, as [h, w], 0 to 1, cropped to what is written.

    Raises BlankImage if nothing stands out from the paper.
    """
    away = pixels - paper(pixels)
    colour = np.einsum("hwc,hw->c", away, np.einsum("hwc,hwc->hw", away, away))
    signed = away @ (colour / max(float(np.linalg.norm(colour)), 1e-6))
    lighter = signed[signed < 0]  # than paper: noise alone, however much of the picture is ink
    noise = 1.4826 * float(np.median(-lighter)) if lighter.size else 0.0
    ink = np.maximum(signed - 2.5 * noise, 0)
    threshold = otsu(ink[ink > 0]) if ink.any() else 0.0
    written = ink[ink > threshold]
    level = float(np.quantile(written, 0.9)) if written.size else 0.0
    if level < max(_MIN_CONTRAST, 3 * noise):
        raise BlankImage(
            "the image is blank: nothing stands out from its background; "
            "send one dark digit on light paper, or light on dark"
        )
    ink = drop_specks(np.minimum(ink / level, 1))
    inside = ink > 0.2
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def paper(pixels: Pixels) -> Pixels:
    """Estimate of the page without ink [H, W, C]: a quadratic surface for each channel.

    It is fitted to the border first, then to every cell near the fit, so that light which falls
    off across the page is followed and ink is not.
    """
    height, width, channels = pixels.shape
    cell = max(1, -(-max(height, width) // _GRID))
    cells = _cell_means(pixels, cell)
    rows, columns = cells.shape[:2]
    basis = _quadratic(rows, columns)
    ring = np.zeros((rows, columns), dtype=bool)
    ring[[0, -1], :] = ring[:, [0, -1]] = True
    flat = cells.reshape(-1, channels)
    border = np.median(flat[ring.ravel()], axis=0)
    near = ring.ravel() & (np.abs(flat - border).max(axis=1) < 60)
    if near.sum() < basis.shape[1] * 2:
        return np.broadcast_to(border.astype(np.float32), pixels.shape)
    for tolerance in (40.0, 20.0, 12.0):
        ridge = 1e-3 * near.sum() * np.diag([0.0, 1, 1, 1, 1, 1])
        chosen = basis[near]
        surface = np.linalg.solve(chosen.T @ chosen + ridge, chosen.T @ (flat[near] - border))
        near = np.abs(flat - border - basis @ surface).max(axis=1) < tolerance
        if near.sum() < basis.shape[1] * 2:
            break
    full = _quadratic(height, width) @ surface + border
    return full.reshape(pixels.shape).astype(np.float32)


def otsu(values: Pixels) -> float:
    """Threshold that splits values into two classes with the most variance between them.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    mass = np.cumsum(counts * centres)
    above = below[-1] - below
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[int(np.argmax(between)) + 1])


def drop_specks(ink: Pixels) -> Pixels:
    """Ink [H, W] without what is neither the largest connected piece nor a good part of it."""
    cell = max(1, -(-max(ink.shape) // _GRID))
    mass = _cell_means(np.where(ink > 0.3, ink, 0)[:, :, np.newaxis], cell)[:, :, 0]
    pieces = connected(mass > 0.02)
    weight = np.bincount(pieces.ravel(), mass.ravel())
    weight[0] = 0
    kept = np.isin(pieces, np.flatnonzero(weight >= 0.08 * weight.max()))
    grown = np.zeros(np.add(kept.shape, 2), dtype=bool)  # by one cell: faint edges belong to it
    for row in range(3):
        for column in range(3):
            grown[row : row + kept.shape[0], column : column + kept.shape[1]] |= kept
    mask = grown[1:-1, 1:-1].repeat(cell, axis=0).repeat(cell, axis=1)
    return np.where(mask[: ink.shape[0], : ink.shape[1]], ink, 0)


def connected(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Label [H, W] of 8-connected pieces; 0 is background. Labels are not consecutive."""
    labels = np.zeros(np.add(mask.shape, 2), dtype=np.int64)
    inner = labels[1:-1, 1:-1]
    inner[mask] = np.arange(1, int(mask.sum()) + 1)
    while True:  # each piece takes its largest label, one cell a round
        wide = np.maximum(labels[:, 1:-1], np.maximum(labels[:, :-2], labels[:, 2:]))
        spread = np.maximum(wide[1:-1], np.maximum(wide[:-2], wide[2:])) * mask
        if np.array_equal(spread, inner):
            return spread
        inner[:] = spread


def center_of_mass(ink: Pixels) -> tuple[float, float]:
    """Row and column of the ink's centre of mass, in pixels; ink [H, W], 0 is paper.

    Source: LeCun et al. 1998, section III-A.
    """
    total = float(ink.sum())
    rows = float(ink.sum(axis=1) @ np.arange(ink.shape[0]))
    columns = float(ink.sum(axis=0) @ np.arange(ink.shape[1]))
    return rows / total, columns / total


def _place(frame: int, length: int, center: float) -> int:
    """Offset that puts `center` of something `length` long on pixel frame/2, as MNIST has it."""
    return min(max(round(frame / 2 - center), 0), frame - length)


def _cell_means(pixels: Pixels, cell: int) -> Pixels:
    if cell == 1:
        return pixels
    height, width, channels = pixels.shape
    below, beside = -height % cell, -width % cell
    padded = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
    shape = (padded.shape[0] // cell, cell, padded.shape[1] // cell, cell, channels)
    return padded.reshape(shape).mean(axis=(1, 3), dtype=np.float32)


def _quadratic(rows: int, columns: int) -> NDArray[np.float64]:
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
