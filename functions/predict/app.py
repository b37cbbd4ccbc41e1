"""Lambda handler: an image comes in over HTTP, the class and its probabilities go out.

    event → payload → pixels → preprocess → session → answer

One module a step, in that order; this one routes, logs and measures.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit
from numpy.typing import NDArray

from answer import Response, ok, prediction, problem
from errors import MethodNotAllowed, ModelUnavailable, NotFound, PredictError
from event import Request, parse, request_id
from payload import Payload, read
from pixels import decode
from session import LazyModel, Model

logger = Logger()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "ClassifierOnLambda"))
model = LazyModel()
_cold_start = True

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("provisioned-concurrency", "snap-start"):
    # Nobody waits for this init: load now. If it fails, the first request tries again.
    try:
        model.get()
    except ModelUnavailable as unavailable:
        logger.warning("model not loaded during init", reason=unavailable.detail)


def handler(event: Any, context: Any) -> Response:
    """Answer one API Gateway event; always with a response, never with an exception."""
    global _cold_start  # noqa: PLW0603 - the first call of an environment is what it counts
    event = event if isinstance(event, dict) else {}
    identity = request_id(event, context.aws_request_id)
    logger.append_keys(request_id=identity, function_request_id=context.aws_request_id)
    metrics.add_metric("ColdStart", MetricUnit.Count, int(_cold_start))
    _cold_start = False
    try:
        request = parse(event, context.aws_request_id)
        return _route(request)(request)
    except PredictError as error:
        logger.info("refused", status=error.status.value, detail=error.detail)
        if isinstance(error, ModelUnavailable):
            logger.exception("model not loaded")
            metrics.add_metric("ModelLoadFailure", MetricUnit.Count, 1)
        return problem(error, identity)
    except Exception:
        logger.exception("unexpected")
        return problem(PredictError("something failed on our side; try again"), identity)
    finally:
        metrics.flush_metrics()


def predict(request: Request) -> Response:
    """POST /predict: classify one image, or a batch in one forward pass."""
    payload = read(request)
    loaded = _load_model()
    started = time.perf_counter()
    batch = _tensor(payload, loaded)
    preprocessed = time.perf_counter()
    probabilities = loaded.probabilities(batch)
    inferred = time.perf_counter()

    answers = [prediction(row, loaded.labels) for row in probabilities]
    metrics.add_metric("PreprocessMs", MetricUnit.Milliseconds, (preprocessed - started) * 1000)
    metrics.add_metric("InferenceMs", MetricUnit.Milliseconds, (inferred - preprocessed) * 1000)
    for found in answers:
        metrics.add_metric("Confidence", MetricUnit.NoUnit, found["confidence"])
    metrics.add_metadata("model_version", loaded.version)
    logger.info(
        "predicted",
        predictions=[found["prediction"] for found in answers],
        confidences=[found["confidence"] for found in answers],
        model_version=loaded.version,
    )
    tail = {
        "model": {"name": loaded.name, "version": loaded.version},
        "request_id": request.request_id,
    }
    return ok({"predictions": answers, **tail} if payload.is_batch else {**answers[0], **tail})


def health(_request: Request) -> Response:
    """GET /health: the function runs; the model is not touched."""
    return ok({"status": "ok"})


_ROUTES: dict[str, dict[str, Callable[[Request], Response]]] = {
    "/predict": {"POST": predict},
    "/health": {"GET": health, "HEAD": health},
}


def _route(request: Request) -> Callable[[Request], Response]:
    methods = _ROUTES.get(request.path)
    if methods is None:
        raise NotFound(f"there is no {request.path}; POST an image to /predict")
    if request.method not in methods:
        allow = ", ".join(methods)
        raise MethodNotAllowed(f"{request.path} takes {allow}, not {request.method}", allow)
    return methods[request.method]


def _load_model() -> Model:
    was_loaded = model.is_loaded
    loaded = model.get()
    if not was_loaded:
        metrics.add_metric("ModelLoadMs", MetricUnit.Milliseconds, loaded.load_ms)
        logger.info("model loaded", model_version=loaded.version, load_ms=loaded.load_ms)
    return loaded


def _tensor(payload: Payload, loaded: Model) -> NDArray[np.uint8]:
    """Batch uint8 [N, H, W]; an image that can't be read fails the batch, by its index."""
    samples = []
    for index, image in enumerate(payload.images):
        try:
            samples.append(loaded.preprocess(decode(image), payload.mode))
        except PredictError as error:
            if payload.is_batch:
                error.detail = f"images[{index}]: {error.detail}"
            raise
    return np.stack(samples)
