"""Probabilities → response: JSON for an answer, problem+json for an error."""

import base64
import io
import json
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import PredictError
from classifier.image.pixels import Part
from classifier.model.manifest import Rejection

_REASON = (
    "the picture looks like none of the model's classes; add reject=off to be told the nearest"
)

type Response = dict[str, Any]


def predictions(
    probabilities: NDArray[np.float32], labels: list[Any], thresholds: list[float] | None = None
) -> list[dict[str, Any]]:
    """Return the JSON of each prediction from its probabilities, [N, classes], to six decimals.

    thresholds: of a multi-label model; a prediction then has the labels that reach theirs.
    """
    rows = probabilities.astype(np.float64).round(6).tolist()
    best = probabilities.argmax(axis=1).tolist()
    answers: list[dict[str, Any]] = [
        {"prediction": labels[index], "confidence": row[index], "probabilities": row}
        for row, index in zip(rows, best, strict=True)
    ]
    if thresholds is not None:
        for answer in answers:
            row = answer["probabilities"]
            answer["labels"] = [labels[at] for at in _ranked(row) if row[at] >= thresholds[at]]
    return answers


def best_labels(answer: dict[str, Any], labels: list[Any], count: int) -> dict[str, Any]:
    """A prediction with its best labels and their probabilities instead of all probabilities."""
    row = answer["probabilities"]
    top = [{"label": labels[at], "probability": row[at]} for at in _ranked(row)[:count]]
    return {name: value for name, value in answer.items() if name != "probabilities"} | {"top": top}


def _ranked(row: list[float]) -> list[int]:
    """Indices of probabilities, the largest first."""
    return sorted(range(len(row)), key=row.__getitem__, reverse=True)


def judged(
    answer: dict[str, Any],
    rejection: Rejection | None,
    score_name: str,
    score: float = 1.0,
    *,
    reject: bool = True,
) -> dict[str, Any]:
    """A prediction, or that the picture shows none of the classes.

    score_name: of the probability that it shows one. score: the finder's; 0.0 if it found none.
    reject: False to get the prediction anyway.
    """
    probability = 1.0 if score else 0.0
    if rejection:
        probability *= rejection.probability(answer["probabilities"], score)
        answer[score_name] = round(probability, 6)
    if reject and probability < (rejection.threshold if rejection else 0.5):
        return answer | {"prediction": None, "reason": _REASON}
    return answer


def box_in_pixels(box: Part, size: tuple[int, int]) -> list[int]:
    """Left, top, right and bottom of a part of an upright picture of (height, width) pixels."""
    height, width = size
    left, right = _in_pixels(box.left, box.right, width)
    top, bottom = _in_pixels(box.top, box.bottom, height)
    return [left, top, right, bottom]


def _in_pixels(start: float, stop: float, length: int) -> tuple[int, int]:
    """From and to which pixel something reaches; at least one lies between."""
    first = min(round(start * length), length - 1)
    return first, max(round(stop * length), first + 1)


def input_preview(sample: NDArray[np.uint8]) -> str:
    """Encode the model's input, [H, W] or [H, W, 3], as the data URL of a PNG."""
    file = io.BytesIO()
    Image.fromarray(sample).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def ok(body: dict[str, Any] | list[Any]) -> Response:
    """200 with a JSON body."""
    return _response(HTTPStatus.OK, "application/json", body, {})


def ok_binary(body: dict[str, Any], binary: bytes, length_header: str) -> Response:
    """200 with JSON followed by binary data; a header has the length of the JSON."""
    text = json.dumps(body).encode()
    return {
        "statusCode": 200,
        "headers": {
            "Content-Type": "application/octet-stream",
            "Cache-Control": "no-store",
            length_header: str(len(text)),
        },
        "body": base64.b64encode(text + binary).decode(),
        "isBase64Encoded": True,
    }


def document(body: str, headers: dict[str, str]) -> Response:
    """200 with a text body and its own headers."""
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": False}


def problem(error: PredictError, request_id: str) -> Response:
    """Return an error as RFC 9457 `application/problem+json`."""
    body = {
        "type": "about:blank",
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
    }
    return _response(error.status, "application/problem+json", body, error.headers)


def protocol_error(error: PredictError) -> Response:
    """Return an error in the format of the Open Inference Protocol."""
    return _response(error.status, "application/json", {"error": error.detail}, error.headers)


def _response(
    status: HTTPStatus, content_type: str, body: Any, headers: dict[str, str]
) -> Response:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": content_type, "Cache-Control": "no-store", **headers},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
