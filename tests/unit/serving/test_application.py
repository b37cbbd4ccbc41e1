"""The ASGI application, called as a server calls it."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from classifier.errors import TooLarge
from classifier.http.response import Response, ok
from serving import application as module
from serving.application import Application
from serving.event import Context, Event
from serving.metrics import route_of
from tools import openapi

type Message = dict[str, Any]


def echo(event: Event, _context: Context) -> Response:
    return ok({"path": event["path"]})


def ask(app: Application, path: str, *messages: Message, method: str = "POST") -> list[Message]:
    """What the application sends for a request whose body comes in these messages."""
    return asyncio.run(exchange(app, path, *messages, method=method))


async def exchange(
    app: Application, path: str, *messages: Message, method: str = "POST"
) -> list[Message]:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 5),
    }
    remaining = iter(messages or [body(b"")])
    sent: list[Message] = []

    async def receive() -> Message:
        for message in remaining:
            return message
        await asyncio.Event().wait()  # the client sends no more
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def body(part: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": part, "more_body": more}


@pytest.fixture
def turn() -> Any:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_a_body_that_does_not_arrive_is_given_up(
    turn: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends a byte now and then does not hold a place forever."""
    monkeypatch.setattr(module, "BODY_SECONDS", 0.05)
    start, sent = ask(Application(echo, turn), "/predict", body(b"a", more=True))
    assert start["status"] == 408
    assert json.loads(sent["body"])["title"] == "Request Timeout"


def test_the_refusal_of_a_large_body_is_the_gateways() -> None:
    """In the very words of openapi.yaml."""
    document = openapi.read()
    stated, _ = openapi.refusal(document, "REQUEST_TOO_LARGE", "id")
    too_large = TooLarge(module.TOO_LARGE)
    assert (too_large.status, too_large.detail) == (stated["status"], stated["detail"])


def test_a_body_that_breaks_off_is_refused_without_calling_the_handler(
    turn: ThreadPoolExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client may have gone away, or have sent malformed chunks and wait for an answer."""
    called: list[Event] = []

    def handler(event: Event, _context: Context) -> Response:
        called.append(event)
        return ok({})

    gone = {"type": "http.disconnect"}
    start, sent = ask(Application(handler, turn), "/predict", body(b"a", more=True), gone)
    assert (start["status"], json.loads(sent["body"])["status"]) == (400, 400)
    assert not called
    assert json.loads(capsys.readouterr().out)["status"] == 400


def test_probes_do_not_wait_for_a_request_in_progress(turn: ThreadPoolExecutor) -> None:
    """Else a busy server would be taken for a dead one, and restarted."""
    release = threading.Event()

    def handler(event: Event, _context: Context) -> Response:
        assert release.wait(30)
        return ok({"path": event["path"]})

    def probe(method: str, route: str) -> Response | None:
        return ok({"probed": method}) if route == "/health" else None

    async def both() -> tuple[list[Message], list[Message]]:
        app = Application(handler, turn, probe=probe)
        slow = asyncio.create_task(exchange(app, "/predict"))
        health = await exchange(app, "/health", method="GET")
        assert not slow.done()
        release.set()
        return health, await slow

    health, slow = asyncio.run(both())
    assert json.loads(health[1]["body"]) == {"probed": "GET"}
    assert json.loads(slow[1]["body"]) == {"path": "/predict"}


def test_bodies_beyond_the_bound_are_not_read_yet(
    turn: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many clients send at once, so many bodies are in memory and no more."""
    monkeypatch.setattr(module, "BODIES", 2)
    release = threading.Event()
    read: list[int] = []

    def handler(_event: Event, _context: Context) -> Response:
        assert release.wait(30)
        return ok({})

    async def one(app: Application, number: int) -> None:
        async def receive() -> Message:
            read.append(number)
            return body(b"a")

        async def send(_message: Message) -> None:
            pass

        scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/predict"}
        await app({**scope, "query_string": b"", "headers": []}, receive, send)

    async def five() -> None:
        app = Application(handler, turn)
        asked = [asyncio.create_task(one(app, number)) for number in range(5)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert read == [0, 1]
        release.set()
        await asyncio.gather(*asked)

    asyncio.run(five())
    assert read == list(range(5))


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predict", "/predict"),
        ("/predict/", "/predict"),
        ("/", "/"),
        ("/metrics", "/metrics"),
        ("/v2/models/pets/infer", "/v2/models/{name}/infer"),
        ("/v2/models/pets/versions/1/ready", "/v2/models/{name}/versions/{version}/ready"),
        ("/wp-admin.php", "other"),
        ("/v2/models/a/b/c/d", "other"),
    ],
)
def test_paths_are_counted_under_their_documented_routes(path: str, route: str) -> None:
    """A path of a client's own invention makes no new series in Prometheus."""
    assert route_of(path) == route
