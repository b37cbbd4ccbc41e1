"""A finder's file → the function that the serving code asks for maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

FINDER = "finder.onnx"
PICTURE, MAPS = "picture", "maps"

# As classifier.prepare.finder has it. Imported from there, its every change would train the finder.
type MapsOf = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def maps_of(path: Path) -> MapsOf:
    """Open a finder: pictures uint8 [96, 96, 3] to maps float32 [48, 48, 3]."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run([MAPS], {PICTURE: picture[np.newaxis]})[0][0])
