"""telemetry.py: the metric line of a request, as CloudWatch and the saved queries read it."""

import json
import time
from typing import Any

import pytest

from classifier.monitoring import telemetry


def line(capsys: pytest.CaptureFixture[str]) -> Any:
    telemetry.metrics.flush_metrics()
    return json.loads(capsys.readouterr().out)


def test_a_line_starts_empty_after_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither values nor metadata nor dimensions carry over into the next request's line."""
    telemetry.begin("gateway-1", "lambda-1", cold_start=True)
    telemetry.add_confidences([0.5, 0.75], 0.5)
    first = line(capsys)
    assert (first["Confidence"], first["ColdStart"]) == ([0.5, 0.75], [1.0])
    assert first["Guess"] == [1, 0]
    assert first["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [
        ["service"],
        ["service", "function_version"],
    ]
    telemetry.begin("gateway-2", "lambda-2", cold_start=False)
    second = line(capsys)
    assert second.keys() == {"_aws", "service", "request_id", "function_request_id", "ColdStart"}
    assert (second["request_id"], second["ColdStart"]) == ("gateway-2", [0.0])


def test_more_values_than_a_line_holds_are_all_written_for_the_version(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A batch of numbers has hundreds of digits; a canary is judged by all of them."""
    telemetry.begin("gateway-1", "lambda-1", cold_start=False)
    telemetry.add_confidences([0.5] * 150, 0.5)
    telemetry.metrics.flush_metrics()
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert sum(len(written.get("Guess", ())) for written in lines) == 150
    assert all("function_version" in written for written in lines)


def test_a_request_drops_what_was_never_flushed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If metrics are disabled, Powertools keeps them, and prints every hundredth value."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    for _ in range(150):
        telemetry.begin("gateway-1", "lambda-1", cold_start=False)
        telemetry.metrics.flush_metrics()
    assert capsys.readouterr().out == ""


def test_a_duration_is_in_milliseconds_to_the_microsecond(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metrics that alarms and the dashboard read."""
    readings = iter([1_000_000, 6_250_999])
    telemetry.begin("gateway-1", "lambda-1", cold_start=False)
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter_ns", lambda: next(readings))
        with telemetry.timed("InferenceMs"):
            pass
    written = line(capsys)
    assert written["InferenceMs"] == [5.25]
    units = {m["Name"]: m["Unit"] for m in written["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units == {"ColdStart": "Count", "InferenceMs": "Milliseconds"}
