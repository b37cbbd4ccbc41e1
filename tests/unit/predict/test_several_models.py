"""The routes with several models behind them: which one answers, what is logged and measured."""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier import handler
from classifier.model.models import Models
from classifier.monitoring.telemetry import begin, logger, metrics
from classifier.served import Served
from tests.support.log_lines import logged
from tests.support.sure_models import Sure, point, publish

VERSION = "20260131T120000Z-0123abcd"  # of nothing


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Sure]:
    """Two models of one store, mnist the default."""
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    monkeypatch.setenv("MODEL_NAME", "mnist,clothes")
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    monkeypatch.setattr(handler, "models", Models())
    return {
        "mnist": publish(tmp_path, "mnist", 3, 0.6),
        "clothes": publish(tmp_path, "clothes", 8, 0.9),
    }


def send(
    method: str, path: str, query: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, Any]:
    """Status and body of a request."""
    event = {
        "httpMethod": method,
        "path": path,
        "queryStringParameters": query,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    response = handler.handler(event, SimpleNamespace(aws_request_id="lambda-1"))
    return response["statusCode"], json.loads(response["body"])


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(file, "PNG")
    return file.getvalue()


def predict(**query: str) -> tuple[int, Any]:
    return send("POST", "/predict", {"preprocess": "none", **query}, picture())


def infer(name: str) -> tuple[int, Any]:
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    return send("POST", f"/v2/models/{name}/infer", body=json.dumps({"inputs": [tensor]}).encode())


def metric_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line in embedded metric format since the last look."""
    (line,) = (text for text in capsys.readouterr().out.splitlines() if '"_aws"' in text)
    document: dict[str, Any] = json.loads(line)
    return document


def index(body: bytes = b"") -> dict[str, tuple[str, str]]:
    """State and version of each model."""
    status, models = send("POST", "/v2/repository/index", body=body)
    assert status == 200
    return {model["name"]: (model["state"], model["version"]) for model in models}


@pytest.mark.parametrize(
    ("query", "name", "prediction"),
    [
        ({}, "mnist", 3),
        ({"model": "mnist"}, "mnist", 3),
        ({"model": "clothes"}, "clothes", 8),
    ],
)
def test_a_parameter_chooses_the_model(
    two: dict[str, Sure], query: dict[str, str], name: str, prediction: int
) -> None:
    status, answer = predict(**query)
    assert (status, answer["prediction"]) == (200, prediction)
    assert answer["confidence"] == pytest.approx(two[name].probability, abs=1e-5)
    assert answer["model"] == {"name": name, "version": two[name].version}
    assert send("GET", "/ready", query)[1]["model"] == answer["model"]
    assert send("GET", "/model", query)[1]["version"] == two[name].version


def test_a_direct_invocation_chooses_it_too(two: dict[str, Sure]) -> None:
    image = base64.b64encode(picture()).decode()
    event = {"image": image, "preprocess": "none", "model": "clothes"}
    answer: Any = handler.handler(event, SimpleNamespace(aws_request_id="lambda-1"))
    assert (answer["prediction"], answer["model"]["name"]) == (8, "clothes")


def test_the_protocols_path_chooses_it(two: dict[str, Sure]) -> None:
    for name, winner in (("clothes", 8), ("mnist", 3)):
        status, answer = infer(name)
        assert status == 200
        assert (answer["model_name"], answer["model_version"]) == two[name][:2]
        assert int(np.argmax(answer["outputs"][0]["data"])) == winner
        assert send("GET", f"/v2/models/{name}")[1]["versions"] == [two[name].version]


@pytest.mark.parametrize(
    "path",
    [
        "/predict",
        "/ready",
        "/model",
        "/v2/models/pets",
        "/v2/models/pets/ready",
        "/v2/models/pets/infer",
        "/v2/repository/models/pets/load",
        "/v2/repository/models/pets/unload",
    ],
)
def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(
    two: dict[str, Sure], path: str
) -> None:
    is_post = path.endswith(("predict", "infer", "load"))
    method = "POST" if is_post else "GET"
    body = picture() if path == "/predict" else b""
    status, answer = send(method, path, {"model": "pets", "preprocess": "none"}, body)
    detail = answer["detail"] if path.count("/") == 1 else answer["error"]
    assert status == 404
    assert detail == "there is no model 'pets'; this function serves 'mnist', 'clothes'"


def test_probes_between_requests_leave_nothing_behind(two: dict[str, Sure]) -> None:
    """An idle server is asked every few seconds whether it is ready, for months."""
    probed = Served(handler.models)
    begin("gateway-1", "lambda-1", cold_start=False)
    for _ in range(3):
        probed.model()
    assert len(metrics.provider.dimension_sets) == 1


def test_metrics_and_log_lines_are_by_model(
    two: dict[str, Sure], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the dimensions that alarms watch."""
    predict(model="clothes")
    line = metric_line(capsys)
    assert (line["model"], line["model_name"]) == ("clothes", "clothes")
    assert line["model_version"] == two["clothes"].version
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert sorted(map(sorted, directive["Dimensions"])) == [
        ["function_version", "service"],
        ["model", "service"],
        ["service"],
    ]
    names = {metric["Name"] for metric in directive["Metrics"]}
    assert {"Confidence", "InferenceMs", "PreprocessMs", "ModelLoadMs"} <= names


def test_a_failed_load_counts_for_its_model(
    two: dict[str, Sure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the other one answers."""
    point(tmp_path, "clothes", VERSION)
    assert predict(model="clothes")[0] == 503
    line = metric_line(capsys)
    assert (line["ModelLoadFailure"], line["model"]) == ([1.0], "clothes")
    assert predict()[0] == 200


def test_a_single_model_has_no_metrics_of_its_own(
    two: dict[str, Sure], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would cost as much again and say nothing new."""
    monkeypatch.setenv("MODEL_NAME", "mnist")
    predict()
    line = metric_line(capsys)
    assert "model" not in line
    assert line["model_name"] == "mnist"


def test_a_refresh_and_one_that_failed_are_logged(
    two: dict[str, Sure], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict()
    new = publish(tmp_path, "mnist", 4, 0.7)
    with logged(logger) as lines:
        assert send("POST", "/v2/repository/models/mnist/load") == (200, {})
    (line,) = lines
    assert line["message"] == "model refreshed"
    assert line["model_version"] == new.version
    assert line["former_version"] == two["mnist"].version

    point(tmp_path, "mnist", VERSION)
    capsys.readouterr()
    with logged(logger) as lines:
        status, answer = send("POST", "/v2/repository/models/mnist/load")
    assert (status, "the model store has no" in answer["error"]) == (503, True)
    (line,) = (line for line in lines if line["message"] == "model not refreshed")
    assert (line["level"], line["model_version"]) == ("WARNING", new.version)
    assert line["reason"].startswith("ModelUnavailable: the model store has no")
    metric = metric_line(capsys)
    assert metric["ModelRefreshFailure"] == [1.0]
    assert predict()[1]["model"]["version"] == new.version


def test_the_index_tells_what_is_loaded(two: dict[str, Sure]) -> None:
    assert index() == {"mnist": ("UNAVAILABLE", ""), "clothes": ("UNAVAILABLE", "")}
    assert index(b'{"ready": true}') == {}
    predict(model="clothes")
    ready = {"clothes": ("READY", two["clothes"].version)}
    assert index() == {"mnist": ("UNAVAILABLE", ""), **ready}
    assert index(b'{"repository_name": "", "ready": true}') == ready


def test_a_model_is_loaded_and_unloaded(two: dict[str, Sure]) -> None:
    """An unloaded one is not ready, until it is loaded again, by whatever needs it."""
    loads: list[Any] = [
        lambda: send("POST", "/v2/repository/models/mnist/load", body=b"{}"),
        lambda: send("GET", "/ready"),
        lambda: infer("mnist"),
        predict,
    ]
    for load in loads:
        assert load()[0] == 200
        assert index()["mnist"][0] == "READY"
        assert send("GET", "/v2/models/mnist/ready")[0] == 200
        unload = b'{"parameters": {"unload_dependents": false}}'
        assert send("POST", "/v2/repository/models/mnist/unload", body=unload) == (200, {})
        assert index()["mnist"][0] == "UNAVAILABLE"
        status, answer = send("GET", "/v2/models/mnist/ready")
        assert (status, answer["error"]) == (
            404,
            "'mnist' is unloaded; POST to /v2/repository/models/mnist/load",
        )


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b"[]", 400, "must be a JSON object"),
        (b'{"parameters": []}', 400, '"parameters" must be a JSON object'),
        (b'{"parameters": {"config": "{}"}}', 400, "unsupported parameters ['config']"),
        (b" " * (4 * 2**20 + 1), 413, "send at most 4194304"),
    ],
)
def test_a_load_with_a_wrong_body_is_refused(
    two: dict[str, Sure], body: bytes, status: int, sentence: str
) -> None:
    given, answer = send("POST", "/v2/repository/models/mnist/load", body=body)
    assert (given, sentence in answer["error"]) == (status, True)
    assert index()["mnist"][0] == "UNAVAILABLE"


@pytest.mark.parametrize("ready", ["1", "null", "{}", '"true"'])
def test_an_index_with_a_wrong_filter_is_refused(two: dict[str, Sure], ready: str) -> None:
    status, answer = send("POST", "/v2/repository/index", body=f'{{"ready": {ready}}}'.encode())
    assert (status, '"ready" must be true or false' in answer["error"]) == (400, True)


def test_an_init_without_a_client_loads_all_models(two: dict[str, Sure], tmp_path: Path) -> None:
    """One that fails does not keep the others from it."""
    point(tmp_path, "clothes", VERSION)
    handler._preload()
    assert {name: state for name, (state, _) in index().items()} == {
        "mnist": "READY",
        "clothes": "UNAVAILABLE",
    }
