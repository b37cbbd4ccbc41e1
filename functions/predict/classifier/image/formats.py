"""The accepted image formats, stated once, and how to detect them from a file's bytes."""

import re
from typing import NamedTuple

from classifier.errors import UnreadableImage, UnsupportedMediaType


class Format(NamedTuple):
    """An image format.

    name: Pillow's name. plugin: Pillow's module; Image.open would import five of them for any
    file, 4 % of a cold start (docs/performance.md). media_types: the registered one first, then
    others in use. signature: pattern of a file's first bytes. suffixes: of file names.
    """

    name: str
    plugin: str
    media_types: tuple[str, ...]
    signature: bytes
    suffixes: tuple[str, ...]


ACCEPTED = (
    Format(
        "PNG",
        "PIL.PngImagePlugin",
        ("image/png", "image/x-png", "image/apng"),
        rb"\x89PNG\r\n\x1a\n",
        (".png",),
    ),
    Format(
        "JPEG",
        "PIL.JpegImagePlugin",
        ("image/jpeg", "image/jpg", "image/pjpeg"),
        rb"\xff\xd8\xff",
        (".jpg", ".jpeg"),
    ),
    Format("GIF", "PIL.GifImagePlugin", ("image/gif",), rb"GIF8[79]a", (".gif",)),
    Format(
        "BMP",
        "PIL.BmpImagePlugin",
        ("image/bmp", "image/x-bmp", "image/x-ms-bmp"),
        rb"BM",
        (".bmp",),
    ),
    Format("WEBP", "PIL.WebPImagePlugin", ("image/webp",), rb"RIFF....WEBP", (".webp",)),
    Format(
        "TIFF",
        "PIL.TiffImagePlugin",
        ("image/tiff", "image/tif", "image/x-tiff"),
        rb"II\*\0|MM\0\*",
        (".tif", ".tiff"),
    ),
)
NAMES = ", ".join(accepted.name for accepted in ACCEPTED)
REGISTERED_TYPES = ", ".join(accepted.media_types[0] for accepted in ACCEPTED)
MEDIA_TYPES = frozenset(kind for accepted in ACCEPTED for kind in accepted.media_types)
SUFFIXES = frozenset(suffix for accepted in ACCEPTED for suffix in accepted.suffixes)

# Unsupported formats by their files' first bytes, for the error to name them.
_OTHERS = {
    "BigTIFF": rb"II\+\0|MM\0\+",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(hei|hev|mif1|msf1)",
    "video": rb"....ftyp",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "Photoshop": rb"8BPS",
    "ICO": rb"\0\0\x01\0",
    "PPM": rb"P[1-7]\s",
    "PDF": rb"\s*%PDF-",
    "SVG": rb"(\xef\xbb\xbf)?\s*<(?i:svg|\?xml|!--)",
    "ZIP": rb"PK\x03\x04",
    "WAV": rb"RIFF....WAVE",
    "NumPy": rb"\x93NUMPY",
}


def recognise(data: bytes) -> Format | None:
    """Return the accepted format of a file, or None."""
    for accepted in ACCEPTED:
        if re.match(accepted.signature, data, re.DOTALL):
            return accepted
    return None


def require(data: bytes) -> Format:
    """Return the accepted format of a file.

    Raises UnsupportedMediaType for a known but unsupported format, and UnreadableImage for any
    other bytes.
    """
    accepted = recognise(data)
    if accepted is not None:
        return accepted
    if not data:
        raise UnreadableImage(f"the image is empty; send a {NAMES} file")
    refuse_known(data)
    raise UnreadableImage(f"there is no image in the bytes; send a {NAMES} file")


def refuse_known(data: bytes) -> None:
    """Raise UnsupportedMediaType, naming the format, for a known but unsupported one."""
    for name, signature in _OTHERS.items():
        if re.match(signature, data, re.DOTALL):
            raise UnsupportedMediaType(f"{name} files are not supported; send {NAMES}")
