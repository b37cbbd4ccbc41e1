"""inference_protocol.py: the Open Inference Protocol's REST form, tensors in and tensors out."""

import base64
import copy
import io
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from classifier import predict
from classifier.errors import PredictError
from classifier.http import tensors
from classifier.http.event import Request
from classifier.http.inference_protocol import ROUTES, best_classes
from classifier.http.payload import Payload
from classifier.model.models import Models
from classifier.model.session import Model
from classifier.monitoring import statistics
from classifier.prepare.encoding import Encoding, Tensor
from classifier.served import Answers, Served

type Digits = NDArray[np.uint8]
type Call = Callable[..., tuple[int, Any]]
BLANK = [0] * 784


class Server(Served):
    """The routes with a model behind them; answers as the handler would."""

    def __init__(self) -> None:
        super().__init__(Models())
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
                if not response["isBase64Encoded"]:
                    return response["statusCode"], json.loads(response["body"])
                content = base64.b64decode(response["body"])
                size = int(response["headers"]["Inference-Header-Content-Length"])
                return response["statusCode"], (json.loads(content[:size]), content[size:])
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
    assert body["extensions"] == [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "statistics",
    ]


def test_live_does_not_touch_the_model(server: Server) -> None:
    assert server("/v2/health/live") == (200, {"live": True})
    assert not server.models.is_loaded


@pytest.mark.parametrize(
    ("path", "name"), [("/v2/health/ready", {}), ("/v2/models/mnist/ready", {"name": "mnist"})]
)
def test_ready_loads_the_model(server: Server, path: str, name: dict[str, str]) -> None:
    assert server(path) == (200, {"ready": True, **name})
    assert server.models.is_loaded


def test_metadata_tells_the_tensors(server: Server, version: str) -> None:
    expected = {
        "name": "mnist",
        "versions": [version],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }
    assert server("/v2/models/mnist") == (200, expected)
    assert server(f"/v2/models/mnist/versions/{version}") == (200, expected)
    ready = (200, {"name": "mnist", "ready": True})
    assert server(f"/v2/models/mnist/versions/{version}/ready") == ready


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/other/ready", "/v2/models/mnist/versions/1"]
)
def test_another_model_or_version_is_not_found(server: Server, path: str) -> None:
    status, detail = server(path)
    assert status == 404
    assert "this function serves" in detail
    assert infer(server, inference(BLANK), f"{path.removesuffix('/ready')}/infer")[0] == 404


@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
@pytest.mark.parametrize("form", ["flat", "nested"])
def test_tensors_are_inferred_whatever_their_form(
    server: Server, version: str, digits: Digits, datatype: str, form: str
) -> None:
    batch = digits[[3, 7]]
    values = batch.astype(float) if datatype == "FP32" else batch
    shapes = {"flat": [-1], "nested": [2, 28, 28]}
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
        (inference(BLANK, datatype="FP8"), "'FP8' is not supported; send UINT8, another of"),
        (inference(BLANK, datatype="BOOL"), "not supported"),
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
        np.zeros((1, 784)).tolist(),
        np.zeros((28, 28, 1)).tolist(),  # of the right length, in another order
        np.zeros((1, 28, 28, 1)).tolist(),
    ],
)
def test_data_of_another_length_than_the_shape_says_is_refused(server: Server, data: Any) -> None:
    detail = refused(server, inference(data))
    assert '"data" must be a list of 784 numbers' in detail


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
        ([{"name": "probabilities"}] * 2, "asked for 2 times"),
        *(
            ([{"name": "probabilities", "parameters": {"classification": count}}], "of classes")
            for count in (-1, "3", True, 1.5)
        ),
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

    for name in ("classifier.handler", "classifier.model.early"):
        monkeypatch.delitem(sys.modules, name, raising=False)
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


def picture(digit: NDArray[np.uint8]) -> bytes:
    """A sample as a PNG: black ink on white paper, four times its size."""
    file = io.BytesIO()
    Image.fromarray(255 - digit).resize((112, 112)).save(file, "PNG")
    return file.getvalue()


def binary(server: Server, document: Any, *parts: bytes) -> tuple[int, Any]:
    """Send the inputs' data after the JSON."""
    for given_tensor, part in zip(document["inputs"], parts, strict=False):
        given_tensor.pop("data", None)
        given_tensor["parameters"] = {"binary_data_size": len(part)}
    text = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(text))}
    return server("/v2/models/mnist/infer", text + b"".join(parts), headers)


