"""The function's use of Powertools' Logger and Metrics: one metric line per request."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "predict")
_VERSION = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")

logger = Logger(service=_SERVICE)
metrics = Metrics(
    service=_SERVICE, namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "ClassifierOnLambda")
)


def begin(request_id: str, function_request_id: str, *, cold_start: bool) -> None:
    """Put the request's ids into its metric line and all its log lines."""
    metrics.clear_metrics()  # if metrics are disabled, flushing does not clear them
    logger.append_keys(request_id=request_id, function_request_id=function_request_id)
    metrics.add_metadata("request_id", request_id)
    metrics.add_metadata("function_request_id", function_request_id)
    metrics.add_metric("ColdStart", MetricUnit.Count, int(cold_start))


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Measure a block in milliseconds, to the microsecond."""
    started = time.perf_counter_ns()
    yield
    milliseconds = (time.perf_counter_ns() - started) // 1_000 / 1_000
    metrics.add_metric(name, MetricUnit.Milliseconds, milliseconds)


def add_confidences(confidences: list[float], guess: float) -> None:
    """Add one value per image, for the service and for each of the function's versions.

    guess: the confidence up to which an answer counts as a guess.
    A canary with a tenth of the traffic would go unnoticed among the rest.
    """
    # First: Powertools writes the values as soon as there are a hundred.
    metrics.add_dimensions(service=_SERVICE, function_version=_VERSION)
    for confidence in confidences:
        metrics.add_metric("Confidence", MetricUnit.NoUnit, confidence)
        metrics.add_metric("Guess", MetricUnit.Count, int(confidence <= guess))


def add_model(name: str) -> None:
    """Add the request's metrics for its model too, where a function serves several.

    Once: a server's probes ask for models as well, and are no requests that end with a line.
    """
    dimensions = {"service": _SERVICE, "model": name}
    if dimensions not in metrics.provider.dimension_sets:
        metrics.add_dimensions(**dimensions)
