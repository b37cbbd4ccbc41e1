"""Pixels → sample without a change: what `preprocess=none` does in every pipeline."""

import numpy as np

from classifier.errors import UnreadableImage
from classifier.image.pixels import Pixels
from classifier.prepare.encoding import Sample

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


def exact_sample(pixels: Pixels, height: int, width: int, channels: int) -> Sample:
    """Picture [height, width, C] as a sample, pixel for pixel.

    Raises UnreadableImage if it does not have the model's size.
    """
    if pixels.shape[:2] != (height, width):
        raise UnreadableImage(
            f"preprocess=none takes an image of {width} x {height} pixels, this one has "
            f"{pixels.shape[1]} x {pixels.shape[0]}; send preprocess=auto for any other picture"
        )
    return in_channels(pixels, channels)


def in_channels(pixels: Pixels, channels: int) -> Sample:
    """Picture [H, W, C] of 0 to 255 as uint8, [H, W] in grey or [H, W, 3] in RGB."""
    if channels == 1:
        return _to_bytes(pixels @ _LUMA if pixels.shape[2] == 3 else pixels[:, :, 0])
    return _to_bytes(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2))


def _to_bytes(pixels: Pixels) -> Sample:
    rounded = np.rint(pixels) if pixels.dtype == np.float32 else pixels
    return rounded.astype(np.uint8, copy=False)
