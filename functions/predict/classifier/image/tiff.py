"""TIFF structure: which files are accepted, and the work of decoding one.

libtiff reads more than any picture needs: tiles of gigabytes, millions of strips, a hundred ways of
compression. Only what is listed here comes to it. Source: TIFF 6.0, sections 2, 8, 15 and 22.
"""

import math
import struct
from collections.abc import Iterator

from classifier.errors import UnreadableImage, UnsupportedMediaType
from classifier.image import jpeg
from classifier.image.limits import MAX_PIECES, PIECE, check_size

_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT G3",
    4: "CCITT G4",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    34925: "LZMA",
    50000: "Zstandard",
}
NONE, _CCITT, JPEG = 1, (2, 3, 4), 7
IN_PLANES = 2
_MAX_SIDE = 65_535  # pixels
_MAX_DEPTH = 64  # bits of a pixel: four samples of 16
_TILE_SIDE = 1_024  # of a tile that may be larger than its picture: an ordinary one is 256
_FRACTIONS = (5, 10)  # types RATIONAL and SRATIONAL
_CODES = {3: "H", 4: "I", 13: "I"}  # of SHORT, LONG and IFD, for struct
_MAX_PAGES = 50  # are looked at

WIDTH, HEIGHT, BITS, COMPRESSION = 256, 257, 258, 259
STRIPS, SAMPLES, ROWS_PER_STRIP, _STRIP_BYTES, PLANES = 273, 277, 278, 279, 284
TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
PHOTOMETRIC = 262
_RAW = (32803, 34892)  # a value per pixel behind a colour filter, or before any rendering
_TILING = (TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES)
_DIRECTORIES = (34665, 34853, 40965)  # Exif, GPS, interoperability: Pillow reads all their fields


def work(data: bytes) -> int:
    """Count the work of decoding the first page, as `limits` does.

    Raises UnsupportedMediaType for a compression or a kind of pixel that is not listed, TooLarge
    for too many pixels, and UnreadableImage for a structure that no picture has.
    """
    try:
        directory = Directory(data)
        _check_form(directory)
        return _work(data, directory)
    except (struct.error, LookupError) as error:
        raise UnreadableImage(
            "the TIFF is damaged or truncated: its fields do not describe a picture; send the "
            "whole file"
        ) from error


def further_pages(data: bytes) -> Iterator[bytes]:
    """Yield the file from its second page on, from its third, and so on; of BigTIFF, too."""
    order = "<" if data.startswith(b"II") else ">"
    at, entry, codes = (8, 20, "QQ") if b"+" in data[2:4] else (4, 12, "IH")
    pointer, number = (struct.Struct(order + code) for code in codes)
    for _ in range(1, _MAX_PAGES):
        try:
            (start,) = pointer.unpack_from(data, at)
            (count,) = number.unpack_from(data, start)
            (start,) = pointer.unpack_from(data, start + number.size + entry * count)
        except (struct.error, OverflowError):
            return
        if not 0 < start < len(data):
            return
        data = data[:at] + pointer.pack(start) + data[at + pointer.size :]
        yield data


