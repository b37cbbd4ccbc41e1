"""Request → encoded images: finds the image files in a body, by its content type."""

import base64
import binascii
import json
from reprlib import repr as short  # a client's own megabytes are not sent back
from typing import Any, NamedTuple

from classifier.errors import BadRequest, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.http.event import Request
from classifier.image import formats
from classifier.mode import MODES, Mode

MAX_BODY = 4 * 1024 * 1024  # bytes; Lambda takes 6 MB a call, base64 and envelope included
MAX_IMAGES = 32

_FILE_TYPES = formats.MEDIA_TYPES | {"application/octet-stream", ""}
_TAKEN = (
    'application/json with {"image": "<base64>"}, multipart/form-data with a field "image", or the '
    f"image file itself as {formats.REGISTERED_TYPES}"
)
_MAX_DATA_URL_HEADER = 1024  # characters in front of the data: a type and a parameter or two


class Payload(NamedTuple):
    """The image files of one request, and how to preprocess them."""

    images: list[bytes]
    is_batch: bool
    mode: Mode
    with_input: bool  # whether each prediction shows what the model saw


def read(request: Request) -> Payload:
    """Find the images in a request.

    The declared type tells JSON and forms from image files; of which format a file is, its bytes
    tell. Raises TooLarge over 4 MiB or 32 images, UnsupportedMediaType for a type that is not
    supported of bytes that are no image, and BadRequest for a wrong parameter, malformed JSON or
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
            f"content encoding {short(coding)} is not taken; send the body uncompressed"
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
            f"content type {short(content_type)} is not supported; send {_TAKEN}"
        )
    if not request.body:
        raise UnreadableImage(f"the body is empty; send {_TAKEN}")
    return Payload([request.body], False, mode, with_input)  # noqa: FBT003 - it is no batch


def _choice[T: str](request: Request, name: str, choices: tuple[T, ...]) -> T:
    value = request.query.get(name, choices[0])
    for choice in choices:
        if value == choice:
            return choice
    raise BadRequest(f"{name}={value!r} is not known; send {name}={' or '.join(choices)}")


def _from_json(body: bytes) -> tuple[list[bytes], bool]:
    """Images of a JSON body, and whether it is a batch."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = _reason(error)
        raise BadRequest(f"the body is not valid JSON ({reason}); send {_TAKEN}") from error
    if not isinstance(document, dict) or len(document.keys() & {"image", "images"}) != 1:
        raise BadRequest(
            'the JSON body must be an object with either "image", a base64 string, or "images", '
            f"a list of 1 to {MAX_IMAGES} of them"
        )
    if "image" in document:
        return [_from_base64(document["image"], "image")], False
    images = document["images"]
    if not isinstance(images, list) or not images:
        raise BadRequest(f'"images" must be a list of 1 to {MAX_IMAGES} base64 strings')
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'"images" has {len(images)} entries; send at most {MAX_IMAGES} a request')
    return [_from_base64(image, f"images[{index}]") for index, image in enumerate(images)], True


def _from_multipart(request: Request) -> list[bytes]:
    """Contents of the fields called `image`; other fields are passed over."""
    from classifier.http.form import read_fields  # noqa: PLC0415 - most requests are no forms

    images = read_fields(request.headers["content-type"], request.body, "image")
    if not images:
        raise BadRequest(
            'the form has no field "image"; send the file in it, as `curl -F image=@photo.png` does'
        )
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'the form has {len(images)} fields "image"; send at most {MAX_IMAGES}')
    return images


def _from_base64(text: Any, where: str) -> bytes:
    if not isinstance(text, str):
        raise BadRequest(f'"{where}" must be a base64 string, it is {_json_type(text)}')
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
        raise UnsupportedMediaType(
            f'"{where}" is a data URL of type {short(kind)}; send one of an image'
        )
    return text[len(header) + 1 :]


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "a number has too many digits"  # Python's limit, with advice for its programmer


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
