"""Bytes → refused where a file's structure, not its pixels, would keep a decoder busy.

Within 4 MiB a file can ask for a minute of work without a single pixel too many: thousands of JPEG
scans that each go over the whole image, a million PNG chunks, JPEG markers or TIFF strips that are
read one by one. Cameras and editors stay far under these limits.
`tests/support/hostile_files.py` makes such files.
"""

import struct

from classifier.errors import UnreadableImage

MAX_SCANS = 50  # of a JPEG: progressive ones have about ten, and each thumbnail one
MAX_SEGMENTS = 4_096  # in front of a JPEG's first scan: metadata comes in pieces of 64 KB
MAX_CHUNKS = 16_384  # of a PNG: an encoder's buffer is at least some hundred bytes
MAX_STRIPS = 4_096  # or tiles of an uncompressed TIFF; libtiff itself is quick with compressed ones

_SCAN = b"\xff\xda"
_COMPRESSION, _STRIP_OFFSETS, _TILE_OFFSETS = 259, 273, 324


def check(data: bytes, kind: str) -> None:
    """Look at the outline of a file of a format, as Pillow names it.

    Raises UnreadableImage if it is in more pieces than a picture needs. What is wrong otherwise
    is left to the decoder.
    """
    outline = {"JPEG": _check_jpeg, "PNG": _check_png, "TIFF": _check_tiff}.get(kind)
    if outline is not None:
        outline(data)


def _check_jpeg(data: bytes) -> None:
    if data.count(_SCAN) > MAX_SCANS:  # inside a scan 0xFF is always followed by 0x00
        raise _too_many("scans", MAX_SCANS)
    place = 2
    for _ in range(MAX_SEGMENTS):
        marker = data[place + 1 : place + 2]
        if marker in (b"", b"\xda"):
            return
        if marker == b"\xff":  # padding
            place += 1
        elif marker <= b"\x01" or b"\xd0" <= marker <= b"\xd9":  # markers without a segment
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
    raise _too_many("segments", MAX_SEGMENTS)


def _check_png(data: bytes) -> None:
    place = 8
    for _ in range(MAX_CHUNKS):
        if place >= len(data) or data[place + 4 : place + 8] == b"IEND":  # the decoder stops there
            return
        place += 12 + int.from_bytes(data[place : place + 4])
    raise _too_many("chunks", MAX_CHUNKS)


def _check_tiff(data: bytes) -> None:
    order = "<" if data.startswith(b"II") else ">"
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, place)
        strips, compression = 0, 1
        for entry in range(entries):
            tag, _, count, value = struct.unpack_from(f"{order}HHIH", data, place + 2 + 12 * entry)
            if tag in (_STRIP_OFFSETS, _TILE_OFFSETS):
                strips = max(strips, count)
            elif tag == _COMPRESSION:
                compression = value
    except struct.error:
        return  # cut off: the decoder says so
    if compression == 1 and strips > MAX_STRIPS:
        raise _too_many("strips", MAX_STRIPS)


def _too_many(pieces: str, limit: int) -> UnreadableImage:
    return UnreadableImage(
        f"the image file has over {limit} {pieces}, no picture needs that; open it in an image "
        "editor and save it anew"
    )
