"""Pictures and samples → three numbers each that move when the pen, the paper or the crop changes.

They are logged with every answer, for drift to be seen, so they cost microseconds (docs/drift.md).
"""

from collections.abc import Sequence
from math import floor

from classifier.image.pixels import Pixels
from classifier.prepare.encoding import Samples

_EDGE_PIXELS = 64  # of each of the two edges looked at: enough for a mean
_WRITTEN = b"0" * 128 + b"1" * 128  # 1 for over half of full ink

type Traits = dict[str, list[float]]  # each trait's values, an image each: the form of the log line


def paper(pixels: Pixels) -> float:
    """Brightness of a picture's first and last row, 0 black to 1 white, as it was sent.

    Light ink on a dark page shows here, where `auto` has made both the same. pixels: [H, W, C],
    0 to 255.
    """
    height, across, channels = pixels.shape
    every = -(-across // _EDGE_PIXELS)
    edges: list[list[float]] = pixels[:: max(height - 1, 1), ::every, channels // 2].tolist()
    return _rounded((sum(edges[0]) + sum(edges[-1])) / (2 * len(edges[0])) / 255, 1e3)


def traits(samples: Samples, papers: Sequence[float]) -> Traits:
    """Traits of samples uint8 [H, W] or [H, W, 3], and of the pictures that they came from.

    ink: share of a sample's pixels over half of full ink. stroke: their area by half their
    perimeter, about the pen's width in pixels of the sample. paper: as above, of each picture.
    """
    ink, stroke = [], []
    for sample in samples:
        grey = sample if sample.ndim == 2 else sample[:, :, 1]
        size, width = grey.size, grey.shape[1]
        # A bit a pixel, in one long integer: in half the time that arrays take.
        written = int(grey.tobytes().translate(_WRITTEN), 2)
        area = written.bit_count()
        perimeter = _changes(written, 1, size) + _changes(written, width, size)
        ink.append(_rounded(area / size, 1e4))
        stroke.append(_rounded(2 * area / max(perimeter, 1), 1e3))
    return {"ink": ink, "stroke": stroke, "paper": list(papers)}


def _changes(written: int, step: int, size: int) -> int:
    """How many of `size` pixels, a bit each, are unlike the one `step` pixels before."""
    without_one_before = written >> (size - step)
    return (written ^ written >> step).bit_count() - without_one_before.bit_count()


def _rounded(value: float, steps: float) -> float:
    """Value as a whole number of 1 / steps; round() prints it and reads it again, twice as slow."""
    return floor(value * steps + 0.5) / steps
