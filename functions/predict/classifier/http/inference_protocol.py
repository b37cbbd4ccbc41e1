"""Open Inference Protocol version 2 over REST: tensors in, tensors out.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
JSON tensors only; Triton's binary extension is rejected with a helpful error.
"""

import contextlib
import json
import math
import re
from reprlib import repr as short  # don't echo megabytes back
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import BadRequest, NotFound, TooLarge
from classifier.http import MAX_BODY, MAX_IMAGES
from classifier.http.event import Request
from classifier.http.response import Response, ok
from classifier.http.routes import Route
from classifier.model.session import Model
from classifier.prepare.encoding import Tensor
from classifier.served import Answers, Served

_DATATYPES = {
    "uint8": ("UINT8", "FP32"),
    "float32": ("FP32",),
}  # accepted datatypes, the model's own first
_MAX_ID = 256  # characters; the id is echoed back


def server_metadata(_request: Request, _served: Served) -> Response:
    """GET /v2."""
    return ok({"name": "classifier-on-lambda", "version": "2", "extensions": []})


def live(_request: Request, _served: Served) -> Response:
    """GET /v2/health/live: the function runs."""
    return ok({"live": True})


def ready(
    _request: Request, served: Served, name: str | None = None, version: str | None = None
) -> Response:
    """GET /v2/health/ready and …/ready: the model is loaded."""
    _model(served, name, version)
    return ok({"ready": True})


def metadata(_request: Request, served: Served, name: str, version: str | None = None) -> Response:
    """GET /v2/models/{name}: inputs and outputs; -1 is the batch size."""
    model = _model(served, name, version)
    classes = len(model.labels)
    return ok(
        {
            "name": model.name,
            "versions": [model.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_input_metadata(model)],
            "outputs": [_tensor_metadata(model.output_name, "FP32", [-1, classes])],
        }
    )


def infer(request: Request, served: Served, name: str, version: str | None = None) -> Response:
    """POST …/infer: probabilities of a batch that needs no preprocessing.

    Raises BadRequest for anything but the model's one input, TooLarge for over 32 images.
    """
    _model(served, name, version)
    document = _document(request)
    model, answers = answer(document, served, name, version)
    probabilities = answers.probabilities
    inference_id = document.get("id")
    return ok(
        {
            "model_name": model.name,
            "model_version": model.version,
            **({} if inference_id is None else {"id": inference_id}),
            "outputs": [
                {
                    **_tensor_metadata(model.output_name, "FP32", list(probabilities.shape)),
                    "data": probabilities.ravel().tolist(),
                }
            ],
        }
    )


def answer(
    document: dict[str, Any], served: Served, name: str, version: str | None
) -> tuple[Model, Answers]:
    """Run the model on a request's document; "data" is a list, or an array of a fitting dtype.

    Raises as `infer` does.
    """
    model = _model(served, name, version)
    batch = _tensor(document.get("inputs"), model)
    _check_outputs(document.get("outputs"), model)
    _check_id(document.get("id"))
    return model, served.classify(model, batch)


_NAMED = "/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
ROUTES: list[Route] = [
    (re.compile("/v2"), "GET", server_metadata),
    (re.compile("/v2/health/live"), "GET", live),
    (re.compile("/v2/health/ready"), "GET", ready),
    (re.compile(_NAMED), "GET", metadata),
    (re.compile(f"{_NAMED}/ready"), "GET", ready),
    (re.compile(f"{_NAMED}/infer"), "POST", infer),
]


def _model(served: Served, name: str | None, version: str | None) -> Model:
    model = served.model()
    if name not in (None, model.name):
        raise NotFound(f"there is no model {name!r}; this function serves {model.name!r}")
    if version not in (None, model.version):
        raise NotFound(f"there is no version {version!r}; this function serves {model.version!r}")
    return model


