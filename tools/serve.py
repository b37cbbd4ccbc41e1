"""Serve the function over HTTP on this machine, without Docker, to try the page and the API.

    python -m tools.serve [--port 8000] [--stage prod] [--key KEY]

Replaces API Gateway: each HTTP request becomes the event of a REST API with
`BinaryMediaTypes: ['*/*']`, and the handler in functions/predict/app.py runs in this process, one
request at a time as in a Lambda environment.
--stage adds a first segment to every path. --key requires an API key, except on paths that
openapi.yaml leaves open. Refused requests get the same response as from the stack's gateway.
The model comes from build/model-store (`make model`), or from MODEL_STORE_URL if it is set.
"""

import argparse
import base64
import contextlib
import importlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tools import openapi, processes

PROJECT = Path(__file__).parents[1]
FUNCTION = PROJECT / "functions" / "predict"
LOCAL_STORE = (PROJECT / "build" / "model-store").as_uri()
MAX_BODY = 10 * 1024 * 1024  # bytes, API Gateway's own limit

type Event = dict[str, Any]
type Handler = Callable[[Event, Any], dict[str, Any]]


@dataclass
class Context:
    """The part of Lambda's context that the handler reads."""

    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Gateway(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 that passes its requests to a Lambda handler.

    port: 0 picks a free port. stage: the first segment of every path, or "" for none. key: the
    value of `x-api-key` that routes require unless they are open, or "" for no key.
    """

    daemon_threads = True

    def __init__(self, handler: Handler, *, port: int = 0, stage: str = "", key: str = "") -> None:
        super().__init__(("127.0.0.1", port), _Exchange)
        self.handler = handler
        self.stage = stage
        self.key = key
        self.turn = threading.Lock()
        self.interface = openapi.read()
        self.open_paths = openapi.open_paths(self.interface)

    @property
    def url(self) -> str:
        """URL of the API's root, with a trailing slash."""
        root = f"http://127.0.0.1:{self.server_port}/"
        return f"{root}{self.stage}/" if self.stage else root


class _Exchange(BaseHTTPRequestHandler):
    """One connection; every HTTP method goes to the handler."""

    protocol_version = "HTTP/1.1"
    server: Gateway

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:  # API Gateway would assemble the chunks
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        if not length.isdecimal():
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if int(length) > MAX_BODY:
            self._refuse("REQUEST_TOO_LARGE")
            self._skip_the_rest()
            return
        body = self.rfile.read(int(length))
        path = self._path()
        closed = self.server.key and path not in self.server.open_paths
        if path is None:
            self._refuse("RESOURCE_NOT_FOUND")
        elif closed and self.headers.get("x-api-key") != self.server.key:
            self._refuse("INVALID_API_KEY")
        else:
            with self.server.turn:
                response = self.server.handler(self._event(path, body), Context())
            self._send(response)

    def _skip_the_rest(self) -> None:
        """Read on for a while: many clients send the whole body before they read a response."""
        self.close_connection = True
        self.connection.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(1024):
                if not self.rfile.read1(1 << 16):
                    return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {format % args}\n")

    def _path(self) -> str | None:
        """Path without the stage, or None if it is outside the stage."""
        path = unquote(urlsplit(self.path).path)
        stage = f"/{self.server.stage}" if self.server.stage else ""
        if path != stage and not path.startswith(f"{stage}/"):
            return None
        return path.removeprefix(stage) or "/"

    def _event(self, path: str, body: bytes) -> Event:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        headers: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            headers.setdefault(name, []).append(value)
        return {
            "resource": "/" if path == "/" else "/{proxy+}",
            "path": path,
            "httpMethod": self.command,
            "headers": {name: values[-1] for name, values in headers.items()},
            "multiValueHeaders": headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": None if path == "/" else {"proxy": path.strip("/")},
            "stageVariables": None,
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "stage": self.server.stage or "local",
                "path": unquote(parts.path),
                "httpMethod": self.command,
                "protocol": self.request_version,
                "identity": {"sourceIp": self.client_address[0]},
            },
            "body": base64.b64encode(body).decode() if body else None,
            "isBase64Encoded": bool(body),
        }

    def _refuse(self, kind: str) -> None:
        """Send the stack's gateway response of a kind, as API Gateway does."""
        body, headers = openapi.refusal(self.server.interface, kind, str(uuid.uuid4()))
        self._send({"statusCode": body["status"], "headers": headers, "body": json.dumps(body)})

    def _send(self, response: dict[str, Any]) -> None:
        text = response.get("body") or ""
        body = base64.b64decode(text) if response.get("isBase64Encoded") else text.encode()
        headers = {name: [str(value)] for name, value in (response.get("headers") or {}).items()}
        headers |= response.get("multiValueHeaders") or {}
        self.send_response(response["statusCode"])
        for name, values in headers.items():
            for value in values:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def load_handler() -> Handler:
    """Import the handler as Lambda does, with the function's environment variables set."""
    os.environ.setdefault("MODEL_STORE_URL", LOCAL_STORE)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "predict")
    os.environ.setdefault("POWERTOOLS_LOG_LEVEL", "WARNING")
    os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")
    handler: Handler = importlib.import_module("app").handler
    return handler


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 picks a free port")
    parser.add_argument("--stage", default="", help="first segment of every path, such as prod")
    parser.add_argument("--key", default="", help="API key that requests must send")
    arguments = parser.parse_args()
    processes.interrupt_on_termination()
    with Gateway(
        load_handler(),
        port=arguments.port,
        stage=arguments.stage.strip("/"),
        key=arguments.key,
    ) as gateway:
        print(gateway.url, flush=True)
        try:
            gateway.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
