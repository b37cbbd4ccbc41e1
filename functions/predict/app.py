"""Lambda handler: an image comes in over HTTP, the class and its probabilities go out.

    event → payload → pixels → ink → preprocess → session → answer

One module a step, in that order; this one routes, logs and measures.
"""

import os
import time
from typing import Any

import numpy as np
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit
from numpy.typing import NDArray

from answer import Response, ok, prediction, problem, protocol_error, seen
from errors import MethodNotAllowed, ModelUnavailable, NotFound, PredictError, TooLarge
from event import Request, parse, reply, request_id
from payload import Payload, read
from pixels import decode, size
from session import LazyModel, Model

MAX_BATCH_PIXELS = 32_000_000  # of one request: 32 images of a megapixel; more would take seconds

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
    """Answer one HTTP event; always with a response, never with an exception."""
    global _cold_start  # noqa: PLW0603 - the first call of an environment is what it counts
    event = event if isinstance(event, dict) else {}
    identity = request_id(event, context.aws_request_id)
    logger.append_keys(request_id=identity, function_request_id=context.aws_request_id)
    metrics.add_metric("ColdStart", MetricUnit.Count, int(_cold_start))
    _cold_start = False
    path = ""
    try:
        request = parse(event, context.aws_request_id)
        path = request.path
        response = _answer(request)
    except PredictError as error:
        logger.info("refused", status=error.status.value, detail=error.detail)
        if isinstance(error, ModelUnavailable):
            logger.exception("model not loaded")
            metrics.add_metric("ModelLoadFailure", MetricUnit.Count, 1)
        response = _refusal(error, path, identity)
    except Exception:
        logger.exception("unexpected")
        failure = PredictError("something failed on our side; try again")
        response = _refusal(failure, path, identity)
    finally:
        metrics.flush_metrics()
    return reply(event, response)


def predict(request: Request) -> Response:
    """POST /predict: classify one image, or a batch in one forward pass."""
    payload = read(request)
    loaded = _load_model()
    started = time.perf_counter()
    batch = _tensor(payload, loaded)
    metrics.add_metric("PreprocessMs", MetricUnit.Milliseconds, _since(started))
    answers = [prediction(row, loaded.labels) for row in _classify(loaded, batch)]
    if payload.with_input:
        for found, sample in zip(answers, batch, strict=True):
            found["input"] = seen(sample)
    tail = {
        "model": {"name": loaded.name, "version": loaded.version},
        "request_id": request.request_id,
    }
    return ok({"predictions": answers, **tail} if payload.is_batch else {**answers[0], **tail})


def _answer(request: Request) -> Response:
    if request.path == "/predict":
        _allow(request, "POST")
        return predict(request)
    return _answer_about_the_service(request)


def _answer_about_the_service(request: Request) -> Response:
    import inference_protocol  # noqa: PLC0415 - those who send pictures don't pay for it
    import service  # noqa: PLC0415

    routes = service.ROUTES if not request.path.startswith("/v2") else inference_protocol.ROUTES
    for pattern, method, answer in routes:
        if found := pattern.fullmatch(request.path):
            _allow(request, *(("GET", "HEAD") if method == "GET" else (method,)))
            served = service.Served(_load_model, _classify)
            response = answer(request, served, **found.groupdict())
            return response | {"body": ""} if request.method == "HEAD" else response
    raise NotFound(f"there is no {request.path}; POST an image to /predict")


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allow = ", ".join(methods)
        raise MethodNotAllowed(f"{request.path} takes {allow}, not {request.method}", allow)


def _refusal(error: PredictError, path: str, identity: str) -> Response:
    return protocol_error(error) if path.startswith("/v2") else problem(error, identity)


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
    left = MAX_BATCH_PIXELS
    for index, image in enumerate(payload.images):
        try:
            left -= size(image) if payload.is_batch else 0
            if left < 0:
                raise TooLarge(
                    f"the images up to this one have over {MAX_BATCH_PIXELS // 10**6} megapixels "
                    "together; send smaller ones, or fewer in a request"
                )
            samples.append(loaded.preprocess(decode(image), payload.mode))
        except PredictError as error:
            if payload.is_batch:
                error.detail = f"images[{index}]: {error.detail}"
            raise
    return np.stack(samples)


def _classify(loaded: Model, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [N, classes] of a batch uint8 [N, H, W], with a log line and metrics."""
    started = time.perf_counter()
    probabilities = loaded.probabilities(batch)
    metrics.add_metric("InferenceMs", MetricUnit.Milliseconds, _since(started))
    confidences = [round(float(row.max()), 6) for row in probabilities]
    for confidence in confidences:
        metrics.add_metric("Confidence", MetricUnit.NoUnit, confidence)
    metrics.add_metadata("model_version", loaded.version)
    logger.info(
        "predicted",
        predictions=[loaded.labels[int(row.argmax())] for row in probabilities],
        confidences=confidences,
        model_version=loaded.version,
    )
    return probabilities


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
