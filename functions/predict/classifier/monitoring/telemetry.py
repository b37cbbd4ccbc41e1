"""What happened → lines of JSON on standard output: log lines, and metrics that CloudWatch reads.

The few calls of Powertools for AWS Lambda that the function makes, with the names, the environment
variables and the form of the lines that they have there. Importing Powertools itself is an eighth
of a cold start (docs/decisions/0002-own-log-lines.md); the way back to it is one import.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

_encode = json.JSONEncoder(default=str).encode
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class MetricUnit(StrEnum):
    """Units of CloudWatch that are used here."""

    Count = "Count"
    Milliseconds = "Milliseconds"
    NoUnit = "None"


class Logger:
    """Structured log lines; each carries the keys that were given with `append_keys`.

    Environment: POWERTOOLS_LOG_LEVEL, from which level on lines are written (INFO), and
    POWERTOOLS_SERVICE_NAME.
    """

    def __init__(self) -> None:
        level = os.environ.get("POWERTOOLS_LOG_LEVEL", "").upper()
        self._service = _service()
        self._written = _LEVELS[_LEVELS.index(level if level in _LEVELS else "INFO") :]
        self._keys: dict[str, Any] = {}

    def append_keys(self, **keys: Any) -> None:
        """Set keys that all lines carry from here on."""
        self._keys |= keys

    def info(self, message: str, **fields: Any) -> None:
        """Write what happened."""
        self._write("INFO", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Write what somebody should look at."""
        self._write("WARNING", message, fields)

    def exception(self, message: str, **fields: Any) -> None:
        """Write, as an error, what failed, with the traceback of the exception being handled."""
        name = getattr(sys.exception(), "__class__", type(None)).__name__
        failure = {"exception": traceback.format_exc(), "exception_name": name}
        self._write("ERROR", message, fields | failure)

    def _write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        if level not in self._written:
            return
        now = time.time()
        line = {
            "level": level,
            "message": message,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            + f".{int(now % 1 * 1000):03}Z",
            "service": self._service,
            **self._keys,
            **fields,
        }
        _print(_encode(line | _trace()))


class Metrics:
    """Embedded metric format: one line a request, of which CloudWatch makes metrics.

    by_version: metrics that each version of the function has for itself, too, in a dimension
    `function_version`: a new one's share of the traffic is not to drown in the old one's.
    Environment: POWERTOOLS_SERVICE_NAME, the other dimension, and POWERTOOLS_METRICS_DISABLED.
    Source: the CloudWatch embedded metric format specification, which allows 100 values a metric.
    """

    def __init__(self, namespace: str, by_version: tuple[str, ...] = ()) -> None:
        self._by_version = by_version
        self._version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self._service = _service()
        self._namespace = namespace
        self._disabled = os.environ.get("POWERTOOLS_METRICS_DISABLED", "").lower() in ("true", "1")
        self._values: dict[str, list[float]] = {}
        self._units: dict[str, str] = {}
        self._metadata: dict[str, Any] = {}
        # By the metrics of a line: nearly every line has the same ones.
        self._directives: dict[tuple[str, ...], tuple[str, dict[str, str]]] = {}

    def add_metric(self, name: str, unit: MetricUnit, value: float) -> None:
        """Add a value to a metric of the line."""
        self._values.setdefault(name, []).append(float(value))
        self._units[name] = unit

    def add_metadata(self, key: str, value: Any) -> None:
        """Add to the line what can be searched for, and is no metric."""
        self._metadata[key] = value

    def flush_metrics(self) -> None:
        """Write the line, and start the next one."""
        values, units, metadata = self._values, self._units, self._metadata
        self._values, self._units, self._metadata = {}, {}, {}
        if self._disabled or not values:
            return
        names = tuple(units)
        if names not in self._directives:
            self._directives[names] = self._make_directives(units)
        directives, dimensions = self._directives[names]
        line = _encode(dimensions | metadata | values | _trace())
        now = int(time.time() * 1000)
        head = f'{{"_aws": {{"Timestamp": {now}, "CloudWatchMetrics": {directives}}}, '
        _print(head + line.removeprefix("{"))

    def _make_directives(self, units: dict[str, str]) -> tuple[str, dict[str, str]]:
        """What CloudWatch is to make of a line's metrics, in JSON, and their dimensions."""
        dimensions = {"service": self._service}
        directives = [self._directive(units, dimensions)]
        if own := {name: units[name] for name in self._by_version if name in units}:
            dimensions = dimensions | {"function_version": self._version}
            directives.append(self._directive(own, dimensions))
        return _encode(directives), dimensions

    def _directive(self, units: dict[str, str], dimensions: Iterable[str]) -> dict[str, Any]:
        return {
            "Namespace": self._namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }


def _service() -> str:
    return os.environ.get("POWERTOOLS_SERVICE_NAME", "service_undefined")


def _trace() -> dict[str, str]:
    """Id of the request's trace, Root=1-…;Parent=…;Sampled=…, if Lambda gave one."""
    trace = os.environ.get("_X_AMZN_TRACE_ID", "")
    return {"xray_trace_id": trace.partition(";")[0].removeprefix("Root=")} if trace else {}


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - it is Lambda's log
