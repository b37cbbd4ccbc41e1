"""handler.py: events in, responses out, with every module and the model behind it real."""

import base64
import gzip
import importlib
import io
import json
import re
import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from classifier import predict
from classifier.errors import UnsupportedEvent
from classifier.image import formats
from classifier.model import pace
from classifier.model.models import Models
from classifier.monitoring import telemetry
from tests.support import (
    ROOT,
    heic,  # noqa: F401 - so that Pillow saves it
)
from tests.support.heavy_files import tiff

type Event = dict[str, Any]
type Digits = NDArray[np.uint8]
type Publish = Callable[..., str]


class StandardOutput:
    """Wherever standard output is when a line is written: capsys moves it."""

    def write(self, line: str) -> None:
        sys.stdout.write(line)

    def flush(self) -> None:
        sys.stdout.flush()


@dataclass
class Context:
    aws_request_id: str = "lambda-1"


@pytest.fixture
def start(
    model_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], ModuleType]:
    """Import the function as a new environment does; its log goes where capsys reads."""
    monkeypatch.delenv("AWS_LAMBDA_INITIALIZATION_TYPE", raising=False)
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", StandardOutput())

    def import_app() -> ModuleType:
        for name in ("classifier.handler", "classifier.model.early"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("classifier.handler")

    return import_app


@pytest.fixture
def app(start: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The function, whose model isn't opened before the first request: tests change it."""
    module = start()
    monkeypatch.setattr(module, "models", Models())
    return module


def image_file(pixels: Digits, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def photo(digit: Digits) -> Digits:
    """Black ink on a large white page, off-centre."""
    large = Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large), ((300, 40), (60, 500)), constant_values=255)


def rest_event(body: bytes | str, content_type: str | None, **changes: Any) -> Event:
    encoded = isinstance(body, bytes)
    return {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"Content-Type": content_type} if content_type else None,
        "queryStringParameters": None,
        "requestContext": {"requestId": "gateway-1", "stage": "dev"},
        "body": text(body) if isinstance(body, bytes) else body,
        "isBase64Encoded": encoded,
    } | changes


def http_event(body: bytes | str, content_type: str | None, **changes: Any) -> Event:
    encoded = isinstance(body, bytes)
    return {
        "version": "2.0",
        "rawPath": "/dev/predict",
        "headers": {"content-type": content_type} if content_type else {},
        "requestContext": {
            "requestId": "gateway-1",
            "stage": "dev",
            "http": {"method": "POST", "path": "/dev/predict"},
        },
        "body": text(body) if isinstance(body, bytes) else body,
        "isBase64Encoded": encoded,
    } | changes


MAKERS = pytest.mark.parametrize("make", [rest_event, http_event], ids=["v1", "v2"])


