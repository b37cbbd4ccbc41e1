"""Lambda handler of the HTTP function: routes an event, and turns errors into responses."""

from classifier.model.early import (
    is_init_alone,
    loading,
)  # first: the model loads while the rest is imported

# isort: split
import contextlib
import os
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from classifier.errors import (
    MethodNotAllowed,
    Misconfigured,
    ModelUnavailable,
    NotFound,
    PredictError,
    TooLarge,
    UnsupportedEvent,
)
from classifier.http import event as http_event
from classifier.http.event import Request
from classifier.http.response import Response, problem, protocol_error
from classifier.image.limits import limit_memory, silence_pillow
from classifier.model.models import Models
from classifier.model.pace import Remaining
from classifier.monitoring.telemetry import begin, logger, metrics
from classifier.predict import predict
from classifier.served import Served

limit_memory()
silence_pillow()
models = Models(loading)
_cold_start = True
_MIN_COMPRESSED = 1024  # bytes of a response; smaller ones gain nothing


def _preload() -> None:
    """Load all models; those that fail, the first request for them tries again."""
    names: tuple[str | None, ...] = (None,)
    with contextlib.suppress(Misconfigured):  # raised again below
        names = models.names[::-1]  # the default last: it stays if there is no room for all
    for name in names:
        try:
            models.get(name)
        except (ModelUnavailable, Misconfigured) as failed:
            logger.warning("model not loaded during init", reason=str(failed))


if is_init_alone:
    _preload()


def handler(event: Any, context: Any) -> Response:
    """Handle one event; return a response, or its body alone if the event is not HTTP's.

    Raises UnsupportedEvent for events of queues, streams and other services, and nothing else.
    """
    global _cold_start  # noqa: PLW0603 - it marks the first call of an environment
    source: Any = http_event
    if not http_event.is_http(event):
        from classifier.http import invocation  # noqa: PLC0415 - HTTP does not need it

        source = invocation
    request_id = source.request_id(event, context.aws_request_id)
    begin(request_id, context.aws_request_id, cold_start=_cold_start)
    _cold_start = False
    path = accepted = ""
    try:
        request = source.parse(event, context.aws_request_id)
        path = request.path
        accepted = request.headers.get("accept-encoding", "")
        response = _answer(request, getattr(context, "get_remaining_time_in_millis", None))
    except UnsupportedEvent as unsupported:
        logger.error("unsupported event", detail=str(unsupported))  # noqa: TRY400 - Lambda logs the rest
        raise
    except MemoryError:
        error = TooLarge("the request needs too much memory; send fewer or smaller images")
        logger.warning("refused", status=error.status.value, detail=error.detail)
        response = _refusal(error, path, request_id)
    except PredictError as error:
        logger.info("refused", status=error.status.value, detail=error.detail)
        if isinstance(error, ModelUnavailable | Misconfigured):
            logger.exception("model not loaded", detail=str(error))
            metrics.add_metric("ModelLoadFailure", MetricUnit.Count, 1)
        response = _refusal(error, path, request_id)
    except Exception:
        logger.exception("unexpected")
        failure = PredictError("something failed on our side; try again")
        response = _refusal(failure, path, request_id)
    finally:
        if source is http_event and http_event.is_check(event):
            metrics.clear_metrics()  # they would raise the alarms that judge the version's traffic
        else:
            metrics.flush_metrics()
    response = _as_accepted(response, accepted)
    if origin := os.environ.get("CORS_ORIGIN"):  # pages of this site may read the response
        response["headers"]["Access-Control-Allow-Origin"] = origin
    reply: Response = source.reply(event, response)
    return reply


def _answer(request: Request, remaining: Remaining | None) -> Response:
    """Remaining: of Lambda's context; a server of its own has no limit."""
    served = Served(models, remaining)
    if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        from classifier.http.routes import preflight  # noqa: PLC0415 - as below

        return preflight()
    if request.path == "/predict":
        _allow(request, "POST")
        return predict(request, served)
    from classifier.http import (  # noqa: PLC0415 - /predict needs none of them
        inference_protocol,
        model_repository,
        routes,
    )

    table = routes.ROUTES
    if _is_protocol(request.path):
        table = inference_protocol.ROUTES + model_repository.ROUTES
    for pattern, method, answer in table:
        if matched := pattern.fullmatch(request.path):
            _allow(request, *(("GET", "HEAD") if method == "GET" else (method,)))
            response = answer(request, served, **matched.groupdict())
            return response | {"body": ""} if request.method == "HEAD" else response
    instead = (
        "see /openapi.json" if request.path.startswith("/v2/") else "POST an image to /predict"
    )
    raise NotFound(f"there is no {request.path}; {instead}")


def _as_accepted(response: Response, accepted: str) -> Response:
    if not accepted or len(response["body"]) < _MIN_COMPRESSED:
        return response
    from classifier.http.compression import compressed  # noqa: PLC0415 - short answers don't need it

    return compressed(response, accepted)


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allow = ", ".join(methods)
        raise MethodNotAllowed(f"{request.path} takes {allow}, not {request.method}", allow)


def _refusal(error: PredictError, path: str, request_id: str) -> Response:
    return protocol_error(error) if _is_protocol(path) else problem(error, request_id)


def _is_protocol(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")
