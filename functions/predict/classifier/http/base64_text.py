"""Text → the bytes that it holds in base64, in the ways in which clients write it."""

import base64
import binascii
import json
import re
from reprlib import repr as short  # don't echo kilobytes back

from classifier.errors import BadRequest, UnsupportedMediaType
from classifier.http import mistakes
from classifier.image import formats

_MAX_HEADER = 1024  # characters of a data URL in front of its data
_MIN_LINE = 60  # characters; base64 is wrapped at 60, 64, 72 or 76
# Escapes that nobody undid: of URLs and of JSON. One replacement of a text each, which is fast.
_ESCAPES = {f"%{ord(character):02X}": character for character in "+/=-_:;, \r\n\"'"}
_ESCAPES |= {escape.lower(): character for escape, character in _ESCAPES.items()}
_ESCAPES |= {r"\r": "", r"\n": "", r"\t": "", r"\/": "/"}
_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")  # Windows' certutil puts it around
_LINE_ENDS = str.maketrans("", "", "\r\n\t\f\v")


class NotBase64(BadRequest):
    """400: a text that is not base64, and shows no known mistake either."""


def decode(text: str, where: str) -> bytes:
    """Return the bytes of a base64 text or data URL.

    Accepts the URL-safe alphabet, missing padding, line ends (as two characters too), spaces
    where `+` was, the lines around a certificate, percent-encoding, quotes around the text, and
    data URLs of any type if their bytes are an image. where: what the text is, for the error.
    Raises BadRequest, which names the mistake, and UnsupportedMediaType for a data URL of another
    type than an image.
    """
    content = _strict(text)
    if content is not None and formats.recognise(content):
        return content
    return _decode_leniently(text, where)


def image_in(data: bytes, where: str) -> bytes | None:
    """Return the image file that bytes hold as base64 text, or None if they hold none.

    Raises BadRequest for a known mistake, UnsupportedMediaType for a known but unsupported format.
    """
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        return None
    try:
        content = decode(text, where)
    except NotBase64:
        return None
    if formats.recognise(content):
        return content
    formats.refuse_known(content)
    return None


def _decode_leniently(text: str, where: str) -> bytes:
    trimmed = _ARMOUR.sub("", text).strip().strip("\ufeff")
    if len(trimmed) > 1 and trimmed[0] == trimmed[-1] and trimmed[0] in "\"'`":
        trimmed = trimmed[1:-1].strip()
    if mistake := mistakes.name_of_text(trimmed):
        raise BadRequest(f"{where} is not base64: {mistake}")
    if "%" in trimmed or "\\" in trimmed:
        for escape, character in _ESCAPES.items():
            trimmed = trimmed.replace(escape, character)
    kind, data = _split_data_url(trimmed, where)
    data = data.translate(_LINE_ENDS).strip(" ")
    content = _best([_unpadded(variant) for variant in _without_spaces(data)])
    if content is None:
        binary = _binary_string(text)
        if binary is not None:
            return binary
        _refuse_hexadecimal(data, where)
        raise NotBase64(
            f"{where} is not valid base64 ({_fault(data)}); send the base64 of the image file's "
            "bytes"
        )
    _refuse_other_encodings(content, data, where)
    is_image = kind.startswith(("image/", "application/octet-stream")) or not kind
    if not is_image and not formats.recognise(content):
        raise UnsupportedMediaType(f"{where} is a data URL of type {short(kind)}; send an image")
    return content


def _strict(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _unpadded(text: str) -> bytes | None:
    """Decode either alphabet, whatever the padding."""
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    return _strict(text + "=" * (-len(text) % 4))


def _without_spaces(data: str) -> list[str]:
    """Variants of a text without its spaces, the likelier one first.

    A space is what a form made of `+`, or of a line end. With padding, the length tells which:
    base64 comes in groups of four. Else, lines of one length do.
    """
    if " " not in data:
        return [data]
    lines = data.split(" ")
    joined, plus = data.replace(" ", ""), data.replace(" ", "+")
    if data.endswith("=") and len(joined) % 4 != len(plus) % 4:
        is_wrapped = len(joined) % 4 == 0
    else:
        width = len(lines[0])
        is_wrapped = width >= _MIN_LINE and all(len(line) == width for line in lines[:-1])
    return [joined, plus] if is_wrapped else [plus, joined]


def _best(contents: list[bytes | None]) -> bytes | None:
    """Return the first that is an image, else the first that is any bytes."""
    decoded = [content for content in contents if content is not None]
    images = [content for content in decoded if formats.recognise(content)]
    return next(iter(images or decoded), None)


def _split_data_url(text: str, where: str) -> tuple[str, str]:
    """Type and data of a data URL; also of what is left of one that lost its beginning."""
    header, base64_mark, _ = text[:_MAX_HEADER].lower().partition("base64,")
    is_data_url = header.startswith("data:")
    if not is_data_url and (not base64_mark or (header and not header.endswith(";"))):
        return "", text
    if not base64_mark or (header not in ("", "data:") and not header.endswith(";")):
        raise BadRequest(f'{where} is a data URL without ";base64,"; send base64 data')
    data = text[len(header) + len(base64_mark) :]
    if data[: len("data:")].lower() == "data:":
        raise BadRequest(f"{where} is a data URL inside a data URL; send the inner one")
    return header.removeprefix("data:").partition(";")[0].strip(), data


def _binary_string(text: str) -> bytes | None:
    """The image in a text of one character per byte, as JavaScript's readAsBinaryString makes."""
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return content if formats.recognise(content) else None


def _refuse_other_encodings(content: bytes, data: str, where: str) -> None:
    if formats.recognise(content):
        return
    start = content[:64].strip()
    inner = _unpadded(start[: len(start) // 4 * 4].decode("latin-1"))
    if start[:11].lower() == b"data:image/" or (inner and formats.recognise(inner)):
        raise BadRequest(f"{where} was encoded twice in base64; encode the file's bytes once")
    if re.match(rb'\{\s*"', start):
        raise BadRequest(f"{where} is the base64 of a JSON document; send the document itself")
    for text in (data, start.decode("latin-1")):
        _refuse_hexadecimal(text, where)


def _refuse_hexadecimal(data: str, where: str) -> None:
    digits = mistakes.hexadecimal(data)
    if digits and formats.recognise(digits):
        raise BadRequest(f"{where} is hexadecimal; send the file's bytes in base64")


def _fault(data: str) -> str:
    if strange := re.search(r"[^A-Za-z0-9+/_ -]", data.rstrip("=")):
        if strange[0] == "=":
            return f"padding before its end, at character {strange.start()}"
        return f"character {strange[0]!r} at {strange.start()}"
    return f"{len(data.rstrip('='))} characters, so its end is missing"
