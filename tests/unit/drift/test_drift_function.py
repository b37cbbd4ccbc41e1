"""functions/drift and captured inputs, with a real log group and a real bucket."""

import base64
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import daily
from model_build.store.model_store import ModelStore
from tests.support.local_s3 import BUCKET, serving
from tests.support.log_lines import logged
from tests.support.manifests import describe

GROUP = "/aws/lambda/watched"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """The version in the store that the function reads, and a client of the logs."""
    with serving(monkeypatch) as url:
        import boto3

        manifest = describe(b"a model")
        manifest["baseline"] |= {"pictures": {"classes": [50] * 10, "stroke": [0] * 5 + [20] * 25}}
        ModelStore(url).publish(manifest, b"a model")
        monkeypatch.setenv("MODEL_STORE_URL", url)
        monkeypatch.setenv("LOG_GROUP", GROUP)
        logs = boto3.client("logs")
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
        yield manifest["version"], logs
        logs.close()


def write(
    logs: Any, version: str, count: int, stroke: float, *, hours_ago: float = 1, **more: str
) -> None:
    moment = int((time.time() - hours_ago * 3600) * 1000)
    strokes = np.random.default_rng(1).uniform(1, 6, count) if stroke == 0 else [stroke] * count
    events = [
        {
            "timestamp": moment,
            "message": json.dumps(
                {
                    "_aws": {},
                    "model_version": version,
                    "preprocess": "auto",
                    "predictions": [number % 10],
                    "stroke": [float(strokes[number])],
                    **more,
                }
            ),
        }
        for number in range(count)
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)


def emitted(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, dict[str, str], list[float]]]:
    """Name, dimensions and values of each metric that CloudWatch would read from the output."""
    found = []
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 600
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "ClassifierOnLambda"
        (names,) = directive["Dimensions"]
        dimensions = {name: line[name] for name in names}
        found += [(one["Name"], dimensions, line[one["Name"]]) for one in directive["Metrics"]]
    return found


