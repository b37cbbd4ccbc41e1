"""Pictures and samples → three numbers each that change with the pen, the paper and the crop.

They are logged with every answer to reveal drift, so they must cost microseconds (docs/drift.md).
"""

from collections.abc import Sequence

import numpy as np

from classifier.image.pixels import Pixels
from classifier.prepare.encoding import Samples

_EDGE_PIXELS = 64  # sampled from each of two edges: enough for a mean

type Traits = dict[str, list[float]]  # each trait's values, one per image, as in the log line


def paper(pixels: Pixels) -> float:
    """Brightness of a picture's first and last row as sent, 0 black to 1 white.

    It tells light ink on a dark page from dark ink on a light one, which `auto` makes equal.
    pixels: [H, W, C], 0 to 255.
    """
    height, width, channels = pixels.shape
    step = -(-width // _EDGE_PIXELS)
    edges = pixels[:: max(height - 1, 1), ::step, channels // 2]
    return round(float(edges.mean(dtype=np.float64)) / 255, 3)


def traits(samples: Samples, papers: Sequence[float]) -> Traits:
    """Traits of samples uint8 [H, W] or [H, W, 3], and of their pictures.

    ink: share of a sample's pixels above half of full ink. stroke: their area divided by half their
    perimeter, about the pen's width in the sample's pixels. paper: as above, for each picture.
    """
    ink, stroke = [], []
    for sample in samples:
        written = (sample if sample.ndim == 2 else sample[:, :, 1]) > 127
        area = int(np.count_nonzero(written))
        across = int(np.count_nonzero(written[:, 1:] != written[:, :-1]))
        down = int(np.count_nonzero(written[1:] != written[:-1]))
        ink.append(round(area / written.size, 4))
        stroke.append(round(2 * area / max(across + down, 1), 3))
    return {"ink": ink, "stroke": stroke, "paper": list(papers)}
