"""The one image that a JSON document of another shape holds, as services and tools make them.

Imported for documents other than {"image": "<base64>"} and {"images": ["<base64>", ...]}.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from classifier.errors import PredictError
from classifier.http import base64_text, mistakes
from classifier.image import formats

_MOST_VALUES = 1000  # are looked at


def only_image(document: Any) -> bytes | None:
    """Return the image file that a document holds anywhere; None if it holds none or several.

    A file is base64 text, a list of bytes, signed or not, or an object of bytes by their index.
    """
    images = list(islice(_images(document), 2))
    return images[0] if len(images) == 1 else None


def mistake_in(document: Any) -> str | None:
    """Return why a document holds no single image, as a sentence, or None if that is unknown."""
    if next(_images(document), None):
        return 'several images were sent; send them as "images", a list'
    urls = (mistakes.name_of_url(value) for value in _values(document) if isinstance(value, str))
    return next(filter(None, urls), None)


def in_text(text: bytes) -> bytes | None:
    """Return the only image of a JSON object or list; None for any other text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return only_image(document) if isinstance(document, dict | list) else None


def _images(document: Any) -> Iterator[bytes]:
    for value in _values(document):
        content = _text(value) if isinstance(value, str) else _numbers(value)
        if content and formats.recognise(content):
            yield content


def _values(document: Any) -> Iterator[Any]:
    """A document and what is in it; the values of an object as a list."""
    values = [document]
    for _ in range(_MOST_VALUES):
        if not values:
            return
        value = values.pop()
        if isinstance(value, dict):
            value = list(value.values())
        yield value
        if isinstance(value, list):
            values += value[:_MOST_VALUES]


def _text(value: str) -> bytes | None:
    try:
        return base64_text.decode(value, "")
    except PredictError:
        return None


def _numbers(value: Any) -> bytes | None:
    if not isinstance(value, list) or not value or not isinstance(value[0], int):
        return None
    try:
        return bytes(number + 256 if number < 0 else number for number in value)
    except (TypeError, ValueError):
        return None