class Directory:
    """The fields of a file's first page.

    order: of its bytes, for struct.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.order = "<" if data.startswith(b"II") else ">"
        (start,) = self._unpack("I", 4)
        (count,) = self._unpack("H", start)
        self._fields: dict[int, tuple[int, int, int]] = {}  # type, number of values, and where
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = self._unpack("HHI", at)
            if tag in self._fields:
                raise LookupError(f"field {tag} occurs twice")
            self._fields[tag] = kind, number, at + 8

    def __contains__(self, tag: int) -> bool:
        return tag in self._fields

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        """Values of a field of whole numbers.

        Raises LookupError if there is no such field of one value or more, and struct.error if they
        are not all in the file.
        """
        if tag not in self._fields:
            if default:
                return default
            raise LookupError(f"field {tag} is missing")
        kind, number, at = self._fields[tag]
        code = _CODES[kind]
        if not 0 < number <= MAX_PIECES:
            raise LookupError(f"field {tag} has {number} values")
        if number * struct.calcsize(f"={code}") > 4:
            (at,) = self._unpack("I", at)
        return self._unpack(f"{number}{code}", at)

    def number(self, tag: int, *default: int) -> int:
        """Value of a field of one whole number; raises what `numbers` raises."""
        numbers = self.numbers(tag, *default)
        if len(numbers) != 1:
            raise LookupError(f"field {tag} has {len(numbers)} values")
        return numbers[0]

    def entries(self) -> dict[int, bytes]:
        """The fields as the file has them, by their tags."""
        return {tag: self._data[at - 8 : at + 4] for tag, (_, _, at) in self._fields.items()}

    def count(self) -> int:
        """Count the fields, those of further directories too, and fractions, which are slow."""
        count = len(self._fields)
        for kind, number, _ in self._fields.values():
            if kind in _FRACTIONS:
                count += min(number, len(self._data) // 8)
        for tag in _DIRECTORIES:
            start = self.number(tag, 0)
            if 0 < start < len(self._data) - 1:
                count += self._unpack("H", start)[0]
        return count

    def _unpack(self, codes: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + codes, self._data, at)


def _check_form(directory: Directory) -> None:
    """Raise an error for a compression, a size or a depth that is not supported."""
    width, height = directory.number(WIDTH), directory.number(HEIGHT)
    if directory.number(PHOTOMETRIC, 0) in _RAW:
        raise UnsupportedMediaType(
            "camera raw files (DNG, NEF, CR2 and others) are not supported; export the picture as "
            "JPEG"
        )
    compression = directory.number(COMPRESSION, NONE)
    if compression not in _COMPRESSIONS:
        names = ", ".join(dict.fromkeys(_COMPRESSIONS.values()))
        raise UnsupportedMediaType(
            f"TIFF compression {compression} is not supported; save the picture with one of "
            f"{names}, or as PNG"
        )
    check_size(width, height)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise UnreadableImage(
            f"the TIFF's sides must be 1 to {_MAX_SIDE} pixels, got {width} x {height}"
        )
    samples, depth = directory.number(SAMPLES, 1), max(directory.numbers(BITS, 1))
    if not 0 < samples * depth <= _MAX_DEPTH:
        raise UnsupportedMediaType(
            f"a TIFF's pixel must have 1 to {_MAX_DEPTH} bits, got {samples} samples of {depth}; "
            "save the picture as PNG"
        )


def _work(data: bytes, directory: Directory) -> int:
    width, height = directory.number(WIDTH), directory.number(HEIGHT)
    if STRIPS in directory:
        rows = min(directory.number(ROWS_PER_STRIP, height), height)
        piece, count = (width, rows), math.ceil(height / rows) if rows else 0
        offsets, lengths = directory.numbers(STRIPS), directory.numbers(_STRIP_BYTES, 0)
    else:
        piece = directory.number(TILE_WIDTH), directory.number(_TILE_HEIGHT)
        count = _tiles((width, height), piece)
        offsets, lengths = directory.numbers(_TILES), directory.numbers(_TILE_BYTES, 0)
    if not count or (STRIPS in directory and any(tag in directory for tag in _TILING)):
        raise LookupError("the page is in neither strips nor tiles")
    in_planes = directory.number(PLANES, 1) == IN_PLANES
    planes = directory.number(SAMPLES, 1) if in_planes else 1
    done = count * math.prod(piece)
    pieces = directory.count() + max(planes * count, len(offsets))
    compression = directory.number(COMPRESSION, NONE)
    if compression != NONE:
        _check_lengths(data, offsets, lengths)
    if compression in _CCITT:
        pieces += height  # any row can be damaged
    elif compression == JPEG:
        done += sum(
            jpeg.work(data[offset : offset + length])
            for offset, length in zip(offsets, lengths, strict=True)
        )
    return done + pieces * PIECE


def _check_lengths(data: bytes, offsets: tuple[int, ...], lengths: tuple[int, ...]) -> None:
    """Raise an error for strips or tiles that would make a decoder read the same bytes often."""
    if len(offsets) != len(lengths) or not all(lengths):
        raise LookupError("not every strip or tile has a length")
    if sum(lengths) > len(data):
        raise UnreadableImage(
            f"the TIFF's strips or tiles must not overlap; they have {sum(lengths)} bytes in a "
            f"file of {len(data)}"
        )


def _tiles(picture: tuple[int, int], tile: tuple[int, int]) -> int:
    """Count the tiles that cover a picture; 0 if they have no pixels.

    Raises UnreadableImage for tiles that are larger than a picture needs.
    """
    if not all(tile):
        return 0
    fits = all(
        side <= math.ceil(whole / 16) * 16 for side, whole in zip(tile, picture, strict=True)
    )
    if not fits and max(tile) > _TILE_SIDE:
        raise UnreadableImage(
            f"the TIFF's tiles must be no larger than its {picture[0]} x {picture[1]} pixels, or "
            f"{_TILE_SIDE} x {_TILE_SIDE}, got {tile[0]} x {tile[1]}"
        )
    return math.ceil(picture[0] / tile[0]) * math.ceil(picture[1] / tile[1])