def call(app: ModuleType, event: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of an answer; checks what holds for every answer."""
    response = app.handler(event, Context())
    assert response.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert response["isBase64Encoded"] is False
    assert json.loads(json.dumps(response)) == response
    assert all(isinstance(value, str) for value in response["headers"].values())
    status, body = response["statusCode"], json.loads(response["body"])
    if status == 200:
        assert response["headers"]["Content-Type"] == "application/json"
    else:
        assert response["headers"]["Content-Type"] == "application/problem+json"
        assert body.keys() == {"type", "title", "status", "detail", "request_id"}
        assert body["status"] == status
        assert body["title"]
        assert body["detail"]
        assert body["request_id"]
    return status, body


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[Event], list[Event]]:
    """Metrics and log lines on stdout, each a JSON document."""
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in written if "_aws" in line], [
        line for line in written if "level" in line
    ]


@MAKERS
@pytest.mark.parametrize("form", ["json", "json as base64", "png", "jpeg", "bytes", "data url"])
def test_an_image_in_every_form_is_classified(
    app: ModuleType, model_store: Path, digits: Digits, make: Any, form: str
) -> None:
    (version,) = (path.name for path in (model_store / "mnist" / "versions").iterdir())
    for number in (0, 3, 7):
        png, jpeg = image_file(digits[number]), image_file(photo(digits[number]), "JPEG")
        document = json.dumps({"image": text(png)})
        data_url = json.dumps({"image": f"data:image/jpeg;base64,{text(jpeg)}"})
        contents: dict[str, tuple[bytes | str, str | None]] = {
            "json": (document, "application/json"),
            "json as base64": (document.encode(), "application/json; charset=utf-8"),
            "png": (png, "image/png"),
            "jpeg": (jpeg, "image/jpeg"),
            "bytes": (png, None),
            "data url": (data_url, "application/json"),
        }
        status, body = call(app, make(*contents[form]))
        assert status == 200
        assert list(body) == ["prediction", "confidence", "probabilities", "model", "request_id"]
        assert body["prediction"] == number
        assert body["confidence"] == max(body["probabilities"]) == body["probabilities"][number]
        assert sum(body["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert body["model"] == {"name": "mnist", "version": version}
        assert body["request_id"] == "gateway-1"


@MAKERS
def test_a_batch_is_classified_in_its_order(app: ModuleType, digits: Digits, make: Any) -> None:
    order = [9, 0, 4, 4, 1]
    images = [text(image_file(digits[number])) for number in order]
    status, body = call(app, make(json.dumps({"images": images}), "application/json"))
    assert status == 200
    assert list(body) == ["predictions", "model", "request_id"]
    assert [found["prediction"] for found in body["predictions"]] == order
    assert all(len(found["probabilities"]) == 10 for found in body["predictions"])


def test_a_batch_of_one_and_of_thirty_two_is_a_batch(app: ModuleType, digits: Digits) -> None:
    for count in (1, 32):
        body = json.dumps({"images": [text(image_file(digits[5]))] * count})
        status, answer = call(app, rest_event(body, "application/json"))
        assert (status, len(answer["predictions"])) == (200, count)


@MAKERS
def test_a_sample_is_taken_as_it_is_if_asked_to(app: ModuleType, digits: Digits, make: Any) -> None:
    query = {"queryStringParameters": {"preprocess": "none"}}
    for number, digit in enumerate(digits):
        status, body = call(app, make(image_file(digit), "image/png", **query))
        assert (status, body["prediction"]) == (200, number)
    dark, light = (
        call(app, make(image_file(pixels), "image/png", **query))[1]["probabilities"]
        for pixels in (255 - digits[0], digits[0])
    )
    assert dark != light


def test_labels_come_from_the_manifest(
    app: ModuleType, model_store: Path, publish: Publish, digits: Digits
) -> None:
    names = [f"digit {number}" for number in range(10)]
    publish(model_store, manifest=lambda document: document["output"].update(labels=names))
    assert call(app, rest_event(image_file(digits[7]), "image/png"))[1]["prediction"] == "digit 7"


@pytest.mark.parametrize(
    ("asked", "default", "count"),
    [(None, None, None), ("3", None, 3), (None, 5, 5), ("3", 5, 3), ("all", 5, None)],
)
def test_an_answer_holds_as_many_labels_as_asked_for_or_by_default(
    app: ModuleType,
    model_store: Path,
    publish: Publish,
    digits: Digits,
    asked: str | None,
    default: int | None,
    count: int | None,
) -> None:
    names = [f"digit {number}" for number in range(10)]
    output = {"labels": names} | ({} if default is None else {"top_k": default})
    publish(model_store, manifest=lambda document: document["output"].update(output))
    query = None if asked is None else {"top_k": asked}
    images = [text(image_file(digits[number])) for number in (7, 2)]
    body, kind = _json({"images": images})
    status, answer = call(app, rest_event(body, kind, queryStringParameters=query))
    assert status == 200
    for prediction, name in zip(answer["predictions"], ("digit 7", "digit 2"), strict=True):
        assert prediction["prediction"] == name
        if count is None:
            assert (len(prediction["probabilities"]), "top" in prediction) == (10, False)
            continue
        first = {"label": name, "probability": prediction["confidence"]}
        assert (prediction["top"][0], len(prediction["top"])) == (first, count)
        assert "probabilities" not in prediction


def test_a_model_of_several_labels_answers_with_those_over_their_thresholds(
    app: ModuleType, model_store: Path, publish: Publish, digits: Digits
) -> None:
    output = {"activation": "sigmoid", "thresholds": [0.0] * 7 + [0.5] * 2 + [1.0]}
    publish(model_store, manifest=lambda document: document["output"].update(output))
    _, answer = call(app, rest_event(image_file(digits[7]), "image/png"))
    assert answer["prediction"] == answer["labels"][0] == 7
    assert sorted(answer["labels"]) == list(range(8))


def test_a_model_of_letters_does_not_ask_for_a_digit(
    app: ModuleType, model_store: Path, publish: Publish
) -> None:
    letters = {"labels": list("ABCDEFGHIJ")}
    publish(model_store, manifest=lambda document: document["output"].update(letters))
    status, problem = call(app, rest_event(PNG, "image/png"))
    assert (status, "send one dark character on" in problem["detail"]) == (422, True)


def test_thresholds_for_other_labels_make_a_model_unavailable(
    app: ModuleType, model_store: Path, publish: Publish
) -> None:
    output = {"activation": "sigmoid", "thresholds": [0.5] * 9}
    publish(model_store, manifest=lambda document: document["output"].update(output))
    assert call(app, rest_event(GOOD, None))[0] == 503


def test_compressed_bodies_are_taken_and_given(app: ModuleType, digits: Digits) -> None:
    """A response of a kilobyte or more, that is."""
    images = [text(image_file(digits[number])) for number in range(10)]
    event = rest_event(gzip.compress(_json({"images": images})[0].encode()), "application/json")
    event["headers"] |= {"Content-Encoding": "gzip"}
    status, plain = call(app, event)
    assert (status, len(plain["predictions"])) == (200, 10)
    event["headers"] |= {"Accept-Encoding": "gzip, deflate"}
    response = app.handler(event, Context())
    assert response["headers"]["Content-Encoding"] == "gzip"
    assert response["isBase64Encoded"] is True
    assert json.loads(gzip.decompress(base64.b64decode(response["body"]))) == plain
    event["body"] = text(gzip.compress(image_file(digits[3])))
    assert call(app, event)[1]["prediction"] == 3


def test_a_body_that_is_not_in_its_coding_is_refused(app: ModuleType) -> None:
    for path in ("/predict", "/v2/models/mnist/infer"):
        event = rest_event(b"seven", "image/png", path=path)
        event["headers"] |= {"Content-Encoding": "gzip"}
        response = app.handler(event, Context())
        assert response["statusCode"] == 400
        assert "not valid gzip" in response["body"]


URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_a_drawing_without_line_ends_is_read_though_curl_calls_it_a_form(
    app: ModuleType, digits: Digits, kind: str
) -> None:
    drawing = np.kron(np.where(digits[7] > 99, 0, 255), np.ones((4, 4))).astype(np.uint8)
    colors = np.repeat(drawing[:, :, np.newaxis], 3, axis=2)
    file = tiff(112, 112, drawing.tobytes()) if kind == "TIFF" else image_file(colors, kind)
    assert not {10, 13} & set(file)
    status, body = call(app, rest_event(file, URLENCODED))
    assert (status, body["prediction"]) == (200, 7)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "JPEG", "WEBP"])
def test_a_file_without_its_line_ends_is_refused_by_the_way_it_was_sent(
    app: ModuleType, digits: Digits, kind: str
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (100, 100), dtype=np.uint8)
    file = image_file(noise, kind).translate(None, b"\r\n")
    status, body = call(app, rest_event(file, URLENCODED))
    assert (status, "--data-binary instead of -d" in body["detail"]) == (422, True)
    assert "--data-binary" not in call(app, rest_event(file, "image/jpeg"))[1]["detail"]


@pytest.mark.parametrize(("height", "depth", "status"), [(60_000, 24, 413), (60, 7, 415)])
def test_what_else_is_wrong_with_a_file_without_line_ends_is_said(
    app: ModuleType, height: int, depth: int, status: int
) -> None:
    header = struct.pack("<2sIIIIiiHHI", b"BM", 0, 0, 54, 40, 600, height, 1, depth, 0)
    answer, body = call(app, rest_event(header.ljust(2_000, b"\0"), URLENCODED))
    assert (answer, "--data-binary" in body["detail"]) == (status, False)


def test_a_batch_that_would_outlive_the_function_is_refused(
    app: ModuleType, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time left is Lambda's; here, each look at it is a second later."""
    monkeypatch.setattr(pace, "_paces", {})
    body, kind = _json({"images": [text(image_file(digits[1]))] * 32})
    assert app.handler(rest_event(body, kind), Context())["statusCode"] == 200

    @dataclass
    class Late(Context):
        left: int = 2_000

        def get_remaining_time_in_millis(self) -> int:
            self.left -= 1_000
            return self.left

    monkeypatch.setattr(pace, "_paces", {})
    response = app.handler(rest_event(body, kind), Late())
    assert response["statusCode"] == 413
    assert "s for a picture here, so 32 would take longer" in json.loads(response["body"])["detail"]


PNG = image_file(np.zeros((28, 28), dtype=np.uint8))
GOOD = text(image_file(np.pad(np.full((20, 3), 255, dtype=np.uint8), ((4, 4), (12, 13)))))


def _json(document: Any) -> tuple[str, str]:
    return json.dumps(document), "application/json"


BAD: dict[str, tuple[int, str, tuple[bytes | str, str | None]]] = {
    # what is wrong: the status, part of the detail, body and content type
    "malformed JSON": (400, "send application/json", ("{", "application/json")),
    "too many images": (413, "at most 32", _json({"images": [GOOD] * 33})),
    "another type": (415, "image/png", (b"seven", "text/plain")),
    "a truncated image": (422, "truncated", (PNG[:-30], "image/png")),
    "a blank image in a batch": (422, "images[1]: the ima", _json({"images": [GOOD, text(PNG)]})),
}


@MAKERS
@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_refused_with_what_to_send(app: ModuleType, make: Any, fault: str) -> None:
    """One fault of each kind: the modules' own tests have the others."""
    expected, detail, (body, content_type) = BAD[fault]
    status, problem = call(app, make(body, content_type))
    assert status == expected
    assert detail in problem["detail"]
    assert problem["request_id"] == "gateway-1"


@pytest.mark.parametrize(
    "path",
    ["/predictions", "/predict/7", "/PREDICT", "/health/live", "/openapi.yaml", "/openapi_json"],
)
def test_another_path_is_not_found(app: ModuleType, path: str) -> None:
    status, problem = call(app, rest_event(PNG, "image/png", path=path))
    assert (status, "POST an image to /predict" in problem["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/predict", "GET", "POST"),
        ("/predict", "DELETE", "POST"),
        ("/predict", "HEAD", "POST"),
        ("/", "POST", "GET, HEAD"),
        ("/health", "POST", "GET, HEAD"),
        ("/ready", "PUT", "GET, HEAD"),
        ("/model", "OPTIONS", "GET, HEAD"),
        ("/openapi.json", "PATCH", "GET, HEAD"),
    ],
)
def test_another_method_is_told_the_allowed_ones(
    app: ModuleType, path: str, method: str, allow: str
) -> None:
    event = rest_event("", None, path=path, httpMethod=method)
    assert call(app, event)[0] == 405
    assert app.handler(event, Context())["headers"]["Allow"] == allow


