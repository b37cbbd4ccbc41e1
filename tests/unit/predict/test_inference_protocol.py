"""inference_protocol.py: the Open Inference Protocol's REST form, tensors in and tensors out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifier.errors import PredictError
from classifier.http.event import Request
from classifier.http.inference_protocol import ROUTES
from classifier.model.session import LazyModel, Model
from classifier.prepare.encoding import Tensor
from classifier.served import Answers, Served

type Digits = NDArray[np.uint8]
type Call = Callable[..., tuple[int, Any]]
BLANK = [0] * 784


class Server(Served):
    """The routes with a model behind them; answers as the handler would."""

    def __init__(self) -> None:
        self.lazy = LazyModel()
        super().__init__(self.lazy)
        self.batches: list[Tensor] = []

    def classify(self, model: Model, batch: Tensor) -> Answers:
        self.batches.append(batch)
        return super().classify(model, batch)

    def __call__(
        self, path: str, document: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and body of a GET, or of a POST of a document; of bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        method = "GET" if document is None else "POST"
        request = Request(method, path, {}, headers or {}, body, "gateway-1")
        for pattern, its_method, answer in ROUTES:
            if (matched := pattern.fullmatch(path)) and its_method == method:
                try:
                    response = answer(request, self, **matched.groupdict())
                except PredictError as error:
                    return error.status.value, error.detail
                return response["statusCode"], json.loads(response["body"])
        raise AssertionError(f"no route for {method} {path}")


@pytest.fixture
def server(model_store: Path) -> Server:
    return Server()


@pytest.fixture
def version(model_store: Path) -> str:
    (version,) = (path.name for path in (model_store / "mnist" / "versions").iterdir())
    return version


def tensor(data: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": data}


def inference(data: Any, /, **changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor(data) | changes]}


def infer(server: Server, document: Any, path: str = "/v2/models/mnist/infer") -> tuple[int, Any]:
    return server(path, document)


def refused(server: Server, document: Any, status: int = 400) -> str:
    given_status, detail = infer(server, document)
    assert given_status == status
    assert isinstance(detail, str)
    assert not server.batches, "nothing was classified"
    return detail


def test_the_server_tells_its_name_and_extensions(server: Server) -> None:
    status, body = server("/v2")
    assert status == 200
    assert body.keys() == {"name", "version", "extensions"}
    assert body["extensions"] == []


def test_live_does_not_touch_the_model(server: Server) -> None:
    assert server("/v2/health/live") == (200, {"live": True})
    assert not server.lazy.is_loaded


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/mnist/ready"])
def test_ready_loads_the_model(server: Server, path: str) -> None:
    assert server(path) == (200, {"ready": True})
    assert server.lazy.is_loaded


def test_metadata_tells_the_tensors(server: Server, version: str) -> None:
    expected = {
        "name": "mnist",
        "versions": [version],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }
    assert server("/v2/models/mnist") == (200, expected)
    assert server(f"/v2/models/mnist/versions/{version}") == (200, expected)
    assert server(f"/v2/models/mnist/versions/{version}/ready") == (200, {"ready": True})


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/other/ready", "/v2/models/mnist/versions/1"]
)
def test_another_model_or_version_is_not_found(server: Server, path: str) -> None:
    status, detail = server(path)
    assert status == 404
    assert "this function serves" in detail
    assert infer(server, inference(BLANK), f"{path.removesuffix('/ready')}/infer")[0] == 404


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
@pytest.mark.parametrize("form", ["flat", "nested", "nested with flat rows"])
def test_tensors_are_inferred_whatever_their_form(
    server: Server, version: str, digits: Digits, datatype: str, form: str
) -> None:
    batch = digits[[3, 7]]
    values = batch.astype(float) if datatype == "FP32" else batch
    shapes = {"flat": [-1], "nested": [2, 28, 28], "nested with flat rows": [2, 784]}
    data = values.reshape(shapes[form]).tolist()
    status, body = infer(server, inference(data, shape=[2, 28, 28], datatype=datatype))
    assert status == 200
    assert (body["model_name"], body["model_version"]) == ("mnist", version)
    assert "id" not in body
    (output,) = body["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [2, 10],
    )
    rows = np.reshape(output["data"], (2, 10))
    assert rows.argmax(axis=1).tolist() == [3, 7]
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert (server.batches[0] == batch).all()


def test_a_version_is_inferred_by_its_own_path(server: Server, version: str) -> None:
    assert infer(server, inference(BLANK), f"/v2/models/mnist/versions/{version}/infer")[0] == 200


def test_fractions_are_rounded_to_whole_values(server: Server) -> None:
    infer(server, inference([0.4, 0.6, 254.7, 255.0] * 196, datatype="FP32"))
    assert server.batches[0].ravel()[:4].tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize("identity", ["7", "", "é\ud800", "x" * 256])
def test_an_id_is_repeated(server: Server, identity: str) -> None:
    status, body = infer(server, inference(BLANK) | {"id": identity})
    assert (status, body["id"]) == (200, identity)


@pytest.mark.parametrize("identity", [7, ["7"], {"a": 1}, True, "x" * 257])
def test_an_id_that_is_no_short_string_is_refused(server: Server, identity: Any) -> None:
    assert '"id" must be a string' in refused(server, inference(BLANK) | {"id": identity})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "JSON object"),
        ("image", "JSON object"),
        (7, "JSON object"),
        ({}, '"inputs" must be a list of one tensor'),
        ({"inputs": []}, "one tensor"),
        ({"inputs": {}}, "one tensor"),
        ({"inputs": "image"}, "one tensor"),
        ({"inputs": [7]}, "one tensor"),
        ({"inputs": [tensor(BLANK), tensor(BLANK)]}, "one tensor, 'image'"),
        (inference(BLANK, name="pixels"), "unknown input 'pixels'; send 'image'"),
        (inference(BLANK, name=None), "unknown input None"),
        (inference(BLANK, name=["image"]), "unknown input"),
        (inference(BLANK, datatype="FP16"), "'FP16' is not supported; send UINT8 or FP32"),
        (inference(BLANK, datatype="uint8"), "not supported"),
        (inference(BLANK, datatype=["UINT8"]), "not supported"),
        (inference(BLANK, datatype=None), "not supported"),
        ({"inputs": [{"name": "image"}]}, "None is not supported"),
    ],
)
def test_what_is_not_the_models_input_is_refused(
    server: Server, document: Any, reason: str
) -> None:
    assert reason in refused(server, document)


@pytest.mark.parametrize(
    "shape",
    [
        None,
        "28",
        784,
        [],
        [784],
        [28, 28],
        [1, 28],
        [1, 28, 28, 1],
        [1, 1, 28, 28],
        [1, 784, 1],
        [0, 28, 28],
        [-1, 28, 28],
        ["1", 28, 28],
        [1.0, 28, 28],
        [True, 28, 28],
        [None, 28, 28],
        [[1], 28, 28],
        {"0": 1},
    ],
)
def test_another_shape_is_told_the_right_one(server: Server, shape: Any) -> None:
    assert "send [N, 28, 28]" in refused(server, inference(BLANK, shape=shape))


@pytest.mark.parametrize("count", [33, 10**6, 10**100])
def test_over_32_images_are_too_many(server: Server, count: int) -> None:
    detail = refused(server, inference(BLANK, shape=[count, 28, 28]), status=413)
    assert "send at most 32" in detail
    full = inference(BLANK * 32, shape=[32, 28, 28])
    assert infer(server, full)[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        None,
        "AAAA",
        7,
        {},
        [],
        BLANK[:-1],
        [*BLANK, 0],
        [BLANK, BLANK],
        [BLANK[:-1], 0],
        [BLANK, 0],
        [[]],
    ],
)
def test_data_of_another_length_than_the_shape_says_is_refused(server: Server, data: Any) -> None:
    detail = refused(server, inference(data))
    assert '"data" must be a list of 784 numbers' in detail or "numbers alone" in detail


@pytest.mark.parametrize("value", ["0", None, True, [], {}, [[1, 2]]])
def test_data_that_is_no_number_is_refused(server: Server, value: Any) -> None:
    assert '"data" must' in refused(server, inference([*BLANK[:-1], value]))


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
@pytest.mark.parametrize(
    "value", ["-1", "256", "255.1", "-0.1", "NaN", "Infinity", "-Infinity", "1e999", "9" * 4000]
)
def test_a_value_outside_0_to_255_is_refused(server: Server, value: str, datatype: str) -> None:
    document = json.dumps(inference([*BLANK[:-1], -7], datatype=datatype)).encode()
    detail = refused(server, document.replace(b"-7", value.encode()))
    assert "values from 0 to 255" in detail


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"inputs":' * 50_000, b"9" * 5000, b"\x00" * 10],
)
def test_a_body_that_is_no_json_is_refused(server: Server, body: bytes) -> None:
    assert "not valid JSON" in refused(server, body)


def test_a_body_over_4_mib_is_too_large(server: Server) -> None:
    assert "4194305 bytes" in refused(server, b" " * (4 * 1024 * 1024 + 1), status=413)


def test_the_binary_extension_is_refused_with_what_to_send(server: Server) -> None:
    headers = {"inference-header-content-length": "100"}
    status, detail = server("/v2/models/mnist/infer", inference(BLANK), headers)
    assert (status, "binary_data=False" in detail) == (400, True)


@pytest.mark.parametrize("outputs", [None, [], [{"name": "probabilities"}]])
def test_the_output_may_be_asked_for_by_its_name(server: Server, outputs: Any) -> None:
    assert infer(server, inference(BLANK) | {"outputs": outputs})[0] == 200


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ({}, "must be a list"),
        (["probabilities"], "must be a list"),
        ([{"name": "logits"}], "unknown output 'logits'; ask for 'probabilities'"),
        ([{}], "unknown output None"),
        ([{"name": "probabilities", "parameters": {"binary_data": True}}], "JSON data"),
        ([{"name": "probabilities", "parameters": {"classification": 3}}], "JSON data"),
    ],
)
def test_other_outputs_are_refused(server: Server, outputs: Any, reason: str) -> None:
    assert reason in refused(server, inference(BLANK) | {"outputs": outputs})


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "é" * 100_000},
        {"datatype": "é" * 100_000},
        {"shape": [1] * 100_000},
        {"shape": [10**4000, 1, 1]},
    ],
    ids=["name", "datatype", "shape", "side"],
)
def test_a_refusal_does_not_send_megabytes_back(server: Server, changes: Any) -> None:
    body = json.dumps(inference(BLANK, **changes), ensure_ascii=False).encode()
    assert len(refused(server, body)) < 1000


def test_errors_have_the_protocols_form(model_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the handler: other routes answer with problem documents."""
    import importlib
    import sys

    monkeypatch.delitem(sys.modules, "classifier.handler", raising=False)
    app = importlib.import_module("classifier.handler")

    class Context:
        aws_request_id = "lambda-1"

    for method, path, status in [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/nowhere", 404),
        ("PUT", "/v2/models/mnist", 405),
        ("POST", "/v2/models/mnist/infer", 400),
    ]:
        event = {"httpMethod": method, "path": path, "body": "{}"}
        response = app.handler(event, Context())
        assert response["statusCode"] == status
        assert response["headers"]["Content-Type"] == "application/json"
        assert json.loads(response["body"]).keys() == {"error"}
        assert ("Allow" in response["headers"]) == (status == 405)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.dictionaries(st.sampled_from(["inputs", "outputs", "id", "parameters"]), json_value),
    changes=st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data"]), json_value),
)
@example(parts={}, changes={"data": [10**400] * 784})
@example(parts={}, changes={"data": [[[[]]]]})
def test_any_request_is_answered_or_refused(server: Server, parts: Any, changes: Any) -> None:
    status, _ = infer(server, inference(BLANK, **changes) | parts)
    assert status in (200, 400, 413)
