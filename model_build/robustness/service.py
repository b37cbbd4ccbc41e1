"""The function's handler in this process, sent one image file per request."""

import base64
import json
import os
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from model_build.errors import ServiceFailed


class Answer(NamedTuple):
    """What a request returned: its status, and of a 200 what the body says.

    prediction: None for an error too. digit_probability: the confidence, where the response has
    none of its own. text: of `digits=many`.
    """

    status: int
    prediction: Any = None
    confidence: float = 0.0
    digit_probability: float = 0.0
    text: str | None = None


class Send(Protocol):
    """Send image files, each in a request of its own with the same query; give the answers."""

    def __call__(self, files: list[bytes], **query: str) -> list[Answer]:
        """Give one answer per file, in their order."""


def serve(store: str, name: str, version: str) -> Send:
    """Open a model of a store behind the handler; from then on this process serves it.

    Sending raises ServiceFailed for a status of 500 or more.
    """
    os.environ |= {
        "MODEL_STORE_URL": store,
        "MODEL_NAME": name,
        "MODEL_VERSION": version,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "predict",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    from classifier import handler  # noqa: PLC0415 - it reads the variables above
    from classifier.model.models import Models  # noqa: PLC0415

    handler.models = Models()

    def send(files: list[bytes], **query: str) -> list[Answer]:
        responses = (handler.handler(_event(file, query), _CONTEXT) for file in files)
        return [_answer(response) for response in responses]

    return send


_CONTEXT = SimpleNamespace(aws_request_id="robustness")


def _event(file: bytes, query: dict[str, str]) -> dict[str, Any]:
    """An event of a REST API with an image file as its body."""
    return {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"content-type": "application/octet-stream"},
        "queryStringParameters": query,
        "body": base64.b64encode(file).decode(),
        "isBase64Encoded": True,
        "requestContext": {"requestId": "robustness"},
    }


def _answer(response: Any) -> Answer:
    status = response["statusCode"]
    if status >= 500:
        raise ServiceFailed(f"the function answered {status}: {response['body']}")
    if status != 200:
        return Answer(status)
    body = json.loads(response["body"])
    confidence = float(body.get("confidence") or 0)
    return Answer(
        status,
        body.get("prediction"),
        confidence,
        float(body.get("digit_probability", confidence)),
        body.get("text"),
    )
