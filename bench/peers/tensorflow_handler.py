"""A TensorFlow handler of the kind that SAM's machine-learning templates have: Keras at import."""

import base64
import io
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

model = tf.keras.models.load_model(os.environ["KERAS_FILE"], compile=False)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an API Gateway event with a JSON body."""
    file = io.BytesIO(base64.b64decode(json.loads(event["body"])["image"]))
    sample = np.asarray(Image.open(file).convert("L").resize((28, 28)), dtype=np.float32)
    probabilities = np.asarray(model(sample.reshape(1, 28, 28, 1)))[0]
    body = {"prediction": int(probabilities.argmax()), "probabilities": probabilities.tolist()}
    return {"statusCode": 200, "body": json.dumps(body)}
