"""The usual handler: boto3 for the model, Powertools for routes, logs, metrics and traces.

As Powertools' own documentation puts the four together, and the model loaded once at import.
"""

import base64
import io
import os
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import onnxruntime as ort
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from PIL import Image

logger = Logger()
metrics = Metrics()
tracer = Tracer()
app = APIGatewayRestResolver()

place = urlsplit(os.environ["MODEL_URL"])
model = boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.strip("/"))["Body"].read()
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@app.post("/predict")
@tracer.capture_method
def predict() -> dict[str, Any]:
    """Classify the image of a JSON body."""
    file = io.BytesIO(base64.b64decode(app.current_event.json_body["image"]))
    sample = Image.open(file).convert("L").resize((28, 28))
    (probabilities,) = session.run(None, {"image": np.asarray(sample)[np.newaxis]})
    best = int(probabilities[0].argmax())
    metrics.add_metric(name="Predictions", unit=MetricUnit.Count, value=1)
    logger.info("predicted", prediction=best)
    return {"prediction": best, "probabilities": list(map(float, probabilities[0]))}


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer an API Gateway event."""
    return app.resolve(event, context)