def elements(*contents: bytes) -> bytes:
    """BYTES in binary form."""
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


NUMPY = {
    **{f"{sign}INT{bits}": f"<{sign.lower() or 'i'}{bits // 8}" for sign in ("U", "")
       for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}  # fmt: skip


@pytest.mark.parametrize("datatype", NUMPY)
def test_binary_tensors_of_every_datatype_have_the_same_answer(
    server: Server, digits: Digits, datatype: str
) -> None:
    batch = np.minimum(digits[[3, 7]], 127)  # what an INT8 holds
    expected = infer(server, inference(batch.ravel().tolist(), shape=[2, 28, 28]))[1]
    document = inference(None, shape=[2, 28, 28], datatype=datatype)
    status, body = binary(server, document, batch.astype(NUMPY[datatype]).tobytes())
    assert status == 200
    assert body["outputs"] == expected["outputs"]
    assert (server.batches[1] == server.batches[0]).all()


@pytest.mark.parametrize("form", ["by default", "by name"])
def test_a_binary_output_follows_the_json(server: Server, digits: Digits, form: str) -> None:
    named = {"name": "probabilities", "parameters": {"binary_data": True}}
    wanted: dict[str, Any] = {"parameters": {"binary_data_output": True}}
    if form == "by name":
        wanted = {"outputs": [named]}
    document = inference(digits[[3, 7]].ravel().tolist(), shape=[2, 28, 28])
    (plain,) = infer(server, document)[1]["outputs"]
    status, (header, content) = infer(server, document | wanted)
    (output,) = header["outputs"]
    assert (status, output["parameters"]) == (200, {"binary_data_size": 80})
    assert "data" not in output
    assert np.frombuffer(content, "<f4").tolist() == plain["data"]


def test_an_output_can_be_json_where_the_others_are_binary(server: Server) -> None:
    wanted = {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": False}}],
    }
    _, body = infer(server, inference(BLANK) | wanted)
    assert len(body["outputs"][0]["data"]) == 10


@pytest.mark.parametrize(
    ("document", "parts", "reason"),
    [
        (inference(None), [b"\0" * 783], "must hold 784 values"),
        (inference(None, datatype="FP32"), [b"\0" * 3135], "3135 bytes of binary data are not"),
        (inference(None, datatype="FP8"), [b""], "'FP8' is not supported"),
        (inference(None, datatype="BYTES", shape=[1]), [b"\x09\0\0\0abc"], "in front of each"),
        (inference(None, datatype="BYTES", shape=[1]), [b"\x09\0"], "in front of each"),
        (inference(None), [b"\0" * 784, b"more"], "4 bytes after the JSON belong to no input"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(
    server: Server, document: Any, parts: list[bytes], reason: str
) -> None:
    status, detail = binary(server, copy.deepcopy(document), *parts)
    assert (status, reason in detail) == (400, True), detail


@pytest.mark.parametrize("size", [785, -1, "784", 7.5, True])
def test_a_size_of_binary_data_is_a_number_that_is_there(server: Server, size: Any) -> None:
    document = inference(BLANK, parameters={"binary_data_size": size})
    text = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(text))}
    status, detail = server("/v2/models/mnist/infer", text + bytes(784), headers)
    assert (status, '"binary_data_size" must be' in detail) == (400, True)


def raw(server: Server, body: bytes) -> tuple[int, Any]:
    return server("/v2/models/mnist/infer", body, {"inference-header-content-length": "0"})


def test_a_body_without_json_is_the_input(server: Server, digits: Digits) -> None:
    """Samples, or an image file."""
    expected = infer(server, inference(digits[[3, 7]].ravel().tolist(), shape=[2, 28, 28]))
    assert raw(server, digits[[3, 7]].tobytes()) == expected
    status, body = raw(server, picture(digits[7]))
    assert (status, int(np.argmax(body["outputs"][0]["data"]))) == (200, 7)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (bytes(785), "the body has 785 bytes; send an image file, or samples of 784 bytes each"),
        (b"seven", "the body has 5 bytes"),
        (b"", "not valid JSON"),
    ],
)
def test_a_body_that_is_no_input_is_refused(server: Server, body: bytes, reason: str) -> None:
    status, detail = raw(server, body)
    assert (status, reason in detail) == (400, True), detail


