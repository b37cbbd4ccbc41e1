"""Open Inference Protocol version 2 over REST: tensors in, tensors out, as JSON or binary data.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
Of its extensions: https://github.com/triton-inference-server/server, docs/protocol/extension_*.md
"""

import json
import re
import time
from reprlib import repr as short  # don't echo megabytes back
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.errors import BadRequest, NotFound, TooLarge
from classifier.http import MAX_BODY, MAX_IMAGES, coding, tensors
from classifier.http.event import Request
from classifier.http.response import Response, ok, ok_binary
from classifier.http.routes import Route
from classifier.model.session import Model
from classifier.monitoring import statistics
from classifier.prepare.encoding import Tensor
from classifier.served import Answers, Served

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]
HEADER_LENGTH = "Inference-Header-Content-Length"
_MAX_ID = 256  # characters; the id is echoed back


class Output(NamedTuple):
    """One tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    values: NDArray[np.float32] | list[str]  # flat
    is_binary: bool


class Inferred(NamedTuple):
    """What `answer` returns."""

    answers: Answers
    outputs: list[Output]


def server_metadata(_request: Request, _served: Served) -> Response:
    """GET /v2."""
    return ok({"name": "classifier-on-lambda", "version": "2", "extensions": EXTENSIONS})


def live(_request: Request, _served: Served) -> Response:
    """GET /v2/health/live: the function runs."""
    return ok({"live": True})


def ready(_request: Request, served: Served) -> Response:
    """GET /v2/health/ready: the model is loaded."""
    model_of(served, None, None)
    return ok({"ready": True})


def model_ready(
    _request: Request, served: Served, name: str, version: str | None = None
) -> Response:
    """GET /v2/models/{name}/ready: this model is loaded.

    Raises NotFound for a model that was unloaded, which stays so until a request uses it.
    """
    if served.models.is_unloaded(name):
        raise NotFound(f"{name!r} is unloaded; POST to /v2/repository/models/{name}/load")
    return ok({"name": model_of(served, name, version).name, "ready": True})


def metadata(_request: Request, served: Served, name: str, version: str | None = None) -> Response:
    """GET /v2/models/{name}: inputs and outputs; -1 is the batch size."""
    model = model_of(served, name, version)
    shape = [-1, *model.encode.shape]
    return ok(
        {
            "name": model.name,
            "versions": [model.version],
            "platform": "onnx_onnxv1",
            "inputs": [_metadata(model.input_name, tensors.datatype_of(model), shape)],
            "outputs": [_metadata(model.output_name, "FP32", [-1, len(model.labels)])],
        }
    )


def config(_request: Request, served: Served, name: str, version: str | None = None) -> Response:
    """GET …/config: Triton's model configuration, as far as it is a client's business."""
    model = model_of(served, name, version)
    data_type = f"TYPE_{tensors.datatype_of(model)}"
    return ok(
        {
            "name": model.name,
            "platform": "onnxruntime_onnx",  # Triton's own name of it
            "backend": "onnxruntime",
            "max_batch_size": MAX_IMAGES,
            "input": [
                {"name": model.input_name, "data_type": data_type, "dims": [*model.encode.shape]}
            ],
            "output": [
                {"name": model.output_name, "data_type": "TYPE_FP32", "dims": [len(model.labels)]}
            ],
        }
    )


def model_statistics(
    _request: Request, served: Served, name: str | None = None, version: str | None = None
) -> Response:
    """GET …/stats: counts and times of this environment, one of those that share the traffic."""
    models = [model_of(served, name, version)] if name else served.models.all_loaded()
    documents = [
        statistics.of(model.name, model.version).document(model.name, model.version)
        for model in models or [served.model()]
    ]
    return ok({"model_stats": documents})


def infer(request: Request, served: Served, name: str, version: str | None = None) -> Response:
    """POST …/infer: probabilities of a batch of tensors, or of image files.

    Raises BadRequest for anything but the model's one input, TooLarge for over 32 images, and as
    `predict` does for image files.
    """
    model = model_of(served, name, version)
    document = _document(request, model)
    outputs = answer(document, served, model).outputs
    started = time.perf_counter_ns()
    inference_id = document.get("id")
    binary = [tensors.to_binary(output.values) if output.is_binary else None for output in outputs]
    body = {
        "model_name": model.name,
        "model_version": model.version,
        **({} if inference_id is None else {"id": inference_id}),
        "outputs": [_tensor(*pair) for pair in zip(outputs, binary, strict=True)],
    }
    parts = [part for part in binary if part is not None]
    response = ok_binary(body, b"".join(parts), HEADER_LENGTH) if parts else ok(body)
    counts = statistics.of(model.name, model.version)
    counts.add("compute_output", time.perf_counter_ns() - started)
    return response


def answer(document: dict[str, Any], served: Served, model: Model) -> Inferred:
    """Run the model on a request's document; "data" is a list, or from `tensors.from_binary`.

    Raises as `infer` does.
    """
    counts = statistics.of(model.name, model.version)
    with counts.request():
        started = time.perf_counter_ns()
        batch = tensors.read(_input(document.get("inputs"), model), model)
        requested = _requested(document, model)
        _check_id(document.get("id"))
        if isinstance(batch, list):
            batch = _samples(batch, model)
        counts.add("compute_input", time.perf_counter_ns() - started)
        answers = served.classify(model, batch)
        outputs = [
            _output(answers.probabilities, model, classes, is_binary=is_binary)
            for classes, is_binary in requested
        ]
    return Inferred(answers, outputs)


_NAMED = "/v2/models/(?P<name>(?!stats$)[^/]+)(?:/versions/(?P<version>[^/]+))?"
ROUTES: list[Route] = [
    (re.compile("/v2"), "GET", server_metadata),
    (re.compile("/v2/health/live"), "GET", live),
    (re.compile("/v2/health/ready"), "GET", ready),
    (re.compile("/v2/models/stats"), "GET", model_statistics),
    (re.compile(_NAMED), "GET", metadata),
    (re.compile(f"{_NAMED}/ready"), "GET", model_ready),
    (re.compile(f"{_NAMED}/config"), "GET", config),
    (re.compile(f"{_NAMED}/stats"), "GET", model_statistics),
    (re.compile(f"{_NAMED}/infer"), "POST", infer),
]


def model_of(served: Served, name: str | None, version: str | None) -> Model:
    """The model of a path. Raises as `Served.model` does, and NotFound for another version."""
    model = served.model(name)
    if version not in (None, model.version):
        raise NotFound(f"there is no version {version!r}; this function serves {model.version!r}")
    return model


def best_classes(output: dict[str, Any], binary: bytes) -> list[int]:
    """Indices of the best classes in a tensor of a response, one per picture.

    binary: what came after the JSON, whose one output it is.
    """
    count = output["shape"][0]
    data: Any = tensors.from_binary(output["datatype"], binary) if binary else output["data"]
    if output["datatype"] == "BYTES":
        texts = [text.decode() if isinstance(text, bytes) else text for text in data]
        return [int(text.split(":")[1]) for text in texts[:: len(texts) // count]]
    best: list[int] = np.reshape(data, (count, -1)).argmax(axis=1).tolist()
    return best


def _metadata(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _document(request: Request, model: Model) -> dict[str, Any]:
    """The request's JSON, with the binary data of its inputs as their "data".

    A JSON of no bytes stands for the one input, which is all of the body: a "raw binary request".
    """
    if "content-encoding" in request.headers:
        request = coding.inflated(request)
    if len(request.body) > MAX_BODY:
        raise TooLarge(f"the body has {len(request.body)} bytes; send at most {MAX_BODY}")
    length: Any = request.headers.get(HEADER_LENGTH.lower())
    size = len(request.body)
    if length is not None:
        size = _size(
            int(length) if length.isdecimal() and len(length) < 9 else length, size, HEADER_LENGTH
        )
    if size == 0 and request.body:
        return {"inputs": [tensors.from_body(request.body, model)]}
    try:
        document = json.loads(request.body[:size])
    except (ValueError, RecursionError) as error:
        what = "the body" if length is None else f"the body up to {HEADER_LENGTH}, {size} bytes,"
        raise BadRequest(f"{what} is not valid JSON") from error
    if not isinstance(document, dict):
        raise BadRequest('the body must be a JSON object with "inputs"')
    _attach(document, request.body[size:])
    return document


def _attach(document: dict[str, Any], rest: bytes) -> None:
    """Give the inputs what their `binary_data_size` says of the bytes after the JSON."""
    inputs = document.get("inputs")
    for tensor in inputs if isinstance(inputs, list) else ():
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            continue
        size = _size(size, len(rest), '"binary_data_size"')
        tensor["data"] = tensors.from_binary(tensor.get("datatype"), rest[:size])
        rest = rest[size:]
    if rest:
        raise BadRequest(
            f'{len(rest)} bytes after the JSON belong to no input; state "binary_data_size" in '
            "the input's parameters"
        )


def _size(value: Any, available: int, name: str) -> int:
    """A number of bytes that a client states."""
    if type(value) is not int or not 0 <= value <= available:
        raise BadRequest(
            f"{name} must be a number of bytes, at most the {available} that are there, "
            f"got {short(value)}"
        )
    return value


def _parameters(member: Any) -> dict[str, Any]:
    parameters = member.get("parameters") if isinstance(member, dict) else None
    return parameters if isinstance(parameters, dict) else {}


def _input(inputs: Any, model: Model) -> dict[str, Any]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f'"inputs" must be a list of one tensor, {model.input_name!r}')
    tensor: dict[str, Any] = inputs[0]
    if tensor.get("name") != model.input_name:
        raise BadRequest(f"unknown input {short(tensor.get('name'))}; send {model.input_name!r}")
    return tensor


def _samples(files: list[bytes], model: Model) -> Tensor:
    """The batch of image files that the model's pipeline makes, as for /predict."""
    from classifier.predict import samples_of  # noqa: PLC0415 - only image files need it

    return model.encode(samples_of(files, model))


