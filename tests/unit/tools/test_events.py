import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import (
    APIGatewayProxyEvent,
    EventBridgeEvent,
    VPCLatticeEventV2,
)
from PIL import Image

from classifier.http import event, invocation
from events.make_events import FOLDER, main, make_events

COMMITTED = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
REST = [name for name, payload in COMMITTED.items() if "resource" in payload]


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return make_events()


def test_the_script_makes_exactly_the_files_of_the_folder(made: dict[str, dict[str, Any]]) -> None:
    assert made == COMMITTED


@pytest.mark.slow
def test_writing_them_again_changes_no_byte_and_drops_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stale.json").write_text("{}")
    monkeypatch.setattr("events.make_events.FOLDER", tmp_path)
    main()
    out = capsys.readouterr().out
    assert str(len(COMMITTED)) in out
    assert str(tmp_path) in out
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}


@pytest.mark.parametrize("name", REST)
def test_an_event_is_what_a_rest_api_hands_to_its_function(name: str) -> None:
    payload = COMMITTED[name]
    read = APIGatewayProxyEvent(payload)
    assert read.resource == "/{proxy+}"
    assert read.path == f"/{read.path_parameters['proxy']}"
    assert read.http_method == read.request_context.http_method
    assert read.request_context.path == f"/{read.request_context.stage}{read.path}"
    assert read.request_context.resource_path == read.resource
    assert read.request_context.request_id
    assert read.multi_value_headers == {key: [value] for key, value in read.headers.items()}
    assert payload["multiValueQueryStringParameters"] == (
        {key: [value] for key, value in read.query_string_parameters.items()} or None
    )
    assert read.is_base64_encoded is (payload["body"] is not None)
    assert "version" not in payload


@pytest.mark.parametrize("name", REST)
def test_the_function_reads_an_event(name: str) -> None:
    payload = COMMITTED[name]
    request = event.parse(payload, "lambda's own id")
    assert (request.method, request.path) == (payload["httpMethod"], payload["path"])
    assert request.request_id == payload["requestContext"]["requestId"]
    assert base64.b64encode(request.body).decode() == (payload["body"] or "")
    assert request.headers.get("content-type") == payload["headers"].get("Content-Type")
    assert dict(request.query) == (payload["queryStringParameters"] or {})


def test_an_event_of_vpc_lattice_has_its_form_and_is_read() -> None:
    payload = COMMITTED["vpc-lattice"]
    read = VPCLatticeEventV2(payload)
    assert read.version == "2.0"
    assert read.request_context.service_arn
    assert read.request_context.identity.source_vpc_arn
    request = event.parse(payload, "lambda's own id")
    assert (request.method, request.path) == (read.http_method, read.path) == ("POST", "/predict")
    assert [request.headers["content-type"]] == payload["headers"]["content-type"]
    with Image.open(io.BytesIO(request.body)) as image:
        assert image.get_format_mimetype() == request.headers["content-type"]


def test_a_warm_up_is_a_scheduled_event_of_eventbridge() -> None:
    payload = COMMITTED["warm-up"]
    read = EventBridgeEvent(payload)
    assert (read.source, read.detail_type) == ("aws.events", "Scheduled Event")
    assert read.resources
    assert invocation.parse(payload, "-").path == "/ready"


def test_a_direct_invocation_is_an_image_alone() -> None:
    payload = COMMITTED["direct"]
    assert payload.keys() == {"image"}
    assert json.loads(invocation.parse(payload, "-").body) == payload


def test_there_is_an_event_for_every_use_and_every_usual_error() -> None:
    uses = {"json", "png", "jpeg-photo", "batch", "preprocess-none", "health"}
    uses |= {"direct", "vpc-lattice", "warm-up"}
    errors = {"bad-base64", "not-an-image", "blank-page"}
    assert uses | errors <= COMMITTED.keys()


@pytest.mark.parametrize(("name", "size"), [("png", (28, 28)), ("jpeg-photo", (1600, 1600))])
def test_a_raw_body_is_a_picture_of_its_type(name: str, size: tuple[int, int]) -> None:
    request = event.parse(COMMITTED[name], "")
    with Image.open(io.BytesIO(request.body)) as image:
        image.load()
        assert image.get_format_mimetype() == request.headers["content-type"]
        assert image.size == size


def test_a_batch_holds_each_digit_once() -> None:
    document = json.loads(event.parse(COMMITTED["batch"], "").body)
    images = [base64.b64decode(text, validate=True) for text in document["images"]]
    assert len(set(images)) == 10
