"""A finder's file → the function that the serving code asks for maps."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from classifier.prepare.finder import MapsOf

FINDER = "finder.onnx"
PICTURE, MAPS = "picture", "maps"


def maps_of(path: Path) -> MapsOf:
    """Open a finder: pictures uint8 [96, 96, 3] to maps float32 [48, 48, 3]."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run([MAPS], {PICTURE: picture[np.newaxis]})[0][0])
