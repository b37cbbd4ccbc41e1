"""Pixels → sample without a change: what `preprocess=none` does in every pipeline."""

import numpy as np

from classifier.errors import UnreadableImage
from classifier.image.pixels import Pixels
from classifier.prepare.encoding import Sample

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


def require_size(rows: int, columns: int, height: int, width: int) -> None:
    """Raise UnreadableImage if a picture's size is not the model's."""
    if (rows, columns) != (height, width):
        raise UnreadableImage(
            f"preprocess=none takes an image of {width} x {height} pixels, this one has "
            f"{columns} x {rows}; send preprocess=auto for any other picture"
        )


def exact_sample(pixels: Pixels, height: int, width: int) -> Sample:
    """Picture [height, width, C] as a sample in grey, pixel for pixel.

    Raises UnreadableImage if it does not have the model's size.
    """
    require_size(len(pixels), len(pixels[0]), height, width)
    return in_grey(pixels)


def in_grey(pixels: Pixels) -> Sample:
    """Picture [H, W, C] of 0 to 255 as uint8 [H, W]."""
    grey = pixels @ _LUMA if pixels.shape[2] == 3 else pixels[:, :, 0]
    return (np.rint(grey) if grey.dtype == np.float32 else grey).astype(np.uint8, copy=False)
