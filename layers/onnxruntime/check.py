# ruff: noqa: INP001
"""Check that pruned packages still work: python -B check.py, with their folder on PYTHONPATH.

Imports what the function imports, decodes a picture of every accepted format, runs a model, parses
a form and writes metrics, so that a release that moves a file fails the build and not the first
request.
"""

import base64
import io
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import

import multipart
import numpy as np
import obstore.store
import onnxruntime
import pi_heif
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")

# A white HEIC of 16 x 16 pixels: the package that reads it writes none.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAXZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABmgABAAAAAAAAACMAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAAA5waXRtAAAAAAABAAAA9mlwcnAAAADWaXBjbwAAAHFodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEA"
    "F0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACZCAQEECAAAAwCf+AAAAwAAHsCCBBZbqrprmwIAAAMAMgAAAwACEGIA"
    "AQAGRAHBc8GJAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAAQAAAAAQAAABAA"
    "AAAB////0AAAAAL////QAAAAAgAAAA5waXhpAAAAAAEIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAK21kYXQAAAAf"
    "KAGuJkJKJOfXDbP+G8cXYVVzU7JsIGJEKRKAY/X0rg=="
)

# An ONNX model of 74 bytes: float32 [2, 2] x, y = x @ x.
SQUARE = bytes.fromhex(
    "08083a400a110a01780a017812017922064d61744d756c1201675a130a0178120e0a0c080112080a0208020a020802"
    "62130a0179120e0a0c080112080a0208020a02080242040a00100f"
)


def check_pictures() -> None:
    """Read a white picture in every accepted format."""
    pi_heif.register_heif_opener()
    for name in FORMATS:
        file = io.BytesIO(HEIC)
        if name != "HEIF":
            Image.new("L", (16, 16), 255).save(file, name)
            file.truncate()
        picture = ImageOps.exif_transpose(Image.open(file, formats=[name])).convert("L")
        assert np.asarray(picture).min() == 255, name


def check_inference() -> None:
    """Square a matrix with onnxruntime."""
    session = onnxruntime.InferenceSession(SQUARE, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([[1, 1], [0, 1]], np.float32)})
    assert y.tolist() == [[1, 2], [0, 1]], y


def check_form() -> None:
    """Read a form of one field."""
    body = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n7\r\n--x--'
    parts = multipart.MultipartParser(io.BytesIO(body), "x", strict=True).parts()
    assert [(part.name, part.raw) for part in parts] == [("image", b"7")], parts


def check_monitoring() -> None:
    """Write a log line and a metric line."""
    Logger(service="check").info("checked")
    metrics = Metrics(service="check", namespace="check")
    metrics.add_metric("Checked", "Count", 1)
    metrics.flush_metrics()


if __name__ == "__main__":
    check_pictures()
    check_inference()
    check_form()
    check_monitoring()
    obstore.store.MemoryStore()
