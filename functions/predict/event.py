"""Event → request: what API Gateway hands to Lambda becomes one plain request."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from errors import BadRequest


@dataclass(frozen=True)
class Request:
    """One HTTP request. Header names are in lower case; the body is decoded from base64."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    request_id: str


def parse(event: Mapping[str, Any], lambda_request_id: str) -> Request:
    """Read a REST API (v1) or HTTP API (v2) event.

    Raises BadRequest for an event of neither kind, and for a body that is not the base64 that
    `isBase64Encoded` promises.
    """
    context = _part(event, "requestContext")
    if event.get("version") == "2.0":
        http = _part(context, "http")
        method = http.get("method")
        path = _without_stage(event.get("rawPath"), context.get("stage"))
    else:
        method, path = event.get("httpMethod"), event.get("path")
    if not isinstance(method, str) or not isinstance(path, str):
        raise BadRequest(
            "this is no HTTP event; invoke with an API Gateway payload such as those in events/"
        )
    return Request(
        method=method.upper(),
        path="/" + path.strip("/"),
        query=_texts(event, "queryStringParameters"),
        headers={name.lower(): value for name, value in _texts(event, "headers").items()},
        body=_body(event),
        request_id=request_id(event, lambda_request_id),
    )


def request_id(event: Mapping[str, Any], lambda_request_id: str) -> str:
    """Give the id that the client sees in its response headers, else Lambda's own."""
    return str(_part(event, "requestContext").get("requestId") or lambda_request_id)


def _part(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _texts(event: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _part(event, name).items() if isinstance(value, str)}


def _without_stage(path: Any, stage: Any) -> Any:
    """HTTP APIs put a named stage in front of the path; the routes know nothing of it."""
    prefix = f"/{stage}"
    if isinstance(path, str) and (path == prefix or path.startswith(f"{prefix}/")):
        return path.removeprefix(prefix)
    return path


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadRequest(f"isBase64Encoded is true but the body is no base64: {error}") from error
