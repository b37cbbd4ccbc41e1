"""tools.serve: HTTP in, API Gateway events to the handler, HTTP out."""

import base64
import http.client
import json
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import pytest

from serving.application import MAX_BODY
from serving.event import Context, Event
from tests.support.gateway import answering
from tools import openapi


def echo(event: Event, context: Context) -> dict[str, Any]:
    """A handler that returns its event, as base64, and two cookies."""
    body = json.dumps({"event": event, "id": context.aws_request_id}).encode()
    return {
        "statusCode": 201,
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@pytest.fixture(scope="module")
def gateway() -> Iterator[int]:
    """The port of an API under /prod/ that needs a key."""
    with answering(echo, stage="prod", key="sesame") as url:
        yield int(url.split(":")[2].partition("/")[0])


def ask(
    gateway: int,
    method: str,
    path: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway, timeout=10)
    try:
        connection.request(method, path, body, headers or {"X-Api-Key": "sesame"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_request_becomes_the_event_of_a_rest_api(gateway: int) -> None:
    """Body in base64, path without the stage, query and headers as single and multiple values."""
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
    assert event["headers"]["x-api-key"] == "sesame"
    assert event["multiValueHeaders"]["x-api-key"] == ["sesame"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\x89PNG\xff"


@pytest.mark.parametrize("path", ["/prod", "/prod/", "/prod?x"])
def test_the_stage_itself_is_the_root(gateway: int, path: str) -> None:
    """With or without a slash; a request without a body has none in the event."""
    response, body = ask(gateway, "GET", path, headers={"Accept": "*/*"})
    assert response.status == 201
    event = json.loads(body)["event"]
    assert event["path"] == "/"
    assert event["body"] is None
    assert not event["isBase64Encoded"]


@pytest.mark.parametrize(
    ("path", "key", "kind"),
    [
        ("/prod/predict", "", "INVALID_API_KEY"),
        ("/prod/predict", "wrong", "INVALID_API_KEY"),
        ("/prod/predict/", "", "INVALID_API_KEY"),
        ("/prod/no/such/path", "", "INVALID_API_KEY"),
        ("/predict", "sesame", "RESOURCE_NOT_FOUND"),
        ("/production", "sesame", "RESOURCE_NOT_FOUND"),
    ],
)
def test_what_the_gateway_refuses_does_not_reach_the_handler(
    gateway: int, path: str, key: str, kind: str
) -> None:
    """Without the key, or outside the stage, with the stack's gateway responses."""
    response, body = ask(gateway, "POST", path, b"x", {"x-api-key": key})
    refused_as(kind, response, body)


def test_the_paths_that_the_interface_leaves_open_need_no_key(gateway: int) -> None:
    document = openapi.read()
    for path in document["paths"]:
        response, _ = ask(gateway, "GET", f"/prod{path}", headers={"Accept": "*/*"})
        assert response.status == (201 if path in openapi.open_paths(document) else 403)


def test_a_body_over_the_gateways_limit_is_refused(gateway: int) -> None:
    """A client that first sends its whole request still gets the response."""
    key = {"x-api-key": "sesame"}
    response, body = ask(gateway, "POST", "/prod/predict", bytes(MAX_BODY + 1), key)
    refused_as("REQUEST_TOO_LARGE", response, body)


@pytest.mark.parametrize("length", ["many", "-1"])
def test_a_body_of_a_senseless_length_is_refused(gateway: int, length: str) -> None:
    """The connection is closed: what follows could be read as the next request."""
    response, _ = ask(gateway, "POST", "/prod/predict", b"abc", {"Content-Length": length})
    assert (response.status, response.headers["Connection"]) == (400, "close")


def test_a_body_in_chunks_is_assembled(gateway: int) -> None:
    """As API Gateway does."""
    parts = iter([b"abc", b"", b"de"])
    response, body = ask(gateway, "POST", "/prod/predict", parts, {"x-api-key": "sesame"})
    assert response.status == 201
    assert base64.b64decode(json.loads(body)["event"]["body"]) == b"abcde"


def refused_as(kind: str, response: HTTPResponse, body: bytes) -> None:
    """Check a response against a gateway response in openapi.yaml."""
    problem = json.loads(body)
    stated, headers = openapi.refusal(openapi.read(), kind, problem["request_id"])
    assert problem == stated
    assert response.status == stated["status"]
    assert all(response.headers[name] == value for name, value in headers.items())


def test_head_has_the_headers_and_no_body(gateway: int) -> None:
    """Its length is that of GET's body."""
    response, body = ask(gateway, "HEAD", "/prod/health", headers={"Accept": "*/*"})
    assert response.status == 201
    assert int(response.headers["Content-Length"]) > 0
    assert body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_reaches_the_handler(gateway: int, method: str) -> None:
    """Like the stack's routes."""
    response, body = ask(gateway, method, "/prod/predict")
    assert response.status == 201
    assert json.loads(body)["event"]["httpMethod"] == method
