"""Serve the page and the API on this machine, behind the manners of the stack's API Gateway.

    python -m tools.serve [--port 8000] [--stage prod] [--key KEY]

The server is that of `classifier-on-lambda serve`, with its options.
--stage adds a first segment to every path. --key requires an API key, except on paths that
openapi.yaml leaves open. Refused requests get the same response as from the stack's gateway.
The model comes from build/model-store if `make model` has built one, or from MODEL_STORE_URL.
"""

import argparse
import json
import os
import sys
import uuid
from pathlib import Path

from serving.__main__ import add_options, options_of
from serving.application import Receive, Send, respond
from serving.event import Scope
from serving.options import Options
from serving.server import Asgi, CannotServe, build, serve
from tools import openapi

LOCAL_STORE = Path(__file__).parents[1] / "build" / "model-store"


class Gateway:
    """An application behind a stage and a key, as API Gateway has them.

    stage: the first segment of every path, or "" for none. key: the value of `x-api-key` that
    routes require unless they are open, or "" for no key.
    """

    def __init__(self, application: Asgi, stage: str, key: str) -> None:
        self._application = application
        self._stage = f"/{stage}" if stage else ""
        self._key = key
        self._interface = openapi.read()
        self._open_paths = openapi.open_paths(self._interface)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and (kind := self._refusal(scope)):
            body, headers = openapi.refusal(self._interface, kind, str(uuid.uuid4()))
            response = {"statusCode": body["status"], "headers": headers, "body": json.dumps(body)}
            await respond(send, scope["method"], response)
            return
        await self._application({**scope, "root_path": self._stage}, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        path = scope["path"]
        if path != self._stage and not path.startswith(f"{self._stage}/"):
            return "RESOURCE_NOT_FOUND"
        is_open = (path.removeprefix(self._stage) or "/") in self._open_paths
        key = dict(scope["headers"]).get(b"x-api-key", b"").decode("latin-1")
        return "INVALID_API_KEY" if self._key and not is_open and key != self._key else None


def main() -> int:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument("--stage", default="", help="first segment of every path, such as prod")
    parser.add_argument("--key", default="", help="API key that requests must send")
    arguments = parser.parse_args()
    stage = arguments.stage.strip("/")
    if LOCAL_STORE.is_dir():
        os.environ.setdefault("MODEL_STORE_URL", LOCAL_STORE.as_uri())

    def announce(options: Options) -> None:
        print(f"{options.url}{stage}/" if stage else options.url, flush=True)

    try:
        serve(
            options_of(parser, arguments),
            lambda options: Gateway(build(options), stage, arguments.key),
            announce,
        )
    except CannotServe as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
