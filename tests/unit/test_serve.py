"""tools.serve: HTTP in, API Gateway events to the handler, HTTP out."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import pytest

from tools.serve import MAX_BODY, Context, Event, Gateway


def echo(event: Event, context: Context) -> dict[str, Any]:
    """A handler that answers with its event, as base64, and two cookies."""
    body = json.dumps({"event": event, "id": context.aws_request_id}).encode()
    return {
        "statusCode": 201,
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(echo, stage="prod", key="sesame") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(
    gateway: Gateway,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.server_port, timeout=10)
    try:
        connection.request(method, path, body, headers or {"X-Api-Key": "sesame"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_request_becomes_the_event_of_a_rest_api(gateway: Gateway) -> None:
    """Body in base64, stage off the path, query and headers as one and as many values."""
    response, body = ask(gateway, "POST", "/prod/predict?a=1&a=2&b=", b"\x89PNG\xff")
    assert response.status == 201
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    event = json.loads(body)["event"]
    assert event["httpMethod"] == "POST"
    assert event["path"] == "/predict"
    assert event["requestContext"]["path"] == "/prod/predict"
    assert event["requestContext"]["stage"] == "prod"
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["headers"]["X-Api-Key"] == "sesame"
    assert event["multiValueHeaders"]["X-Api-Key"] == ["sesame"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\x89PNG\xff"


@pytest.mark.parametrize("path", ["/prod", "/prod/", "/prod?x"])
def test_the_stage_itself_is_the_root(gateway: Gateway, path: str) -> None:
    """With a slash or without; what has no body has none in the event."""
    response, body = ask(gateway, "GET", path, headers={"Accept": "*/*"})
    assert response.status == 201
    event = json.loads(body)["event"]
    assert event["path"] == "/"
    assert event["body"] is None
    assert not event["isBase64Encoded"]


@pytest.mark.parametrize(
    ("path", "key", "message"),
    [
        ("/prod/predict", "", "Forbidden"),
        ("/prod/predict", "wrong", "Forbidden"),
        ("/predict", "sesame", "Missing Authentication Token"),
        ("/production", "sesame", "Missing Authentication Token"),
    ],
)
def test_what_api_gateway_refuses_does_not_reach_the_handler(
    gateway: Gateway, path: str, key: str, message: str
) -> None:
    """Without the key, or outside of the stage, in API Gateway's own words."""
    response, body = ask(gateway, "POST", path, b"x", {"x-api-key": key})
    assert response.status == 403
    assert json.loads(body) == {"message": message}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(MAX_BODY + 1)}, 413),
        ({"Content-Length": "many"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_no_known_or_too_great_length_is_not_read(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    """It is refused, and the connection is closed."""
    response, _ = ask(gateway, "POST", "/prod/predict", headers=headers)
    assert response.status == status


def test_head_has_the_headers_and_no_body(gateway: Gateway) -> None:
    """The length is that of the body that GET would have."""
    response, body = ask(gateway, "HEAD", "/prod/health", headers={"Accept": "*/*"})
    assert response.status == 201
    assert int(response.headers["Content-Length"]) > 0
    assert body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_is_the_handlers_to_answer(gateway: Gateway, method: str) -> None:
    """As the stack's routes take any."""
    response, body = ask(gateway, method, "/prod/predict")
    assert response.status == 201
    assert json.loads(body)["event"]["httpMethod"] == method
