"""Lambda handler for Step Functions: keys of a bucket in, an answer or an error for each out.

The same image as the HTTP function, started with `batch.handler`; the same preprocessing and the
same model, with one forward pass for the whole batch. docs/batch.md shows what calls it.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from classifier.errors import PredictError, TooLarge, UnreadableImage
from classifier.http.response import predictions
from classifier.image.limits import limit_memory, silence_pillow
from classifier.image.pixels import Picture
from classifier.mode import Mode
from classifier.model.session import LazyModel, Model
from classifier.model.store import open_bucket

MAX_BYTES = 32 * 1024 * 1024  # of one image file: more than 16 megapixels take
_READERS = 16  # objects read at once: each waits for S3 most of the time
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

limit_memory()
silence_pillow()
model = LazyModel()


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Classify a batch of a Distributed Map.

    event: {"BatchInput": {"bucket", "preprocess"}, "Items": [{"key"}, …]}. An image that can't be
    read has an `error` in its place. What another try may mend, a model or a bucket that can't be
    reached, is raised, for Step Functions to try again.
    """
    batch = event["BatchInput"]
    keys = [item["key"] for item in event["Items"]]
    loaded = model.get()
    mode: Mode = "none" if batch.get("preprocess") == "none" else "auto"
    results = classify(loaded, _contents(batch["bucket"], keys), mode)
    return {
        "model": {"name": loaded.name, "version": loaded.version},
        "results": [{"key": key, **result} for key, result in zip(keys, results, strict=True)],
    }


def classify(
    loaded: Model, contents: Sequence[bytes | PredictError], mode: Mode
) -> list[dict[str, Any]]:
    """Answer image files, one entry per file: a prediction, or the error of an unreadable file."""
    samples, errors = [], {}
    for index, content in enumerate(contents):
        try:
            if isinstance(content, PredictError):
                raise content
            picture = Picture(content)
            samples.append(loaded.preprocess(picture.pixels, mode, picture.detail))
        except PredictError as error:
            errors[index] = {"error": error.detail}
    answers = iter(
        predictions(loaded.probabilities(loaded.encode(samples)), loaded.labels) if samples else ()
    )
    return [errors.get(index) or next(answers) for index in range(len(contents))]


def is_path(key: str) -> bool:
    """Whether obstore asks for this very key: empty parts and dots it refuses, or drops."""
    return not (_CONTROL.search(key) or {"", ".", ".."} & set(key.split("/")))


def _contents(bucket: str, keys: list[str]) -> list[bytes | PredictError]:
    from obstore.exceptions import PermissionDeniedError  # noqa: PLC0415 - as in store.py

    objects = open_bucket(bucket, "")

    def read(key: str) -> bytes | PredictError:
        if not is_path(key):
            return UnreadableImage("no object with such a key is read; give it one like a/b.png")
        try:
            fetched = objects.get(key)
            if fetched.meta["size"] > MAX_BYTES:
                return TooLarge(f"the object has {fetched.meta['size']} bytes, over {MAX_BYTES}")
            return bytes(fetched.bytes())
        except (FileNotFoundError, PermissionDeniedError):
            return UnreadableImage("there is no such object, or it may not be read")

    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(read, keys))
