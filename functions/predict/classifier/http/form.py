"""Fields of a form: `multipart/form-data` (RFC 7578) and `application/x-www-form-urlencoded`."""

import binascii
import re
from io import BytesIO
from reprlib import repr as short  # don't echo kilobytes back
from urllib.parse import unquote_to_bytes

from multipart import MultipartParser, ParserLimitReached, parse_options_header

from classifier.errors import BadRequest, PredictError, TooLarge
from classifier.http import base64_text, embedded, mistakes
from classifier.image import formats

MAX_FIELDS = 100
NAMES = ("image", "images", "file", "files")  # of the fields that hold images, by preference

type Field = tuple[str, bytes]

_INDEX = re.compile(r"\[\d*\]$")  # as in image[] and images[0]
_IMAGE_FIELD = rb"(?:images?|files?)(?:\[\d*\]|%5[Bb]\d*%5[Dd])?="
_FIRST_FIELD = re.compile(rb"\s*" + _IMAGE_FIELD)
_FIRST_LINE = re.compile(rb"\s*--([\x21-\x7e]{1,70})\r?\n(?i:content-)")
_ANY_FIELD = re.compile(rb"(?:\A\s*|&)" + _IMAGE_FIELD)


def choose_images(fields: list[Field]) -> list[tuple[str, bytes]]:
    """Return the fields of the first of `NAMES` that the form has, in order.

    A form without any gives the only one of its fields that holds an image.
    """
    filled = [field for field in fields if field[1]]  # browsers send fields of no file, too
    for candidates in (filled, fields):
        for name in NAMES:
            if chosen := [field for field in candidates if _INDEX.sub("", field[0]) == name]:
                return chosen
    chosen = [field for field in fields if _holds_image(field[1])]
    if len(chosen) == 1:
        return chosen
    for name, content in fields:
        if mistake := mistakes.name_of_url(content.decode("latin-1")):
            raise BadRequest(f"the form has no image; in its field {short(name)} {mistake}")
    names = ", ".join(short(name) for name, _ in fields[:5]) or "no field at all"
    raise BadRequest(
        f'the form has no field "image" (it has {names}); '
        "send it as `curl -F image=@photo.png` does"
    )


def _holds_image(content: bytes) -> bool:
    if formats.recognise(content):
        return True
    try:
        return image_in(content, "") is not None
    except PredictError:
        return False


def image_in(content: bytes, where: str) -> bytes | None:
    """Return the image that a field holds as base64, a data URL or JSON; None if it holds none.

    Raises what `base64_text.image_in` raises.
    """
    return embedded.in_text(content) or base64_text.image_in(content, where)


def has_image(body: bytes, *, urlencoded: bool) -> bool:
    """Whether a body has a field for images; of another type, whether it begins with one."""
    return bool(_ANY_FIELD.search(body) if urlencoded else _FIRST_FIELD.match(body))


def read_urlencoded(body: bytes) -> list[Field]:
    """Return all fields, their values as bytes. Raises TooLarge for over 100 fields."""
    fields = body.strip().split(b"&", MAX_FIELDS)
    if len(fields) > MAX_FIELDS:
        raise TooLarge(f"the form is too large; send at most {MAX_FIELDS} fields")
    pairs = (field.replace(b"+", b" ").partition(b"=") for field in fields)
    return [
        (unquote_to_bytes(name).decode("latin-1"), unquote_to_bytes(value))
        for name, _, value in pairs
    ]


def is_multipart(body: bytes) -> bool:
    """Whether a body of another type, or of none, begins as a form of fields does."""
    return bool(_FIRST_LINE.match(body))


def read_multipart(content_type: str, body: bytes) -> list[Field]:
    """Return all fields, their contents byte for byte and in order.

    The boundary is the one that the body begins with, whatever the client declares. Undoes
    `Content-Transfer-Encoding`, which RFC 7578 deprecates and some clients send.
    Raises BadRequest for a malformed body, TooLarge for over 100 fields or 4 KiB of field header.
    """
    begun = _FIRST_LINE.match(body)
    boundary = begun[1].decode() if begun else parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise BadRequest(
            "multipart/form-data needs its boundary parameter in Content-Type, which client "
            f"libraries add if that header is left to them, got {short(content_type)}"
        )
    try:
        body = _with_crlf(body, boundary.encode())
        parts = MultipartParser(
            BytesIO(body),
            boundary,
            charset="latin-1",  # accepts file names in any encoding, which are ignored
            strict=True,
            part_limit=MAX_FIELDS,
            spool_limit=len(body),  # in memory, never in a temporary file
            memory_limit=len(body),
        )
        fields = [
            (part.name, part.raw, part.headers.get("Content-Transfer-Encoding", ""))
            for part in parts
        ]
    except ParserLimitReached as error:
        raise TooLarge(
            f"the form is too large ({error}); send at most {MAX_FIELDS} fields, each with a "
            "header of at most 4 KiB"
        ) from error
    except ValueError as error:  # the parser's own, or a boundary that is not text
        if body.startswith(b"LS"):  # base64 of "--"
            raise BadRequest("the form is in base64; send it as it is") from error
        raise BadRequest(
            f"the form is malformed ({error}); its fields must be separated by the boundary of "
            "Content-Type, each with a Content-Disposition: form-data and a name"
        ) from error
    return [
        (name, _decoded(content, encoding.strip().lower(), name))
        for name, content, encoding in fields
    ]


def _decoded(content: bytes, encoding: str, name: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding != "base64":
        return content
    return base64_text.decode(content.decode("latin-1"), f"the field {short(name)}")


def _with_crlf(body: bytes, boundary: bytes) -> bytes:
    """Restore the line ends of boundaries and field headers that were sent as bare LF."""
    if not body.startswith(b"--" + boundary + b"\n"):
        return body
    fields = []
    for field in (b"\n" + body).split(b"\n--" + boundary, MAX_FIELDS + 2):
        head, blank, content = field.partition(b"\n\n")
        fields.append(head.replace(b"\n", b"\r\n") + (b"\r\n\r\n" if blank else b"") + content)
    return (b"\r\n--" + boundary).join(fields).removeprefix(b"\r\n")
