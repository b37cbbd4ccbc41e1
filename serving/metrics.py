"""Prometheus metrics of one server, over all its processes.

With PROMETHEUS_MULTIPROC_DIR set, prometheus_client keeps the values in files there, and each
process reports the sum; without it, they are in memory. Import after that is decided.
"""

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_REQUESTS = Counter("classifier_requests", "Requests answered.", ("protocol", "route", "status"))
_SECONDS = Histogram(
    "classifier_request_duration_seconds",
    "Time from a request's headers to its response, waiting included.",
    ("protocol", "route"),
    buckets=_BUCKETS,
)
_PREDICTIONS = Counter("classifier_predictions", "Predictions returned.", ("model", "label"))
_REJECTED = Counter(
    "classifier_rejected", "Pictures that showed none of the model's classes.", ("model",)
)
_MODEL = Gauge(
    "classifier_model_info",
    "1 for a version that answers, 0 for one that it has replaced.",
    ("name", "version"),
    multiprocess_mode="max",
)
_shown: dict[str, str] = {}  # version by name


def count_request(protocol: str, route: str, status: str, seconds: float) -> None:
    """Count a request. status: an HTTP status, or the name of a gRPC one."""
    _REQUESTS.labels(protocol, route, status).inc()
    _SECONDS.labels(protocol, route).observe(seconds)


def count_predictions(name: str, version: str, predictions: Iterable[Any]) -> None:
    """Count a model's labels, and None as a rejected picture."""
    show_model(name, version)
    for prediction in predictions:
        if prediction is None:
            _REJECTED.labels(name).inc()
        else:
            _PREDICTIONS.labels(name, str(prediction)).inc()


def show_model(name: str, version: str) -> None:
    """Report a model's version that answers."""
    former = _shown.get(name)
    if former != version:
        _shown[name] = version
        _MODEL.labels(name, version).set(1)
        if former:
            _MODEL.labels(name, former).set(0)


def exposition(accept: str) -> tuple[bytes, str]:
    """All metrics in the format that the Accept header prefers, and its content type."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def route_of(path: str) -> str:
    """The documented route of a path, such as /v2/models/{name}; "other" for the rest.

    A label for each path that clients come up with would fill Prometheus.
    """
    path = "/" + path.strip("/")
    exact, patterns = _routes()
    if path in exact:
        return path
    return next((route for pattern, route in patterns if pattern.fullmatch(path)), "other")


@cache
def _routes() -> tuple[frozenset[str], list[tuple[re.Pattern[str], str]]]:
    document = json.loads(resources.files("classifier.http").joinpath("openapi.json").read_text())
    exact = {route for route in document["paths"] if "{" not in route} | {"/metrics"}
    patterns = [
        (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route)), route)
        for route in document["paths"]
        if "{" in route
    ]
    return frozenset(exact), patterns
