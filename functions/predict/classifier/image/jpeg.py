"""JPEG structure: how many passes a decoder makes, and which scans a reduced copy needs.

Source: ITU-T T.81, annexes B and G.
"""

import re
from collections.abc import Iterator

from classifier.image.limits import MAX_PIECES, PIECE, check_size

# In a scan's data 0xFF is followed by 0 or by a restart marker; elsewhere it may be padding.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _START_OF_IMAGE, _END_OF_IMAGE = 0xDA, 0xD8, 0xD9
_PROGRESSIVE = 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # tables, reserved, arithmetic tables
_BLOCK = 32  # largest coding unit in pixels: decoders pad the picture to whole ones


def work(data: bytes) -> int:
    """Count the work of decoding, as `limits` defines it: each scan covers the whole picture.

    The contents of segments (a thumbnail, a profile) and data after the image are ignored.
    Raises TooLarge for an image over 16 megapixels.
    """
    scans = pieces = area = 0
    end = 2
    for marker, start in _segments(data):
        # Before the first scan, Pillow itself looks at each byte between segments.
        pieces += 1 if scans else 1 + start - end
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if marker == _START_OF_SCAN:
            scans += 1
        elif marker in _FRAMES:
            height, width = (int.from_bytes(data[start + at : start + at + 2]) for at in (5, 7))
            check_size(width, height)
            area = max(area, (height + _BLOCK) * (width + _BLOCK))
        if pieces > MAX_PIECES:
            break
    return scans * area + pieces * PIECE


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
                end = data.find(b"\xff\xd9", spectrum)
                return data[:start] + b"\xff\xd9" if whole and end > 0 else data
            covered.update(data[start + 5 : spectrum : 2])
    return data


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of each segment of the image, scans included."""
    position, scans = 2, 0
    while match := _MARKER.search(data, position):
        marker, position = match[0][1], match.end()
        if marker == _END_OF_IMAGE and scans:
            return
        yield marker, match.start()
        scans += marker == _START_OF_SCAN
        if marker not in (_START_OF_IMAGE, _END_OF_IMAGE):
            position += int.from_bytes(data[position : position + 2])
