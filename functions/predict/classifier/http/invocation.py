"""Invocations without HTTP: warm-ups, and an image handed over by `aws lambda invoke`.

Imported for events that are not HTTP's. Their answer is the body alone, a problem document if the
request was refused, so that a client's mistake does not count as a failure of the function.
"""

import json
import re
from typing import Any

from classifier.errors import BadRequest, UnsupportedEvent
from classifier.http.embedded import only_image
from classifier.http.event import DESTINATION, NOT_A_REQUEST, Request
from classifier.http.response import Response

_WARM_UPS = {  # values of "source"
    "aws.events",  # a scheduled rule of EventBridge
    "aws.scheduler",
    "serverless-plugin-warmup",
    "serverless-plugin-lambda-warmup",
}
_WARM_UP_KEYS = frozenset({"warmer", "warmup", "iswarmup", "keepwarm"})  # in lower case, of letters
# Keys of events of other services, and a name where the event has none.
_QUEUES = {
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
    DESTINATION: "another function's destination",
}


def parse(event: Any, lambda_request_id: str) -> Request:
    """Read a warm-up as GET /ready, and any object that holds an image as POST /predict.

    Beside {"image": …} or {"images": […]}, an event can hold query parameters such as "preprocess".
    Raises UnsupportedEvent for events of queues, streams and other services, BadRequest for any
    other event.
    """
    if _is_warm_up(event):
        return Request("GET", "/ready", {}, {}, b"", lambda_request_id)
    if source := _queue(event):
        raise UnsupportedEvent(
            f"this function does not process events of {source}: it answers HTTP requests and "
            'direct invocations with {"image": "<base64>"}. It fails so that nothing is deleted '
            "unprocessed; remove the trigger. docs/batch.md describes how to score images in S3."
        )
    if not _has_image(event):
        raise BadRequest(NOT_A_REQUEST)
    query = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in event.items()
        if name not in ("image", "images") and value is not None
    }
    headers = {"content-type": "application/json"}
    return Request(
        "POST", "/predict", query, headers, json.dumps(event).encode(), lambda_request_id
    )


def request_id(_event: Any, lambda_request_id: str) -> str:
    """Return Lambda's own id: there is no gateway with another one."""
    return lambda_request_id


def reply(event: Any, response: Response) -> Response:
    """Return a response's body alone; the whole response for an event that was not understood."""
    if _is_warm_up(event) or _has_image(event):
        body: Response = json.loads(response["body"])
        return body
    return response


def _is_warm_up(event: Any) -> bool:
    if not isinstance(event, dict) or _is_plain(event):
        return False
    return event.get("source") in _WARM_UPS or any(
        value and re.sub("[^a-z]", "", str(key).lower()) in _WARM_UP_KEYS
        for key, value in event.items()
    )


def _is_plain(event: dict[str, Any]) -> bool:
    return not event.keys().isdisjoint({"image", "images"})


def _has_image(event: Any) -> bool:
    """Whether an event has an image by its name, or holds just one as other services have it."""
    return isinstance(event, dict) and (_is_plain(event) or only_image(event) is not None)


def _queue(event: Any) -> str | None:
    """Name the queue or stream that an event is from, or return None."""
    if isinstance(event, list) and event and isinstance(event[0], dict):  # of EventBridge Pipes
        event = event[0] if "eventSource" in event[0] else None
    if not isinstance(event, dict):
        return None
    for key, name in _QUEUES.items():
        if key in event:
            records = event[key]
            record = records[0] if isinstance(records, list) and records else None
            for part in (event, record if isinstance(record, dict) else {}):
                for source in ("eventSource", "EventSource", "source"):
                    if isinstance(part.get(source), str):
                        return str(part[source])
            return name
    return None
