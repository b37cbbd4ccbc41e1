"""The Open Inference Protocol with a third-party client: Triton's."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import (  # type: ignore[import-untyped]
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from events.make_events import encode_png
from model_build.data.datasets import load_mnist_5k
from tests.support.local_service import LocalService

MODEL = "mnist"
DATATYPES: dict[str, Any] = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


@pytest.fixture
def client(service: LocalService) -> Iterator[InferenceServerClient]:
    address = service.url.removeprefix("http://").rstrip("/")
    with InferenceServerClient(address, network_timeout=60, connection_timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    """Five held-out samples [5, 28, 28]: 0, 2, 4, 6, 8."""
    data = load_mnist_5k()
    return np.stack([data.test_images[data.test_labels == digit][0] for digit in range(0, 10, 2)])


def infer(
    client: InferenceServerClient,
    batch: NDArray[np.uint8],
    datatype: str = "UINT8",
    name: str = "image",
    *,
    binary: bool = True,
    **options: Any,
) -> InferResult:
    """In the client's own default, binary data; or as JSON."""
    tensor = InferInput(name, list(batch.shape), datatype)
    tensor.set_data_from_numpy(batch.astype(DATATYPES[datatype]), binary_data=binary)
    if not binary:
        options["outputs"] = [InferRequestedOutput("probabilities", binary_data=False)]
    return client.infer(MODEL, [tensor], **options)


def test_the_server_and_the_model_are_live_and_ready(
    client: InferenceServerClient, model_version: str
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, model_version)
    assert not client.is_model_ready("other")
    assert not client.is_model_ready(MODEL, "1")


def test_metadata_describes_the_tensors(client: InferenceServerClient, model_version: str) -> None:
    extensions = client.get_server_metadata()["extensions"]
    assert {"binary_tensor_data", "classification", "statistics"} <= set(extensions)
    described = client.get_model_metadata(MODEL)
    assert described == client.get_model_metadata(MODEL, model_version)
    assert described["versions"] == [model_version]
    (image,), (probabilities,) = described["inputs"], described["outputs"]
    assert image == {"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}
    assert probabilities == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}


# The client writes no FP16 as JSON.
@pytest.mark.parametrize(
    ("datatype", "binary"),
    [*((name, True) for name in DATATYPES), ("UINT8", False), ("FP32", False)],
)
def test_a_batch_is_inferred(
    client: InferenceServerClient,
    digits: NDArray[np.uint8],
    model_version: str,
    datatype: str,
    *,
    binary: bool,
) -> None:
    result = infer(client, digits, datatype, binary=binary, request_id="seven")
    rows = result.as_numpy("probabilities")
    assert (rows.dtype, rows.shape) == (np.float32, (5, 10))
    assert rows.argmax(axis=1).tolist() == [0, 2, 4, 6, 8]
    assert np.allclose(rows.sum(axis=1), 1, atol=0.02)  # a quantised softmax
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("seven", model_version)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_both_ways_can_be_compressed(
    client: InferenceServerClient, digits: NDArray[np.uint8], coding: str
) -> None:
    batch = np.concatenate([digits] * 6)  # 1,200 bytes of probabilities
    plain = infer(client, batch).as_numpy("probabilities")
    result = infer(
        client,
        batch,
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert (result.as_numpy("probabilities") == plain).all()


@pytest.mark.parametrize("binary", [True, False])
def test_image_files_get_their_best_classes(
    client: InferenceServerClient, digits: NDArray[np.uint8], *, binary: bool
) -> None:
    """Pictures of black ink on white paper."""
    pages = [np.pad(255 - digits[at], 20, constant_values=255) for at in (1, 3, 4)]
    files = [encode_png(page.repeat(6, axis=0).repeat(6, axis=1)) for page in pages]
    if not binary:
        files = [base64.b64encode(file) for file in files]
    tensor = InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=object), binary_data=binary)
    wanted = [InferRequestedOutput("probabilities", binary_data=binary, class_count=3)]
    rows = client.infer(MODEL, [tensor], outputs=wanted).as_numpy("probabilities")
    assert rows.shape == (3, 3)
    texts = [row[0].decode() if binary else row[0] for row in rows]
    assert [text.split(":")[1:] for text in texts] == [["2", "2"], ["6", "6"], ["8", "8"]]


def test_statistics_count_inferences(
    client: InferenceServerClient, digits: NDArray[np.uint8], model_version: str
) -> None:
    def count(*names: str) -> int:
        (statistics,) = client.get_inference_statistics(*names)["model_stats"]
        return int(statistics["inference_count"])

    before = count(MODEL)
    infer(client, digits)
    assert count(MODEL, model_version) == count() == before + 5


def test_the_configuration_is_read(client: InferenceServerClient) -> None:
    configuration = client.get_model_config(MODEL)
    assert (configuration["name"], configuration["max_batch_size"]) == (MODEL, 32)


def test_fractions_are_refused_and_not_answered_wrongly(
    client: InferenceServerClient, digits: NDArray[np.uint8]
) -> None:
    tensor = InferInput("image", list(digits.shape), "FP32")
    tensor.set_data_from_numpy(digits.astype(np.float32) / 255)
    with pytest.raises(InferenceServerException, match="multiply by 255"):
        client.infer(MODEL, [tensor])


def test_all_datatypes_and_both_paths_give_the_same_answer(
    client: InferenceServerClient, digits: NDArray[np.uint8], model_version: str
) -> None:
    results = [
        infer(client, digits, datatype, model_version=version).as_numpy("probabilities")
        for datatype in DATATYPES
        for version in ("", model_version)
    ]
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize(
    ("batch", "name", "sentence"),
    [
        (np.zeros((1, 27, 28), np.uint8), "image", "shape [1, 27, 28] does not fit"),
        (np.zeros((28, 28), np.uint8), "image", "send [N, 28, 28]"),
        (np.zeros((33, 28, 28), np.uint8), "image", "send at most 32"),
        (np.zeros((1, 28, 28), np.uint8), "pixels", "unknown input 'pixels'; send 'image'"),
    ],
    ids=["wrong side", "no batch", "too many", "wrong name"],
)
def test_a_wrong_tensor_is_refused_with_what_to_send(
    client: InferenceServerClient, batch: NDArray[np.uint8], name: str, sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        infer(client, batch, name=name)
    assert sentence in refused.value.message()


def test_another_model_is_not_there(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.get_model_metadata("other")
    assert "there is no model 'other'; this function serves 'mnist'" in refused.value.message()
    assert refused.value.status() == "404"
