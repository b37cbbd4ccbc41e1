"""Request → encoded images: extracts the image files from a body, whatever its declared type."""

import re
from reprlib import repr as short  # don't echo megabytes back
from typing import NamedTuple

from classifier.errors import BadRequest, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.http import MAX_BODY, MAX_IMAGES
from classifier.http.event import Request
from classifier.image import formats
from classifier.mode import MODES, Mode

_FILE_TYPES = formats.MEDIA_TYPES | {"application/octet-stream", ""}
_URLENCODED = "application/x-www-form-urlencoded"
_BYTES_TYPES = _FILE_TYPES | {_URLENCODED}  # curl calls any file a form
_ENOUGH_BYTES = 1024  # of 1,000 files of random bytes none has no line end
_ACCEPTED = (
    'application/json with {"image": "<base64>"}, multipart/form-data with a field "image", or the '
    f"image file itself as {formats.REGISTERED_TYPES}"
)


class Payload(NamedTuple):
    """The image files of one request, and how to preprocess them."""

    images: list[bytes]
    is_batch: bool
    mode: Mode
    with_input: bool  # whether each prediction includes the picture that the model saw
    many: bool = False  # whether all digits are asked for, or the most prominent one
    top_k: int | None = None  # how many labels to answer with; 0: all probabilities, None: default
    reject: bool = True  # whether to answer that a picture shows none of the model's classes
    lacks_line_ends: bool = False  # whether the image is a file that `curl -d` may have damaged


def read(request: Request) -> Payload:
    """Extract the images from a request.

    Raises TooLarge for over 4 MiB or 32 images, UnsupportedMediaType for an unsupported type whose
    bytes are not an image, UnreadableImage for an empty file, and BadRequest for a wrong parameter,
    malformed JSON, base64 or form, and for a known mistake of a client.
    """
    mode = _choice(request, "preprocess", MODES)
    with_input = _choice(request, "input", ("false", "true")) == "true"
    many = _choice(request, "digits", ("one", "many")) == "many"
    reject = _choice(request, "reject", ("on", "off")) == "on"
    top_k = _top_k(request)
    if "content-encoding" in request.headers:
        from classifier.http import coding  # noqa: PLC0415 - few clients compress

        request = coding.inflated(request)
    if len(request.body) > MAX_BODY:
        raise TooLarge(
            f"the body has {len(request.body)} bytes; send at most {MAX_BODY} (4 MiB), "
            "for example a smaller image"
        )
    declared = request.headers.get("content-type", "")
    images, is_batch = _images(declared, request.body)
    lacks_line_ends = declared == _URLENCODED and _lacks_line_ends(request.body)
    return Payload(images, is_batch, mode, with_input, many, top_k, reject, lacks_line_ends)


def _choice[T: str](request: Request, name: str, choices: tuple[T, ...]) -> T:
    value = request.query.get(name, choices[0])
    for choice in choices:
        if value == choice:
            return choice
    raise BadRequest(f"{name} must be {' or '.join(choices)}, got {short(value)}")


def _top_k(request: Request) -> int | None:
    value = request.query.get("top_k")
    if value is None or value == "all":
        return 0 if value else None
    if not re.fullmatch("[1-9][0-9]{0,5}", value):
        raise BadRequest(f"top_k must be all or a number from 1, got {short(value)}")
    return int(value)


def _images(declared: str, body: bytes) -> tuple[list[bytes], bool]:
    """Images of a body, and whether it is a batch. The bytes decide; the type is a hint."""
    if formats.recognise(body):
        return [body], False
    # What follows is imported for bodies that are not the file itself.
    from classifier.http import json_body  # noqa: PLC0415

    kind = declared.partition(";")[0].strip().lower()
    if kind == "multipart/form-data" and json_body.looks_like_json(body):
        kind = "application/json"
    is_form = kind in ("multipart/form-data", _URLENCODED)
    is_json = json_body.is_json(kind)
    if not body.strip():
        empty = BadRequest if is_form or is_json else UnreadableImage
        raise empty(f"the body is empty; send {_ACCEPTED}")
    if kind == "multipart/form-data" or body.lstrip().startswith(b"--"):
        from classifier.http import form  # noqa: PLC0415

        is_form = kind == "multipart/form-data" or form.is_multipart(body)
    if is_form and kind != _URLENCODED:
        return _from_fields(form.choose_images(form.read_multipart(declared, body)))
    if is_json or json_body.looks_like_json(body):
        return json_body.read(body, _ACCEPTED)
    return _from_text(kind, body)


def _lacks_line_ends(body: bytes) -> bool:
    """Whether a body is a file, and a long one, without the bytes that `curl -d` leaves out.

    That damages most files. A drawing in few colors, uncompressed, never had any.
    """
    is_long = len(body) >= _ENOUGH_BYTES
    has_none = b"\n" not in body and b"\r" not in body
    return is_long and has_none and formats.recognise(body) is not None


def _from_text(kind: str, body: bytes) -> tuple[list[bytes], bool]:
    """Images of a body that is form fields or base64 text; any other one is refused or a file."""
    from classifier.http import base64_text, form, mistakes  # noqa: PLC0415

    if form.has_image(body, urlencoded=kind == _URLENCODED):
        return _from_fields(form.choose_images(form.read_urlencoded(body)))
    formats.refuse_known(body)
    try:
        image = base64_text.image_in(body, "the body")
    except BadRequest as error:
        if kind not in _FILE_TYPES:
            raise
        raise UnreadableImage(error.detail) from error
    if image is not None:
        return [image], False
    if mistake := mistakes.name_of_bytes(body):
        raise UnreadableImage(mistake)
    if kind == _URLENCODED and body.isascii():
        return _from_fields(form.choose_images(form.read_urlencoded(body)))
    if kind not in _BYTES_TYPES:
        raise UnsupportedMediaType(
            f"unsupported content type {short(kind)} of a body that is neither an image file nor "
            f"its base64; send {_ACCEPTED}"
        )
    return [body], False


def _from_fields(fields: list[tuple[str, bytes]]) -> tuple[list[bytes], bool]:
    """Files of the fields of a form, which may hold base64, a data URL or JSON instead."""
    from classifier.http import form  # noqa: PLC0415

    if len(fields) > MAX_IMAGES:
        raise TooLarge(f"the form has {len(fields)} images; send at most {MAX_IMAGES}")
    images = []
    is_batch = len(fields) > 1
    for index, (name, content) in enumerate(fields):
        where = f"images[{index}]" if is_batch else f"the field {short(name)}"
        if not formats.recognise(content):
            formats.refuse_known(content)
            content = form.image_in(content, where) or content  # noqa: PLW2901 - decoded
        images.append(content)
    return images, is_batch
