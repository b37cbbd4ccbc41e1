"""Pictures and samples → three numbers each that move when the pen, the paper or the crop changes.

They are logged with every answer, for drift to be seen, so they cost microseconds (docs/drift.md).
"""

from collections.abc import Sequence

import numpy as np

from encoding import Sample
from pixels import Pixels

_EDGE_PIXELS = 64  # of each of the two edges looked at: enough for a mean

type Traits = dict[str, list[float]]  # each trait's values, an image each: the form of the log line


def paper(pixels: Pixels) -> float:
    """Brightness of a picture's first and last row, 0 black to 1 white, as it was sent.

    Light ink on a dark page shows here, where `auto` has made both the same. pixels: [H, W, C],
    0 to 255.
    """
    height, across, channels = pixels.shape
    edges = pixels[:: max(height - 1, 1), :: -(-across // _EDGE_PIXELS), channels // 2]
    return round(float(np.add.reduce(edges, None, np.float64)) / edges.size / 255, 3)


def traits(samples: Sample, papers: Sequence[float]) -> Traits:
    """Traits of samples uint8 [N, H, W] or [N, H, W, 3], and of the pictures that they came from.

    ink: share of a sample's pixels over half of full ink. stroke: their area by half their
    perimeter, about the pen's width in pixels of the sample. paper: as above, of each picture.
    """
    grey = samples if samples.ndim == 3 else samples[..., 1]
    _, height, width = grey.shape
    ink, stroke = [], []
    for flat in (grey > 127).reshape(len(grey), height * width):
        area = int(np.count_nonzero(flat))
        perimeter = int(np.count_nonzero(flat[1:] != flat[:-1]))
        perimeter += int(np.count_nonzero(flat[width:] != flat[:-width]))
        ink.append(round(area / flat.size, 4))
        stroke.append(round(2 * area / max(perimeter, 1), 3))
    return {"ink": ink, "stroke": stroke, "paper": list(papers)}
