"""The floor: numpy, onnxruntime and Pillow, one session of a model on local disk, one answer.

The least that a classifier in Python needs: no store, no checks, no preprocessing, no log.
"""

import base64
import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(
    os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"]
)


def classify(image: bytes) -> list[float]:
    """Probabilities of an image file: bare decode, resize and session.run."""
    sample = Image.open(io.BytesIO(image)).convert("L").resize((28, 28))
    (probabilities,) = session.run(None, {"image": np.asarray(sample)[np.newaxis]})
    return list(map(float, probabilities[0]))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an API Gateway event with a JSON body."""
    image = base64.b64decode(json.loads(event["body"])["image"])
    return {"statusCode": 200, "body": json.dumps({"probabilities": classify(image)})}