@pytest.mark.parametrize("event", [None, [], [{}], "event", 7, {}, {"picture": "Zm9v"}])
def test_an_event_that_is_no_http_request_is_answered_by_a_problem(
    app: ModuleType, event: Any
) -> None:
    problem = app.handler(event, Context())
    assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
    assert (problem["status"], problem["request_id"]) == (400, "lambda-1")
    assert "API Gateway" in problem["detail"]


@pytest.mark.parametrize(
    "event",
    [
        {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
        {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"},
        {"source": "serverless-plugin-warmup"},
    ],
    ids=lambda event: event["source"],
)
def test_a_warm_up_loads_the_model_and_says_which(
    app: ModuleType, model_store: Path, publish: Publish, event: Event
) -> None:
    (version,) = (path.name for path in (model_store / "mnist" / "versions").iterdir())
    assert not app.models.is_loaded
    assert app.handler(event, Context()) == {
        "status": "ready",
        "model": {"name": "mnist", "version": version},
    }
    assert app.models.is_loaded


def test_a_warm_up_without_a_model_says_so_and_counts_as_a_failed_load(
    app: ModuleType, model_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(model_store)
    problem = app.handler({"source": "serverless-plugin-warmup"}, Context())
    assert (problem["status"], problem["request_id"]) == (503, "lambda-1")
    (metric_line,), _ = lines(capsys)
    assert metric_line["ModelLoadFailure"] == [1.0]


def test_a_direct_invocation_gets_the_body_that_http_gets(app: ModuleType, digits: Digits) -> None:
    images = [text(image_file(digits[number])) for number in (3, 5)]
    for document in ({"image": images[0]}, {"images": images}):
        _, body = call(app, rest_event(*_json(document)))
        direct = app.handler(document, Context())
        assert direct == body | {"request_id": "lambda-1"}


def test_a_direct_invocation_holds_query_parameters_beside_its_image(
    app: ModuleType, digits: Digits
) -> None:
    event = {
        "image": text(image_file(digits[3])),
        "preprocess": "none",
        "input": True,
        "note": None,
    }
    assert app.handler(event, Context())["input"].startswith("data:image/png;base64,")
    problem = app.handler(event | {"preprocess": "all"}, Context())
    assert "preprocess must be auto or none" in problem["detail"]


@pytest.mark.parametrize(
    ("event", "status", "fact"),
    [
        ({"image": "seven.png"}, 400, "file name or path"),
        ({"image": text(b"seven")}, 422, "no image"),
        ({"images": []}, 400, "a list of 1 to 32"),
        ({"image": GOOD, "images": [GOOD]}, 400, "either"),
        ({"images": [GOOD] * 33}, 413, "at most 32"),
        ({"instances": [GOOD] * 2}, 400, "several images were sent"),
        ({"image_url": "https://example.com/7.png"}, 400, "URL was sent"),
    ],
)
def test_what_a_direct_invocation_did_wrong_comes_back_as_a_problem(
    app: ModuleType, event: Event, status: int, fact: str
) -> None:
    """It is the client's mistake, and so no failure of the function."""
    problem = app.handler(event, Context())
    assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
    assert (problem["status"], problem["request_id"]) == (status, "lambda-1")
    assert fact in problem["detail"]


def test_an_event_of_a_queue_fails_the_invocation(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lambda takes any answer for success, and the queue would delete its messages."""
    event = {"Records": [{"eventSource": "aws:sqs", "body": json.dumps({"image": GOOD})}]}
    with pytest.raises(UnsupportedEvent, match="aws:sqs"):
        app.handler(event, Context())
    _, logs = lines(capsys)
    (error,) = (line for line in logs if line["level"] == "ERROR")
    assert "aws:sqs" in error["detail"]
    assert not app.models.is_loaded


@pytest.mark.parametrize("path", ["/predict", "/health", "/nothing"])
@pytest.mark.parametrize("origin", ["https://www.example.org", ""])
def test_a_preflight_is_granted_to_the_site_that_is_named_and_to_no_other(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, path: str, origin: str
) -> None:
    """Function URLs and load balancers leave preflights to the function."""
    monkeypatch.setenv("CORS_ORIGIN", origin)
    asked = {"origin": "https://www.example.org", "access-control-request-method": "POST"}
    context = {"http": {"method": "OPTIONS", "path": path}}
    event = {"version": "2.0", "rawPath": path, "headers": asked, "requestContext": context}
    response = app.handler(event, Context())
    assert (response["statusCode"], response["body"]) == (204, "")
    granted = {name for name in response["headers"] if name.startswith("Access-Control-")}
    names = ("Allow-Origin", "Allow-Methods", "Allow-Headers", "Max-Age")
    assert granted == ({f"Access-Control-{name}" for name in names} if origin else set())
    if origin:
        assert response["headers"]["Access-Control-Allow-Origin"] == origin
        assert "POST" in response["headers"]["Access-Control-Allow-Methods"]
        allowed = response["headers"]["Access-Control-Allow-Headers"].split(",")
        assert {"content-type", "x-api-key", "authorization"} <= set(allowed)


@pytest.mark.parametrize(
    ("form", "lists"), [("headers", False), ("multiValueHeaders", True)], ids=["single", "multi"]
)
def test_a_load_balancer_gets_its_form_of_the_answer(
    app: ModuleType, digits: Digits, form: str, *, lists: bool
) -> None:
    for file, kind, status, words in [
        (image_file(digits[3]), "image/png", 200, "200 OK"),
        (b"body {}", "text/css", 415, "415 "),
    ]:
        event = rest_event(file, None, requestContext={"elb": {"targetGroupArn": "-"}})
        del event["headers"]
        headers = {"content-type": [kind] if lists else kind}
        response = app.handler(event | {form: headers}, Context())
        assert (response["statusCode"], response["isBase64Encoded"]) == (status, False)
        assert response["statusDescription"].startswith(words)
        assert ("headers" in response, "multiValueHeaders" in response) == (not lists, lists)
        sent = response[form]["Content-Type"]
        assert isinstance(sent, list) == lists
        assert json.loads(response["body"])["request_id"] == "lambda-1"


def test_an_answer_carries_what_the_model_saw_if_asked_to(app: ModuleType, digits: Digits) -> None:
    query: Event = {"queryStringParameters": {"preprocess": "none", "input": "true"}}
    images = [text(image_file(digits[number])) for number in (3, 5)]
    _, answer = call(app, rest_event(*_json({"images": images}), **query))
    for found, number in zip(answer["predictions"], (3, 5), strict=True):
        kind, _, content = found["input"].partition(",")
        assert kind == "data:image/png;base64"
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert (seen == digits[number]).all()


def test_a_form_is_a_batch_if_it_holds_more_than_one_image(app: ModuleType, digits: Digits) -> None:
    def form(*numbers: int) -> tuple[bytes, str]:
        parts = [
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="digit.png"\r\n\r\n'
            + image_file(digits[number])
            for number in numbers
        ]
        return b"\r\n".join([*parts, b"--x--\r\n"]), "multipart/form-data; boundary=x"

    assert call(app, rest_event(*form(4)))[1]["prediction"] == 4
    answer = call(app, rest_event(*form(7, 0, 7)))[1]
    assert [found["prediction"] for found in answer["predictions"]] == [7, 0, 7]


def test_a_batch_has_at_most_32_megapixels(app: ModuleType) -> None:
    """A picture of 16 megapixels is 2 KB in the right format: 32 of them would take 20 s."""
    file = io.BytesIO()
    page = Image.new("1", (4000, 4000), 1)
    page.paste(0, (1000, 500, 1300, 3500))
    page.save(file, "PNG")
    two, three = ([text(file.getvalue())] * count for count in (2, 3))
    assert call(app, rest_event(*_json({"images": two})))[0] == 200
    status, problem = call(app, rest_event(*_json({"images": three})))
    assert status == 413
    assert problem["detail"].startswith("images[2]: ")
    assert "32 megapixels" in problem["detail"]


def test_health_does_not_touch_the_model(app: ModuleType, model_store: Path) -> None:
    shutil.rmtree(model_store)
    status, body = call(app, rest_event("", None, path="/health", httpMethod="GET"))
    assert (status, body) == (200, {"status": "ok"})
    assert not app.models.is_loaded


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v2x", "application/problem+json"),
        ("/v2x/models", "application/problem+json"),
        ("/v2/nothing", "application/json"),
    ],
)
def test_an_unknown_path_is_answered_in_the_form_of_its_api(
    app: ModuleType, path: str, content_type: str
) -> None:
    """The protocol's begins at /v2, and not at any path with these letters."""
    response = app.handler(rest_event(b"", None, path=path, httpMethod="GET"), Context())
    assert response["statusCode"] == 404
    assert response["headers"]["Content-Type"] == content_type


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/model", "/openapi.json", "/v2"])
def test_head_answers_what_get_does_without_a_body(app: ModuleType, path: str) -> None:
    get, head = (
        app.handler(rest_event("", None, path=path, httpMethod=method), Context())
        for method in ("GET", "HEAD")
    )
    assert get["statusCode"] == 200
    assert get["body"]
    assert head == get | {"body": ""}


def test_without_a_model_the_answer_is_503_until_there_is_one(
    app: ModuleType,
    model_store: Path,
    publish: Publish,
    digits: Digits,
    capsys: pytest.CaptureFixture[str],
    no_pause: None,
) -> None:
    event = rest_event(image_file(digits[3]), "image/png")
    shutil.rmtree(model_store)
    for _ in range(2):
        assert call(app, event)[0] == 503
        assert int(app.handler(event, Context())["headers"]["Retry-After"]) > 0
    metrics, logs = lines(capsys)
    assert [line["ModelLoadFailure"] for line in metrics] == [[1.0]] * 4
    assert any(line["level"] == "ERROR" and "exception" in line for line in logs)

    publish(model_store, manifest=lambda document: document.pop("input"))
    assert call(app, event)[0] == 503
    publish(model_store)
    status, body = call(app, event)
    assert (status, body["prediction"]) == (200, 3)


def test_for_a_second_after_a_failed_load_the_answer_is_503_at_once(
    app: ModuleType,
    model_store: Path,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    digits: Digits,
) -> None:
    """With Retry-After, and although there is a model by then."""
    now = [1000.0]
    monkeypatch.setattr("classifier.model.fetch._clocks", lambda: now * 2)
    shutil.rmtree(model_store)
    event = rest_event(image_file(digits[3]), "image/png")
    first = app.handler(event, Context())
    publish(model_store)
    second = app.handler(event, Context())
    assert (first["statusCode"], second["statusCode"]) == (503, 503)
    assert second["headers"]["Retry-After"] == first["headers"]["Retry-After"]
    now[0] += 1.3
    assert app.handler(event, Context())["statusCode"] == 200


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODEL_STORE_URL", "s3:/models"),
        ("MODEL_STORE_URL", ""),
        ("MODEL_NAME", "a/b"),
        ("MODEL_VERSION", "next one"),
        ("AWS_ENDPOINT_URL", "nonsense"),
    ],
)
def test_a_wrong_setting_is_a_500_that_only_the_log_explains(
    app: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    digits: Digits,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    """No retry mends it, so none is invited."""
    monkeypatch.setenv("MODEL_STORE_URL", "s3://models")
    monkeypatch.setenv(variable, value)
    response = app.handler(rest_event(image_file(digits[3]), "image/png"), Context())
    assert response["statusCode"] == 500
    assert "Retry-After" not in response["headers"]
    assert variable not in response["body"]
    metrics, logs = lines(capsys)
    assert metrics[0]["ModelLoadFailure"] == [1.0]
    (error,) = (line for line in logs if line["level"] == "ERROR")
    assert re.match(rf"{variable}(:| is) {re.escape(repr(value))}.* expected ", error["detail"])


def test_bad_input_is_refused_as_such_even_without_a_model(
    app: ModuleType, model_store: Path
) -> None:
    shutil.rmtree(model_store)
    assert call(app, rest_event("{", "application/json"))[0] == 400


def test_what_fails_inside_is_logged_and_not_told(
    app: ModuleType,
    digits: Digits,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret of /var/task")

    monkeypatch.setattr(predict, "traits", fail)
    response = app.handler(rest_event(image_file(digits[3]), "image/png"), Context())
    assert response["statusCode"] == 500
    for inside in ("secret", "RuntimeError", "Traceback", ".py"):
        assert inside not in json.dumps(response)
    _, logs = lines(capsys)
    (error,) = (line for line in logs if line["level"] == "ERROR")
    assert "RuntimeError: secret of /var/task" in error["exception"]
    assert error["request_id"] == "gateway-1"
    assert call(app, rest_event("", None, path="/health", httpMethod="GET"))[0] == 200


def test_metrics_of_a_cold_and_a_warm_request(
    app: ModuleType, digits: Digits, capsys: pytest.CaptureFixture[str]
) -> None:
    event = rest_event(image_file(digits[3]), "image/png")
    answer = call(app, event)[1]
    call(app, event)
    (cold, warm), _ = lines(capsys)
    assert cold["ColdStart"] == [1.0]
    assert warm["ColdStart"] == [0.0]
    assert cold["ModelLoadMs"][0] > 0
    assert "ModelLoadMs" not in warm
    for line in (cold, warm):
        assert line["PreprocessMs"][0] > 0
        assert line["InferenceMs"][0] > 0
        assert line["Confidence"] == [answer["confidence"]]
        assert line["model_version"] == answer["model"]["version"]
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "ClassifierOnLambda"
        units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
        assert units.keys() <= line.keys()
        assert units["PreprocessMs"] == units["InferenceMs"] == "Milliseconds"
        assert directive["Dimensions"] == [["service"], ["service", "function_version"]]
        assert (line["service"], line["function_version"]) == ("predict", "$LATEST")


def test_a_batch_counts_the_confidence_of_each_image(
    app: ModuleType, digits: Digits, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [text(image_file(digit)) for digit in digits]
    answer = call(app, rest_event(*_json({"images": images})))[1]
    (line,), _ = lines(capsys)
    assert line["Confidence"] == [found["confidence"] for found in answer["predictions"]]


def test_log_lines_carry_the_request_and_the_model(
    app: ModuleType, digits: Digits, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(app, rest_event(image_file(digits[3]), "image/png"))[1]
    metrics, logs = lines(capsys)
    assert all(line["request_id"] == "gateway-1" for line in metrics + logs)
    assert all(line["function_request_id"] == "lambda-1" for line in metrics + logs)
    (line,) = (line for line in metrics if line["message"] == "predicted")
    assert line["model_version"] == answer["model"]["version"]
    assert line["predictions"] == [3]


def test_a_refusal_is_logged_with_its_reason_and_without_alarm(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = call(app, rest_event(PNG, "image/png"))[1]
    metrics, logs = lines(capsys)
    (line,) = (line for line in logs if line["message"] == "refused")
    assert (line["level"], line["status"]) == ("INFO", 422)
    assert (line["detail"], line["request_id"]) == (problem["detail"], "gateway-1")
    (metric_line,) = metrics
    assert "ColdStart" in metric_line
    assert "ModelLoadFailure" not in metric_line
    assert metric_line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "snap-start"])
def test_an_init_that_nobody_waits_for_loads_the_model(
    start: Callable[[], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    digits: Digits,
    kind: str,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    app = start()
    assert app.models.is_loaded
    assert call(app, rest_event(image_file(digits[3]), "image/png"))[1]["prediction"] == 3


def test_an_init_on_demand_leaves_the_model_to_the_first_request(
    start: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    assert not start().models.is_loaded


def test_an_init_without_a_model_still_starts_and_recovers(
    start: Callable[[], ModuleType],
    model_store: Path,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    digits: Digits,
    no_pause: None,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    shutil.rmtree(model_store)
    app = start()
    event = rest_event(image_file(digits[3]), "image/png")
    assert call(app, event)[0] == 503
    publish(model_store)
    assert call(app, event)[0] == 200


@pytest.mark.parametrize(
    "event", [pytest.param(path, id=path.stem) for path in sorted((ROOT / "events").glob("*.json"))]
)
def test_every_sample_event_is_answered_without_an_error_of_ours(
    app: ModuleType, event: Path
) -> None:
    response = app.handler(json.loads(event.read_text()), Context())
    assert response.get("statusCode", 200) < 500
    assert response.get("status", 200) != 503


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["image", "images", "http", "method"]), inner)
    ),
    max_leaves=6,
)
KEYS = sorted(rest_event("", "image/png") | http_event("", "image/png"))
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED
@given(
    event=json_value
    | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), json_value, max_size=8)
)
@example(event={"requestContext": "prod"})
@example(event={"image": None})
def test_any_event_is_answered_and_never_with_an_error_of_ours(app: ModuleType, event: Any) -> None:
    response = app.handler(event, Context())
    assert response.get("statusCode", response.get("status")) < 500


@SHARED
@given(
    make=st.sampled_from([rest_event, http_event]),
    changes=st.dictionaries(st.sampled_from(KEYS), json_value, max_size=2),
)
def test_a_good_event_with_parts_of_any_kind_is_answered(
    app: ModuleType, make: Any, changes: Event
) -> None:
    assert call(app, make(base64.b64decode(GOOD), "image/png") | changes)[0] < 500


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    """Image of random pixels in a random format, with some bytes changed and its end cut."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).choice(
        np.array([0, 255], dtype=np.uint8), (height, width), p=[0.2, 0.8]
    )
    kind = draw(st.sampled_from([accepted.name for accepted in formats.ACCEPTED]))
    file = bytearray(image_file(pixels, kind))
    for place in draw(st.lists(st.integers(0, len(file) - 1), max_size=3)):
        file[place] = draw(st.integers(0, 255))
    return bytes(file[: draw(st.just(len(file)) | st.integers(0, len(file)))])


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on what it can still read
@SHARED
@given(
    make=st.sampled_from([rest_event, http_event]),
    content_type=st.sampled_from(
        [
            "application/json",
            "image/png",
            None,
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ]
    ),
    body=st.binary(max_size=60)
    | damaged_images().map(base64.b64encode)
    | st.text(alphabet="image=&%2B+/-_ \\n\"'{}[]:;,.", max_size=40).map(str.encode)
    | damaged_images()
    | json_value.map(lambda document: json.dumps(document).encode())
    | st.lists(damaged_images().map(text), min_size=1, max_size=3).map(
        lambda images: json.dumps({"images": images}).encode()
    ),
    mode=st.sampled_from(["auto", "none"]),
)
def test_any_body_is_answered_and_never_with_an_error_of_ours(
    app: ModuleType, make: Any, content_type: str | None, body: bytes, mode: str
) -> None:
    event = make(body, content_type, queryStringParameters={"preprocess": mode})
    assert call(app, event)[0] < 500
