"""Pixels → samples: the digits of any picture become samples like those of the training set."""

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import DetailLoader, Pixels
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.exact import exact_sample, in_grey
from classifier.prepare.ink import Ink, find_ink, quantile
from classifier.prepare.located import Located

if TYPE_CHECKING:
    from classifier.prepare.finder import MapsOf

_FULL_INK = 200  # of 255, at least somewhere


class MnistPipeline(NamedTuple):
    """How MNIST was made (LeCun et al. 1998, section III-A), for any picture of digits.

    height, width: the model's input, in pixels. box: the digit's longer side, in pixels. maps_of:
    finds the digits; without it, everything that stands out from the picture's border is one.
    """

    height: int
    width: int
    box: int = 20
    maps_of: "MapsOf | None" = None

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W], and its parameters.

        Raises ValueError, TypeError or OverflowError for sizes that make no sense.
        """
        _, height, width = shape
        pipeline = cls(int(height), int(width), int(parameters.get("box", 20)))
        if not 0 < pipeline.box <= min(pipeline.height, pipeline.width):
            raise ValueError(
                f"box must be 1 to {min(pipeline.height, pipeline.width)}, got {pipeline.box}"
            )
        return pipeline

    def __call__(
        self, pixels: Pixels, mode: Mode, load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width], white ink on black.

        load_detail: loads a part of the picture in more detail than `pixels`, for a small digit.
        Raises BlankImage when `auto` finds no ink, UnreadableImage for a wrong size in `none`.
        """
        if mode == "none":
            return exact_sample(pixels, self.height, self.width)
        return self.locate(pixels, load_detail).samples[0]

    def locate(
        self, pixels: Pixels, load_detail: DetailLoader | None = None, *, many: bool = False
    ) -> Located:
        """Samples of the most prominent digit of a picture [H, W, C], or of all in reading order.

        Raises BlankImage if nothing is written there.
        """
        if pixels.shape == (self.height, self.width, 1):
            sample = in_grey(pixels)
            if self.is_sample(sample):
                return Located([sample])
        if not self.maps_of:
            return Located([self.normalise(find_ink(pixels, load_detail))])
        from classifier.prepare.search import Search  # noqa: PLC0415 - finished samples don't need it

        return Search(self.normalise, self.maps_of, many=many).locate(pixels, load_detail)

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole pictures, not reduced ones and parts in detail."""
        return False

    def is_sample(self, picture: Sample) -> bool:
        """Whether a picture [height, width] was made as MNIST already, so that it stays as it is.

        Full ink on pure black, a box of the right size, its centre of mass in the middle. A
        lopsided digit reaches one side of the frame that way, but never two.
        """
        rows, columns = picture.max(axis=1).tobytes(), picture.max(axis=0).tobytes()
        touched = sum(map(bool, (rows[0], rows[-1], columns[0], columns[-1])))
        if touched > 1 or max(rows) < _FULL_INK:
            return False
        longer_side = max(len(rows.strip(b"\0")), len(columns.strip(b"\0")))
        row, column = center_of_mass(picture)
        return (
            abs(longer_side - self.box) <= 1
            and abs(row - self.height / 2) <= 1
            and abs(column - self.width / 2) <= 1
        )

    def normalise(self, ink: Ink) -> Sample:
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
        top = _offset(self.height, ink.shape[0], row)
        left = _offset(self.width, ink.shape[1], column)
        frame[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(
            np.clip(ink, 0, 1) * 255
        )
        return frame


def center_of_mass(ink: NDArray[np.uint8] | NDArray[np.float32]) -> tuple[float, float]:
    """Row and column of the centre of mass of ink [H, W], in pixels; 0 is paper.

    (0, 0) where there is no ink. Source: LeCun et al. 1998, section III-A.
    """
    rows, columns = ink.sum(axis=1, dtype=np.float64), ink.sum(axis=0, dtype=np.float64)
    total = rows.sum() or 1.0
    row, column = rows @ np.arange(len(rows)), columns @ np.arange(len(columns))
    return float(row / total), float(column / total)


def _offset(frame: int, length: int, center: float) -> int:
    """Offset that puts `center` of something `length` long on pixel frame/2, as MNIST has it."""
    return min(max(round(frame / 2 - center), 0), frame - length)
