"""telemetry.py: lines that CloudWatch and those who search its logs can read."""

import json
from typing import Any

import pytest

from classifier.monitoring.telemetry import Logger, Metrics, MetricUnit


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_carries_its_fields_and_the_keys_set_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is appended later replaces what was there: one environment answers many requests."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    logger = Logger()
    logger.append_keys(request_id="first")
    logger.append_keys(request_id="second")
    logger.info("predicted", predictions=[3])
    (line,) = written(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "INFO",
        "message": "predicted",
        "service": "predict",
        "request_id": "second",
        "predictions": [3],
    }


def test_a_line_names_the_trace_it_belongs_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda gives the trace of each request in the environment."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5e1b4151-43a0;Parent=e1b4;Sampled=1")
    Logger().info("predicted")
    assert written(capsys)[0]["xray_trace_id"] == "1-5e1b4151-43a0"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["INFO", "WARNING", "ERROR"]),
        ("info", ["INFO", "WARNING", "ERROR"]),
        ("WARNING", ["WARNING", "ERROR"]),
        ("ERROR", ["ERROR"]),
        ("CRITICAL", []),
        ("LOUD", ["INFO", "WARNING", "ERROR"]),
        ("", ["INFO", "WARNING", "ERROR"]),
    ],
)
def test_lines_under_the_level_are_left_out(
    level: str,
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """POWERTOOLS_LOG_LEVEL says it; a level that is none is taken for INFO."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", level)
    logger = Logger()
    logger.info("one")
    logger.warning("two")
    logger.exception("three")  # noqa: LOG004 - its level is what this is about
    assert [line["level"] for line in written(capsys)] == expected


def test_an_exception_is_logged_with_its_name_and_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, whatever the traceback holds."""
    try:
        raise KeyError("missing")  # noqa: TRY301 - what is logged is a real traceback
    except KeyError:
        Logger().exception("unexpected")
    (line,) = written(capsys)
    assert (line["level"], line["exception_name"]) == ("ERROR", "KeyError")
    assert "KeyError: 'missing'" in line["exception"]


def test_metrics_become_one_line_of_embedded_metric_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As its specification has it: every metric of the directive is a member of the line."""
    metrics = Metrics(namespace="Space")
    metrics.add_metric("Confidence", MetricUnit.NoUnit, 0.5)
    metrics.add_metric("Confidence", MetricUnit.NoUnit, 1)
    metrics.add_metric("ColdStart", MetricUnit.Count, 1)
    metrics.add_metadata("model_version", "v1")
    metrics.flush_metrics()
    (line,) = written(capsys)
    head = line.pop("_aws")
    assert isinstance(head["Timestamp"], int)
    assert head["CloudWatchMetrics"] == [
        {
            "Namespace": "Space",
            "Dimensions": [["service"]],
            "Metrics": [
                {"Name": "Confidence", "Unit": "None"},
                {"Name": "ColdStart", "Unit": "Count"},
            ],
        }
    ]
    assert line == {
        "service": "predict",
        "model_version": "v1",
        "Confidence": [0.5, 1.0],
        "ColdStart": [1.0],
    }


def test_a_metric_of_each_version_is_seen_apart_and_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary with a tenth of the traffic must not drown in the other nine tenths."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")
    metrics = Metrics(namespace="Space", by_version=("Confidence",))
    metrics.add_metric("ColdStart", MetricUnit.Count, 1)
    metrics.flush_metrics()
    metrics.add_metric("ColdStart", MetricUnit.Count, 0)
    metrics.add_metric("Confidence", MetricUnit.NoUnit, 0.5)
    metrics.flush_metrics()
    refused, answered = written(capsys)
    assert "function_version" not in refused
    assert answered["function_version"] == "7"
    together, apart = answered["_aws"]["CloudWatchMetrics"]
    assert together["Dimensions"] == [["service"]]
    assert [one["Name"] for one in together["Metrics"]] == ["ColdStart", "Confidence"]
    assert apart == {
        "Namespace": "Space",
        "Dimensions": [["service", "function_version"]],
        "Metrics": [{"Name": "Confidence", "Unit": "None"}],
    }


def test_a_line_starts_empty_after_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither values nor what was said beside them go over into the next request's line."""
    metrics = Metrics(namespace="Space")
    metrics.add_metric("A", MetricUnit.Count, 1)
    metrics.add_metadata("a", 1)
    metrics.flush_metrics()
    metrics.add_metric("B", MetricUnit.Count, 2)
    metrics.flush_metrics()
    metrics.flush_metrics()
    _, second = written(capsys)
    assert second.keys() == {"_aws", "service", "B"}


@pytest.mark.parametrize("value", ["true", "1", "TRUE"])
def test_metrics_can_be_turned_off(
    value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a server on a developer's machine."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", value)
    metrics = Metrics(namespace="Space")
    metrics.add_metric("A", MetricUnit.Count, 1)
    metrics.flush_metrics()
    assert written(capsys) == []
