"""HEIF structure (AVIF, HEIC): the work of decoding the primary picture.

A picture is an item of its own, or a grid of items, which may be one item over and over; a second
one may hold its transparency. Source: ISO/IEC 14496-12, 23008-12, 23000-22, and the AV1 bitstream
specification, section 5.5.
"""

import struct
from collections.abc import Iterator

from classifier.errors import TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.image.limits import MAX_PIECES, MAX_WORK, PIECE, check_size

_PIXEL, _BYTE = 8, 30  # work of the decoders: 16 and 60 ns (test_heavy.py)
_MAX_DEPTH = 4  # of pictures made of pictures
_ITEMS = (b"hvc1", b"av01", b"grid", b"iden")
_SEQUENCE_HEADER = 1  # type of an AV1 unit

type Box = tuple[bytes, int, int]  # type, and offsets of its content and its end


def work(data: bytes) -> int:
    """Count the work of decoding the primary picture and its transparency, as `limits` does.

    Raises UnsupportedMediaType for a file without a still picture or of another codec, TooLarge
    for over 16 megapixels, and UnreadableImage for a structure that no picture has.
    """
    try:
        boxes = dict(_outer_boxes(data))
        if b"meta" not in boxes and b"moov" in boxes:
            raise UnsupportedMediaType(
                "the file holds a video or an animation without a still picture; save it as PNG"
            )
        return _Pictures(data, boxes[b"meta"]).work() + len(data) * _BYTE
    except (struct.error, LookupError, ValueError, RecursionError) as error:
        raise UnreadableImage(
            "the AVIF or HEIC is damaged or truncated: its boxes do not describe a picture; send "
            "the whole file"
        ) from error


