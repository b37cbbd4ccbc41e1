"""Request → encoded images: extracts the image files from a body by its content type."""

import base64
import binascii
import json
from reprlib import repr as short  # don't echo megabytes back
from typing import Any, NamedTuple

from classifier.errors import BadRequest, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.http.event import Request
from classifier.image import formats
from classifier.mode import MODES, Mode

MAX_BODY = 4 * 1024 * 1024  # bytes; Lambda accepts 6 MB per call, base64 and envelope included
MAX_IMAGES = 32

_FILE_TYPES = formats.MEDIA_TYPES | {"application/octet-stream", ""}
_ACCEPTED = (
    'application/json with {"image": "<base64>"}, multipart/form-data with a field "image", or the '
    f"image file itself as {formats.REGISTERED_TYPES}"
)
_MAX_DATA_URL_HEADER = 1024  # characters in front of the data: a type and a parameter or two


class Payload(NamedTuple):
    """The image files of one request, and how to preprocess them."""

    images: list[bytes]
    is_batch: bool
    mode: Mode
    with_input: bool  # whether each prediction includes the picture that the model saw


def read(request: Request) -> Payload:
    """Extract the images from a request.

    The declared type distinguishes JSON, forms and image files; an image's format is detected from
    its bytes. Raises TooLarge for over 4 MiB or 32 images, UnsupportedMediaType for an unsupported
    type whose bytes are not an image, and BadRequest for a wrong parameter, malformed JSON or
    base64.
    """
    mode = _choice(request, "preprocess", MODES)
    with_input = _choice(request, "input", ("false", "true")) == "true"
    if len(request.body) > MAX_BODY:
        raise TooLarge(
            f"the body has {len(request.body)} bytes; send at most {MAX_BODY} (4 MiB), "
            "for example a smaller image"
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"unsupported content encoding {short(coding)}; send the body uncompressed"
        )
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/json":
        images, is_batch = _from_json(request.body)
        return Payload(images, is_batch, mode, with_input)
    if content_type == "multipart/form-data":
        images = _from_multipart(request)
        return Payload(images, len(images) > 1, mode, with_input)
    if content_type not in _FILE_TYPES and not formats.recognise(request.body):
        formats.refuse_known(request.body)
        raise UnsupportedMediaType(
            f"unsupported content type {short(content_type)}; send {_ACCEPTED}"
        )
    if not request.body:
        raise UnreadableImage(f"the body is empty; send {_ACCEPTED}")
    return Payload([request.body], False, mode, with_input)  # noqa: FBT003 - not a batch


def _choice[T: str](request: Request, name: str, choices: tuple[T, ...]) -> T:
    value = request.query.get(name, choices[0])
    for choice in choices:
        if value == choice:
            return choice
    raise BadRequest(f"{name} must be {' or '.join(choices)}, got {short(value)}")


def _from_json(body: bytes) -> tuple[list[bytes], bool]:
    """Images of a JSON body, and whether it is a batch."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = _reason(error)
        raise BadRequest(f"the body is not valid JSON ({reason}); send {_ACCEPTED}") from error
    if not isinstance(document, dict) or len(document.keys() & {"image", "images"}) != 1:
        raise BadRequest(
            'the JSON body must be an object with either "image", a base64 string, or "images", '
            f"a list of 1 to {MAX_IMAGES} base64 strings"
        )
    if "image" in document:
        return [_from_base64(document["image"], "image")], False
    images = document["images"]
    if not isinstance(images, list) or not images:
        raise BadRequest(f'"images" must be a list of 1 to {MAX_IMAGES} base64 strings')
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'"images" has {len(images)} entries; send at most {MAX_IMAGES}')
    return [_from_base64(image, f"images[{index}]") for index, image in enumerate(images)], True


def _from_multipart(request: Request) -> list[bytes]:
    """Contents of the fields called `image`; other fields are ignored."""
    from classifier.http.form import read_fields  # noqa: PLC0415 - most requests are not forms

    images = read_fields(request.headers["content-type"], request.body, "image")
    if not images:
        raise BadRequest(
            'the form has no field "image"; send it as `curl -F image=@photo.png` does'
        )
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'the form has {len(images)} fields "image"; send at most {MAX_IMAGES}')
    return images


def _from_base64(text: Any, where: str) -> bytes:
    if not isinstance(text, str):
        raise BadRequest(f'"{where}" must be a base64 string, got {_json_type(text)}')
    text = text.lstrip()
    if text[:5].lower() == "data:":
        text = _data_url_content(text, where)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f'"{where}" is not valid base64 ({error}); encode the image file\'s bytes with the '
            "standard alphabet (A-Z a-z 0-9 + /) and padding"
        ) from error


def _data_url_content(text: str, where: str) -> str:
    header, comma, _ = text[:_MAX_DATA_URL_HEADER].partition(",")
    kind, *parameters = header[len("data:") :].split(";")
    if not comma or not parameters or parameters[-1].lower() != "base64":
        raise BadRequest(f'"{where}" is a data URL without ";base64,"; send base64 data')
    if not kind.lower().startswith(("image/", "application/octet-stream")):
        raise UnsupportedMediaType(f'"{where}" is a data URL of type {short(kind)}; send an image')
    return text[len(header) + 1 :]


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "a number has too many digits"  # Python's own message is advice for programmers


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
