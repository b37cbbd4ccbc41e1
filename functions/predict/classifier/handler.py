"""Lambda handler: an image comes in over HTTP, the class and its probabilities go out.

    event → payload → pixels → ink → preprocess → session → answer

One module a step, in that order; this one routes, logs and measures.
"""

from classifier.model.early import fetching  # first of all: S3 answers while the rest is imported

# isort: split
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import (
    MethodNotAllowed,
    Misconfigured,
    ModelUnavailable,
    NotFound,
    PredictError,
    TooLarge,
)
from classifier.http.event import Request, parse, reply, request_id
from classifier.http.payload import Payload, read
from classifier.http.response import Response, ok, predictions, problem, protocol_error, seen
from classifier.image.limits import Allowance, limit_memory, silence_pillow
from classifier.image.pixels import Picture
from classifier.model.session import LazyModel, Model
from classifier.monitoring.telemetry import Logger, Metrics, MetricUnit
from classifier.monitoring.traits import Traits, paper, traits
from classifier.prepare.encoding import Samples, Tensor

limit_memory()
silence_pillow()
logger = Logger()
metrics = Metrics(
    namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "ClassifierOnLambda"),
    by_version=("Confidence",),
)
model = LazyModel(fetching)
_cold_start = True

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("provisioned-concurrency", "snap-start"):
    # Nobody waits for this init: load now. If it fails, the first request tries again.
    try:
        model.get()
    except (ModelUnavailable, Misconfigured) as failed:
        logger.warning("model not loaded during init", reason=str(failed))


def handler(event: Any, context: Any) -> Response:
    """Answer one HTTP event; always with a response, never with an exception."""
    global _cold_start  # noqa: PLW0603 - the first call of an environment is what it counts
    event = event if isinstance(event, dict) else {}
    identity = request_id(event, context.aws_request_id)
    logger.append_keys(request_id=identity, function_request_id=context.aws_request_id)
    metrics.add_metadata("request_id", identity)
    metrics.add_metadata("function_request_id", context.aws_request_id)
    metrics.add_metric("ColdStart", MetricUnit.Count, int(_cold_start))
    _cold_start = False
    path = ""
    try:
        request = parse(event, context.aws_request_id)
        path = request.path
        response = _answer(request)
    except MemoryError:
        error = TooLarge("the request takes more memory than there is; send fewer, smaller images")
        logger.warning("refused", status=error.status.value, detail=error.detail)
        response = _refusal(error, path, identity)
    except PredictError as error:
        logger.info("refused", status=error.status.value, detail=error.detail)
        if isinstance(error, ModelUnavailable | Misconfigured):
            logger.exception("model not loaded", detail=str(error))
            metrics.add_metric("ModelLoadFailure", MetricUnit.Count, 1)
        response = _refusal(error, path, identity)
    except Exception:
        logger.exception("unexpected")
        failure = PredictError("something failed on our side; try again")
        response = _refusal(failure, path, identity)
    finally:
        metrics.flush_metrics()
    if origin := os.environ.get("CORS_ORIGIN"):  # pages of this site may read the answer
        response["headers"]["Access-Control-Allow-Origin"] = origin
    return reply(event, response)


def predict(request: Request) -> Response:
    """POST /predict: classify one image, or a batch in one forward pass."""
    payload = read(request)
    loaded = _load_model()
    started = time.perf_counter_ns()
    samples, observed = _samples(payload, loaded)
    metrics.add_metric("PreprocessMs", MetricUnit.Milliseconds, _since(started))
    metrics.add_metadata("preprocess", payload.mode)
    for name, values in observed.items():
        metrics.add_metadata(name, values)
    answers = _classify(loaded, loaded.encode(samples))[0]
    if os.environ.get("CAPTURE_URL"):
        _capture(loaded, samples, answers, request.request_id)
    if payload.with_input:
        for found, sample in zip(answers, samples, strict=True):
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
    from classifier.http import inference_protocol, routes  # noqa: PLC0415 - pictures do without

    table = routes.ROUTES if not _is_protocol(request.path) else inference_protocol.ROUTES
    for pattern, method, answer in table:
        if found := pattern.fullmatch(request.path):
            _allow(request, *(("GET", "HEAD") if method == "GET" else (method,)))
            served = routes.Served(_load_model, _probabilities)
            response = answer(request, served, **found.groupdict())
            return response | {"body": ""} if request.method == "HEAD" else response
    raise NotFound(f"there is no {request.path}; POST an image to /predict")


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allow = ", ".join(methods)
        raise MethodNotAllowed(f"{request.path} takes {allow}, not {request.method}", allow)


def _refusal(error: PredictError, path: str, identity: str) -> Response:
    return protocol_error(error) if _is_protocol(path) else problem(error, identity)


def _is_protocol(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _load_model() -> Model:
    was_loaded = model.is_loaded
    loaded = model.get()
    if not was_loaded:
        metrics.add_metric("ModelLoadMs", MetricUnit.Milliseconds, loaded.load_ms)
        logger.info("model loaded", model_version=loaded.version, load_ms=loaded.load_ms)
    return loaded


def _samples(payload: Payload, loaded: Model) -> tuple[Samples, Traits]:
    """Samples uint8 [H, W] or [H, W, 3], and the traits of the images that they came from.

    An image that can't be read fails the batch, by its index.
    """
    finished = loaded.preprocess.read_samples(payload.images)
    if finished is not None:
        return finished, traits(finished, [0.0] * len(finished))  # in a frame of black
    samples, papers = [], []
    allowance = Allowance()
    for index, image in enumerate(payload.images):
        try:
            picture = Picture(image, allowance=allowance)
            samples.append(loaded.preprocess(picture.pixels, payload.mode, picture.closer))
            papers.append(paper(picture.pixels))
            del picture  # before the next one is decoded: it may hold 64 MB
        except PredictError as error:
            if payload.is_batch:
                error.detail = f"images[{index}]: {error.detail}"
            raise
    return samples, traits(samples, papers)


def _classify(loaded: Model, batch: Tensor) -> tuple[list[dict[str, Any]], NDArray[np.float32]]:
    """Answers to a batch that the model takes, and their probabilities [N, classes]; logged."""
    started = time.perf_counter_ns()
    probabilities = loaded.probabilities(batch)
    metrics.add_metric("InferenceMs", MetricUnit.Milliseconds, _since(started))
    answers = predictions(probabilities, loaded.labels)
    for answer in answers:
        metrics.add_metric("Confidence", MetricUnit.NoUnit, answer["confidence"])
    metrics.add_metadata("message", "predicted")
    metrics.add_metadata("model_version", loaded.version)
    metrics.add_metadata("predictions", [answer["prediction"] for answer in answers])
    return answers, probabilities


def _probabilities(loaded: Model, batch: Tensor) -> NDArray[np.float32]:
    return _classify(loaded, batch)[1]


def _capture(loaded: Model, samples: Samples, answers: list[dict[str, Any]], identity: str) -> None:
    """Keep a share of samples for labelling; a failure is logged, and costs nobody an answer."""
    from classifier.monitoring import capture  # noqa: PLC0415 - off by default

    started = time.perf_counter_ns()
    try:
        kept = capture.keep(loaded, samples, answers, identity)
    except Exception as error:  # noqa: BLE001 - obstore's own errors, a wrong setting
        logger.warning("not captured", reason=str(error))
        return
    if kept:
        logger.info("captured", keys=kept, capture_ms=_since(started))


def _since(started: int) -> float:
    """Milliseconds, to the microsecond, since a reading of the nanoseconds' counter."""
    return (time.perf_counter_ns() - started) // 1_000 / 1_000
