"""Pixels → tensor: any picture of one digit becomes a sample like those of the training set."""

from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoding import Sample
from errors import UnreadableImage
from ink import Ink, find_ink, quantile
from pixels import Closer, Pixels

type Mode = Literal["auto", "none"]

MODES: tuple[Mode, ...] = ("auto", "none")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


class Pipeline(Protocol):
    """From the pixels of any picture to a sample: uint8 [H, W], or [H, W, 3] in RGB."""

    def __call__(self, pixels: Pixels, mode: Mode, closer: Closer | None = None, /) -> Sample:
        """Raise UnreadableImage for a picture that gives no sample.

        closer: gives parts of the picture in more detail than `pixels`, to those that look for it.
        """


class MnistPipeline(NamedTuple):
    """How MNIST was made (LeCun et al. 1998, section III-A), for any picture of a digit.

    height, width: the model's input, in pixels. box: the digit's longer side, in pixels.
    """

    height: int
    width: int
    box: int = 20

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W], and its parameters.

        Raises ValueError, TypeError or OverflowError for sizes that make no sense.
        """
        _, height, width = shape
        pipeline = cls(int(height), int(width), int(parameters.get("box", 20)))
        if not 0 < pipeline.box <= min(pipeline.height, pipeline.width):
            raise ValueError(f"a box of {pipeline.box} is none inside {height} x {width}")
        return pipeline

    def __call__(
        self, pixels: Pixels, mode: Mode, closer: Closer | None = None, /
    ) -> NDArray[np.uint8]:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width], white ink on black.

        closer: gives parts of the picture in more detail than `pixels`, for a small digit.
        Raises BlankImage when `auto` finds no ink, UnreadableImage for a wrong size in `none`.
        """
        if mode == "none" or self.is_sample(pixels):
            return self.as_is(pixels)
        return self.normalise(find_ink(pixels, closer))

    def is_sample(self, pixels: Pixels) -> bool:
        """Whether a picture [H, W, C] is made as MNIST already: `auto` has nothing to do on it.

        Grey, full ink on a frame of pure black, a box of the right size, its centre of mass in the
        middle. Looking for the ink anew would take ten times as long (docs/performance.md).
        """
        if pixels.shape != (self.height, self.width, 1) or pixels.max() < 200:
            return False
        ink = pixels[:, :, 0]
        (top, bottom), (left, right) = _written_rows(ink), _written_rows(ink.T)
        if not (top > 0 and bottom < self.height - 1 and left > 0 and right < self.width - 1):
            return False
        if abs(max(bottom - top, right - left) + 1 - self.box) > 1:
            return False
        row, column = center_of_mass(ink)
        return abs(row - self.height / 2) <= 1 and abs(column - self.width / 2) <= 1

    def as_is(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Take a sample that already is what the model was trained on, pixel for pixel."""
        check_size(pixels, self.height, self.width)
        grey = pixels @ LUMA if pixels.shape[2] == 3 else pixels[:, :, 0]
        return np.asarray(grey if grey.dtype == np.uint8 else np.rint(grey), dtype=np.uint8)

    def normalise(self, ink: Ink) -> NDArray[np.uint8]:
        """Fit cropped ink [H, W] of 0 to 1 into the box and put its centre of mass in the middle.

        Where the ink is so lopsided that it would leave the frame, it stays at the frame's edge.
        """
        scale = self.box / max(ink.shape)
        if not 0.88 < scale < 1.12:  # nearer to 1, resampling would blur more than it mends
            size = [max(1, round(side * scale)) for side in ink.shape]
            resized = Image.fromarray(ink).resize((size[1], size[0]), Image.Resampling.BICUBIC)
            ink = np.clip(np.asarray(resized), 0, 1)
            ink = ink / max(
                float(quantile(ink.ravel(), 0.97)), 1e-3
            )  # hairlines keep their full black
        frame = np.zeros((self.height, self.width), dtype=np.uint8)
        row, column = center_of_mass(ink)
        top = _place(self.height, ink.shape[0], row)
        left = _place(self.width, ink.shape[1], column)
        frame[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(
            np.clip(ink, 0, 1) * 255
        )
        return frame


def pipeline(shape: list[Any], parameters: dict[str, Any]) -> Pipeline:
    """Pipeline that a manifest names, for samples of a shape: [N, H, W], or [N, H, W, 3] in RGB.

    Raises KeyError for a name that is none, and ValueError, TypeError or OverflowError for
    parameters that make no sense.
    """
    name = parameters["pipeline"]
    if name == "mnist":
        return MnistPipeline.from_manifest(shape, parameters)
    import resize  # noqa: PLC0415 - a model of digits does not pay for it

    return resize.PIPELINES[name].from_manifest(shape, parameters)


def check_size(pixels: Pixels, height: int, width: int) -> None:
    """Raise UnreadableImage if a picture [H, W, C] does not have the model's size."""
    if pixels.shape[:2] != (height, width):
        raise UnreadableImage(
            f"preprocess=none takes an image of {width} x {height} pixels, this one has "
            f"{pixels.shape[1]} x {pixels.shape[0]}; send preprocess=auto for any other picture"
        )


def center_of_mass(ink: Ink | Sample) -> tuple[float, float]:
    """Row and column of the ink's centre of mass, in pixels; ink [H, W], 0 is paper.

    Source: LeCun et al. 1998, section III-A.
    """
    down, across = _moments(ink.shape[0]), _moments(ink.shape[1])
    (total, columns), (rows, _) = down.dot(ink).dot(across.T).tolist()
    return rows / total, columns / total


@lru_cache(maxsize=256)
def _moments(length: int) -> NDArray[np.float64]:
    """[2, length]: what sums up values along an axis, as they are and weighted by their place."""
    return np.stack([np.ones(length), np.arange(length)])


def _written_rows(ink: Pixels) -> tuple[int, int]:
    """First and last row of [H, W] with anything but 0, of which there is some."""
    content = ink.tobytes()
    row = len(content) // len(ink)  # bytes
    first = len(content) - len(content.lstrip(b"\0"))
    last = len(content.rstrip(b"\0")) - 1
    return first // row, last // row


def _place(frame: int, length: int, center: float) -> int:
    """Offset that puts `center` of something `length` long on pixel frame/2, as MNIST has it."""
    return min(max(round(frame / 2 - center), 0), frame - length)
