"""Pixels → tensor: any picture of one digit becomes a sample like those of the training set."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import UnreadableImage
from classifier.image import png
from classifier.image.pixels import Closer, Pixels
from classifier.prepare.encoding import Sample
from classifier.prepare.ink import Ink, find_ink, quantile

type Mode = Literal["auto", "none"]

MODES: tuple[Mode, ...] = ("auto", "none")
_FULL_INK = 200  # of 255, at least somewhere
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


class Pipeline(Protocol):
    """From the pixels of any picture to a sample: uint8 [H, W], or [H, W, 3] in RGB."""

    def __call__(self, pixels: Pixels, mode: Mode, closer: Closer | None = None, /) -> Sample:
        """Raise UnreadableImage for a picture that gives no sample.

        closer: gives parts of the picture in more detail than `pixels`, to those that look for it.
        """

    def read_samples(self, files: Sequence[bytes], /) -> NDArray[np.uint8] | None:
        """Samples [N, H, W] of image files if in either mode there is nothing to do on any of them.

        None otherwise. They go past all that other pictures need, and are looked at all at once
        (docs/decisions/0005-finished-samples.md).
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
        if mode == "none":
            return self.as_is(pixels)
        if pixels.shape == (self.height, self.width, 1):
            sample = self.as_is(pixels)
            if self.are_samples(sample[np.newaxis]):
                return sample
        return self.normalise(find_ink(pixels, closer))

    def read_samples(self, files: Sequence[bytes], /) -> NDArray[np.uint8] | None:
        """Samples [N, height, width] of plain grey PNG files if all are made as MNIST already.

        None otherwise.
        """
        samples = np.empty((len(files), self.height, self.width), dtype=np.uint8)
        try:
            for file, sample in zip(files, samples, strict=True):
                if not png.decode_grey(file, sample):
                    return None
        except ValueError:  # damaged: the way of all other pictures ends with a sentence on it
            return None
        return samples if self.are_samples(samples) else None

    def are_samples(self, pictures: NDArray[np.uint8]) -> bool:
        """Whether pictures [N, height, width] all are made as MNIST already.

        Full ink on a frame of pure black, a box of the right size, its centre of mass in the
        middle. Looking for the ink anew would take over forty times as long (docs/performance.md).
        """
        rows = pictures.max(axis=2).tobytes()
        columns = pictures.max(axis=1).tobytes()
        for index, (row, column) in enumerate(centers_of_mass(pictures)):
            down = rows[index * self.height : (index + 1) * self.height]
            across = columns[index * self.width : (index + 1) * self.width]
            if down[0] or down[-1] or across[0] or across[-1] or max(down) < _FULL_INK:
                return False
            longer = max(len(down.strip(b"\0")), len(across.strip(b"\0")))
            if abs(longer - self.box) > 1:
                return False
            if abs(row - self.height / 2) > 1 or abs(column - self.width / 2) > 1:
                return False
        return True

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
        ((row, column),) = centers_of_mass(ink[np.newaxis])
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
    from classifier.prepare import resize  # noqa: PLC0415 - a model of digits does not pay for it

    return resize.PIPELINES[name].from_manifest(shape, parameters)


def check_size(pixels: Pixels, height: int, width: int) -> None:
    """Raise UnreadableImage if a picture [H, W, C] does not have the model's size."""
    if pixels.shape[:2] != (height, width):
        raise UnreadableImage(
            f"preprocess=none takes an image of {width} x {height} pixels, this one has "
            f"{pixels.shape[1]} x {pixels.shape[0]}; send preprocess=auto for any other picture"
        )


def centers_of_mass(inks: NDArray[np.uint8] | NDArray[np.float32]) -> list[tuple[float, float]]:
    """Row and column, in pixels, of the centres of mass of inks [N, H, W], 0 is paper.

    Where there is no ink, 0 and 0. Source: LeCun et al. 1998, section III-A.
    """
    count, height, width = inks.shape
    sums = inks.reshape(count, height * width).dot(_moments(height, width)).tolist()
    return [(down / (ink or 1), across / (ink or 1)) for ink, down, across in sums]


@lru_cache(maxsize=4)
def _moments(height: int, width: int) -> NDArray[np.float32]:
    """[H * W, 3]: what sums up values [H * W] as they are, by their row, and by their column."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([np.ones_like(rows), rows, columns], axis=2).reshape(height * width, 3)


def _place(frame: int, length: int, center: float) -> int:
    """Offset that puts `center` of something `length` long on pixel frame/2, as MNIST has it."""
    return min(max(round(frame / 2 - center), 0), frame - length)
