"""Pictures and samples → three numbers each that move when the pen, the paper or the crop changes.

They are logged with every answer, for drift to be seen, so they cost microseconds (docs/drift.md).
"""

from collections.abc import Sequence

import numpy as np

from classifier.image.pixels import Pixels
from classifier.prepare.encoding import Samples

_EDGE_PIXELS = 64  # of each of the two edges looked at: enough for a mean

type Traits = dict[str, list[float]]  # each trait's values, an image each: the form of the log line


def paper(pixels: Pixels) -> float:
    """Brightness of a picture's first and last row, 0 black to 1 white, as it was sent.

    Light ink on a dark page shows here, where `auto` has made both the same. pixels: [H, W, C],
    0 to 255.
    """
    height, width, channels = pixels.shape
    step = -(-width // _EDGE_PIXELS)
    edges = pixels[:: max(height - 1, 1), ::step, channels // 2]
    return round(float(edges.mean(dtype=np.float64)) / 255, 3)


def traits(samples: Samples, papers: Sequence[float]) -> Traits:
    """Traits of samples uint8 [H, W] or [H, W, 3], and of the pictures that they came from.

    ink: share of a sample's pixels over half of full ink. stroke: their area by half their
    perimeter, about the pen's width in pixels of the sample. paper: as above, of each picture.
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
