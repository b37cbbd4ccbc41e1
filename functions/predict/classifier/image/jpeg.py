"""JPEG structure: how many passes a decoder makes, which scans it needs, and what a cut file lacks.

Source: ITU-T T.81, annexes B and G.
"""

import re
from collections.abc import Iterator

from PIL import Image, ImageChops

from classifier.errors import UnreadableImage, UnsupportedMediaType
from classifier.image.limits import MAX_PIECES, PIECE, check_size

# In a scan's data 0xFF is followed by 0 or by a restart marker; elsewhere it may be padding.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _START_OF_IMAGE, _END_OF_IMAGE = 0xDA, 0xD8, 0xD9
_PROGRESSIVE = 0xC2
_MANY_BITS = (12, 16)  # per sample
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # tables, reserved, arithmetic tables
_READABLE = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # frames, but lossless and hierarchical ones
_LS = 0xF7  # frame of JPEG-LS
_COEFFICIENTS = (1 << 64) - 1  # a bit for each of a block
_END = b"\xff\xd9"
_FILLING = bytes(range(1, 255)) * 4  # of no meaning
_TOLERANCE = 24  # of 255: what the last bits of coefficients may change
_LOST_SHARE = 5  # at most a fifth of the rows may have been cut off
_BLOCK = 32  # largest coding unit in pixels: decoders pad the picture to whole ones


def work(data: bytes) -> int:
    """Count the work of decoding, as `limits` defines it: each scan covers the whole picture.

    The contents of segments (a thumbnail, a profile) and data after the image are ignored.
    Raises TooLarge for an image over 16 megapixels, and UnsupportedMediaType for a lossless one or
    one of over 8 bits.
    """
    scans = pieces = area = 0
    end = 2
    for marker, start in _segments(data):
        # Before the first scan, Pillow itself looks at each byte between segments.
        pieces += 1 if scans else 1 + start - end
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if marker == _START_OF_SCAN:
            scans += 1
        elif marker in _FRAMES or marker == _LS:
            _check_form(marker, int.from_bytes(data[start + 4 : start + 5]))
            height, width = (int.from_bytes(data[start + at : start + at + 2]) for at in (5, 7))
            check_size(width, height)
            area = max(area, (height + _BLOCK) * (width + _BLOCK))
        if pieces > MAX_PIECES:
            break
    return scans * area + pieces * PIECE


def _check_form(marker: int, bits: int) -> None:
    """Raise UnsupportedMediaType for a frame that decoders of ordinary JPEG don't read."""
    if marker in _READABLE and bits not in _MANY_BITS:
        return
    form = f"JPEG of {bits} bits per sample"
    if marker not in _READABLE:
        form = "JPEG-LS" if marker == _LS else "lossless or hierarchical JPEG"
    raise UnsupportedMediaType(f"{form} is not supported; save the picture as PNG or 8-bit JPEG")


def with_end(data: bytes) -> bytes:
    """Add the end to a file that was cut off near it; return any other unchanged.

    Such a file has all scans of every component, or lacks the last bit of its coefficients.
    """
    missing: dict[int, int] = {}  # coefficients of each component
    end = len(data)
    for marker, start in _segments(data):
        spectrum = start + 5 + 2 * sum(data[start + 4 : start + 5])  # if it is a scan
        if marker == _END_OF_IMAGE:
            return data
        if marker in _FRAMES:
            components = data[start + 10 :: 3][: sum(data[start + 9 : start + 10])]
            missing = dict.fromkeys(components, _COEFFICIENTS)
        elif marker == _START_OF_SCAN and len(data) < spectrum + 3:
            end = start
        elif marker == _START_OF_SCAN:
            first, last, bits = data[spectrum : spectrum + 3]
            if bits & 15 <= 1:
                for component in data[start + 5 : spectrum : 2]:
                    missing[component] = missing.get(component, 0) >> (last + 1) << (last + 1) | (
                        missing.get(component, 0) & ((1 << first) - 1)
                    )
    return data[:end] + _END if missing and not any(missing.values()) else data


def filled(data: bytes) -> bytes:
    """Put other bytes where a file `with_end` lacks some: the rows that it lost look different."""
    return data[: -len(_END)] + _FILLING + _END


def restore_rows(image: Image.Image, other: Image.Image) -> None:
    """Fill the rows that an image lost with the last that it has.

    image, other: what is decoded of a file `with_end`, and of the same `filled`. Raises
    UnreadableImage if more than a share of the rows is lost.
    """
    lost = ImageChops.difference(image, other).point(lambda value: 255 * (value > _TOLERANCE))
    box = lost.getbbox()
    if box is None:
        return
    kept, height = box[1], image.height
    if (height - kept) * _LOST_SHARE > height:
        raise UnreadableImage("the JPEG is truncated: it lacks over a fifth; send the whole file")
    last = image.crop((0, kept - 1, image.width, kept))
    image.paste(last.resize((image.width, height - kept)), (0, kept))


def first_scans(data: bytes) -> bytes:
    """Cut a progressive JPEG down to its DC scans; return any other file unchanged.

    DC scans hold the whole picture at an eighth of its size, for a decoder that scales by 8.
    A file without an end is unchanged too, so that the decoder rejects it as truncated.
    """
    components = 0
    covered: set[int] = set()
    for marker, start in _segments(data):
        if marker in _FRAMES:
            if marker != _PROGRESSIVE or len(data) <= start + 9:
                return data
            components = data[start + 9]
        elif marker == _START_OF_SCAN:
            parts = data[start + 4] if len(data) > start + 4 else 0
            spectrum = start + 5 + 2 * parts
            if data[spectrum : spectrum + 1] != b"\x00":  # the first scan of finer detail
                whole = components and len(covered) == components
                end = data.find(_END, spectrum)
                return data[:start] + _END if whole and end > 0 else data
            covered.update(data[start + 5 : spectrum : 2])
    return data


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of each segment of the image, its scans and its end included."""
    position, scans = 2, 0
    while match := _MARKER.search(data, position):
        marker, position = match[0][1], match.end()
        yield marker, match.start()
        if marker == _END_OF_IMAGE and scans:
            return
        scans += marker == _START_OF_SCAN
        if marker not in (_START_OF_IMAGE, _END_OF_IMAGE):
            position += int.from_bytes(data[position : position + 2])
