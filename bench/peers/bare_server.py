"""The floor on a server: bare decode, resize and session.run behind ASGI, and nothing else."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from floor import classify  # type: ignore[import-not-found] # beside this file

type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer a JSON body."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    probabilities = classify(base64.b64decode(json.loads(body)["image"]))
    answer = json.dumps({"probabilities": probabilities}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
