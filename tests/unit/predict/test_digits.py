"""predict.py with a model that finds digits: several of them, none, and other things."""

import base64
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier import batch, handler, predict
from classifier.model.models import Models
from tests.conftest import Publish
from tests.support.finders import tint_finder, tinted

type Digits = NDArray[np.uint8]
type Ask = Callable[..., tuple[int, dict[str, Any]]]
type Spot = tuple[int, int, int]  # digit, and top and left of its sample

FINDER = tint_finder()
SCALE = 5  # pixels of a picture for a pixel of a sample
AS_CONFIDENT = {"threshold": 0.75, "slope": 1, "offset": 0}


@dataclass
class Context:
    aws_request_id: str = "lambda-1"


@pytest.fixture
def folder(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the version that is served, with a finder and a threshold."""

    def edit(document: dict[str, Any]) -> None:
        sha256 = hashlib.sha256(FINDER).hexdigest()
        document["finder"] = {"sha256": sha256, "bytes": len(FINDER)}
        document["rejection"] = AS_CONFIDENT

    version = publish(tmp_path, manifest=edit)
    folder = tmp_path / "mnist" / "versions" / version
    (folder / "finder.onnx").write_bytes(FINDER)
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    for name in ("MODEL_NAME", "MODEL_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(handler, "models", Models())
    return folder


@pytest.fixture
def ask(folder: Path) -> Ask:
    """Send pictures, one or as a batch, with a query; return status and body."""

    def send(*pictures: Digits, **query: str) -> tuple[int, dict[str, Any]]:
        files = [base64.b64encode(png(picture)).decode() for picture in pictures]
        event = {
            "httpMethod": "POST",
            "path": "/predict",
            "headers": {"Content-Type": "application/json"},
            "queryStringParameters": query,
            "requestContext": {"requestId": "gateway-1", "stage": "dev"},
            "body": json.dumps({"image": files[0]} if len(files) == 1 else {"images": files}),
            "isBase64Encoded": False,
        }
        response = handler.handler(event, Context())
        return response["statusCode"], json.loads(response["body"])

    return send


def png(picture: Digits) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def page(digits: Digits, *spots: Spot, size: tuple[int, int] = (400, 560)) -> Digits:
    """Digits on a white picture, their middles as the finder knows them."""
    ink, middles = np.zeros(size, np.uint8), []
    for digit, top, left in spots:
        side = 28 * SCALE
        large = Image.fromarray(digits[digit]).resize((side, side), Image.Resampling.BICUBIC)
        ink[top : top + side, left : left + side] = np.asarray(large)
        upper, lower, first, last = extent(digits[digit], top, left)
        down, across = round((lower - upper) * 0.2), round((last - first) * 0.2)
        middles.append((slice(upper + down, lower - down), slice(first + across, last - across)))
    return tinted(ink, middles)


def extent(digit: Digits, top: int, left: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the ink of a sample put on a picture."""
    rows, columns = (np.flatnonzero((digit > 100).any(axis=axis)) for axis in (1, 0))
    return (
        top + int(rows[0]) * SCALE,
        top + int(rows[-1] + 1) * SCALE,
        left + int(columns[0]) * SCALE,
        left + int(columns[-1] + 1) * SCALE,
    )


def writing() -> Digits:
    """A block that the finder takes for other writing; to the model it is some digit."""
    ink = np.zeros((300, 300), np.uint8)
    part = slice(60, 240), slice(100, 200)
    ink[part] = 255
    return tinted(ink, [], [part])


BLANK = np.full((300, 300, 3), 245, np.uint8)


def test_a_single_digit_has_its_box_and_the_number_of_others(ask: Ask, digits: Digits) -> None:
    status, body = ask(page(digits, (7, 150, 200)))
    assert (status, body["prediction"], body["others"]) == (200, 7, 0)
    top, bottom, left, right = extent(digits[7], 150, 200)
    assert body["box"] == pytest.approx([left, top, right, bottom], abs=12)
    assert body["digit_probability"] == pytest.approx(body["confidence"], abs=2e-6)
    assert "reason" not in body


def test_a_digit_is_read_beside_something_larger_that_is_none_to_the_reader(
    ask: Ask, digits: Digits
) -> None:
    """As of a digit beside one that was scribbled out."""
    scribble = np.maximum(digits[5], digits[9].T)
    shown = np.concatenate([digits, scribble[np.newaxis]])
    _, body = ask(page(shown, (10, 150, 60)))
    assert (body["prediction"], body["others"]) == (None, 0)
    _, body = ask(page(shown, (10, 150, 60), (7, 150, 330)))
    assert (body["prediction"], body["others"]) == (7, 1)


@pytest.mark.usefixtures("folder")
def test_wherever_one_sample_stands_for_a_picture_it_is_the_most_prominent_digit(
    digits: Digits,
) -> None:
    files = [png(page(digits, (3, 0, 0), (0, 130, 210))), png(page(digits, (7, 150, 200)))]
    model = handler.models.get()
    assert [answer["prediction"] for answer in batch.classify(model, files, "auto")] == [0, 7]
    batch_of_two = model.encode(predict.samples_of(files, model))
    assert model.probabilities(batch_of_two).argmax(axis=1).tolist() == [0, 7]


def test_the_most_prominent_digit_is_read_and_the_others_are_counted(
    ask: Ask, digits: Digits
) -> None:
    shown = page(digits, (3, 0, 0), (0, 130, 210), (4, 250, 410))
    status, body = ask(shown)
    assert (status, body["prediction"], body["others"]) == (200, 0, 2)


def test_all_digits_are_a_text_in_reading_order(ask: Ask, digits: Digits) -> None:
    spots = [(1, 10, 0), (9, 20, 140), (0, 0, 280), (3, 230, 60), (7, 240, 300)]
    status, body = ask(page(digits, *reversed(spots)), digits="many")
    assert (status, body["text"]) == (200, "19037")
    assert list(body) == ["text", "digits", "model", "request_id"]
    for (digit, *place), answer in zip(spots, body["digits"], strict=True):
        assert answer["prediction"] == digit
        assert len(answer["probabilities"]) == 10
        top, bottom, left, right = extent(digits[digit], *place)
        assert answer["box"] == pytest.approx([left, top, right, bottom], abs=14)


def test_what_is_in_doubt_is_a_digit_if_most_of_the_others_are(ask: Ask, digits: Digits) -> None:
    doubtful = np.maximum(digits[5], digits[9].T)
    shown = np.concatenate([digits, doubtful[np.newaxis]])
    texts = []
    for row in ((7, 10, 0), (7, 10, 10), (7, 10)):
        spots = [(digit, 100, 170 * place) for place, digit in enumerate(row)]
        _, body = ask(page(shown, *spots), digits="many")
        texts.append(body["text"])
    assert len(texts[0]) == 3
    assert texts[1:] == ["7", "7"]


def test_each_picture_of_a_batch_has_its_own_text(ask: Ask, digits: Digits) -> None:
    pictures = page(digits, (1, 0, 0), (7, 0, 200)), writing(), page(digits, (3, 100, 100))
    status, body = ask(*pictures, digits="many")
    assert status == 200
    assert [answer["text"] for answer in body["predictions"]] == ["17", "", "3"]
    assert [len(answer["digits"]) for answer in body["predictions"]] == [2, 0, 1]


def test_a_batch_of_single_digits_keeps_its_order(ask: Ask, digits: Digits) -> None:
    pictures = [page(digits, (number, 100, 100)) for number in (7, 3, 0)]
    _, body = ask(pictures[0], writing(), *pictures[1:])
    assert [answer["prediction"] for answer in body["predictions"]] == [7, None, 3, 0]


def test_other_writing_has_no_prediction_unless_it_is_asked_for(ask: Ask) -> None:
    status, body = ask(writing())
    assert (status, body["prediction"], body["digit_probability"]) == (200, None, 0)
    assert body["reason"]
    status, told = ask(writing(), reject="off")
    assert (status, told["digit_probability"], "reason" in told) == (200, 0, False)
    assert told["prediction"] == int(np.argmax(told["probabilities"]))
    assert told["probabilities"] == body["probabilities"]


def test_an_unsure_digit_is_left_out_of_the_text_unless_it_is_asked_for(
    ask: Ask, folder: Path, digits: Digits
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rejection"] = {"threshold": 0.5, "slope": 0.01, "offset": -9}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    shown = page(digits, (1, 0, 0), (7, 0, 200))
    assert ask(shown, digits="many")[1]["digits"] == []
    assert ask(shown, digits="many", reject="off")[1]["text"] == "17"


@pytest.mark.parametrize("query", [{}, {"digits": "many"}, {"reject": "off"}])
def test_a_picture_with_nothing_on_it_is_refused(ask: Ask, query: dict[str, str]) -> None:
    status, body = ask(BLANK, **query)
    assert status == 422
    assert "blank" in body["detail"]


def test_a_small_digit_of_a_large_picture_is_read_in_detail(ask: Ask, digits: Digits) -> None:
    """The finder is shown ten pixels of it at first, too few to read, or to know where it ends."""
    shown = page(digits, (3, 400, 700), size=(700, 1000)).repeat(3, axis=0).repeat(3, axis=1)
    status, body = ask(shown)
    assert (status, body["prediction"]) == (200, 3)
    top, bottom, left, right = (3 * edge for edge in extent(digits[3], 400, 700))
    assert body["box"] == pytest.approx([left, top, right, bottom], abs=15)


@pytest.mark.parametrize("content", [None, b"", FINDER[:-1], b"another" * 50])
def test_without_its_finder_the_model_is_unavailable_until_it_is_back(
    ask: Ask, folder: Path, digits: Digits, content: bytes | None, no_pause: None
) -> None:
    (folder / "finder.onnx").unlink()
    if content is not None:
        (folder / "finder.onnx").write_bytes(content)
    shown = page(digits, (7, 150, 200))
    status, body = ask(shown)
    assert (status, body["status"]) == (503, 503)
    sample = np.asarray(digits[7])
    assert ask(sample, preprocess="none")[1]["prediction"] == 7
    (folder / "finder.onnx").write_bytes(FINDER)
    assert ask(shown)[1]["prediction"] == 7


def test_many_digits_of_a_finished_sample_are_refused(ask: Ask, digits: Digits) -> None:
    status, body = ask(digits[7], digits="many", preprocess="none")
    assert (status, "preprocess=auto" in body["detail"]) == (400, True)


@pytest.mark.usefixtures("model_store")
def test_many_digits_need_a_model_that_finds_them(
    ask: Ask, model_store: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_STORE_URL", model_store.as_uri())
    assert ask(digits[7], digits="many")[0] == 400
    assert list(ask(digits[7])[1])[:3] == ["prediction", "confidence", "probabilities"]
