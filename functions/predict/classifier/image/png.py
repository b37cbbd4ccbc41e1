"""PNG file → image, for small and plain ones: Pillow's decoder without its reader of PNG files.

Most of what is sent is such a file: bytes of grey or RGB, with or without alpha, and nothing more
that would change them. Not importing the reader, and not going through it, is what it gains, cold
and warm (docs/performance.md). Every other file, a damaged one too, is the reader's to read or to
refuse. Source: PNG specification, third edition, sections 5 and 11.
"""

import struct
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 640 * 640  # with more, decoding takes so long that nothing is gained
_MAX_CHUNKS = 64  # of so small a picture, where encoders write 8 KB at a time
_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"  # signature, length and name of the first chunk
_HEADER = struct.Struct(">IIBBBBBI")  # width, height, what _MODES has, CRC
_AFTER_HEADER = len(_START) + _HEADER.size
_MODES = {  # of bit depth, colour type, compression, filter and interlace method
    (8, 0, 0, 0, 0): "L",
    (8, 2, 0, 0, 0): "RGB",
    (8, 4, 0, 0, 0): "LA",
    (8, 6, 0, 0, 0): "RGBA",
}
# Chunks that leave the pixels as they are. Not tRNS, nor what may hold EXIF: eXIf and texts.
_PASSED_OVER = (b"sRGB", b"gAMA", b"cHRM", b"iCCP", b"sBIT", b"bKGD", b"pHYs", b"tIME")


def decode_plain(data: bytes) -> Image.Image | None:
    """Image in mode L, LA, RGB or RGBA of a file; None for one that is not small and plain.

    Raises ValueError if the compressed pixels are damaged or not all there.
    """
    if not data.startswith(_START) or len(data) < _AFTER_HEADER:
        return None
    width, height, *form, crc = _HEADER.unpack_from(data, len(_START))
    mode = _MODES.get(tuple(form))
    if not mode or not 0 < width * height <= MAX_PIXELS or crc != crc32(data[12:29]):
        return None
    compressed = _pixel_data(data)
    if compressed is None:
        return None
    return Image.frombytes(mode, (width, height), compressed, "zip", mode)


def decode_grey(data: bytes, pixels: NDArray[np.uint8]) -> bool:
    """Decode a plain grey file of the size of `pixels` [H, W] into them, without a copy.

    False for any other file. Raises ValueError as above; `pixels` then have changed, too.
    """
    height, width = pixels.shape
    if not data.startswith(_grey_header(height, width)):
        return False
    compressed = _pixel_data(data)
    if compressed is None:
        return False
    image = Image.frombuffer("L", (width, height), pixels, "raw", "L", 0, 1)  # in their memory
    image.frombytes(compressed, "zip", "L")
    return True


@lru_cache(maxsize=1)
def _grey_header(height: int, width: int) -> bytes:
    """Beginning of a plain grey file, up to its first chunk after the header."""
    header = _START + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return header + crc32(header[12:]).to_bytes(4)


def _pixel_data(data: bytes) -> bytes | None:
    """Contents of the IDAT chunks, where they come last and all others may be passed over."""
    parts: list[bytes] = []
    place = _AFTER_HEADER
    for _ in range(_MAX_CHUNKS):
        name = data[place + 4 : place + 8]
        if name == b"IEND":
            return b"".join(parts) if parts else None
        end = place + 8 + int.from_bytes(data[place : place + 4])
        if name == b"IDAT":
            parts.append(data[place + 8 : end])
        else:
            crc = int.from_bytes(data[end : end + 4])
            if parts or name not in _PASSED_OVER or crc != crc32(data[place + 4 : end]):
                return None
        place = end + 4
    return None
