"""Event → request: turns an event from a gateway or a load balancer into a plain request."""

import base64
import binascii
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from classifier.errors import BadRequest

NOT_A_REQUEST = (
    "this is neither an HTTP event nor an object with an image; invoke with an API Gateway "
    'payload such as those in events/, or with {"image": "<base64>"}'
)
CHECK = "pre-traffic"  # the stage that the stack's hook names in its requests
_HTTP = frozenset({"requestContext", "httpMethod", "method", "headers", "path", "rawPath"})
_GATEWAYS = frozenset({"requestContext", "httpMethod", "raw_path"})  # one of which they all have
_IMAGES = frozenset({"image", "images"})
# What events have that describe or resemble a request: an API's authorizer, Bedrock, another
# function's destination; and, in their context, a WebSocket API and a stream's failed records.
_OTHERS = frozenset({"methodArn", "routeArn", "authorizationToken", "apiPath", "requestPayload"})
_OTHER_CONTEXTS = frozenset({"connectionId", "condition"})


class Request(NamedTuple):
    """One HTTP request. Header names are in lower case; the body is decoded from base64."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    is_check: bool = False


def is_http(event: Any) -> bool:
    """Whether an event has any of the parts of an HTTP request.

    Not of what only resembles one, nor of an image to which an invocation adds a "path" or
    "method".
    """
    if not isinstance(event, dict) or not _OTHERS.isdisjoint(event):
        return False
    if not _OTHER_CONTEXTS.isdisjoint(_part(event, "requestContext")):
        return False
    return not (_HTTP if _IMAGES.isdisjoint(event) else _GATEWAYS).isdisjoint(event)


def parse(event: Mapping[str, Any], lambda_request_id: str) -> Request:
    """Read an event of an API Gateway, a function URL, a load balancer or VPC Lattice.

    Raises BadRequest for any other event, and for a body that is not base64 although
    `isBase64Encoded` is true.
    """
    context = _part(event, "requestContext")
    raw_query = event.get("rawQueryString")  # version 2.0 joins repeated values by commas
    template = ""
    if "http" in context:  # version 2.0
        method = _part(context, "http").get("method")
        path = event.get("rawPath") or _part(context, "http").get("path")
        template = str(event.get("routeKey")).partition(" ")[2]
    elif _is_lattice(event):
        method, path = event["method"], event.get("raw_path") or event.get("path")
        path, _, raw_query = str(path or "").partition("?")
    else:
        method, path = event.get("httpMethod"), event.get("path")
        template = str(event.get("resource") or "")
    if not isinstance(method, str) or not isinstance(path, str):
        raise BadRequest(NOT_A_REQUEST)
    path = _from_template(template, _texts(event, "pathParameters")) or _without(
        f"/{context.get('stage')}", path
    )
    return Request(
        method=method.upper(),
        path=_without_base("/" + _unquoted(path).strip("/")),
        query=_query(event, raw_query, encoded="elb" in context),
        headers={
            name.lower(): value
            for name, value in _last(event, "headers", "multiValueHeaders").items()
        },
        body=_body(event),
        request_id=request_id(event, lambda_request_id),
        is_check=is_check(event),
    )


def reply(event: Mapping[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """Adapt a response to the event's source.

    A load balancer needs a statusDescription, and lists of header values if it sent lists. VPC
    Lattice takes the former and no lists.
    """
    if "elb" not in _part(event, "requestContext") and not _is_lattice(event):
        return response
    status = HTTPStatus(response["statusCode"])
    response = {**response, "statusDescription": f"{status.value} {status.phrase}"}
    if "headers" not in event:
        lists = {name: [value] for name, value in response.pop("headers").items()}
        response["multiValueHeaders"] = lists
    return response


def request_id(event: Mapping[str, Any], lambda_request_id: str) -> str:
    """Return the id that the client sees in its response headers, else Lambda's own."""
    return str(_part(event, "requestContext").get("requestId") or lambda_request_id)


def is_check(event: Mapping[str, Any]) -> bool:
    """Whether the stack's hook sends this, which does not count as traffic.

    Clients can't: an API names its own stage, and an invocation needs IAM's permission.
    """
    return _part(event, "requestContext").get("stage") == CHECK


def _part(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _texts(event: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _part(event, name).items() if isinstance(value, str)}


def _is_lattice(event: Mapping[str, Any]) -> bool:
    """VPC Lattice names the method at the top; version 1 has raw_path, version 2 path."""
    return isinstance(event.get("method"), str) and "httpMethod" not in event


def _last(event: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Values by name, of the first of these parts that has any; the last one of each list."""
    for part in names:
        values = {
            name: value[-1] if isinstance(value, list) and value else value
            for name, value in _part(event, part).items()
        }
        if texts := {name: value for name, value in values.items() if isinstance(value, str)}:
            return texts
    return {}


def _query(event: Mapping[str, Any], raw: Any, *, encoded: bool) -> dict[str, str]:
    """Query parameters. encoded: still percent-encoded, as from a load balancer."""
    query = _last(
        event,
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "query_string_parameters",
    )
    if encoded and query:
        from urllib.parse import unquote_plus  # noqa: PLC0415 - as below

        return {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    if isinstance(raw, str) and raw:
        from urllib.parse import parse_qsl  # noqa: PLC0415 - as below

        return query | dict(parse_qsl(raw, keep_blank_values=True))
    return query


def _unquoted(path: str) -> str:
    if "%" not in path:
        return path
    from urllib.parse import unquote  # noqa: PLC0415 - a fiftieth of a cold start, rarely needed

    return unquote(path)


def _from_template(template: str, parameters: Mapping[str, str]) -> str | None:
    """Path that a route's template matched: unlike the event's, without stage or base path."""
    for name, value in parameters.items():
        template = template.replace(f"{{{name}+}}", value).replace(f"{{{name}}}", value)
    return template if template.startswith("/") and "{" not in template else None


def _without(prefix: str, path: str) -> str:
    """Remove a first part of the path, such as the stage that HTTP APIs prepend."""
    return path.removeprefix(prefix) if f"{path}/".startswith(f"{prefix}/") else path


def _without_base(path: str) -> str:
    """Remove BASE_PATH, under which a custom domain or a load balancer serves the function."""
    base = os.environ.get("BASE_PATH", "").strip("/")
    return (_without(f"/{base}", path) or "/") if base else path


def _body(event: Mapping[str, Any]) -> bytes:
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded", event.get("is_base64_encoded")):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode("".join(body.splitlines()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"isBase64Encoded is true but the body is not base64: {error}") from error
