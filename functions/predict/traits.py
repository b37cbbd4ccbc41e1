"""Pictures and samples → three numbers each that move when the pen, the paper or the crop changes.

They are logged with every answer, for drift to be seen, so they cost microseconds (docs/drift.md).
"""

from collections.abc import Sequence

from encoding import Samples
from pixels import Pixels

_EDGE_PIXELS = 64  # of each of the two edges looked at: enough for a mean
_WRITTEN = bytes(value > 127 for value in range(256))  # 1 for over half of full ink

type Traits = dict[str, list[float]]  # each trait's values, an image each: the form of the log line


def paper(pixels: Pixels) -> float:
    """Brightness of a picture's first and last row, 0 black to 1 white, as it was sent.

    Light ink on a dark page shows here, where `auto` has made both the same. pixels: [H, W, C],
    0 to 255.
    """
    height, across, channels = pixels.shape
    every = -(-across // _EDGE_PIXELS)
    edges: list[list[float]] = pixels[:: max(height - 1, 1), ::every, channels // 2].tolist()
    return round((sum(edges[0]) + sum(edges[-1])) / (2 * len(edges[0])) / 255, 3)


def traits(samples: Samples, papers: Sequence[float]) -> Traits:
    """Traits of samples uint8 [H, W] or [H, W, 3], and of the pictures that they came from.

    ink: share of a sample's pixels over half of full ink. stroke: their area by half their
    perimeter, about the pen's width in pixels of the sample. paper: as above, of each picture.
    """
    ink, stroke = [], []
    for sample in samples:
        grey = sample if sample.ndim == 2 else sample[:, :, 1]
        size, width = grey.size, grey.shape[1]
        # A byte a pixel, 0 or 1, as one long integer: in half the time that arrays take.
        written = int.from_bytes(grey.tobytes().translate(_WRITTEN))
        area = written.bit_count()
        perimeter = _changes(written, 1, size) + _changes(written, width, size)
        ink.append(round(area / size, 4))
        stroke.append(round(2 * area / max(perimeter, 1), 3))
    return {"ink": ink, "stroke": stroke, "paper": list(papers)}


def _changes(written: int, step: int, size: int) -> int:
    """How many of `size` pixels, one byte each, are unlike the one `step` pixels before."""
    without_one_before = written >> 8 * (size - step)
    return (written ^ written >> 8 * step).bit_count() - without_one_before.bit_count()