class _Pictures:
    """The items of a file: what they are, how large, where, and what they are made of."""

    def __init__(self, data: bytes, meta: Box) -> None:
        self._data = data
        self._pieces = 0
        boxes = {kind: (start, end) for kind, start, end in self._counted(meta[1] + 4, meta[2])}
        self._primary = self._number(*boxes[b"pitm"])
        self._kinds = dict(self._item_kinds(*boxes[b"iinf"]))
        self._areas = self._sizes(*boxes[b"iprp"])
        references = list(self._references(*boxes[b"iref"])) if b"iref" in boxes else []
        self._parts = {item: to for kind, item, to in references if kind == b"dimg"}
        self._auxiliaries = [item for kind, item, to in references if kind == b"auxl"]
        self._check_sequences(*boxes[b"iloc"])

    def work(self) -> int:
        pictures = [self._primary, *self._auxiliaries]
        done = sum(self._work_of(item, 0) for item in pictures)
        return done * _PIXEL + self._pieces * PIECE

    def _work_of(self, item: int, depth: int) -> int:
        kind = self._kinds[item]
        if kind not in _ITEMS:
            raise UnsupportedMediaType(
                f"a picture of type {kind.decode('latin-1')!r} inside AVIF or HEIC is not "
                "supported; save it as PNG"
            )
        self._pieces += 1
        if depth > _MAX_DEPTH:
            raise LookupError(f"item {item} is a picture of pictures of pictures")
        done = self._areas[item]
        for part in self._parts.get(item, ()):
            done += self._work_of(part, depth + 1)
            if done * _PIXEL > MAX_WORK or self._pieces > MAX_PIECES:
                break
        return done

    def _counted(self, start: int, end: int) -> Iterator[Box]:
        for box in _boxes(self._data, start, end):
            self._pieces += 1
            yield box

    def _unpack(self, codes: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(f">{codes}", self._data, at)

    def _number(self, start: int, _end: int) -> int:
        """Number of an item, after a version and flags."""
        return self._unpack("I" if self._data[start] else "H", start + 4)[0]

    def _item_kinds(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for kind, at, _ in self._counted(start + (8 if self._data[start] else 6), end):
            if kind == b"infe" and self._data[at] in (2, 3):
                size = 2 if self._data[at] == 2 else 4
                item = int.from_bytes(self._data[at + 4 : at + 4 + size])
                yield item, self._data[at + 6 + size : at + 10 + size]

    def _sizes(self, start: int, end: int) -> dict[int, int]:
        """Pixels of each item; raises TooLarge for more than a picture may have."""
        boxes = {kind: (at, to) for kind, at, to in self._counted(start, end)}
        properties = list(self._counted(*boxes[b"ipco"]))
        areas: dict[int, int] = {}
        for item, index in self._associations(boxes[b"ipma"][0]):
            kind, at, _ = properties[index - 1] if index else (b"", 0, 0)
            if kind == b"ispe":
                width, height = self._unpack("II", at + 4)
                check_size(width, height)
                areas[item] = width * height
        return areas

    def _associations(self, start: int) -> Iterator[tuple[int, int]]:
        """Items, with the indices of their properties from 1."""
        version, is_wide = self._data[start], self._data[start + 3] & 1
        (count,) = self._unpack("I", start + 4)
        at = start + 8
        for _ in range(count):
            self._pieces += 1
            (item,) = self._unpack("I" if version else "H", at)
            at += 4 if version else 2
            (number,) = self._unpack("B", at)
            for code in self._unpack(f"{number}{'H' if is_wide else 'B'}", at + 1):
                yield item, code & (0x7FFF if is_wide else 0x7F)
            at += 1 + number * (2 if is_wide else 1)

    def _references(self, start: int, end: int) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
        """Kind of each reference, the item that it is from, and those that it is to."""
        code, size = ("I", 4) if self._data[start] else ("H", 2)
        for kind, at, _ in self._counted(start + 4, end):
            item, count = self._unpack(f"{code}H", at)
            yield kind, item, self._unpack(f"{count}{code}", at + size + 2)
            self._pieces += count

    def _check_sequences(self, start: int, _end: int) -> None:
        """Check the size in the AV1 data of each item against the one that the file states.

        A decoder makes a picture of the former, whatever its item says.
        """
        for item, extents in self._extents(start):
            if self._kinds.get(item) != b"av01":
                continue
            coded = b"".join(self._data[at : at + length or None] for at, length in extents)
            for width, height in _sequences(coded):
                check_size(width, height)
                if width * height > 2 * self._areas[item]:
                    raise LookupError(f"item {item} has {width} x {height} pixels")

    def _extents(self, start: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Items, with the offsets and lengths of their pieces in the file."""
        version = self._data[start]
        sizes, bases = self._data[start + 4 : start + 6]
        wide = version == 2
        (count,) = self._unpack("I" if wide else "H", start + 6)
        at = start + (10 if wide else 8)

        def take(size: int) -> int:
            nonlocal at
            if at + size > len(self._data):
                raise LookupError("a box ends too early")
            at += size
            return int.from_bytes(self._data[at - size : at])

        for _ in range(count):
            self._pieces += 1
            item = take(4 if wide else 2)
            method = take(2) & 15 if version else 0
            take(2)
            base = take(bases >> 4)
            extents = []
            for _ in range(take(2)):
                self._pieces += 1
                take(bases & 15 if version else 0)
                offset, length = base + take(sizes >> 4), take(sizes & 15)
                extents.append((offset, length))
            if method and self._kinds.get(item) == b"av01":
                raise UnsupportedMediaType("an AVIF with its data in a box is not supported")
            yield item, extents


def _outer_boxes(data: bytes) -> Iterator[tuple[bytes, Box]]:
    """The boxes of a file by their types, up to what phones and programs append to it."""
    has_picture = False
    try:
        for box in _boxes(data, 0, len(data)):
            yield box[0], box
            has_picture |= box[0] == b"meta"
    except LookupError:
        if not has_picture:
            raise


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    count = 0
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = start + size if size else end
        if stop < content or stop > end:
            raise LookupError(f"a box of {size} bytes does not fit in")
        count += 1
        if count > MAX_PIECES:
            raise TooLarge("the AVIF or HEIC has too many boxes; send an ordinary PNG or JPEG file")
        yield kind, content, stop
        start = stop


def _sequences(coded: bytes) -> Iterator[tuple[int, int]]:
    """Width and height in the sequence headers of AV1 data."""
    at = 0
    while at < len(coded):
        head = coded[at]
        at += 2 if head & 4 else 1
        length, shift = 0, 0
        if not head & 2:  # to the end
            length = len(coded) - at
        else:
            for _ in range(8):
                byte = coded[at]
                at += 1
                length |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _frame_size(coded[at : at + length])
        at += length


def _frame_size(header: bytes) -> tuple[int, int]:
    bits = int.from_bytes(header[:64].ljust(64, b"\0"))
    position = 512

    def take(count: int) -> int:
        nonlocal position
        position -= count
        return bits >> position & ((1 << count) - 1)

    take(4)  # profile, and whether it is a still picture
    if take(1):  # a short header
        take(5)
    else:
        if take(1):
            raise UnsupportedMediaType(
                "an AVIF with timing inside is not supported; save it as PNG"
            )
        has_delay = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if has_delay and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return take(width_bits) + 1, take(height_bits) + 1
