"""Invocations without HTTP: warm-ups, and an image handed over by `aws lambda invoke`.

Imported for events that are not HTTP's. Their answer is the body alone, a problem document if the
request was refused, so that a client's mistake does not count as a failure of the function.
"""

import json
import re
from typing import Any

from classifier.errors import BadRequest, UnsupportedEvent
from classifier.http.embedded import mistake_in, only_image
from classifier.http.event import NOT_A_REQUEST, Request
from classifier.http.response import Response

_SCHEDULES = ("aws.events", "aws.scheduler")  # values of "source"; a rule's or EventBridge's own
# What plug-ins call a warm-up, in "source" and the like or as a key, of its letters alone.
_WARM_UP = re.compile(r"(?:.*warm(?:er|up|ing)?|(?:is)?ping|keepalive)")
_PURPOSES = ("source", "type", "action", "event", "job")
# Keys of events of other services, and a name where the event has none. They fail even if they
# hold an image, as nobody would read the answer.
_QUEUES = {
    "cf": "CloudFront",
    "eventSource": "a queue",
    "Records": "a queue",
    "records": "Firehose",
    "awslogs": "CloudWatch Logs",
    "detail-type": "EventBridge",
    "tasks": "S3 Batch Operations",
    "CodePipeline.job": "CodePipeline",
    "ResponseURL": "CloudFormation",
    "invokingEvent": "AWS Config",
    "alarmArn": "CloudWatch alarms",
    "triggerSource": "Cognito",
    "ClientRequestToken": "Secrets Manager",
    "getObjectContext": "S3 Object Lambda",
    "methodArn": "an API's authorizer",
    "routeArn": "an API's authorizer",
    "authorizationToken": "an API's authorizer",
    "requestPayload": "another function's destination",
}
# Keys of events that name their service nowhere else. One with an image gets its answer.
_CALLERS = {
    "bot": "Lex",
    "agent": "Bedrock",
    "session": "Alexa",
    "directive": "Alexa",
    "header": "Alexa",
    "fieldName": "AppSync",
    "info": "AppSync",
    "identityPoolId": "Cognito",
    "thingId": "IoT",
    "clickType": "IoT",
    "widgetContext": "CloudWatch dashboards",
    "connectionId": "a WebSocket API",
    "serverId": "Transfer Family",
    "flowDirection": "WorkMail",
    "jobId": "Batch",
    "jobName": "Batch",
    "Cause": "Step Functions",
}
_ARN = re.compile(r'"arn:aws[a-z-]*:([a-z0-9-]+):')


def parse(event: Any, lambda_request_id: str) -> Request:
    """Read a warm-up as GET /ready, and anything that holds an image as POST /predict.

    Beside {"image": …} or {"images": […]}, an event can hold query parameters such as "preprocess".
    One with several images or a URL is refused as the same document is over HTTP.
    Raises UnsupportedEvent for events of queues, streams and other services, which take any answer
    for success, and BadRequest for any other event.
    """
    if _is_warm_up(event):
        return Request("GET", "/ready", {}, {}, b"", lambda_request_id)
    has_image = _has_image(event)
    if source := _queue(event) or (None if has_image else _caller(event)):
        raise UnsupportedEvent(
            f"this function does not process events of {source}: it answers HTTP requests and "
            'direct invocations with {"image": "<base64>"}. It fails so that nothing is deleted '
            "unprocessed; remove the trigger. docs/batch.md describes how to score images in S3."
        )
    if not has_image and not mistake_in(event):
        raise BadRequest(NOT_A_REQUEST)
    query = _parameters(event) if has_image else {}
    headers = {"content-type": "application/json"}
    return Request(
        "POST", "/predict", query, headers, json.dumps(event).encode(), lambda_request_id
    )


def request_id(_event: Any, lambda_request_id: str) -> str:
    """Return Lambda's own id: there is no gateway with another one."""
    return lambda_request_id


def reply(_event: Any, response: Response) -> Response:
    """Return a response's body alone."""
    body: Response = json.loads(response["body"])
    return body


def _is_warm_up(event: Any) -> bool:
    if not isinstance(event, dict) or _is_plain(event):
        return False
    if event.get("source") in _SCHEDULES:
        return True
    names = [event.get(purpose) for purpose in _PURPOSES]
    names += [key for key, value in event.items() if value]
    return _queue(event) is None and any(
        _WARM_UP.fullmatch(re.sub("[^a-z]", "", name.lower()))
        for name in names
        if isinstance(name, str)
    )


def _is_plain(event: dict[str, Any]) -> bool:
    return not event.keys().isdisjoint({"image", "images"})


def _has_image(event: Any) -> bool:
    """Whether an object has an image by its name, or holds just one as other services have it."""
    return isinstance(event, dict) and (_is_plain(event) or only_image(event) is not None)


def _parameters(event: dict[str, Any]) -> dict[str, str]:
    """What lies beside the image; "input", a parameter, can also be the image's own name."""
    images = {"image", "images"}
    if not _is_plain(event):
        images = {name for name, value in event.items() if only_image(value) is not None}
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in event.items()
        if name not in images and value is not None
    }


def _objects(event: Any) -> list[dict[str, Any]]:
    """An event and the parts of it that tell where it is from; a list's first element."""
    if isinstance(event, list):  # of EventBridge Pipes, or of AppSync
        event = event[0] if event else None
    if not isinstance(event, dict) or not event:
        return []
    records = event.get("Records")
    parts = [
        event,
        event.get("requestContext"),
        records[0] if isinstance(records, list) and records else None,
    ]
    return [part for part in parts if isinstance(part, dict)]


def _queue(event: Any) -> str | None:
    """Name the queue, stream or other service that an event is from, or return None."""
    objects = _objects(event)
    name = _first(_QUEUES, objects)
    if name is None:
        return None
    for part in objects:
        for source in ("eventSource", "EventSource", "source"):
            if isinstance(part.get(source), str):
                return str(part[source])
    return name


def _caller(event: Any) -> str | None:
    """Name another service that an event is from by its keys or its first ARN, or return None."""
    if not (objects := _objects(event)):
        return None
    arn = _ARN.search(json.dumps(event))
    return _first(_CALLERS, objects) or (arn[1] if arn else None)


def _first(names: dict[str, str], objects: list[dict[str, Any]]) -> str | None:
    keys = {key for part in objects for key in part}
    return next((name for key, name in names.items() if key in keys), None)