def _requested(document: dict[str, Any], model: Model) -> list[tuple[int, bool]]:
    """For each output that the client wants: how many classes, 0 for all, and whether binary."""
    is_binary = _parameters(document).get("binary_data_output") is True
    outputs = document.get("outputs")
    if outputs is None or outputs == []:
        return [(0, is_binary)]
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise BadRequest(f'"outputs" must be a list with {model.output_name!r}, or absent')
    names = [output.get("name") for output in outputs]
    for name in names:
        if name != model.output_name or names.count(name) > 1:
            raise BadRequest(
                f"unknown output {short(name)}; ask for {model.output_name!r}"
                if name != model.output_name
                else f"{model.output_name!r} is asked for {len(names)} times; ask once"
            )
    return [
        (_classes(_parameters(output)), _parameters(output).get("binary_data", is_binary) is True)
        for output in outputs
    ]


def _classes(parameters: dict[str, Any]) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:
        raise BadRequest(f'"classification" must be a number of classes, got {short(count)}')
    return count


def _output(
    probabilities: NDArray[np.float32], model: Model, classes: int, *, is_binary: bool
) -> Output:
    """The probabilities, or the best classes as "probability:index:label"."""
    if not classes:
        return Output(
            model.output_name, "FP32", list(probabilities.shape), probabilities.ravel(), is_binary
        )
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :classes]
    texts = [
        f"{row[index]:f}:{index}:{model.labels[index]}"
        for row, order in zip(probabilities, best, strict=True)
        for index in order
    ]
    return Output(model.output_name, "BYTES", list(best.shape), texts, is_binary)


def _tensor(output: Output, binary: bytes | None) -> dict[str, Any]:
    tensor = _metadata(output.name, output.datatype, output.shape)
    if binary is not None:
        return tensor | {"parameters": {"binary_data_size": len(binary)}}
    values = output.values
    return tensor | {"data": values if isinstance(values, list) else values.tolist()}


def _check_id(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and len(value) <= _MAX_ID):
        raise BadRequest(f'"id" must be a string of at most {_MAX_ID} characters')