@pytest.mark.parametrize("length", ["", "x", "-1", "99999", "²", "7.0"])
def test_a_length_of_the_json_is_a_number_that_is_there(server: Server, length: str) -> None:
    headers = {"inference-header-content-length": length}
    status, detail = server("/v2/models/mnist/infer", inference(BLANK), headers)
    assert (status, "Inference-Header-Content-Length must be" in detail) == (400, True)


def test_a_length_amid_the_json_is_refused(server: Server) -> None:
    headers = {"inference-header-content-length": "20"}
    status, detail = server("/v2/models/mnist/infer", inference(BLANK), headers)
    assert (status, "up to Inference-Header-Content-Length, 20 bytes" in detail) == (400, True)


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("form", ["binary", "base64", "base64 as bytes"])
def test_image_files_are_classified_as_predict_does(
    server: Server, digits: Digits, shape: list[int], form: str
) -> None:
    files = [picture(digits[digit]) for digit in (3, 7)]
    texts = [base64.b64encode(file) for file in files]
    document = inference(None, datatype="BYTES", shape=shape)
    if form == "base64":
        data = np.reshape([text.decode() for text in texts], shape).tolist()
        status, body = infer(server, inference(data, datatype="BYTES", shape=shape))
    else:
        part = elements(*(files if form == "binary" else texts))
        status, body = binary(server, document, part)
    assert status == 200
    rows = np.reshape(body["outputs"][0]["data"], (2, 10))
    assert rows.argmax(axis=1).tolist() == [3, 7]
    payload = Payload(files, is_batch=True, mode="auto", with_input=False)
    model = server.model()
    samples = [p.located.samples[0] for p in predict._prepare(payload, model)]
    assert (server.batches[0] == model.encode(samples)).all()


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (["AAAA"], 422, "images[0]"),
        ([base64.b64encode(b"%PDF-1.7 " * 9).decode()], 415, "images[0]"),
        (["not base64!"], 400, '"data"[0] is not'),
        ([7], 400, '"data"[0] must be the base64'),
        ([], 400, "list of 1 image files"),
        ("AAAA", 400, "list of 1 image files"),
        ([base64.b64encode(picture(np.zeros((28, 28), np.uint8))).decode()], 422, "images[0]"),
    ],
)
def test_what_is_no_image_file_is_refused(
    server: Server, data: Any, status: int, reason: str
) -> None:
    document = inference(data, datatype="BYTES", shape=[1])
    assert reason in refused(server, document, status)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_a_picture_of_0_to_1_is_refused(server: Server, digits: Digits, datatype: str) -> None:
    """One of them in a batch is enough; a black picture is not one."""
    fractions = (digits[3] / 255).ravel().tolist()
    mixed = inference([*BLANK, *fractions], shape=[2, 28, 28], datatype=datatype)
    assert "multiply by 255" in refused(server, mixed)
    assert infer(server, inference(BLANK, datatype=datatype))[0] == 200


def test_small_integers_are_a_picture(server: Server) -> None:
    assert infer(server, inference([1, *BLANK[1:]]))[0] == 200


RANGES: dict[str, dict[str, Any]] = {
    "0 to 1": {},
    "-1 to 1": {"scale": 1 / 127.5, "mean": [1.0]},
    "0 to 255": {"scale": 1.0},
    "-128 to 127": {"scale": 1.0, "mean": [128.0]},
}


@pytest.mark.parametrize(
    ("taken", "sent", "reason"),
    [
        ("0 to 1", "0 to 255", "takes 0 to 1; normalise"),
        ("-1 to 1", "0 to 255", "takes -1 to 1; normalise"),
        ("0 to 255", "0 to 1", "takes 0 to 255; multiply by 255"),
        ("-128 to 127", "0 to 1", "takes -128 to 127; multiply by 255"),
        *((name, name, "") for name in RANGES),
    ],
)
def test_values_of_another_range_are_refused_by_a_float_model(
    digits: Digits, taken: str, sent: str, reason: str
) -> None:
    """Of the model's own range, every real picture is accepted."""
    tables = [
        Encoding.from_manifest("float32", (28, 28), RANGES[name])(digits) for name in (taken, sent)
    ]
    encode = Encoding.from_manifest("float32", (28, 28), RANGES[taken])
    model: Any = SimpleNamespace(encode=encode, input_name="image")
    document = tensor(tables[1]) | {"shape": list(tables[1].shape), "datatype": "FP32"}
    if not reason:
        assert np.array_equal(tensors.read(document, model), tables[0])
        return
    with pytest.raises(PredictError, match=re.escape(reason)):
        tensors.read(document, model)


