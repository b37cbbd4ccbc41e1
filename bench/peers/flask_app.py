"""The article's Flask app, for gunicorn: one route, the model loaded at start."""

import base64
import io
import os

import flask
import numpy as np
import onnxruntime as ort
from PIL import Image

app = flask.Flask(__name__)
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(
    os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"]
)


@app.post("/predict")
def predict() -> flask.Response:
    """Classify the image of a JSON body."""
    file = io.BytesIO(base64.b64decode(flask.request.get_json()["image"]))
    sample = Image.open(file).convert("L").resize((28, 28))
    (probabilities,) = session.run(None, {"image": np.asarray(sample)[np.newaxis]})
    best = int(probabilities[0].argmax())
    return flask.jsonify(prediction=best, probabilities=list(map(float, probabilities[0])))
