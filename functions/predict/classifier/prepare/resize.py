"""Pipelines for models of whole pictures: `resize` and `imagenet`.

Imported when a manifest names one of them, so that a model of digits does not pay for it.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import DetailLoader, Pixels
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.exact import exact_sample, in_channels

type Background = Literal["dark", "light"]


@dataclass(frozen=True)
class ResizePipeline:
    """The whole picture, brought to the model's size with anti-aliasing.

    height, width: the model's input, in pixels. channels: 1 grey, 3 RGB. background: what the
    model was trained on; a picture whose border is of the other kind is turned into its negative.
    None leaves pictures as they are. pad: the picture keeps its proportions, and the rest of the
    frame is filled with the colour of its border; else it is stretched to the frame.
    """

    height: int
    width: int
    channels: int = 1
    background: Background | None = None
    pad: bool = False

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W] or [N, H, W, 3].

        Raises ValueError for an unknown background.
        """
        background = parameters.get("background")
        if background not in (None, "dark", "light"):
            raise ValueError(f'background must be "dark" or "light", got {background!r}')
        _, height, width, *channels = shape
        pad = bool(parameters.get("pad", False))
        return cls(int(height), int(width), 3 if channels else 1, background, pad)

    def __call__(
        self, pixels: Pixels, mode: Mode, _load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width] or [height, width, 3].

        Raises UnreadableImage for a wrong size in `none`.
        """
        if mode == "none":
            return exact_sample(pixels, self.height, self.width, self.channels)
        sample = in_channels(pixels, self.channels)
        if self.background and self.background != _background(sample):
            sample = 255 - sample
        if sample.shape[:2] == (self.height, self.width):
            return sample
        if not self.pad:
            return _resized(sample, self.height, self.width)
        scale = min(self.height / sample.shape[0], self.width / sample.shape[1])
        height, width = (max(1, round(side * scale)) for side in sample.shape[:2])
        frame = np.empty((self.height, self.width, *sample.shape[2:]), dtype=np.uint8)
        frame[:] = np.median(_border(sample), axis=0)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        frame[top : top + height, left : left + width] = _resized(sample, height, width)
        return frame


@dataclass(frozen=True)
class ImagenetPipeline:
    """The middle of the picture, as ImageNet classifiers are evaluated.

    crop: share of the shorter side that is kept, 224 / 256 by default: scaling the shorter side to
    256 pixels and cutting 224 x 224 out of its middle, in one resampling (bilinear, anti-aliased).
    Source: Krizhevsky et al. 2012, section 2, and the evaluation of torchvision's models.
    """

    height: int
    width: int
    channels: int = 3
    crop: float = 224 / 256

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W] or [N, H, W, 3].

        Raises ValueError for a crop outside (0, 1].
        """
        crop = float(parameters.get("crop", 224 / 256))
        if not 0 < crop <= 1:
            raise ValueError(f"crop must be in (0, 1], got {crop}")
        _, height, width, *channels = shape
        return cls(int(height), int(width), 3 if channels else 1, crop)

    def __call__(
        self, pixels: Pixels, mode: Mode, _load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Turn [H, W, C] of 0 to 255 into the model's [height, width] or [height, width, 3].

        Raises UnreadableImage for a wrong size in `none`.
        """
        if mode == "none":
            return exact_sample(pixels, self.height, self.width, self.channels)
        rows, columns, _ = pixels.shape
        scale = self.crop * min(rows / self.height, columns / self.width)
        down, across = self.height * scale, self.width * scale
        top, left = (rows - down) / 2, (columns - across) / 2
        box = (left, top, left + across, top + down)
        return _resized(in_channels(pixels, self.channels), self.height, self.width, box)


PIPELINES: dict[str, type[ResizePipeline] | type[ImagenetPipeline]] = {
    "resize": ResizePipeline,
    "imagenet": ImagenetPipeline,
}


def _resized(
    sample: Sample,
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None = None,
) -> Sample:
    image = Image.fromarray(sample).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(image)


def _background(sample: Sample) -> Background:
    """Whether the border of a picture is rather dark or rather light."""
    return "light" if float(np.median(_border(sample))) > 127.5 else "dark"


def _border(sample: Sample) -> NDArray[np.uint8]:
    """Outermost pixels of a sample, [P] or [P, 3]."""
    return np.concatenate([sample[0], sample[-1], sample[1:-1, 0], sample[1:-1, -1]])
