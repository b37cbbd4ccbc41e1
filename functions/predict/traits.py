"""Picture and sample → three numbers that move when the pen, the paper or the crop changes.

They are logged with every answer, for drift to be seen, so they cost microseconds (docs/drift.md).
"""

from collections import defaultdict
from typing import Any

import numpy as np

from encoding import Sample
from pixels import Pixels

_EDGE_PIXELS = 64  # of each of the two edges looked at: enough for a mean

type Traits = dict[str, list[float]]  # each trait's values, an image each


def traits(pixels: Pixels, sample: Sample) -> dict[str, float]:
    """Traits of a picture [H, W, C], 0 to 255, and of the sample made of it, [h, w] or [h, w, 3].

    ink: share of the sample's pixels over half of full ink. stroke: their area by half their
    perimeter, about the pen's width in pixels of the sample. paper: brightness of the picture's
    first and last row, 0 black to 1 white, as it was sent: light ink on a dark page shows here,
    where `auto` has made both the same.
    """
    inked = (sample if sample.ndim == 2 else sample[:, :, 1]) > 127
    flat, width = inked.ravel(), inked.shape[1]
    area = int(np.count_nonzero(flat))
    perimeter = int(np.count_nonzero(flat[1:] != flat[:-1]))
    perimeter += int(np.count_nonzero(flat[width:] != flat[:-width]))
    height, across, channels = pixels.shape
    edges = pixels[:: max(height - 1, 1), :: -(-across // _EDGE_PIXELS), channels // 2]
    return {
        "ink": round(area / flat.size, 4),
        "stroke": round(2 * area / max(perimeter, 1), 3),
        "paper": round(float(np.add.reduce(edges, None, np.float64)) / edges.size / 255, 3),
    }


def by_trait(images: list[dict[str, float]]) -> dict[str, Any]:
    """Lists of the images' values, a trait each: the form of the log line."""
    lists: defaultdict[str, list[float]] = defaultdict(list)
    for found in images:
        for name, value in found.items():
            lists[name].append(value)
    return dict(lists)
