"""One server process: the Lambda handler, its probes and its gRPC service on the same models.

Import it in that process only, with the environment that `serving.server` sets.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from classifier import handler as function
from classifier.errors import Misconfigured, ModelUnavailable
from classifier.http import inference_protocol, routes
from classifier.http.event import Request
from classifier.http.response import Response
from classifier.monitoring.telemetry import logger
from classifier.served import Served
from serving import metrics
from serving.application import Application
from serving.grpc_server import GrpcServer
from serving.options import Options

_ALWAYS: dict[str, Callable[..., Response]] = {
    "/health": routes.health,
    "/v2/health/live": inference_protocol.live,
}
_ONCE_LOADED: dict[str, Callable[..., Response]] = {
    "/ready": routes.ready,
    "/v2/health/ready": inference_protocol.ready,
}
_INFLATE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


def build(options: Options) -> Application:
    """The application of a new process."""
    worker = _Worker(options)
    return Application(
        function.handler,
        worker.turn,
        probe=worker.probe,
        count=worker.count,
        start=worker.start,
        stop=worker.stop,
        log=options.access_log,
    )


class _Worker:
    def __init__(self, options: Options) -> None:
        self.turn = ThreadPoolExecutor(1, "turn")  # telemetry is the process's, not a request's
        self._served = Served(function.models)
        self._grpc = GrpcServer(options, self._served, self.turn) if options.grpc_port else None

    def probe(self, method: str, route: str) -> Response | None:
        """Answer health at once, and readiness once loaded: a busy server is alive and ready."""
        answers = _ALWAYS | (_ONCE_LOADED if function.models.is_loaded else {})
        if method != "GET" or route not in answers:
            return None
        return answers[route](Request(method, route, {}, {}, b"", ""), self._served)

    def count(self, route: str, response: Response) -> None:
        """Count the predictions in a successful response."""
        document, binary = _parts(response)
        if route == "/predict":
            name, version = document["model"]["name"], document["model"]["version"]
            results = document.get("predictions", [document])
            digits = [digit for result in results for digit in result.get("digits", [result])]
            metrics.count_predictions(name, version, (digit["prediction"] for digit in digits))
        elif route.endswith("/infer"):
            name, version = document["model_name"], document["model_version"]
            model = self._served.models.loaded(name)
            if not model or model.version != version:
                return  # it has left or been replaced since, and its labels with it
            (output,) = document["outputs"]
            best = inference_protocol.best_classes(output, binary)
            metrics.count_predictions(name, version, (model.labels[index] for index in best))

    async def start(self) -> None:
        """Start gRPC, and load the model. If that fails, the first request tries again."""
        self.turn.submit(self._load)
        if self._grpc:
            await self._grpc.start()

    async def stop(self) -> None:
        """Let gRPC calls end; the HTTP server has done so with its own."""
        if self._grpc:
            await self._grpc.stop()
        self.turn.shutdown(cancel_futures=True)

    def _load(self) -> None:
        try:
            model = self._served.model()
        except (ModelUnavailable, Misconfigured) as error:
            logger.warning("model not loaded at start", reason=str(error))
        else:
            metrics.show_model(model.name, model.version)


def _parts(response: Response) -> tuple[dict[str, Any], bytes]:
    """The JSON of a response, and the binary data after it."""
    body = response["body"]
    content = base64.b64decode(body) if response["isBase64Encoded"] else body.encode()
    if coding := response["headers"].get("Content-Encoding"):
        content = _INFLATE[coding](content)
    length = int(response["headers"].get(inference_protocol.HEADER_LENGTH, len(content)))
    return json.loads(content[:length]), content[length:]
