"""The Open Inference Protocol with a third-party client: Triton's."""

from collections.abc import Iterator

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

from model_build.data.datasets import load_mnist_5k
from tests.support.local_service import LocalService

MODEL = "mnist"
DATATYPES = {"UINT8": np.uint8, "FP32": np.float32}


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
    **options: str,
) -> InferResult:
    tensor = InferInput(name, list(batch.shape), datatype)
    tensor.set_data_from_numpy(batch.astype(DATATYPES[datatype]), binary_data=False)
    wanted = [InferRequestedOutput("probabilities", binary_data=False)]
    return client.infer(MODEL, [tensor], outputs=wanted, **options)


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
    assert client.get_server_metadata()["extensions"] == []
    described = client.get_model_metadata(MODEL)
    assert described == client.get_model_metadata(MODEL, model_version)
    assert described["versions"] == [model_version]
    (image,), (probabilities,) = described["inputs"], described["outputs"]
    assert image == {"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}
    assert probabilities == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_batch_is_inferred(
    client: InferenceServerClient, digits: NDArray[np.uint8], model_version: str, datatype: str
) -> None:
    result = infer(client, digits, datatype, request_id="seven")
    rows = result.as_numpy("probabilities")
    assert (rows.dtype, rows.shape) == (np.float32, (5, 10))
    assert rows.argmax(axis=1).tolist() == [0, 2, 4, 6, 8]
    assert np.allclose(rows.sum(axis=1), 1, atol=0.02)  # a quantised softmax
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("seven", model_version)


def test_both_datatypes_and_both_paths_give_the_same_answer(
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


def test_binary_tensors_are_refused_with_what_to_send(
    client: InferenceServerClient, digits: NDArray[np.uint8]
) -> None:
    tensor = InferInput("image", list(digits.shape), "UINT8")
    tensor.set_data_from_numpy(digits, binary_data=True)
    with pytest.raises(InferenceServerException) as refused:
        client.infer(MODEL, [tensor])
    assert "binary_data=False" in refused.value.message()


def test_another_model_is_not_there(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.get_model_metadata("other")
    assert "there is no model 'other'; this function serves 'mnist'" in refused.value.message()
    assert refused.value.status() == "404"
