"""PNG without the chunks that say nothing about its pixels, for which Pillow refuses a file.

Viewers skip an ancillary chunk that is damaged or too long. Source: PNG (Third Edition), sections 5
and 11.
"""

import zlib

from classifier.image.limits import MAX_PIECES

_ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # numbered: without one, the others are of no use
_TURNING = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # texts that can hold an orientation
_MAX_TEXT = 2**20  # bytes of a packed one, Pillow's limit
_ANCILLARY = 0x20  # bit of a kind's first letter
_COLOR_AT = 25  # the type of color in a file's first chunk
_SAMPLES = {0: 1, 2: 3}  # grey, red green and blue: of 2 bytes each in tRNS


def essential(data: bytes) -> bytes:
    """Return a file without the chunks that neither show nor turn the picture.

    One that does so is left out, too, if it is damaged. A file without any is returned unchanged,
    and what is wrong with the others is left to the decoder.
    """
    kept = []
    texts: set[bytes] = set()
    start = position = 8
    for _ in range(MAX_PIECES):
        length = int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if kind in (b"", b"IEND") or end > len(data):
            break
        is_ancillary = kind.isalpha() and kind[0] & _ANCILLARY and kind not in _ANIMATION
        if is_ancillary and not _is_of_use(data, position, end, texts):
            kept.append(data[start:position])
            start = end
        position = end
    return b"".join([data[:8], *kept, data[start:]]) if kept else data


def _is_of_use(data: bytes, position: int, end: int, texts: set[bytes]) -> bool:
    """Whether an ancillary chunk shows or turns the picture, and is whole.

    texts: the names of texts so far, of which the first ones are read.
    """
    kind = data[position + 4 : position + 8]
    content = data[position + 8 : end - 4]
    if kind == b"tRNS":
        is_whole = len(content) >= 2 * _SAMPLES.get(data[_COLOR_AT], 0)
    elif kind == b"eXIf":
        is_whole = True
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        name, _, text = content.partition(b"\0")
        if name not in _TURNING or name in texts:
            return False
        texts.add(name)
        is_whole = _can_be_unpacked(kind, text)
    else:
        return False
    return is_whole and zlib.crc32(data[position + 4 : end - 4]) == int.from_bytes(
        data[end - 4 : end]
    )


def _can_be_unpacked(kind: bytes, text: bytes) -> bool:
    """Whether the text of a chunk, behind its name, is not packed, or small enough unpacked."""
    if kind == b"tEXt" or (kind == b"iTXt" and text.startswith(b"\0")):
        return True
    if kind == b"iTXt":
        *_, text = text[1:].split(b"\0", 3)  # the method, the language and the translated name
        text = b"\0" + text
    unpacked = zlib.decompressobj()
    try:
        unpacked.decompress(text[1:], _MAX_TEXT)
    except zlib.error:
        return False
    return text.startswith(b"\0") and not unpacked.unconsumed_tail
