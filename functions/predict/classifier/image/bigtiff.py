"""BigTIFF → TIFF: the same pixels behind a directory that every decoder reads.

Pillow reads no BigTIFF of big-endian order. Source: the BigTIFF specification of libtiff.
"""

import struct
from functools import partial

from classifier.errors import UnreadableImage
from classifier.image.limits import MAX_PIECES

_SIGNATURES = {b"II+\0": "<", b"MM\0+": ">"}
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1))  # of a type's value
_LONG, _LONG8S = 4, (16, 18)  # LONG8 and IFD8; the signed type of 8 bytes is in no field of use
_DIRECTORIES = (34665, 34853, 40965)  # Exif, GPS, interoperability: they are BigTIFF, too


def as_classic(data: bytes) -> bytes:
    """Return a TIFF of the first page of a BigTIFF; any other file unchanged.

    Its directory comes last, and its pixels stay where they are. Fields of an unknown type are
    left out. Raises UnreadableImage for a damaged file.
    """
    order = _SIGNATURES.get(data[:4])
    if order is None:
        return data
    unpack = partial(struct.unpack_from, buffer=data)
    fields, content = [], b""
    end = len(data)
    try:
        (start,) = unpack(f"{order}Q", offset=8)
        (count,) = unpack(f"{order}Q", offset=start)
        for at in range(start + 8, start + 8 + 20 * min(count, MAX_PIECES), 20):
            tag, kind, number = unpack(f"{order}HHQ", offset=at)
            size = 8 if kind in _LONG8S else _SIZES.get(kind)
            if size is None or tag in _DIRECTORIES:
                continue
            where = at + 12 if size * number <= 8 else unpack(f"{order}Q", offset=at + 12)[0]
            if kind in _LONG8S and number <= MAX_PIECES:
                numbers = unpack(f"{order}{number}Q", offset=where)
                kind, where = _LONG, end + len(content)
                content += struct.pack(f"{order}{number}I", *numbers)
                value = content[-4:] if number == 1 else struct.pack(f"{order}I", where)
            elif size * number <= 4:
                value = data[where : where + 4]
            else:
                value = struct.pack(f"{order}I", where)
            fields.append(struct.pack(f"{order}HHI", tag, kind, number) + value)
        directory = struct.pack(f"{order}H", len(fields)) + b"".join(fields) + bytes(4)
        header = data[:2] + struct.pack(f"{order}HI", 42, end + len(content))
    except (struct.error, OverflowError, MemoryError) as error:
        raise UnreadableImage(
            "the BigTIFF is damaged or truncated: its fields do not describe a picture; send the "
            "whole file"
        ) from error
    return header + data[8:] + content + directory
