"""JSON → image files: an object with "image" or "images", the base64 text, or any one image."""

import json
import math
import re
from reprlib import repr as short  # don't echo megabytes back
from typing import Any

from classifier.errors import BadRequest, TooLarge
from classifier.http import MAX_IMAGES, base64_text
from classifier.image import formats

_JSON_TYPE = re.compile(r"(?:application|text)/(?:x-)?json|[^/]+/[^/]+\+json")
_START = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*(?:\{\s*[\"'}]|\[\s*[\"{\[\d-])")
_BEGINNING = 256  # bytes


def is_json(content_type: str) -> bool:
    """Whether a media type, in lower case, is JSON's or built on it (RFC 6839, section 3.1)."""
    return bool(_JSON_TYPE.fullmatch(content_type))


def looks_like_json(body: bytes) -> bool:
    """Whether a body of another type, or of none, begins as a JSON object or list does."""
    return bool(_START.match(body[:_BEGINNING].replace(b"\0", b"")))  # UTF-16 has zeros


def read(body: bytes, accepted: str) -> tuple[list[bytes], bool]:
    """Return the images of a body, and whether it is a batch.

    accepted: what can be sent, for the error. Raises BadRequest for malformed JSON or base64 and
    for any other document, TooLarge for over 32 images, and UnsupportedMediaType for a file of a
    known but unsupported format.
    """
    try:
        document = json.loads(body, strict=False)  # line ends in a text are base64's
    except (ValueError, RecursionError) as error:
        return [_not_json(body, error, accepted)], False
    if isinstance(document, str):
        if document.lstrip()[:1] in ("{", "["):
            raise BadRequest("the JSON was encoded twice; send the object and not its text")
        return [base64_text.decode(document, "the body")], False
    if not isinstance(document, dict) or len(document.keys() & {"image", "images"}) != 1:
        image = _embedded(document)
        if image is not None:
            return [image], False
        raise BadRequest(
            'the JSON body must be an object with either "image", a base64 string, or "images", '
            f"a list of 1 to {MAX_IMAGES} base64 strings, got {_described(document)}"
        )
    if "image" in document:
        return [_image(document["image"], "image")], False
    images = document["images"]
    if not isinstance(images, list) or not images or _are_numbers(images):
        image = _embedded(images)
        if image is not None:
            return [image], False
        raise BadRequest(
            f'"images" must be a list of 1 to {MAX_IMAGES} base64 strings, got {_described(images)}'
        )
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'"images" has {len(images)} entries; send at most {MAX_IMAGES}')
    return [_image(image, f"images[{index}]") for index, image in enumerate(images)], True


def _not_json(body: bytes, error: Exception, accepted: str) -> bytes:
    """The image of a body that is not JSON but its base64; raises what is wrong with any other."""
    image = base64_text.image_in(body, "the body")
    if image is not None:
        return image
    formats.refuse_known(body)
    reason = _reason(error, body)
    raise BadRequest(f"the body is not valid JSON ({reason}); send {accepted}") from error


def _image(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return base64_text.decode(value, f'"{name}"')
    image = _embedded(value)
    if image is not None:
        return image
    raise BadRequest(f'"{name}" must be a base64 string, got {_described(value)}')


def _embedded(document: Any) -> bytes | None:
    from classifier.http import embedded  # noqa: PLC0415 - for other shapes

    return embedded.only_image(document)


def _described(value: Any) -> str:
    """Say what a JSON value is, and how it came about where that is known."""
    if isinstance(value, dict | list):
        from classifier.http import embedded  # noqa: PLC0415 - as above

        mistake = embedded.mistake_in(value)
        kind = _described_object(value) if isinstance(value, dict) else _described_list(value)
        return f"{kind}: {mistake}" if mistake else kind
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity"
    names = {str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _described_list(value: list[Any]) -> str:
    if not value:
        return "an empty list"
    numbers = " of numbers, pixels or bytes; send the base64 of an image file"
    return "a list" + (numbers if _are_numbers(value) else "")


def _described_object(value: dict[str, Any]) -> str:
    if value.get("type") == "Buffer":
        return 'an object that Node.js makes of a Buffer; send buffer.toString("base64")'
    if not value:
        return "an empty object, which is all that JSON.stringify makes of a File or Blob"
    return f"an object with {short(list(value))}"


def _are_numbers(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reason(error: Exception, body: bytes) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if re.match(rb"\s*\{\s*'", body):
        return "its strings are in single quotes: send what json.dumps or JSON.stringify makes"
    if re.match(rb"\s*'\s*[{\[]", body):
        return "it is in single quotes, which Windows' command line takes for a part of it"
    if re.match(rb"[\w\[\]]{1,40}=", body):
        return "it is form fields"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "a number has too many digits"  # Python's own message is advice for programmers
