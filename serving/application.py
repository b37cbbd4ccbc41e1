"""The ASGI application: bounds a request, calls the Lambda handler, logs and counts the answer."""

import asyncio
import base64
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from classifier.errors import BadRequest, PredictError, TooLarge
from classifier.http.response import Response, problem
from serving import access_log, metrics
from serving.event import Context, Event, Scope, client_address, event_of

MAX_BODY = 10 * 1024 * 1024  # bytes, API Gateway's limit; the function's own is lower
BODY_SECONDS = 29.0  # to receive a whole body, the longest that API Gateway waits for anything
BODIES = 32  # in memory at a time; other clients wait before they send theirs
_DRAINED = 64 * 1024 * 1024  # bytes of a refused body: clients that send it all read no response

TOO_LARGE = "the body is too large; send at most 4 MiB"  # the function's limit

type Handler = Callable[[Event, Any], Response]
type Probe = Callable[[str, str], Response | None]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]
type Hook = Callable[[], Awaitable[None]]


class TooSlow(PredictError):
    """408: the body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


async def _nothing() -> None:
    pass


class Application:
    """Serves a Lambda handler, one request at a time, as a Lambda environment does.

    turn: the one thread that handlers run in. probe: answers (method, path) at once, or None to
    let it wait its turn. count: is told the route and response of each prediction. start, stop: run
    with the server.
    """

    def __init__(
        self,
        handler: Handler,
        turn: ThreadPoolExecutor,
        *,
        probe: Probe = lambda _method, _path: None,
        count: Callable[[str, Response], None] = lambda _route, _response: None,
        start: Hook = _nothing,
        stop: Hook = _nothing,
        log: bool = True,
    ) -> None:
        self._handler = handler
        self._turn = turn
        self._probe = probe
        self._count = count
        self._start = start
        self._stop = stop
        self._log = log
        self._bodies = asyncio.Semaphore(BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        route = metrics.route_of(scope["path"].removeprefix(scope.get("root_path", "")))
        response = await self._answer(scope, receive, request_id, route)
        status = response["statusCode"]
        size = await respond(send, scope["method"], response)
        seconds = time.perf_counter() - started
        metrics.count_request("http", route, str(status), seconds)
        if self._log:
            access_log.write(
                protocol=f"HTTP/{scope['http_version']}",
                client=client_address(scope),
                method=scope["method"],
                path=scope["path"],
                status=status,
                bytes=size,
                seconds=seconds,
                request_id=request_id,
            )

    async def _answer(
        self, scope: Scope, receive: Receive, request_id: str, route: str
    ) -> Response:
        if route == "/metrics":
            return _metrics(scope)
        if not scope["query_string"] and (response := self._probe(scope["method"], route)):
            return response
        async with self._bodies:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _body(receive)
            except TimeoutError:
                late = TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} seconds")
                return problem(late, request_id)
            except (BadRequest, TooLarge) as error:
                return problem(error, request_id)
            event = event_of(scope, body, request_id)
            del body  # the event holds it in base64
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(
                self._turn, self._handler, event, Context(request_id)
            )
        if response["statusCode"] == HTTPStatus.OK and scope["method"] == "POST":
            self._count(route, response)
        return response

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run the hooks when the server says so: the lifespan protocol."""
        for hook in (self._start, self._stop):
            kind = (await receive())["type"]
            await hook()
            await send({"type": f"{kind}.complete"})


async def _body(receive: Receive) -> bytes:
    """The whole body. Raises TooLarge over 10 MiB, and BadRequest for one that breaks off.

    The server does not say whether the client went away or sent malformed chunks.
    """
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the body broke off, or its chunks are malformed; send it whole")
        part = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > _DRAINED:
            break
        if size > MAX_BODY:
            parts.clear()
        else:
            parts.append(part)
    if size > MAX_BODY:
        raise TooLarge(TOO_LARGE)
    return b"".join(parts)


async def respond(send: Send, method: str, response: Response) -> int:
    """Send a Lambda response; return the size of its body in bytes."""
    text = response.get("body") or ""
    body = base64.b64decode(text) if response.get("isBase64Encoded") else text.encode()
    headers = {name: [str(value)] for name, value in (response.get("headers") or {}).items()}
    headers |= response.get("multiValueHeaders") or {}
    if response["statusCode"] != HTTPStatus.NO_CONTENT:
        headers["Content-Length"] = [str(len(body))]
    pairs = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, values in headers.items()
        for value in values
    ]
    await send({"type": "http.response.start", "status": response["statusCode"], "headers": pairs})
    body = b"" if method == "HEAD" else body
    await send({"type": "http.response.body", "body": body})
    return len(body)


def _metrics(scope: Scope) -> Response:
    accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
    text, content_type = metrics.exposition(accept)
    return {"statusCode": 200, "headers": {"Content-Type": content_type}, "body": text.decode()}
