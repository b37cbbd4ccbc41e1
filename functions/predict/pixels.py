"""Bytes → pixels: an encoded image becomes an array, checked before it is decoded."""

import io
import struct
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import TooLarge, UnreadableImage, UnsupportedMediaType
from structure import check

type Pixels = NDArray[np.uint8] | NDArray[np.float32]

MAX_PIXELS = 16_000_000
_BAND = 64  # rows of the result that are made at a time
WORKING_SIDE = 640  # a digit's shape needs no more; larger pictures are brought down to it

# Format, its signature at offset 0, and the plugin when Pillow does not load it by itself.
_FORMATS: tuple[tuple[str, tuple[bytes, ...], str | None], ...] = (
    ("PNG", (b"\x89PNG\r\n\x1a\n",), None),
    ("JPEG", (b"\xff\xd8\xff",), None),
    ("GIF", (b"GIF87a", b"GIF89a"), None),
    ("BMP", (b"BM",), None),
    ("WEBP", (b"RIFF",), "PIL.WebPImagePlugin"),
    ("TIFF", (b"II*\x00", b"MM\x00*"), "PIL.TiffImagePlugin"),
)
FORMAT_NAMES = ", ".join(name for name, _, _ in _FORMATS)
# What Pillow's decoders raise on damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
)
_EXIF_ORIENTATION = 0x0112
# What undoes each EXIF orientation of a [H, W, C] array (Exif 2.3, section 4.6.4).
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def decode(data: bytes, *, working_side: int = WORKING_SIDE) -> Pixels:
    """Decode an image file into [H, W, C], C 1 (grey) or 3 (RGB), 0 to 255.

    uint8, but float32 where the file has more than 8 bits a sample.

    Transparency lies on white, EXIF orientation is undone, 16-bit samples are scaled, and an
    animation gives its first frame. An image whose longer side is over `working_side` is brought
    down by a whole factor, by averaging, to at most twice that side.

    Raises UnsupportedMediaType for a format that is not taken, TooLarge for an image over 16
    megapixels, known before decoding, and UnreadableImage for bytes that are no complete image.
    """
    try:
        image = _open(data)
        width, height = image.size
        shrink = max(1, max(width, height) // working_side)
        if shrink > 1 and image.format == "JPEG":
            # The JPEG decoder itself scales by 2, 4 or 8, for a fraction of the time.
            image.draft(image.mode, (width // shrink, height // shrink))
        image.load()
        orientation = _orientation(image)  # now: Pillow turns a TIFF itself as it loads it
        shrink = max(1, max(image.size) // working_side)
        pixels = _to_array(image, shrink)
    except _DAMAGE as error:
        raise _damaged() from error
    upright = _UPRIGHT.get(orientation)
    return upright(pixels) if upright else pixels


def size(data: bytes) -> int:
    """Count the pixels of an image file by its header; it is refused as `decode` does."""
    width, height = _open(data).size
    return width * height


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadableImage(f"the image is empty; send a {FORMAT_NAMES} file")
    for name, signatures, plugin in _FORMATS:
        if data.startswith(signatures):
            check(data, name)
            if plugin:
                import_module(plugin)
            return _look(data, name)
    if _is_other_image(data):
        raise UnsupportedMediaType(f"this image format is not taken; send {FORMAT_NAMES}")
    raise UnreadableImage(f"there is no image in the bytes; send a {FORMAT_NAMES} file")


def _look(data: bytes, kind: str) -> Image.Image:
    """Open a file as one format; nothing is decoded yet."""
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError as error:  # Pillow's own limit, far over ours
        raise TooLarge(
            f"the image has too many pixels; send at most {MAX_PIXELS // 10**6} megapixels"
        ) from error
    except _DAMAGE as error:
        raise _damaged() from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise TooLarge(
            f"the image has {width} x {height} pixels; send at most {MAX_PIXELS // 10**6} "
            "megapixels"
        )
    return image


def _damaged() -> UnreadableImage:
    return UnreadableImage(
        "the image is damaged or truncated and can't be decoded; send the whole file"
    )


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        return None  # damaged EXIF costs the turn, not the picture


def _is_other_image(data: bytes) -> bool:
    iso_media = data[4:8] == b"ftyp"  # HEIC and AVIF
    return iso_media or data.lstrip()[:5].lower() in (b"<svg ", b"<?xml", b"%pdf-")


def _to_array(image: Image.Image, shrink: int) -> Pixels:
    deep = image.mode.startswith("I") and bool(np.asarray(image).max(initial=0) > 255)
    if shrink == 1:
        return _convert(image, 1, deep=deep)
    # In bands, because each step on the way makes a copy: of 16 megapixels, 64 MB.
    width, height = image.size
    band = shrink * _BAND
    return np.concatenate(
        [
            _convert(image.crop((0, top, width, min(top + band, height))), shrink, deep=deep)
            for top in range(0, height, band)
        ]
    )


def _convert(image: Image.Image, shrink: int, *, deep: bool) -> Pixels:
    """Decoded image, or a band of it, as [H, W, C]. deep: its integers go up to 65535."""
    if image.mode.startswith("I") or image.mode == "F":
        samples = np.nan_to_num(np.asarray(image, dtype=np.float32))
        grey = Image.fromarray(np.clip(samples * (255.0 / 65535.0 if deep else 1.0), 0, 255))
        return np.asarray(grey.reduce(shrink) if shrink > 1 else grey)[:, :, np.newaxis]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    else:
        image = image.convert("RGB")
    if shrink > 1:
        image = image.reduce(shrink)
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]
