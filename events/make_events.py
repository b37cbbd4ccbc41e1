"""Write the sample events: payloads as AWS sends them, with held-out digits.

.venv/test/bin/python -m events.make_events
"""

import base64
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_build.data import datasets
from model_build.data.synthetic_pictures import take_picture

FOLDER = Path(__file__).parent


def main() -> None:
    """Write every event into this folder, and delete every other JSON file in it."""
    events = make_events()
    for stale in {path.stem for path in FOLDER.glob("*.json")} - events.keys():
        (FOLDER / f"{stale}.json").unlink()
    for name, event in events.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(event, indent=2) + "\n")
    sys.stdout.write(f"wrote {len(events)} events to {FOLDER}\n")


def make_events() -> dict[str, dict[str, Any]]:
    """Return the events by name: valid requests first, then invalid ones."""
    generator = np.random.default_rng(28)
    photo = take_picture(_digit(5), generator, side=1600)
    empty_page = np.full((400, 300), 250, dtype=np.uint8)
    batch = [_base64(encode_png(_digit(label))) for label in range(datasets.CLASSES)]
    return {
        "json": json_event({"image": _base64(encode_png(_digit(7)))}),
        "png": _raw(encode_png(_digit(3)), "image/png"),
        "jpeg-photo": _raw(photo, "image/jpeg"),
        "batch": json_event({"images": batch}),
        "preprocess-none": json_event(
            {"image": _base64(encode_png(_digit(2)))}, {"preprocess": "none"}
        ),
        "health": _event("GET", "/health"),
        "direct": {"image": _base64(encode_png(_digit(4)))},
        "vpc-lattice": _lattice_event(encode_png(_digit(6)), "image/png"),
        "warm-up": _scheduled_event(),
        "bad-base64": json_event({"image": "this is not base64!"}),
        "not-an-image": _raw(b"This is text, not an image.", "image/png"),
        "blank-page": _raw(encode_png(empty_page), "image/png"),
    }


@cache
def _data_set() -> datasets.Dataset:
    return datasets.load_mnist_5k()


def _digit(label: int) -> NDArray[np.uint8]:
    held_out = _data_set()
    index = int(np.flatnonzero(held_out.test_labels == label)[0])
    return np.asarray(held_out.test_images[index])


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode a grey image [H, W] as PNG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def json_event(document: dict[str, Any], query: dict[str, str] | None = None) -> dict[str, Any]:
    """Event of POST /predict with a JSON body."""
    return _raw(json.dumps(document).encode(), "application/json", query)


def _raw(body: bytes, content_type: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    return _event("POST", "/predict", body, content_type, query)


def _event(
    method: str,
    path: str,
    body: bytes | None = None,
    content_type: str | None = None,
    query: dict[str, str] | None = None,
) -> dict[str, Any]:
    """REST API proxy event. With the binary media type */* every body is base64-encoded.

    Source: API Gateway developer guide, "Input format of a Lambda function for proxy integration".
    """
    headers = {"Accept": "*/*", "Host": "example.execute-api.us-east-1.amazonaws.com"}
    if content_type:
        headers["Content-Type"] = content_type
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": query and {key: [query[key]] for key in query},
        "pathParameters": {"proxy": path.strip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "example",
            "httpMethod": method,
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTimeEpoch": 1767225600000,
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        "body": _base64(body) if body is not None else None,
        "isBase64Encoded": body is not None,
    }


def _lattice_event(body: bytes, content_type: str) -> dict[str, Any]:
    """Event of POST /predict from VPC Lattice, version 2.0 of its structure.

    Source: VPC Lattice user guide, "Lambda functions as targets in VPC Lattice".
    """
    service = "arn:aws:vpc-lattice:us-east-1:123456789012"
    return {
        "version": "2.0",
        "path": "/predict",
        "method": "POST",
        "headers": {
            "accept": ["*/*"],
            "content-type": [content_type],
            "host": ["example.7d67968.vpc-lattice-svcs.us-east-1.on.aws"],
        },
        "queryStringParameters": None,
        "body": _base64(body),
        "isBase64Encoded": True,
        "requestContext": {
            "serviceNetworkArn": f"{service}:servicenetwork/sn-0123456789abcdef0",
            "serviceArn": f"{service}:service/svc-0123456789abcdef0",
            "targetGroupArn": f"{service}:targetgroup/tg-0123456789abcdef0",
            "identity": {"sourceVpcArn": "arn:aws:ec2:us-east-1:123456789012:vpc/vpc-01234567"},
            "region": "us-east-1",
            "timeEpoch": "1767225600000000",
        },
    }


def _scheduled_event() -> dict[str, Any]:
    """Event of an EventBridge rule with a schedule, such as rate(5 minutes).

    Source: EventBridge user guide, "Scheduled events".
    """
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/keep-warm"],
        "detail": {},
    }


if __name__ == "__main__":
    main()
