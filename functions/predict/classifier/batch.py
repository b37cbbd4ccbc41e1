"""Lambda handler for Step Functions: object keys in, a prediction or an error for each out.

It runs from the same image as the HTTP function, with the same preprocessing and model, and one
forward pass per batch. docs/batch.md describes the workflow that calls it.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from reprlib import repr as short
from typing import Any

from classifier.errors import PredictError, TooLarge, UnreadableImage
from classifier.http.response import judged, predictions
from classifier.image.limits import limit_memory, silence_pillow
from classifier.image.pixels import Picture
from classifier.mode import Mode
from classifier.model import pace
from classifier.model.session import LazyModel, Model
from classifier.model.store import open_bucket
from classifier.prepare.located import Located
from classifier.prepare.pipeline import locate

MAX_BYTES = 32 * 1024 * 1024  # of one image file, ample for 16 megapixels
_READERS = 16  # threads, which mostly wait for S3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

limit_memory()
silence_pillow()
model = LazyModel()


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Classify a batch of a Distributed Map.

    event: {"BatchInput": {"bucket", "preprocess"}, "Items": [{"key"}, …]}. An unreadable image
    gets an `error` instead of a prediction. There are no probabilities: those of a thousand classes
    would exceed the 256 KiB that Step Functions accepts. Failures worth a retry, such as an
    unreachable model or bucket, are raised for Step Functions to retry.
    """
    batch = event["BatchInput"]
    keys = [item["key"] for item in event["Items"]]
    loaded = model.get()
    mode: Mode = "none" if batch.get("preprocess") == "none" else "auto"
    results = classify(loaded, _contents(batch["bucket"], keys), mode)
    for result in results:
        result.pop("probabilities", None)
    return {
        "model": {"name": loaded.name, "version": loaded.version},
        "results": [{"key": key, **result} for key, result in zip(keys, results, strict=True)],
    }


def classify(
    loaded: Model, contents: Sequence[bytes | PredictError], mode: Mode
) -> list[dict[str, Any]]:
    """Classify image files; return a prediction or an error for each, in order.

    The prediction is always the nearest class. Where the model can reject pictures, a
    `digit_probability` or `class_probability` says how likely a picture shows one.
    """
    pictures, errors = [], {}
    for index, content in enumerate(contents):
        try:
            if isinstance(content, PredictError):
                raise content
            picture = Picture(content, is_whole=loaded.preprocess.is_whole)
            pictures.append(locate(loaded.preprocess, picture, mode))
        except PredictError as error:
            errors[index] = {"error": error.detail}
    answers = iter(_answers(loaded, pictures) if pictures else ())
    return [errors.get(index) or next(answers) for index in range(len(contents))]


def _answers(loaded: Model, pictures: list[Located]) -> list[dict[str, Any]]:
    samples = [sample for picture in pictures for sample in picture.samples]
    passes = pace.of(loaded.name, loaded.version)
    probabilities = passes.run(loaded.probabilities, loaded.encode(samples), None)
    answers = predictions(probabilities, loaded.labels, loaded.manifest.output.thresholds)
    return [
        judged(
            answer,
            loaded.manifest.rejection,
            loaded.manifest.score_name,
            picture.score_of(0),
            reject=False,
        )
        for answer, picture in zip(answers, pictures, strict=True)
    ]


def is_path(key: str) -> bool:
    """Whether obstore can read this key: it rejects or drops empty parts and dots."""
    return not (_CONTROL.search(key) or {"", ".", ".."} & set(key.split("/")))


def _contents(bucket: str, keys: list[str]) -> list[bytes | PredictError]:
    from obstore.exceptions import PermissionDeniedError  # noqa: PLC0415 - as in store.py

    objects = open_bucket(bucket, "", seconds=10)

    def read(key: str) -> bytes | PredictError:
        if not is_path(key):
            return UnreadableImage(
                f"the key must be a path such as a/b.png, without empty parts, '.', '..' and "
                f"control characters, got {short(key)}"
            )
        try:
            fetched = objects.get(key)
            if fetched.meta["size"] > MAX_BYTES:
                return TooLarge(
                    f"the object must have at most {MAX_BYTES} bytes, got {fetched.meta['size']}"
                )
            return bytes(fetched.bytes())
        except (FileNotFoundError, PermissionDeniedError):
            return UnreadableImage("the object does not exist, or access to it is denied")

    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(read, keys))
