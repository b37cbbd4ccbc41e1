"""Request → encoded images: finds the image files in a body, by its content type."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from errors import BadRequest, TooLarge, UnreadableImage, UnsupportedMediaType
from event import Request
from preprocess import MODES, Mode

MAX_BODY = 4 * 1024 * 1024  # bytes; Lambda takes 6 MB a call, base64 and envelope included
MAX_IMAGES = 32

_IMAGE_TYPES = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
_TAKEN = 'application/json with {"image": "<base64>"}, or the image file itself as ' + ", ".join(
    f"image/{kind}" for kind in _IMAGE_TYPES
)
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*),", re.IGNORECASE)


@dataclass(frozen=True)
class Payload:
    """The image files of one request, and how to preprocess them."""

    images: list[bytes]
    is_batch: bool
    mode: Mode


def read(request: Request) -> Payload:
    """Find the images in a request.

    Raises TooLarge over 4 MiB or 32 images, UnsupportedMediaType for another content type, and
    BadRequest for a wrong parameter, malformed JSON or base64.
    """
    mode = _mode(request.query.get("preprocess", "auto"))
    if len(request.body) > MAX_BODY:
        raise TooLarge(
            f"the body has {len(request.body)} bytes; send at most {MAX_BODY} (4 MiB), "
            "for example a smaller picture: 1,000 pixels are plenty for one digit"
        )
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/json":
        return _from_json(request.body, mode)
    taken = {f"image/{kind}" for kind in _IMAGE_TYPES} | {"application/octet-stream", ""}
    if content_type not in taken:
        raise UnsupportedMediaType(f"content type {content_type!r} is not taken; send {_TAKEN}")
    if not request.body:
        raise UnreadableImage(f"the body is empty; send {_TAKEN}")
    return Payload([request.body], is_batch=False, mode=mode)


def _mode(value: str) -> Mode:
    for mode in MODES:
        if value == mode:
            return mode
    raise BadRequest(f"preprocess={value!r} is not known; send preprocess={' or '.join(MODES)}")


def _from_json(body: bytes, mode: Mode) -> Payload:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(f"the body is not valid JSON ({reason}); send {_TAKEN}") from error
    if not isinstance(document, dict) or len(document.keys() & {"image", "images"}) != 1:
        raise BadRequest(
            'the JSON body must be an object with either "image", a base64 string, or "images", '
            f"a list of 1 to {MAX_IMAGES} of them"
        )
    if "image" in document:
        return Payload([_from_base64(document["image"], "image")], is_batch=False, mode=mode)
    images = document["images"]
    if not isinstance(images, list) or not images:
        raise BadRequest(f'"images" must be a list of 1 to {MAX_IMAGES} base64 strings')
    if len(images) > MAX_IMAGES:
        raise TooLarge(f'"images" has {len(images)} entries; send at most {MAX_IMAGES} a request')
    files = [_from_base64(image, f"images[{index}]") for index, image in enumerate(images)]
    return Payload(files, is_batch=True, mode=mode)


def _from_base64(text: Any, where: str) -> bytes:
    if not isinstance(text, str):
        raise BadRequest(f'"{where}" must be a base64 string, it is {_json_type(text)}')
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
    header = _DATA_URL.match(text)
    if header is None or not header["parameters"].lower().endswith(";base64"):
        raise BadRequest(f'"{where}" is a data URL without ";base64,"; send base64 data')
    if not header["type"].lower().startswith("image/"):
        raise UnsupportedMediaType(
            f'"{where}" is a data URL of type {header["type"]!r}; send one of an image'
        )
    return text[header.end() :]


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
