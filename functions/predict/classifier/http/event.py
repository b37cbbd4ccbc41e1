"""Event → request: turns an event from API Gateway or a load balancer into a plain request."""

import base64
import binascii
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from classifier.errors import BadRequest


class Request(NamedTuple):
    """One HTTP request. Header names are in lower case; the body is decoded from base64."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    request_id: str


def parse(event: Mapping[str, Any], lambda_request_id: str) -> Request:
    """Read an event of a REST API (v1), an HTTP API or function URL (v2), or a load balancer.

    Raises BadRequest for any other event, and for a body that is not base64 although
    `isBase64Encoded` is true.
    """
    context = _part(event, "requestContext")
    if "http" in context:  # version 2.0
        method = _part(context, "http").get("method")
        path = event.get("rawPath") or _part(context, "http").get("path")
        template = str(event.get("routeKey")).partition(" ")[2]
    else:
        method, path = event.get("httpMethod"), event.get("path")
        template = str(event.get("resource") or "")
    if not isinstance(method, str) or not isinstance(path, str):
        raise BadRequest(
            "this is not an HTTP event; invoke with an API Gateway payload such as those in events/"
        )
    path = _from_template(template, _texts(event, "pathParameters")) or _without_stage(
        path, context.get("stage")
    )
    headers = _last(event, "headers", "multiValueHeaders")
    return Request(
        method=method.upper(),
        path="/" + _unquoted(path).strip("/"),
        query=_query(event, encoded="elb" in context),
        headers={name.lower(): value for name, value in headers.items()},
        body=_body(event),
        request_id=request_id(event, lambda_request_id),
    )


def reply(event: Mapping[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """Adapt a response to the event's source.

    A load balancer needs a statusDescription, and lists of header values if it sent lists.
    """
    if "elb" not in _part(event, "requestContext"):
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


def _part(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _texts(event: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key: value for key, value in _part(event, name).items() if isinstance(value, str)}


def _last(event: Mapping[str, Any], single: str, multiple: str) -> dict[str, str]:
    """Single values by name; the last of each list where only lists were sent."""
    return _texts(event, single) or {
        name: values[-1]
        for name, values in _part(event, multiple).items()
        if isinstance(values, list) and values and isinstance(values[-1], str)
    }


def _query(event: Mapping[str, Any], *, encoded: bool) -> dict[str, str]:
    """Query parameters. encoded: still percent-encoded, as from a load balancer."""
    query = _last(event, "queryStringParameters", "multiValueQueryStringParameters")
    if encoded and query:
        from urllib.parse import unquote_plus  # noqa: PLC0415 - as below

        return {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    raw = event.get("rawQueryString")  # version 2.0 joins repeated values above with commas
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


def _without_stage(path: str, stage: Any) -> str:
    """Remove the stage name that HTTP APIs prepend to the path."""
    prefix = f"/{stage}"
    return path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else path


def _body(event: Mapping[str, Any]) -> bytes:
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode("".join(body.splitlines()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"isBase64Encoded is true but the body is not base64: {error}") from error
