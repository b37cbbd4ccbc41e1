# ruff: noqa: INP001
"""Shows that pruned packages still serve: python -B check.py, with their folder on PYTHONPATH.

Imports what the function imports, decodes a picture of every format that is taken, and runs a
model, so that a new release which moves a file fails the build and not the first request.
"""

import io
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import

import numpy as np
import obstore.store
import onnxruntime
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# An ONNX model of 74 bytes: float32 [2, 2] x, y = x @ x.
SQUARE = bytes.fromhex(
    "08083a400a110a01780a017812017922064d61744d756c1201675a130a0178120e0a0c080112080a0208020a020802"
    "62130a0179120e0a0c080112080a0208020a02080242040a00100f"
)


def check_pictures() -> None:
    """Write and read a grey picture in every format that is taken."""
    for name in FORMATS:
        file = io.BytesIO()
        Image.new("L", (8, 8), 255).save(file, name)
        picture = ImageOps.exif_transpose(Image.open(file, formats=[name])).convert("L")
        assert np.asarray(picture).min() == 255, name


def check_inference() -> None:
    """Square a matrix with onnxruntime."""
    session = onnxruntime.InferenceSession(SQUARE, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([[1, 1], [0, 1]], np.float32)})
    assert y.tolist() == [[1, 2], [0, 1]], y


if __name__ == "__main__":
    check_pictures()
    check_inference()
    obstore.store.MemoryStore()
