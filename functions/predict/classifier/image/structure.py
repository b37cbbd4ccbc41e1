"""Bytes → the work of decoding them, before a decoder sees them; what is not allowed is refused.

Within 4 MiB a file can ask for a minute of work or for gigabytes without a single pixel too many.
TIFF and BMP, whose decoders follow a file anywhere, are accepted by a list of their forms.
tests/support/heavy_files.py makes such files.
"""

import struct

from classifier.errors import UnreadableImage, UnsupportedMediaType
from classifier.image import jpeg
from classifier.image.limits import MAX_PIECES, PIECE, check_size

_UNPACKED = 200  # pieces that a packed text or profile of a PNG, up to a megabyte, stands for
_FIELD, _MAX_FIELDS = 12, 65_535  # bytes of a field of EXIF, and how many there can be
_RUN_LENGTH = {1: 8, 2: 4}  # compression of a BMP: bits of a pixel
_PLAIN, _BIT_FIELDS = 0, 3
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_BMP_DEPTHS = (1, 4, 8, 16, 24, 32)
_BMP_COLORS = 256
_RUN_PIXEL, _RUN_BYTE = 64, 32  # work of Pillow's decoder of run lengths, which is in Python


def work(data: bytes, name: str) -> int:
    """Count the work of decoding a file of a format, in pixels, as `limits` does.

    Raises UnsupportedMediaType for a form of TIFF or BMP that is not accepted, and UnreadableImage
    for a damaged one. What is wrong otherwise is left to the decoder.
    """
    if name == "TIFF":
        from classifier.image import deep_tiff, tiff  # noqa: PLC0415 - most requests carry none

        return tiff.work(deep_tiff.as_grey(data)[0])
    if name in ("AVIF", "HEIF"):
        from classifier.image import heif  # noqa: PLC0415 - nor of these

        return heif.work(data)
    count = {"JPEG": jpeg.work, "PNG": _png, "BMP": _bmp}.get(name)
    return count(data) if count else 0


def _png(data: bytes) -> int:
    pieces, position = 0, 8
    while position < len(data) and pieces <= MAX_PIECES:
        length = int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        if kind == b"IEND":  # the decoder stops there
            break
        pieces += 1
        if kind in (b"iCCP", b"iTXt", b"zTXt"):
            pieces += _UNPACKED
        elif kind == b"eXIf":
            pieces += min(length // _FIELD, _MAX_FIELDS)
        position += 12 + length
    return pieces * PIECE


def _bmp(data: bytes) -> int:
    compression = colors = 0
    try:
        (header,) = struct.unpack_from("<I", data, 14)
        if header == _BMP_HEADERS[0]:
            width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        elif header in _BMP_HEADERS:
            width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
            (colors,) = struct.unpack_from("<I", data, 46)
        else:
            raise UnsupportedMediaType(
                f"a BMP with a header of {header} bytes is not supported; save it as PNG"
            )
    except struct.error as error:
        raise UnreadableImage("the BMP is cut off in its header; send the whole file") from error
    area: int = width * abs(height)
    check_size(width, abs(height))
    has_runs = _RUN_LENGTH.get(compression) == depth
    if depth not in _BMP_DEPTHS or not (has_runs or compression in (_PLAIN, _BIT_FIELDS)):
        raise UnsupportedMediaType(
            f"a BMP of {depth} bits a pixel with compression {compression} is not supported; save "
            "it uncompressed, or as PNG"
        )
    if depth <= 8 and colors > _BMP_COLORS:
        raise UnreadableImage(
            f"a BMP's palette must have at most {_BMP_COLORS} colors, got {colors}"
        )
    return area * _RUN_PIXEL + len(data) * _RUN_BYTE if has_runs else 0