@pytest.mark.parametrize("is_binary", [False, True])
def test_the_best_classes_can_be_asked_for(
    server: Server, digits: Digits, *, is_binary: bool
) -> None:
    parameters = {"classification": 3, "binary_data": is_binary}
    wanted = {"outputs": [{"name": "probabilities", "parameters": parameters}]}
    document = inference(digits[[3, 7]].ravel().tolist(), shape=[2, 28, 28])
    rows = np.reshape(infer(server, document)[1]["outputs"][0]["data"], (2, 10))
    status, body = infer(server, document | wanted)
    header, content = body if is_binary else (body, b"")
    (output,) = header["outputs"]
    assert (status, output["datatype"], output["shape"]) == (200, "BYTES", [2, 3])
    expected = [f"{row[index]:f}:{index}:{index}" for row in rows for index in np.argsort(-row)[:3]]
    if is_binary:
        assert content == elements(*(text.encode() for text in expected))
    else:
        assert output["data"] == expected
    assert best_classes(output, content) == [3, 7]


def test_more_classes_than_there_are_get_all(server: Server) -> None:
    wanted = {"outputs": [{"name": "probabilities", "parameters": {"classification": 99}}]}
    assert infer(server, inference(BLANK) | wanted)[1]["outputs"][0]["shape"] == [1, 10]


def test_the_configuration_is_triton_s(server: Server, version: str) -> None:
    for path in ("/v2/models/mnist/config", f"/v2/models/mnist/versions/{version}/config"):
        assert server(path) == (
            200,
            {
                "name": "mnist",
                "platform": "onnxruntime_onnx",
                "backend": "onnxruntime",
                "max_batch_size": 32,
                "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": [28, 28]}],
                "output": [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]}],
            },
        )
    assert server("/v2/models/other/config")[0] == 404


@pytest.mark.parametrize("path", ["/v2/models/stats", "/v2/models/mnist/stats"])
def test_statistics_count_pictures_and_batches(
    server: Server, version: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_models", {})
    infer(server, inference(BLANK * 3, shape=[3, 28, 28]))
    infer(server, inference(BLANK))
    refused_status, _ = infer(server, inference(BLANK[1:]))
    status, body = server(path)
    (counts,) = body["model_stats"]
    assert (refused_status, status) == (400, 200)
    assert (counts["name"], counts["version"]) == ("mnist", version)
    assert (counts["inference_count"], counts["execution_count"]) == (4, 2)
    assert counts["last_inference"] > 10**12  # milliseconds since 1970
    parts = counts["inference_stats"]
    assert {part: value["count"] for part, value in parts.items()} == {
        "success": 2,
        "fail": 1,
        "queue": 0,
        "compute_input": 2,
        "compute_infer": 2,
        "compute_output": 2,
    }
    assert [batch["batch_size"] for batch in counts["batch_stats"]] == [1, 3]
    sizes = sum(batch["compute_infer"]["ns"] for batch in counts["batch_stats"])
    assert 0 < sizes == parts["compute_infer"]["ns"] < parts["success"]["ns"]


def test_statistics_count_pictures_sent_to_predict(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_models", {})
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG")
    query, headers = {"preprocess": "none"}, {"content-type": "image/png"}
    post = Request("POST", "/predict", query, headers, file.getvalue(), "gateway-1")
    predict.predict(post, server)
    with pytest.raises(PredictError):
        predict.predict(post._replace(query={}), server)  # without ink
    (counts,) = server("/v2/models/mnist/stats")[1]["model_stats"]
    parts = counts["inference_stats"]
    assert (parts["success"]["count"], parts["fail"]["count"]) == (1, 1)
    assert parts["success"]["ns"] > parts["compute_infer"]["ns"] > 0


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
    assert status in (200, 400, 413, 415, 422)
