"""HTTP request → event of a REST API with `BinaryMediaTypes: ['*/*']`, as API Gateway makes it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

type Event = dict[str, Any]
type Scope = Mapping[str, Any]  # an ASGI connection: asgi.readthedocs.io/en/latest/specs/www.html


@dataclass(frozen=True)
class Context:
    """The part of Lambda's context that the handler reads."""

    aws_request_id: str


def event_of(scope: Scope, body: bytes, request_id: str) -> Event:
    """Return the event of a request. The scope's root path is the stage."""
    stage = scope.get("root_path", "")
    path = scope["path"].removeprefix(stage) or "/"
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return {
        "resource": "/" if path == "/" else "/{proxy+}",
        "path": path,
        "httpMethod": scope["method"],
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None if path == "/" else {"proxy": path.strip("/")},
        "stageVariables": None,
        "requestContext": {
            "requestId": request_id,
            "stage": stage.strip("/") or "local",
            "path": scope["path"],
            "httpMethod": scope["method"],
            "protocol": f"HTTP/{scope['http_version']}",
            "identity": {"sourceIp": client_address(scope)},
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def client_address(scope: Scope) -> str:
    """IP address of the client; empty if unknown."""
    return str((scope.get("client") or [""])[0])
