"""Pixels → tensor: any picture of one digit becomes a sample like those of the training set."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import UnreadableImage
from ink import Ink, find_ink
from pixels import Pixels

type Mode = Literal["auto", "none"]

MODES: tuple[Mode, ...] = ("auto", "none")
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


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
        """Read the pipeline from a manifest's `input`: shape [N, H, W] and its parameters.

        Raises ValueError, TypeError or OverflowError for sizes that make no sense.
        """
        _, height, width = shape
        pipeline = cls(int(height), int(width), int(parameters.get("box", 20)))
        if not 0 < pipeline.box <= min(pipeline.height, pipeline.width):
            raise ValueError(f"a box of {pipeline.box} is none inside {height} x {width}")
        return pipeline

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

    def normalise(self, ink: Ink) -> NDArray[np.uint8]:
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


def center_of_mass(ink: Ink) -> tuple[float, float]:
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