def _tensor_metadata(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _input_metadata(model: Model) -> dict[str, Any]:
    datatype, *_ = _DATATYPES[model.encode.dtype]
    return _tensor_metadata(model.input_name, datatype, [-1, *model.encode.shape])


def _document(request: Request) -> dict[str, Any]:
    if len(request.body) > MAX_BODY:
        raise TooLarge(f"the body has {len(request.body)} bytes; send at most {MAX_BODY}")
    if "inference-header-content-length" in request.headers:
        raise BadRequest(
            "the binary tensor extension is unsupported; send JSON (binary_data=False)"
        )
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise BadRequest('the body must be a JSON object with "inputs"')
    return document


def _tensor(inputs: Any, model: Model) -> Tensor:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f'"inputs" must be a list of one tensor, {model.input_name!r}')
    tensor = inputs[0]
    if tensor.get("name") != model.input_name:
        raise BadRequest(f"unknown input {short(tensor.get('name'))}; send {model.input_name!r}")
    datatypes = _DATATYPES[model.encode.dtype]
    if tensor.get("datatype") not in datatypes:
        raise BadRequest(
            f"datatype {short(tensor.get('datatype'))} is not supported; "
            f"send {' or '.join(datatypes)}"
        )
    shape = tensor.get("shape")
    expected = ["N", *model.encode.shape]
    if (
        not isinstance(shape, list)
        or not all(type(side) is int for side in shape)
        or len(shape) != len(expected)
        or shape[1:] != expected[1:]
        or shape[0] < 1
    ):
        raise BadRequest(f"shape {short(shape)} does not fit; send {expected}".replace("'", ""))
    if shape[0] > MAX_IMAGES:
        raise TooLarge(f"the batch has {shape[0]} images; send at most {MAX_IMAGES}")
    values = _values(tensor.get("data"), shape)
    return _floats(values, shape) if model.encode.dtype == "float32" else _bytes(values, shape)


def _values(data: Any, shape: list[int]) -> NDArray[Any]:
    values = data if isinstance(data, np.ndarray) else None
    if isinstance(data, list):
        with contextlib.suppress(ValueError):  # ragged
            values = np.array(data, dtype=object).ravel()
    if values is None or len(values) != math.prod(shape):
        raise BadRequest(f'"data" must be a list of {math.prod(shape)} numbers, as the shape says')
    if values.dtype == object and any(type(value) not in (int, float) for value in values):
        raise BadRequest('"data" must hold only numbers')
    return values


def _floats(values: NDArray[Any], shape: list[int]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is rejected below
            batch = values.astype(np.float32).reshape(shape)
    except OverflowError:  # an integer too large for a float
        batch = None
    if batch is None or not np.isfinite(batch).all():
        raise BadRequest('"data" must hold finite numbers within the range of FP32')
    return batch


def _bytes(values: NDArray[Any], shape: list[int]) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore"):  # NaN, for which both are false
        # Of a list, Python's comparison: an integer may be too large for float64.
        fits = ((values >= 0) & (values <= 255)).all()
    if not fits:
        raise BadRequest('"data" must hold values from 0 to 255; the model scales them itself')
    return np.rint(values.astype(np.float64)).astype(np.uint8).reshape(shape)


def _check_id(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and len(value) <= _MAX_ID):
        raise BadRequest(f'"id" must be a string of at most {_MAX_ID} characters')


def _check_outputs(outputs: Any, model: Model) -> None:
    if outputs is None:
        return
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise BadRequest(f'"outputs" must be a list with {model.output_name!r}, or absent')
    for output in outputs:
        if output.get("name") != model.output_name:
            raise BadRequest(
                f"unknown output {short(output.get('name'))}; ask for {model.output_name!r}"
            )
        parameters = output.get("parameters")
        if isinstance(parameters, dict) and (
            parameters.get("binary_data") or parameters.get("classification")
        ):
            raise BadRequest("binary and classification outputs are unsupported; ask for JSON data")
