"""The Open Inference Protocol over gRPC with a third-party client: Triton's."""

import contextlib
import io
import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tritonclient.grpc import (  # type: ignore[import-untyped]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    service_pb2,
    service_pb2_grpc,
)
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from tests.conftest import Publish
from tests.support.own_server import OwnServer, own_server

MODEL = "mnist"
DATATYPES = {"UINT8": np.uint8, "FP32": np.float32}
FIELDS = {"UINT8": "uint_contents", "FP32": "fp32_contents"}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, publish: Publish) -> tuple[Path, str]:
    """A model store, and the version in it."""
    root = tmp_path_factory.mktemp("store")
    return root, publish(root)


@pytest.fixture(scope="module")
def server(
    version: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnServer]:
    with own_server(version[0], tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: OwnServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as connected:
        yield connected


@pytest.fixture(scope="module")
def stub(server: OwnServer) -> Iterator[Any]:
    """The service's own calls, for requests that the client would not send."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensor(batch: NDArray[Any], datatype: str = "UINT8", name: str = "image") -> InferInput:
    """An input in the client's own form: raw bytes."""
    described = InferInput(name, list(batch.shape), datatype)
    described.set_data_from_numpy(batch.astype(DATATYPES[datatype]))
    return described


def typed(batch: NDArray[Any], datatype: str) -> Any:
    """A request with an input in the other form: numbers."""
    contents = {FIELDS[datatype]: batch.astype(DATATYPES[datatype]).ravel().tolist()}
    described = {"name": "image", "datatype": datatype, "shape": batch.shape, "contents": contents}
    return service_pb2.ModelInferRequest(model_name=MODEL, inputs=[described])


def rest(server: OwnServer, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of the same question over REST."""
    status, text = server.send("POST", f"/v2/models/{MODEL}/infer", json.dumps(document).encode())
    return status, json.loads(text)


def test_the_server_and_the_model_are_live_and_ready(
    client: InferenceServerClient, version: tuple[Path, str]
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, version[1])


def test_metadata_is_that_of_rest(client: InferenceServerClient, server: OwnServer) -> None:
    assert client.get_server_metadata(as_json=True) == {
        "name": "classifier-on-lambda",
        "version": "2",
        "extensions": ["classification", "model_configuration", "statistics"],
    }
    described = client.get_model_metadata(MODEL, as_json=True)
    expected = json.loads(server.get(f"/v2/models/{MODEL}")[1])
    for part in (*expected["inputs"], *expected["outputs"]):
        part["shape"] = [str(side) for side in part["shape"]]  # 64-bit integers in Protobuf's JSON
    assert described == expected


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_batch_has_the_same_answer_in_every_form(
    client: InferenceServerClient,
    stub: Any,
    server: OwnServer,
    digits: NDArray[np.uint8],
    datatype: str,
) -> None:
    """Raw bytes, numbers, and JSON over REST."""
    output = InferRequestedOutput("probabilities")
    result = client.infer(MODEL, [tensor(digits, datatype)], outputs=[output], request_id="seven")
    raw = result.as_numpy("probabilities")
    assert (raw.dtype, raw.shape) == (np.float32, (10, 10))
    assert raw.argmax(axis=1).tolist() == list(range(10))
    assert result.get_response().id == "seven"
    answer = stub.ModelInfer(typed(digits, datatype))
    assert not answer.raw_output_contents
    assert np.array_equal(answer.outputs[0].contents.fp32_contents, raw.ravel())
    described = {"name": "image", "datatype": datatype, "shape": digits.shape}
    status, document = rest(server, {"inputs": [{**described, "data": digits.ravel().tolist()}]})
    assert status == 200
    assert np.array_equal(np.float32(document["outputs"][0]["data"]), raw.ravel())


@pytest.mark.parametrize(
    ("batch", "name", "status"),
    [
        (np.zeros((1, 27, 28), np.uint8), "image", "INVALID_ARGUMENT"),
        (np.zeros((28, 28), np.uint8), "image", "INVALID_ARGUMENT"),
        (np.zeros((33, 28, 28), np.uint8), "image", "RESOURCE_EXHAUSTED"),
        (np.zeros((1, 28, 28), np.uint8), "pixels", "INVALID_ARGUMENT"),
    ],
    ids=["wrong side", "no batch", "too many", "wrong name"],
)
def test_a_wrong_tensor_is_refused_in_the_words_of_rest(
    client: InferenceServerClient,
    server: OwnServer,
    batch: NDArray[np.uint8],
    name: str,
    status: str,
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(MODEL, [tensor(batch, name=name)])
    described = {"name": name, "datatype": "UINT8", "shape": batch.shape}
    _, document = rest(server, {"inputs": [{**described, "data": batch.ravel().tolist()}]})
    assert refused.value.status() == f"StatusCode.{status}"
    assert refused.value.message() == document["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raw_input_contents": [b"abc"]}, '"data" must hold 784 values'),
        ({"raw_input_contents": [bytes(784)] * 2}, "raw_input_contents holds 2 tensors; send one"),
        ({"inputs": [], "raw_input_contents": []}, '"inputs" must be a list of one tensor'),
        ({"id": "x" * 257}, '"id" must be a string of at most 256 characters'),
        ({"outputs": [{"name": "logits"}]}, "unknown output 'logits'; ask for 'probabilities'"),
        (
            {
                "outputs": [
                    {"name": "probabilities", "parameters": {"classification": {"int64_param": -1}}}
                ]
            },
            '"classification" must be a number of classes, got -1',
        ),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    stub: Any, change: dict[str, Any], message: str
) -> None:
    inputs = [{"name": "image", "datatype": "UINT8", "shape": [1, 28, 28]}]
    request = {"model_name": MODEL, "inputs": inputs, "raw_input_contents": [bytes(784)]}
    assert stub.ModelInfer(service_pb2.ModelInferRequest(**request)).raw_output_contents
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelInfer(service_pb2.ModelInferRequest(**request | change))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in refused.value.details()


@pytest.mark.parametrize("is_raw", [True, False])
def test_an_image_file_gets_its_best_classes(
    stub: Any, digits: NDArray[np.uint8], *, is_raw: bool
) -> None:
    """BYTES in, and BYTES out in the form of the input."""
    file = io.BytesIO()
    Image.fromarray(255 - digits[7]).resize((112, 112)).save(file, "PNG")
    content = file.getvalue()
    described: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1]}
    raw = struct.pack("<I", len(content)) + content
    if not is_raw:
        described["contents"] = {"bytes_contents": [content]}
    request = service_pb2.ModelInferRequest(
        model_name=MODEL,
        inputs=[described],
        raw_input_contents=[raw] if is_raw else [],
        outputs=[{"name": "probabilities", "parameters": {"classification": {"int64_param": 2}}}],
    )
    answer = stub.ModelInfer(request)
    (output,) = answer.outputs
    assert (output.datatype, output.shape) == ("BYTES", [1, 2])
    first = answer.raw_output_contents[0][4:] if is_raw else output.contents.bytes_contents[0]
    assert re.match(rb"[01]\.\d{6}:7:7", first)


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("INT8", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT64", "uint64_contents"),
        ("FP64", "fp64_contents"),
    ],
)
def test_numbers_of_other_datatypes_are_taken(
    stub: Any, digits: NDArray[np.uint8], datatype: str, field: str
) -> None:
    contents = {field: np.minimum(digits[7], 127).ravel().tolist()}
    described = {"name": "image", "datatype": datatype, "shape": [1, 28, 28], "contents": contents}
    answer = stub.ModelInfer(service_pb2.ModelInferRequest(model_name=MODEL, inputs=[described]))
    assert int(np.argmax(answer.outputs[0].contents.fp32_contents)) == 7


@pytest.mark.parametrize(
    "data", [{"fp32_contents": [float("nan")] * 784}, {"fp32_contents": [256.0] * 784}]
)
def test_numbers_out_of_range_are_refused(stub: Any, data: dict[str, Any]) -> None:
    described = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28], "contents": data}
    with pytest.raises(grpc.RpcError, match="values from 0 to 255"):
        stub.ModelInfer(service_pb2.ModelInferRequest(model_name=MODEL, inputs=[described]))


def test_another_model_or_version_is_not_there(client: InferenceServerClient) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.get_model_metadata("other"),
        lambda: client.is_model_ready(MODEL, "1"),
        lambda: client.infer("other", [tensor(np.zeros((1, 28, 28), np.uint8))]),
    ]
    for call in calls:
        with pytest.raises(InferenceServerException) as refused:
            call()
        assert refused.value.status() == "StatusCode.NOT_FOUND"
        assert "this function serves" in refused.value.message()


def test_the_configuration_is_read(
    client: InferenceServerClient, version: tuple[Path, str]
) -> None:
    for names in ((MODEL,), (MODEL, version[1])):
        assert client.get_model_config(*names, as_json=True)["config"] == {
            "name": MODEL,
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": 32,
            "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["28", "28"]}],
            "output": [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": ["10"]}],
        }
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.get_model_config("other")


def test_statistics_count_inferences(
    client: InferenceServerClient, digits: NDArray[np.uint8], version: tuple[Path, str]
) -> None:
    def counted(*names: str) -> Any:
        (counts,) = client.get_inference_statistics(*names).model_stats
        return counts

    before = counted(MODEL)
    client.infer(MODEL, [tensor(digits[:3])])
    after = counted(MODEL, version[1])
    assert (after.name, after.version) == (MODEL, version[1])
    assert after.inference_count == counted().inference_count == before.inference_count + 3
    for part in ("success", "compute_input", "compute_infer"):
        had, has = (getattr(one.inference_stats, part) for one in (before, after))
        assert has.count == had.count + 1
        assert has.ns > had.ns
    assert after.last_inference > 10**12  # milliseconds since 1970
    sizes = {batch.batch_size: batch.compute_infer.count for batch in after.batch_stats}
    assert sizes[3] >= 1


def test_calls_are_counted_and_logged(
    client: InferenceServerClient, server: OwnServer, digits: NDArray[np.uint8]
) -> None:
    """Beside the requests of HTTP."""
    client.infer(MODEL, [tensor(digits[[6]])])
    with contextlib.suppress(InferenceServerException):
        client.get_model_metadata("other")
    _, metrics = server.get("/metrics")
    for line in (
        'classifier_requests_total{protocol="grpc",route="ModelInfer",status="OK"}',
        'classifier_requests_total{protocol="grpc",route="ModelMetadata",status="NOT_FOUND"}',
        'classifier_predictions_total{label="6",model="mnist"}',
    ):
        assert line in metrics
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    calls = [line for line in lines if line.get("protocol") == "gRPC"]
    assert {("ModelInfer", "OK"), ("ModelMetadata", "NOT_FOUND")} <= {
        (line["method"], line["status"]) for line in calls
    }


def test_without_a_model_the_server_is_live_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with (
        own_server(tmp_path / "store", tmp_path) as server,
        InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready(MODEL)
        with pytest.raises(InferenceServerException) as refused:
            client.infer(MODEL, [tensor(np.zeros((1, 28, 28), np.uint8))])
        assert refused.value.status() == "StatusCode.UNAVAILABLE"
