"""POST /predict: the steps of one image, one per module.

request → payload → image → prepare → model → response
"""

import os
import time
from itertools import islice
from typing import Any, NamedTuple

from classifier.errors import BlankImage, PredictError, UnreadableImage
from classifier.http.event import Request
from classifier.http.payload import Payload, read
from classifier.http.response import (
    Response,
    best_labels,
    box_in_pixels,
    input_preview,
    judged,
    ok,
)
from classifier.image.limits import Allowance
from classifier.image.pixels import Picture
from classifier.model.session import Model
from classifier.monitoring import statistics
from classifier.monitoring.telemetry import logger, metrics, timed
from classifier.monitoring.traits import paper, traits
from classifier.prepare.encoding import Sample
from classifier.prepare.located import Located
from classifier.prepare.pipeline import locate
from classifier.served import Served


def predict(request: Request, served: Served) -> Response:
    """Classify one image, or a batch."""
    payload = read(request)
    model = served.model(request.query.get("model"))
    with statistics.of(model.name, model.version).request():
        results = _classify(request, payload, model, served)
    about = {
        "model": {"name": model.name, "version": model.version},
        "request_id": request.request_id,
    }
    return ok({"predictions": results, **about} if payload.is_batch else {**results[0], **about})


def samples_of(images: list[bytes], model: Model) -> list[Sample]:
    """One sample for each image file, as with the parameters' defaults."""
    payload = Payload(images, is_batch=True, mode="auto", with_input=False)
    with timed("PreprocessMs"):
        return _samples(_prepare(payload, model))


class _Prepared(NamedTuple):
    """One picture of a request."""

    located: Located
    size: tuple[int, int]  # height and width of the upright picture, in pixels
    paper: float  # brightness


def _classify(
    request: Request, payload: Payload, model: Model, served: Served
) -> list[dict[str, Any]]:
    """What is said of each picture."""
    with timed("PreprocessMs"):
        pictures = _prepare(payload, model)
        samples = _samples(pictures)
        papers = [picture.paper for picture in pictures for _ in picture.located.samples]
        observed = traits(samples, papers)
    answers = served.classify(model, model.encode(samples)).predictions if samples else []
    for name, value in {"preprocess": payload.mode, **observed}.items():
        metrics.add_metadata(name, value)
    if os.environ.get("CAPTURE_URL") and not request.is_check:
        _capture(model, samples, answers, request.request_id)
    return _results(payload, pictures, answers, model, served)


def _prepare(payload: Payload, model: Model) -> list[_Prepared]:
    """Samples of all images; one that can't be read fails the batch, by its index."""
    prepared = []
    allowance = Allowance()
    for index, image in enumerate(payload.images):
        try:
            picture = _decode(image, payload, model, allowance)
            located = locate(model.preprocess, picture, payload.mode, many=payload.many)
            prepared.append(_Prepared(located, picture.size, paper(picture.edges)))
            del picture  # before the next one is decoded: it may hold 64 MB
        except PredictError as error:
            if isinstance(error, BlankImage) and not model.manifest.is_of_digits:
                error.detail = error.detail.replace("digit", "character")
            if payload.is_batch:
                error.detail = f"images[{index}]: {error.detail}"
            raise
    return prepared


def _decode(image: bytes, payload: Payload, model: Model, allowance: Allowance) -> Picture:
    try:
        return Picture(image, is_whole=model.preprocess.is_whole, allowance=allowance)
    except UnreadableImage as error:
        if not payload.lacks_line_ends:
            raise
        raise UnreadableImage(
            "the file was sent as text, which removed its line ends; send its bytes as they are, "
            "with curl by --data-binary instead of -d"
        ) from error


def _samples(pictures: list[_Prepared]) -> list[Sample]:
    return [sample for picture in pictures for sample in picture.located.samples]


def _results(
    payload: Payload,
    pictures: list[_Prepared],
    answers: list[dict[str, Any]],
    model: Model,
    served: Served,
) -> list[dict[str, Any]]:
    """What is said of each picture: its most prominent digit, or all of them as a text."""
    remaining = iter(answers)
    results = []
    for located, size, _ in pictures:
        own = list(islice(remaining, len(located.samples)))
        digits = _judged(payload, located, size, own, model)
        if payload.many:
            digits = [digit for digit in digits if digit["prediction"] is not None]
            text = "".join(str(digit["prediction"]) for digit in digits)
            results.append({"text": text, "digits": digits})
            continue
        (digit,) = digits
        if digit["prediction"] is None and located.instead:
            tensor = model.encode(located.instead.samples)
            others = served.answers(model, tensor).predictions
            (other,) = _judged(payload, located.instead, size, others, model)
            digit = digit if other["prediction"] is None else other
        results.append(digit | ({"others": located.others} if located.boxes else {}))
    rejected = sum(result.get("prediction", 0) is None for result in results)
    metrics.add_metadata("rejected", rejected)
    return results


def _judged(
    payload: Payload,
    located: Located,
    size: tuple[int, int],
    answers: list[dict[str, Any]],
    model: Model,
) -> list[dict[str, Any]]:
    """What is said of each sample of a picture of (height, width) pixels."""
    if payload.with_input:
        for answer, sample in zip(answers, located.samples, strict=True):
            answer["input"] = input_preview(sample)
    rejection, score_name = model.manifest.rejection, model.manifest.score_name
    digits = [
        judged(answer, rejection, score_name, located.score_of(index), reject=payload.reject)
        for index, answer in enumerate(answers)
    ]
    known = sum(digit["prediction"] is not None for digit in digits)
    if payload.many and 2 * known > len(digits):
        digits = answers  # among digits, what is in doubt is one
    top_k = model.manifest.output.top_k if payload.top_k is None else payload.top_k
    if top_k:
        digits = [best_labels(digit, model.labels, top_k) for digit in digits]
    for digit, box in zip(digits, located.boxes, strict=False):
        digit["box"] = box_in_pixels(box, size)
    return digits


def _capture(
    model: Model, samples: list[Sample], answers: list[dict[str, Any]], request_id: str
) -> None:
    """Keep a share of samples for labelling; a failure is only logged."""
    from classifier.monitoring import capture  # noqa: PLC0415 - off by default

    started = time.perf_counter()
    try:
        keys = capture.keep(model, samples, answers, request_id)
    except Exception as error:  # noqa: BLE001 - obstore's own errors, a wrong setting
        logger.warning("not captured", reason=str(error))
        return
    if keys:
        capture_ms = round((time.perf_counter() - started) * 1000, 3)
        logger.info("captured", keys=keys, capture_ms=capture_ms)
