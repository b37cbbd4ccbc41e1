"""POST /predict: the steps of one image, one per module.

request → payload → image → prepare → model → response
"""

import os
import time
from typing import Any

from classifier.errors import PredictError
from classifier.http.event import Request
from classifier.http.payload import Payload, read
from classifier.http.response import Response, input_preview, ok
from classifier.image.limits import Allowance
from classifier.image.pixels import Picture
from classifier.model.session import Model
from classifier.monitoring.telemetry import logger, metrics, timed
from classifier.monitoring.traits import paper, traits
from classifier.prepare.encoding import Sample
from classifier.prepare.pipeline import Pipeline
from classifier.served import Served


def predict(request: Request, served: Served) -> Response:
    """Classify one image, or a batch in one forward pass."""
    payload = read(request)
    model = served.model()
    with timed("PreprocessMs"):
        samples, papers = _prepare(payload, model.preprocess)
        observed = traits(samples, papers)
    answers = served.classify(model, model.encode(samples)).predictions
    for name, value in {"preprocess": payload.mode, **observed}.items():
        metrics.add_metadata(name, value)
    if os.environ.get("CAPTURE_URL"):
        _capture(model, samples, answers, request.request_id)
    if payload.with_input:
        for answer, sample in zip(answers, samples, strict=True):
            answer["input"] = input_preview(sample)
    about = {
        "model": {"name": model.name, "version": model.version},
        "request_id": request.request_id,
    }
    return ok({"predictions": answers, **about} if payload.is_batch else {**answers[0], **about})


def _prepare(payload: Payload, preprocess: Pipeline) -> tuple[list[Sample], list[float]]:
    """Samples of all images, and the brightness of each one's paper.

    An unreadable image fails the batch; the error names its index.
    """
    samples, papers = [], []
    allowance = Allowance()
    for index, image in enumerate(payload.images):
        try:
            picture = Picture(image, allowance=allowance)
            samples.append(preprocess(picture.pixels, payload.mode, picture.detail))
            papers.append(paper(picture.pixels))
            del picture  # before the next one is decoded: it may hold 64 MB
        except PredictError as error:
            if payload.is_batch:
                error.detail = f"images[{index}]: {error.detail}"
            raise
    return samples, papers


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
