"""The Open Inference Protocol over gRPC: GRPCInferenceService, with the REST form's answers.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from http import HTTPStatus
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol as messages
from open_inference.grpc.service import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from classifier.errors import BadRequest, ModelUnavailable, PredictError
from classifier.http import MAX_BODY, inference_protocol, tensors
from classifier.http.event import Request
from classifier.monitoring.telemetry import begin, logger
from classifier.served import Served
from serving import access_log, metrics, triton_messages
from serving.options import Options, bracketed

_GRACE_SECONDS = 25.0  # for calls in progress when the server stops
_CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
_CONTENTS = {  # the field of a tensor's contents for each datatype; FP16 is raw only
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
_GET = Request("GET", "", {}, {}, b"", "")


class GrpcServer:
    """Listens beside the HTTP server, in its process and event loop."""

    def __init__(self, options: Options, served: Served, turn: Executor) -> None:
        self._options = options
        self._service = _Service(served, turn, log=options.access_log)

    async def start(self) -> None:
        """Listen. The workers share the port."""
        limit = ("grpc.max_receive_message_length", MAX_BODY)
        self._server = grpc.aio.server(options=[limit, ("grpc.so_reuseport", 1)])
        add_GRPCInferenceServiceServicer_to_server(self._service, self._server)
        self._server.add_generic_rpc_handlers([self._service.of_triton()])
        address = f"{bracketed(self._options.host)}:{self._options.grpc_port}"
        cert, key = self._options.tls_cert, self._options.tls_key
        if cert and key:
            pair = (key.read_bytes(), cert.read_bytes())
            self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            self._server.add_insecure_port(address)
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening, and let calls end."""
        await self._server.stop(_GRACE_SECONDS)


class _Service(GRPCInferenceServiceServicer):
    """Each call has the REST route's answer. What needs the model waits its turn."""

    def __init__(self, served: Served, turn: Executor, *, log: bool) -> None:
        self._served = served
        self._turn = turn
        self._log = log

    async def ServerLive(self, _request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        return await self._call(context, "ServerLive", lambda: {"live": True}, waits=False)

    async def ServerReady(self, _request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._call(context, "ServerReady", lambda: self._ready("", ""))

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._call(
            context, "ModelReady", lambda: self._ready(request.name, request.version)
        )

    async def ServerMetadata(self, _request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._call(
            context,
            "ServerMetadata",
            lambda: (
                _body(inference_protocol.server_metadata(_GET, self._served))
                | {"extensions": ["classification", "model_configuration", "statistics"]}
            ),
            waits=False,
        )

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._call(
            context,
            "ModelMetadata",
            lambda: self._asked(inference_protocol.metadata, request),
        )

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._call(context, "ModelInfer", lambda: self._infer(request))

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - Triton's
        return await self._call(
            context,
            "ModelConfig",
            lambda: {"config": self._asked(inference_protocol.config, request)},
        )

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802 - Triton's
        return await self._call(
            context,
            "ModelStatistics",
            lambda: self._asked(inference_protocol.model_statistics, request),
        )

    def of_triton(self) -> grpc.GenericRpcHandler:
        """Handler of the calls that the protocol itself does not have."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(self, name),
                triton_messages.MESSAGES[f"{name}Request"].FromString,
                triton_messages.MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name in triton_messages.CALLS
        }
        return grpc.method_handlers_generic_handler(triton_messages.SERVICE, handlers)

    def _asked(self, route: Callable[..., dict[str, Any]], request: Any) -> dict[str, Any]:
        return _body(route(_GET, self._served, request.name or None, request.version or None))

    def _ready(self, name: str, version: str) -> dict[str, Any]:
        if self._served.models.is_unloaded(name):
            return {"ready": False}
        try:
            if name:
                inference_protocol.model_ready(_GET, self._served, name, version or None)
            else:
                inference_protocol.ready(_GET, self._served)
        except ModelUnavailable as error:
            logger.warning("model not loaded", detail=str(error))
            return {"ready": False}
        return {"ready": True}

    def _infer(self, request: Any) -> Any:
        model = inference_protocol.model_of(
            self._served, request.model_name, request.model_version or None
        )
        answers, outputs = inference_protocol.answer(_document(request), self._served, model)
        digits = (answer["prediction"] for answer in answers.predictions)
        metrics.count_predictions(model.name, model.version, digits)
        response = messages.ModelInferResponse(
            model_name=model.name, model_version=model.version, id=request.id
        )
        for name, datatype, shape, values, _ in outputs:
            output = response.outputs.add(name=name, datatype=datatype, shape=shape)
            if request.raw_input_contents:  # in the form that the client chose for its own tensor
                response.raw_output_contents.append(tensors.to_binary(values))
            elif isinstance(values, list):
                output.contents.bytes_contents.extend(text.encode() for text in values)
            else:
                output.contents.fp32_contents.extend(values.tolist())
        return response

    async def _call(
        self, context: Any, method: str, work: Callable[[], Any], *, waits: bool = True
    ) -> Any:
        """Answer with a message, or a dict of its fields; turn errors into statuses."""
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        code, detail, answer = grpc.StatusCode.OK, "", None

        def begun() -> Any:
            begin(request_id, request_id, cold_start=False)
            return work()

        try:
            if waits:
                answer = await asyncio.get_running_loop().run_in_executor(self._turn, begun)
            else:
                answer = work()
        except PredictError as error:
            code = _CODES.get(error.status, grpc.StatusCode.INTERNAL)
            detail = error.detail
            logger.info("refused", status=code.name, detail=str(error))
        except Exception:
            logger.exception("unexpected")
            code, detail = grpc.StatusCode.INTERNAL, "something failed on our side; try again"
        seconds = time.perf_counter() - started
        metrics.count_request("grpc", method, code.name, seconds)
        if self._log:
            access_log.write(
                protocol="gRPC",
                client=context.peer(),
                method=method,
                status=code.name,
                seconds=seconds,
                request_id=request_id,
            )
        if code is not grpc.StatusCode.OK:
            await context.abort(code, detail)
        if isinstance(answer, dict):
            name = f"{method}Response"
            return (triton_messages.MESSAGES.get(name) or getattr(messages, name))(**answer)
        return answer


def _body(response: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(response["body"])
    return document


def _document(request: Any) -> dict[str, Any]:
    """The request as the REST form's document, with arrays for its data."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(
            f"raw_input_contents holds {len(raw)} tensors; send one for each of the "
            f"{len(request.inputs)} inputs"
        )
    return {
        "id": request.id,
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "data": tensors.from_binary(tensor.datatype, raw[index]) if raw else _typed(tensor),
            }
            for index, tensor in enumerate(request.inputs)
        ],
        "outputs": [
            {
                "name": output.name,
                "parameters": {
                    name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
                    for name, value in output.parameters.items()
                },
            }
            for output in request.outputs
        ],
    }


def _typed(tensor: Any) -> NDArray[Any] | list[bytes] | None:
    """Values of a tensor in the field for its datatype; None for another datatype."""
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        return None
    values = list(getattr(tensor.contents, field))
    if tensor.datatype == "BYTES":
        return values
    dtype = tensors.DTYPES[tensor.datatype]
    # Its fields are wider than some datatypes: a value of 256 in a UINT8 is still to be refused.
    return np.array(values, f"{dtype.kind}8" if dtype.kind in "iu" else dtype)
