"""Routes about the service itself: health, readiness, the model, its OpenAPI document, the page."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from classifier.http import page
from classifier.http.event import Request
from classifier.http.response import Response, document, ok
from classifier.served import Served

# Parts of the manifest that are served; lineage and the drift baseline are private.
_PUBLIC = ("name", "version", "created", "input", "output", "quantization", "metrics")


type Route = tuple[re.Pattern[str], str, Callable[..., Response]]


def health(_request: Request, _served: Served) -> Response:
    """GET /health: the function runs; the model is not touched."""
    return ok({"status": "ok"})


def ready(request: Request, served: Served) -> Response:
    """GET /ready: the model is loaded."""
    model = served.model(request.query.get("model"))
    return ok({"status": "ready", "model": {"name": model.name, "version": model.version}})


def model_card(request: Request, served: Served) -> Response:
    """GET /model: the public part of the manifest."""
    document = served.model(request.query.get("model")).manifest.document
    return ok({part: document[part] for part in _PUBLIC})


def interface(_request: Request, _served: Served) -> Response:
    """GET /openapi.json: the API as OpenAPI."""
    return document(
        Path(__file__).with_name("openapi.json").read_text(),
        {"Content-Type": "application/json", "Cache-Control": "public, max-age=300"},
    )


def show_page(_request: Request, _served: Served) -> Response:
    """GET /: a page to try the model on."""
    return document(*page.page())


def preflight() -> Response:
    """Answer a browser's CORS preflight, on any path: which requests CORS_ORIGIN may send.

    API Gateway answers it itself; function URLs and load balancers leave it to the function.
    Source: https://fetch.spec.whatwg.org/#cors-preflight-request
    """
    grants = {
        "Access-Control-Allow-Methods": "GET,HEAD,POST,OPTIONS",
        "Access-Control-Allow-Headers": "authorization,content-encoding,content-type,"
        "inference-header-content-length,"
        "x-amz-content-sha256,x-amz-date,x-amz-security-token,x-api-key",  # signed requests too
        "Access-Control-Max-Age": "3600",
    }
    headers = grants if os.environ.get("CORS_ORIGIN") else {}
    return document("", {"Cache-Control": "no-store", **headers}) | {"statusCode": 204}


ROUTES: list[Route] = [
    (re.compile("/"), "GET", show_page),
    (re.compile("/health"), "GET", health),
    (re.compile("/ready"), "GET", ready),
    (re.compile("/model"), "GET", model_card),
    (re.compile(r"/openapi\.json"), "GET", interface),
]