def test_a_day_like_the_baseline_raises_no_alarm(
    watched: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    version, logs = watched
    write(logs, version, 400, stroke=0)
    (verdict,) = daily.handler({}, None)["verdicts"]
    assert (verdict["verdict"], verdict["preprocess"]) == ("none", "auto")
    metrics = emitted(capsys)
    assert ("DriftDetected", {"service": "predict"}, [0]) in metrics
    indices = {of["statistic"]: values for name, of, values in metrics if name == "DriftPSI"}
    assert indices.keys() == {"classes", "stroke"}
    assert max(max(values) for values in indices.values()) < 0.1


def test_a_day_with_another_pen_does(
    watched: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    version, logs = watched
    write(logs, version, 300, stroke=5.5)
    (verdict,) = daily.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "drift"
    assert verdict["statistics"]["classes"]["verdict"] == "none"
    assert ("DriftDetected", {"service": "predict"}, [1]) in emitted(capsys)


def test_metrics_of_two_stacks_are_not_added_up(
    watched: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has the stack's name among its dimensions, like the predict function's metrics."""
    version, logs = watched
    write(logs, version, 300, stroke=5.5)
    daily.handler({}, None)
    metrics = emitted(capsys)
    assert {of["service"] for _, of, _ in metrics} == {"predict"}
    assert {(name, *sorted(of)) for name, of, _ in metrics} == {
        ("DriftDetected", "service"),
        ("DriftPSI", "preprocess", "service", "statistic"),
    }


def test_each_model_has_its_own_baseline_and_metrics(
    watched: tuple[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines name their model; those of before are of the default one."""
    mnist, logs = watched
    document = describe(b"another model", name="clothes")
    document["baseline"] |= {"pictures": {"classes": [50] * 10, "stroke": [100] + [0] * 29}}
    ModelStore(f"s3://{BUCKET}/store").publish(document, b"another model")
    monkeypatch.setenv("MODEL_NAME", "mnist,clothes")
    write(logs, mnist, 300, stroke=0)
    write(logs, document["version"], 300, stroke=0, model_name="clothes")
    verdicts = daily.handler({}, None)["verdicts"]
    assert {verdict["model_name"]: verdict["verdict"] for verdict in verdicts} == {
        "mnist": "none",
        "clothes": "drift",
    }
    indices = {
        (of["model"], of["statistic"]): values
        for name, of, values in emitted(capsys)
        if name == "DriftPSI"
    }
    assert indices["mnist", "stroke"] < [0.1] < indices["clothes", "stroke"]


def test_little_traffic_and_that_of_other_days_are_no_drift(
    watched: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    version, logs = watched
    write(logs, version, 300, stroke=5.5, hours_ago=30)
    assert daily.handler({}, None)["verdicts"] == []
    write(logs, version, 50, stroke=5.5)
    (verdict,) = daily.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "too few"
    assert emitted(capsys) == 2 * [("DriftDetected", {"service": "predict"}, [0])]


def test_the_verdict_is_a_line_of_the_log(watched: tuple[str, Any]) -> None:
    """Structured, for Logs Insights."""
    version, logs = watched
    write(logs, version, 50, stroke=5.5)
    with logged(daily.logger) as lines:
        verdicts = daily.handler({}, None)["verdicts"]
    (line,) = lines
    assert (line["level"], line["message"], line["service"]) == ("INFO", "drift", "predict")
    assert (line["lines"], line["verdicts"]) == (50, verdicts)


def test_a_bucket_without_a_prefix_can_be_the_model_store(
    watched: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    version, logs = watched
    write(logs, version, 300, stroke=0)
    ModelStore(f"s3://{BUCKET}").publish(describe(b"a model"), b"a model")
    monkeypatch.setenv("MODEL_STORE_URL", f"s3://{BUCKET}")
    (verdict,) = daily.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "too few", "its manifest has no baseline for pictures"


@pytest.fixture
def loaded(model_store: Path) -> Any:
    from classifier.model import session

    return session.LazyModel().get()


def answers(count: int) -> list[dict[str, Any]]:
    return [{"prediction": place, "confidence": 0.5, "probabilities": []} for place in range(count)]


def test_captured_is_what_the_model_saw_and_said(
    loaded: Any, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier.monitoring import capture

    with serving(monkeypatch):
        import boto3

        monkeypatch.setenv("CAPTURE_URL", f"s3://{BUCKET}/inputs")
        monkeypatch.setenv("CAPTURE_SHARE", "1")
        keys = capture.keep(loaded, digits, answers(10), "request-1")
        assert len(keys) == 20
        assert all(key.startswith("mnist/20") for key in keys), "for each model a folder"
        client = boto3.client("s3")

        def read(key: str) -> bytes:
            content: bytes = client.get_object(Bucket=BUCKET, Key=f"inputs/{key}")["Body"].read()
            return content

        for place, key in enumerate(key for key in keys if key.endswith(".png")):
            with Image.open(io.BytesIO(read(key))) as image:
                assert (np.asarray(image) == digits[place]).all()
            document = json.loads(read(key.replace(".png", ".json")))
            assert document == {
                "prediction": place,
                "confidence": 0.5,
                "model": {"name": "mnist", "version": loaded.version},
                "request_id": "request-1",
                "index": place,
            }
        client.close()


def test_a_share_of_inputs_is_captured(
    loaded: Any, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier.monitoring import capture

    many = np.repeat(digits, 20, axis=0)
    with serving(monkeypatch):
        monkeypatch.setenv("CAPTURE_URL", f"s3://{BUCKET}")
        monkeypatch.setenv("CAPTURE_SHARE", "0.1")
        random.seed(4)
        assert 2 * 8 <= len(capture.keep(loaded, many, answers(200), "one")) <= 2 * 35
    monkeypatch.setenv("CAPTURE_SHARE", "0")
    assert capture.keep(loaded, many, answers(200), "one") == []


@pytest.mark.parametrize("url", ["http://nowhere", "s3://no-such-bucket"])
def test_a_capture_that_fails_costs_nobody_an_answer(
    model_store: Path, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    from classifier import handler
    from classifier.model.models import Models
    from classifier.monitoring import telemetry

    monkeypatch.setattr(handler, "models", Models())
    monkeypatch.setenv("CAPTURE_SHARE", "1")
    monkeypatch.setenv("CAPTURE_URL", url)
    logged: list[str] = []
    monkeypatch.setattr(telemetry.logger, "warning", lambda text, **_: logged.append(text))
    file = io.BytesIO()
    Image.fromarray(digits[3]).save(file, "PNG")
    event = {
        "httpMethod": "POST",
        "path": "/predict",
        "body": base64.b64encode(file.getvalue()).decode(),
        "isBase64Encoded": True,
    }

    class Context:
        aws_request_id = "lambda-1"

    with serving(monkeypatch):
        response = handler.handler(event, Context())
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["prediction"] == 3
    assert logged == ["not captured"]
