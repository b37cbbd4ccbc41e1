"""functions/drift and the capture of inputs: against a real log group and a real bucket."""

import base64
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_build.store import ModelStore
from tests.unit.local_s3 import BUCKET, serving
from tests.unit.manifests import describe

GROUP = "/aws/lambda/watched"


@pytest.fixture
def daily(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, str, Any]]:
    """Give the function, the version in the store that it reads, and a client of its logs."""
    with serving(monkeypatch) as url:
        import boto3

        import daily

        manifest = describe(b"a model")
        manifest["baseline"] |= {"pictures": {"classes": [50] * 10, "stroke": [0] * 5 + [20] * 25}}
        ModelStore(url).publish(manifest, b"a model")
        monkeypatch.setenv("MODEL_STORE_URL", url)
        monkeypatch.setenv("LOG_GROUP", GROUP)
        logs = boto3.client("logs")
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
        yield daily, manifest["version"], logs
        logs.delete_log_group(logGroupName=GROUP)
        logs.close()


def write(logs: Any, version: str, count: int, stroke: float, *, hours_ago: float = 1) -> None:
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
                }
            ),
        }
        for number in range(count)
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Metrics that CloudWatch would make of what was printed."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [line for line in lines if "_aws" in line]
    for line in metrics:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "ClassifierOnLambda"
        names = [metric["Name"] for metric in directive["Metrics"]]
        dimensions = [name for group in directive["Dimensions"] for name in group]
        assert {*names, *dimensions} <= line.keys()
        assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 600
    return metrics


def test_a_day_like_the_baseline_raises_no_alarm(
    daily: tuple[ModuleType, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    function, version, logs = daily
    write(logs, version, 400, stroke=0)
    (verdict,) = function.handler({}, None)["verdicts"]
    assert (verdict["verdict"], verdict["preprocess"]) == ("none", "auto")
    metrics = emitted(capsys)
    assert [line["DriftDetected"] for line in metrics if "DriftDetected" in line] == [0]
    by_statistic = {line["statistic"]: line["DriftPSI"] for line in metrics if "statistic" in line}
    assert by_statistic.keys() == {"classes", "stroke"}
    assert max(by_statistic.values()) < 0.1


def test_a_day_with_another_pen_does(
    daily: tuple[ModuleType, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    function, version, logs = daily
    write(logs, version, 300, stroke=5.5)
    (verdict,) = function.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "drift"
    assert verdict["statistics"]["classes"]["verdict"] == "none"
    metrics = emitted(capsys)
    assert [line["DriftDetected"] for line in metrics if "DriftDetected" in line] == [1]


def test_little_traffic_and_that_of_other_days_are_no_drift(
    daily: tuple[ModuleType, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    function, version, logs = daily
    write(logs, version, 300, stroke=5.5, hours_ago=30)
    assert function.handler({}, None)["verdicts"] == []
    write(logs, version, 50, stroke=5.5)
    (verdict,) = function.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "too few"
    assert {line["DriftDetected"] for line in emitted(capsys)} == {0}


def test_a_folder_can_be_the_model_store(
    daily: tuple[ModuleType, str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, version, logs = daily
    write(logs, version, 300, stroke=0)
    manifest = describe(b"a model")
    ModelStore(tmp_path.as_uri()).publish(manifest, b"a model")
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    (verdict,) = function.handler({}, None)["verdicts"]
    assert verdict["verdict"] == "too few", "its manifest has no baseline for pictures"


@pytest.fixture
def loaded(model_store: Path) -> Any:
    import session

    return session.LazyModel().get()


def answers(count: int) -> list[dict[str, Any]]:
    return [{"prediction": place, "confidence": 0.5, "probabilities": []} for place in range(count)]


def test_captured_is_what_the_model_saw_and_said(
    loaded: Any, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    import capture

    with serving(monkeypatch):
        import boto3

        monkeypatch.setenv("CAPTURE_URL", f"s3://{BUCKET}/inputs")
        monkeypatch.setenv("CAPTURE_SHARE", "1")
        keys = capture.keep(loaded, digits, answers(10), "request-1")
        assert len(keys) == 20
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
    import capture

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
    import app
    import session

    monkeypatch.setattr(app, "model", session.LazyModel())
    monkeypatch.setenv("CAPTURE_SHARE", "1")
    monkeypatch.setenv("CAPTURE_URL", url)
    logged: list[str] = []
    monkeypatch.setattr(app.logger, "warning", lambda text, **_: logged.append(text))
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
        response = app.handler(event, Context())
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["prediction"] == 3
    assert logged == ["not captured"]
