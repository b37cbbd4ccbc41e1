"""Small image files that keep a decoder busy: little to send, much to decode.

Each case is the image files of one request, at most 32 and within its 4 MiB.
tests/unit/predict/test_heavy.py bounds what each takes.
"""

import functools
import itertools
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.support.hostile_files import chunk, digit, saved

MAX_IMAGES = 32
BODY = 4_100_000  # bytes for the images of one request, with room for the form around them

type Make = Callable[[], list[bytes]]
CASES: dict[str, tuple[Make, frozenset[int]]] = {}


def case(*statuses: int) -> Callable[[Make], Make]:
    """Register a function that makes the images of a request, with the acceptable statuses."""

    def register(make: Make) -> Make:
        CASES[make.__name__] = make, frozenset(statuses)
        return make

    return register


def batch(image: bytes) -> list[bytes]:
    """As many copies of a file as a request can carry."""
    return [image] * min(MAX_IMAGES, BODY // len(image))


def filled(start: bytes, filling: bytes, end: bytes, share: int = 1) -> bytes:
    """Repeat `filling` between two parts, up to a share of what a request can carry."""
    return start + filling * ((BODY // share - len(start) - len(end)) // len(filling)) + end


ANIMATED = ("GIF", "PNG", "WEBP")

# TIFF.

SHORT, LONG = 3, 4
TAGS = {
    "bits": 258,
    "compression": 259,
    "photometric": 262,
    "strips": 273,
    "orientation": 274,
    "samples": 277,
    "rows": 278,
    "strip_bytes": 279,
    "planes": 284,
    "least": 280,
    "most": 281,
    "predictor": 317,
    "tile_width": 322,
    "tile_height": 323,
    "tiles": 324,
    "tile_bytes": 325,
    "extra_samples": 338,
    "sample_format": 339,
    "exif": 34665,
    "gps": 34853,
    "interoperability": 40965,
}
POINTERS = {"strips", "tiles", "exif", "gps", "interoperability"}  # counted from the pixels


def tiff(
    width: int, height: int, pixels: bytes, order: str = "<", /, **more: int | list[int]
) -> bytes:
    """TIFF of one grey page, its pixels last; more: fields of type LONG, by their names in TAGS."""
    fields = {"bits": 8, "compression": 1, "photometric": 1} | more
    if not {"strips", "tiles"} & fields.keys():
        fields |= {"strips": 0, "strip_bytes": len(pixels)}
    values = {256: [width], 257: [height]}
    for name, given in fields.items():
        values[TAGS[name]] = [given] if isinstance(given, int) else given
    end = 8 + 2 + 12 * len(values) + 4
    pixels_at = end + sum(4 * len(numbers) for numbers in values.values() if len(numbers) > 1)
    directory, content = struct.pack(f"{order}H", len(values)), b""
    pointers = {TAGS[name] for name in POINTERS}
    for tag, numbers in sorted(values.items()):
        shifted = [number + pixels_at * (tag in pointers) for number in numbers]
        packed = struct.pack(f"{order}{len(shifted)}I", *shifted)
        directory += struct.pack(f"{order}HHI", tag, LONG, len(numbers))
        if len(numbers) > 1:
            directory += struct.pack(f"{order}I", end + len(content))
            content += packed
        else:
            directory += packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + directory + bytes(4) + content + pixels


def big_tiff(
    width: int, height: int, pixels: bytes, order: str = "<", *, kind: int = 16, strips: int = 1
) -> bytes:
    """BigTIFF of one grey page in strips; kind: the type of its numbers, LONG8 by default."""
    rows = height // strips
    values = {256: [width], 257: [height], 258: [8], 259: [1], 262: [1], 277: [1], 278: [rows]}
    offsets = [16 + width * rows * number for number in range(strips)]
    values |= {273: offsets, 279: [width * rows] * strips}
    start = 16 + len(pixels)
    lists = start + 8 + 20 * len(values) + 8
    code = {16: "Q", 4: "I", 3: "H"}[kind]
    directory, content = struct.pack(f"{order}Q", len(values)), b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        directory += struct.pack(f"{order}HHQ", tag, kind, len(numbers))
        if len(packed) > 8:
            directory += struct.pack(f"{order}Q", lists + len(content))
            content += packed
        else:
            directory += packed.ljust(8, b"\0")
    mark = b"II+\0" if order == "<" else b"MM\0+"
    header = mark + struct.pack(f"{order}HHQ", 8, 0, start)
    return header + pixels + directory + bytes(8) + content


def tile(width: int, height: int) -> bytes:
    """Packed pixels of a page with a digit in its upper left corner."""
    packer = zlib.compressobj(9)
    rows = np.full((64, width), 255, dtype=np.uint8)
    rows[:, :64] = np.asarray(digit(64).resize((min(64, width), 64)))
    packed = [packer.compress(rows.tobytes())]
    white = b"\xff" * width * 64
    packed += [packer.compress(white) for _ in range(64, height, 64)]
    return b"".join(packed) + packer.flush()


def tiled_tiff(width: int, height: int) -> bytes:
    """TIFF of 64 x 64 pixels in one tile of any size."""
    size = {"tile_width": width, "tile_height": height}
    pixels = tile(width, height)
    return tiff(64, 64, pixels, compression=8, tiles=0, tile_bytes=len(pixels), **size)


@case(422)
def tiff_of_one_tile_of_38000_pixels() -> list[bytes]:
    side = {"tile_width": 38_016, "tile_height": 38_016}
    return [tiff(64, 64, tile(38_016, 1024), compression=8, tiles=0, tile_bytes=1000, **side)]


@case(422)
def batch_of_tiffs_of_one_tile_of_4000_pixels() -> list[bytes]:
    return batch(tiled_tiff(4000, 4000))


@case(200)
def batch_of_tiffs_of_one_tile_of_1024_pixels() -> list[bytes]:
    return batch(tiled_tiff(1024, 1024))


@case(422)
def tiff_of_one_long_tile() -> list[bytes]:
    size = {"tile_width": 64, "tile_height": 1 << 26}
    return [tiff(64, 64, tile(64, 1 << 20), compression=8, tiles=0, tile_bytes=1000, **size)]


def tall_tiff(height: int, order: str = "<") -> bytes:
    """TIFF of a bar 16 pixels wide, one strip per row."""
    rows = b"\xff" * 16 + b"\xff" * 6 + bytes(4) + b"\xff" * 6
    strips = [16 * (height // 4 < row < height // 2) for row in range(height)]
    return tiff(16, height, rows, order, rows=1, strips=strips, strip_bytes=[16] * 2)


@case(413, 422)
def big_endian_tiff_whose_compression_is_a_long() -> list[bytes]:
    return [tall_tiff(500_000, ">")]


@case(413)
def batch_of_tiffs_of_16000_strips() -> list[bytes]:
    return batch(tall_tiff(16_000))


@case(422)
def tiff_of_tiles_without_height() -> list[bytes]:
    size = {"tile_width": 16, "tile_height": 0}
    return [tiff(64, 64, bytes(256), tiles=[0] * 500_000, tile_bytes=[256], **size)]


@case(413, 422)
def tiff_of_900000_planes() -> list[bytes]:
    more: dict[str, Any] = {
        "samples": 3,
        "planes": 2,
        "photometric": 2,
        "rows": 1,
        "strip_bytes": [28],
    }
    return [tiff(28, 28, bytes(784), strips=[0] * 900_000, **more)]


@case(415)
def tiff_of_4_gigabyte_pixels() -> list[bytes]:
    return [tiff(28, 28, tile(28, 28), compression=8, samples=2**32 - 1)]


def fax(width: int, height: int, size: int, pattern: bytes, compression: int) -> bytes:
    """Fax of random bytes: most rows are damaged, and libtiff reports each."""
    rows = pattern * (size // len(pattern))
    return tiff(width, height, rows, compression=compression, bits=1, photometric=0)


@case(422)
def fax_of_a_million_rows() -> list[bytes]:
    return [fax(16, 999_999, BODY, b"\0\x10\x01", 2)]


@case(200, 413, 422)
def batch_of_faxes_of_60000_rows() -> list[bytes]:
    return batch(fax(16, 60_000, 120_000, b"\0\x10\x01", 2))


def damaged_fax(compression: int, pattern: bytes) -> Make:
    return lambda: [fax(1728, 9000, 1_000_000, pattern, compression)]


_PATTERNS = (b"\0\x10\x01", b"\x55")
for _compression, _pattern in itertools.product((2, 3, 4), _PATTERNS):
    _name = f"fax_of_compression_{_compression}_and_pattern_{_pattern.hex()}"
    CASES[_name] = damaged_fax(_compression, _pattern), frozenset({200, 422})


@case(422)
def tiff_of_lzw_that_is_none() -> list[bytes]:
    return [tiff(4000, 4000, b"\x80\x40\x20\x10\x08\x04\x02\x01" * 500_000, compression=5)]


@case(415)
def tiff_of_a_compression_that_is_not_listed() -> list[bytes]:
    return [tiff(4000, 4000, b"\x3f" * 4_000_000, compression=32809, bits=4)]


@case(200)
def tiff_of_16_megapixels_of_floats() -> list[bytes]:
    floats: dict[str, Any] = {"bits": 32, "sample_format": 3, "predictor": 3}
    return [tiff(4000, 4000, tile(16_000, 4000), compression=8, **floats)]


@case(200, 422)
def tiff_of_4_megapixels_of_four_floats() -> list[bytes]:
    floats: dict[str, Any] = {"bits": [32] * 4, "samples": 4, "sample_format": 3, "photometric": 2}
    return [tiff(2000, 2000, tile(32_000, 2000), compression=8, **floats)]


def planes_of_halves(**more: int) -> list[bytes]:
    halves: dict[str, Any] = {
        "bits": [16] * 3,
        "samples": 3,
        "sample_format": 3,
        "photometric": 2,
        "planes": 2,
    }
    plane = tile(4600, 2300)
    size = len(plane)
    strips: dict[str, Any] = {"strips": [0, size, 2 * size], "strip_bytes": [size] * 3}
    return [tiff(2300, 2300, plane * 3, compression=8, **halves, **strips, **more)]


@case(200, 422)
def tiff_of_5_megapixels_of_planes_of_halves() -> list[bytes]:
    return planes_of_halves()


@case(200, 422)
def png_of_16_megapixels_of_dim_colours_with_transparency() -> list[bytes]:
    row = b"\0" + (np.arange(4 * 4000) % 4000).astype(">u2").tobytes()
    header = struct.pack(">IIBBBBB", 4000, 4000, 16, 6, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(row * 4000, 9)), (b"IEND", b"")
    return [b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)]


@case(200, 422)
def tiff_of_5_megapixels_of_planes_of_halves_behind_a_predictor() -> list[bytes]:
    return planes_of_halves(predictor=3)


@case(413)
def tiff_of_16_megapixels_of_three_floats() -> list[bytes]:
    floats: dict[str, Any] = {"bits": [32] * 3, "samples": 3, "sample_format": 3, "photometric": 2}
    return [tiff(4000, 4000, tile(48_000, 4000), compression=8, **floats)]


@case(422)
def batch_of_tiffs_whose_xz_asks_for_4_gigabytes() -> list[bytes]:
    packed = bytearray(lzma.compress(bytes(1_000_000)))
    packed[16] = 40  # the dictionary's size, in the header of the first block
    packed[20:24] = struct.pack("<I", zlib.crc32(packed[12:20]))
    return batch(tiff(1000, 1000, bytes(packed), compression=34925))


def jpeg_tiff(jpeg: bytes, side: int, across: int, *, apart: bool) -> bytes:
    """TIFF whose tiles are one JPEG."""
    count = across * across
    return tiff(
        side * across,
        side * across,
        jpeg * (count if apart else 1),
        compression=7,
        tile_width=side,
        tile_height=side,
        tiles=[len(jpeg) * number * apart for number in range(count)],
        tile_bytes=[len(jpeg)] * count,
    )


def scans(count: int, image: Image.Image, **options: Any) -> bytes:
    """Progressive JPEG of `count` scans."""
    whole = saved(image, "JPEG", progressive=True, **options)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


@case(422)
def tiff_of_progressive_tiles_that_are_one() -> list[bytes]:
    return [jpeg_tiff(scans(99, digit(400)), 400, 10, apart=False)]


@case(413)
def tiff_of_progressive_tiles() -> list[bytes]:
    white = Image.new("L", (800, 800), 255)
    return [jpeg_tiff(scans(99, white), 800, 5, apart=True)]


def short_fields(count: int) -> bytes:
    """Directory of many fields, as in TIFF and EXIF."""
    fields = (struct.pack("<HHII", tag, SHORT, 1, 1) for tag in range(1000, 1000 + count))
    return struct.pack("<H", count) + b"".join(fields) + bytes(4)


@case(413)
def batch_of_tiffs_of_one_directory_for_everything() -> list[bytes]:
    pointers = {"exif": 64, "gps": 64, "interoperability": 64}
    return batch(tiff(8, 8, digit(8).tobytes() + short_fields(64_000), **pointers))


@case(422)
def batch_of_tiffs_of_64000_fields() -> list[bytes]:
    return batch(b"II*\0\x08\0\0\0" + short_fields(64_000))


@case(413)
def tiff_of_a_resolution_of_490000_fractions() -> list[bytes]:
    end = struct.pack("<II", 7, 3) * 490_000
    whole = tiff(64, 64, digit(64).tobytes() + end, planes=[1] * 2)
    planes = whole.index(struct.pack("<HHI", 284, LONG, 2))
    resolution = struct.pack("<HHII", 282, 5, 490_000, len(whole) - len(end))
    return [whole[:planes] + resolution + whole[planes + 12 :]]


@case(422)
def bigtiff_of_a_directory_of_everything() -> list[bytes]:
    header = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**63)
    return [header + struct.pack("<HHQQ", 273, 16, 200_000, 16) * 200_000]


@case(422)
def batch_of_bigtiffs_whose_fields_are_one_list() -> list[bytes]:
    count = 4000
    fields = struct.pack("<HHQQ", 273, 16, 15_000, 16) * count
    return batch(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, count) + fields + bytes(40_000))


@case(422)
def bigtiff_of_strips_that_lie_at_one_place() -> list[bytes]:
    whole = big_tiff(64, 30_000, bytes(1_920_000), strips=30_000)
    return [whole.replace(struct.pack("<HHQ", 259, 16, 1), struct.pack("<HHQ", 259, 16, 2))]


@case(200)
def tiff_of_16_megapixels_of_fractions_of_64_bits() -> list[bytes]:
    packer = zlib.compressobj(9)
    rows = np.ones((100, 4000), dtype=">f8")
    rows[20:80, 1000:2000] = 0.1
    packed = b"".join(packer.compress(rows.tobytes()) for _ in range(40)) + packer.flush()
    return [tiff(4000, 4000, packed, ">", compression=8, bits=64, sample_format=3)]


# BMP.


def bmp(width: int, height: int, pixels: bytes, *, bits: int = 8, compression: int = 1) -> bytes:
    """BMP with a palette of shades of red."""
    palette = b"".join(bytes((0, 0, shade, 0)) for shade in range(256))
    header = struct.pack("<IiiHHII", 40, width, height, 1, bits, compression, len(pixels))
    start = 14 + 40 + len(palette)
    file = struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return b"BM" + file + header + struct.pack("<iiII", 0, 0, 256, 0) + palette + pixels


@case(413)
def bmp_of_ends_of_lines() -> list[bytes]:
    return [bmp(32_000, 500, b"\x01\xff\0\0" * 500)]


@case(413)
def batch_of_bmp_of_ends_of_lines() -> list[bytes]:
    return [bmp(500, 500, b"\x40\xff\0\0" * 500)] * MAX_IMAGES


@case(422)
def bmp_of_runs_beyond_their_line() -> list[bytes]:
    return [bmp(1, 100_000, b"\x01\x01" * 1_900_000)]


@case(413, 422)
def bmp_of_jumps_to_the_same_place() -> list[bytes]:
    return [bmp(1000, 1000, b"\0\x02\0\0" * 1_000_000)]


@case(415)
def bmp_of_a_header_of_a_gigabyte() -> list[bytes]:
    whole = bytearray(bmp(28, 28, bytes(4_000_000)))
    whole[14:18] = struct.pack("<I", 1 << 30)
    return [bytes(whole)]


# JPEG.


@case(413)
def batch_of_progressive_jpegs_of_43_scans() -> list[bytes]:
    return batch(scans(43, digit(1000, "RGB")))


@case(200)
def batch_of_ordinary_progressive_jpegs() -> list[bytes]:
    return batch(saved(digit(1000, "RGB"), "JPEG", progressive=True))


@case(413)
def jpeg_of_50_scans_of_16_megapixels() -> list[bytes]:
    return [scans(50, digit(4000, "RGB"), subsampling=0)]


@case(413)
def jpeg_of_100000_scans_of_one_block() -> list[bytes]:
    whole = saved(digit(8), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return [filled(whole[:-2], scan, b"\xff\xd9")]


@case(413)
def batch_of_jpegs_of_30000_comments() -> list[bytes]:
    whole = saved(digit(), "JPEG")
    return batch(filled(whole[:2], b"\xff\xfe\0\x02", whole[2:], share=MAX_IMAGES))


@case(413)
def jpeg_of_comments_between_its_scans() -> list[bytes]:
    whole = saved(digit(), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return [filled(whole[:last], b"\xff\xfe\0\x02", whole[last:])]


@case(200)
def batch_of_jpegs_of_full_exif() -> list[bytes]:
    exif = b"Exif\0\0II*\0\x08\0\0\0" + short_fields(5000)
    return batch(saved(digit(), "JPEG", exif=exif))


@case(200)
def jpeg_of_16_megapixels_that_is_cut_off() -> list[bytes]:
    return [saved(digit(4000, "RGB"), "JPEG", quality=90)[:-50]]


@case(200)
def progressive_jpeg_of_16_megapixels_that_is_cut_off() -> list[bytes]:
    return [saved(digit(4000, "RGB"), "JPEG", quality=90, progressive=True)[:-4]]


@case(413)
def jpeg_cut_off_after_a_million_scans_in_its_trailer() -> list[bytes]:
    whole = saved(digit(4000), "JPEG")
    return [filled(whole[:2000], b"\xff\xda\0\x02", b"")]


# PNG.


def stuffed_png(filling: bytes) -> bytes:
    """PNG with as many chunks before its pixels as fit into one of a request's 32 images."""
    whole = saved(digit(), "PNG")
    return filled(whole[:33], filling, whole[33:], share=MAX_IMAGES)


@case(413)
def batch_of_pngs_of_10000_chunks() -> list[bytes]:
    return batch(stuffed_png(chunk(b"IDAT", b"")))


@case(200)
def batch_of_pngs_of_10000_chunks_of_no_use() -> list[bytes]:
    return batch(stuffed_png(chunk(b"abCd", b"")))


@case(200)
def png_of_150000_chunks_of_no_use() -> list[bytes]:
    whole = saved(digit(), "PNG")
    return [whole[:33] + chunk(b"abCd", b"") * 150_000 + whole[33:]]


@case(200)
def batch_of_pngs_of_packed_profiles() -> list[bytes]:
    return batch(stuffed_png(chunk(b"iCCP", b"key\0\0" + zlib.compress(bytes(1_000_000), 9))))


@case(200)
def batch_of_pngs_of_packed_texts() -> list[bytes]:
    text = zlib.compress(bytes(1_000_000), 9)
    return batch(stuffed_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + text)))


@case(413)
def batch_of_pngs_of_64000_fields() -> list[bytes]:
    whole = saved(digit(), "PNG")
    exif = chunk(b"eXIf", b"II*\0\x08\0\0\0" + short_fields(64_000))
    return batch(whole[:33] + exif + whole[33:])


@case(422)
def png_of_100_megabytes_behind_its_pixels() -> list[bytes]:
    whole = saved(digit(28), "PNG")
    return [whole[:33] + chunk(b"IDAT", tile(1 << 20, 100)) + whole[-12:]]


@case(200)
def png_of_thousands_of_frames() -> list[bytes]:
    frames = [Image.new("L", (28, 28), number % 256) for number in range(1000)]
    return [saved(digit(28), "PNG", save_all=True, append_images=frames)]


# GIF and WebP.


@case(200)
def batch_of_gifs_with_transparency() -> list[bytes]:
    return batch(saved(digit(1000, "P"), "GIF", transparency=3))


@case(200)
def gif_of_one_long_comment() -> list[bytes]:
    whole = saved(digit(28), "GIF")
    head = 13 + 3 * (2 << (whole[10] & 7)) * (whole[10] >> 7)
    return [filled(whole[:head] + b"\x21\xfe", b"\x01A", b"\0" + whole[head:])]


@case(200)
def webp_of_thousands_of_frames() -> list[bytes]:
    frames = [Image.new("RGB", (28, 28), (number % 256, number // 256, 0)) for number in range(500)]
    return [saved(digit(28), "WEBP", save_all=True, append_images=frames, lossless=True)]


@case(413, 422)
def animations_of_empty_frames() -> list[bytes]:
    pages = [Image.new("L", (1000, 1000), shade) for shade in range(255, 205, -1)]
    return [saved(pages[0], kind, save_all=True, append_images=pages[1:]) for kind in ANIMATED]


@case(200, 422)
def batch_of_gifs_of_small_empty_frames() -> list[bytes]:
    pages = [Image.new("P", (28, 28), number % 2) for number in range(500)]
    return batch(saved(pages[0], "GIF", save_all=True, append_images=pages[1:]))


@case(200, 422)
def batch_of_tiffs_of_small_empty_pages() -> list[bytes]:
    pages = [Image.new("I;16", (28, 28))] * 100
    return batch(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))


@case(413)
def tiff_of_large_empty_pages() -> list[bytes]:
    pages = [Image.new("F", (4000, 4000))] * 3
    lzw = {"compression": "tiff_lzw"}
    return [saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], **lzw)]


# AVIF and HEIC.


def heif_box(kind: bytes, *content: bytes, version: int | None = None) -> bytes:
    """One box; with a version, and no flags, if one is given."""
    head = b"" if version is None else bytes((version, 0, 0, 0))
    body = head + b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heif_grid(tile: bytes, brand: bytes, kind: bytes, across: int, side: int) -> bytes:
    """HEIF of a grid, whose tiles all lie at one place: the picture of a file."""
    start, count = tile.index(b"ipco") - 4, across * across
    length = struct.unpack_from(">I", tile, start)[0]
    properties = tile[start + 8 : start + length]
    used: list[bytes] = []
    while properties and len(used) < 20:  # ispe and the codec's own, by their places
        size = struct.unpack_from(">I", properties)[0]
        used.append(properties[:size])
        properties = properties[size:]
    picture = struct.pack(">II", side * across, side * across)
    used.append(heif_box(b"ispe", picture, version=0))
    data = tile[tile.index(b"mdat") + 4 :]
    grid = bytes((0, 1, across - 1, across - 1)) + picture

    def items(data_at: int) -> bytes:
        tiles = range(2, count + 2)
        kinds = [(1, b"grid"), *((item, kind) for item in tiles)]
        entries = [
            heif_box(b"infe", struct.pack(">HH", item, 0), name, b"\0", version=2)
            for item, name in kinds
        ]
        places = struct.pack(">HHHII", 1, 0, 1, data_at, len(grid)) + b"".join(
            struct.pack(">HHHII", item, 0, 1, data_at + len(grid), len(data)) for item in tiles
        )
        of_tile = bytes(range(1, len(used)))
        associations = struct.pack(">IHBB", len(kinds), 1, 1, len(used)) + b"".join(
            struct.pack(">HB", item, len(of_tile)) + of_tile for item in tiles
        )
        references = struct.pack(f">HH{count}H", 1, count, *tiles)
        return heif_box(
            b"meta",
            heif_box(b"hdlr", bytes(4), b"pict", bytes(13), version=0),
            heif_box(b"pitm", struct.pack(">H", 1), version=0),
            heif_box(b"iloc", b"\x44\x00", struct.pack(">H", len(kinds)), places, version=0),
            heif_box(b"iinf", struct.pack(">H", len(kinds)), *entries, version=0),
            heif_box(
                b"iprp",
                heif_box(b"ipco", *used),
                heif_box(b"ipma", associations, version=0),
            ),
            heif_box(b"iref", heif_box(b"dimg", references), version=0),
            version=0,
        )

    head = heif_box(b"ftyp", brand, bytes(4), brand, b"mif1")
    start = len(head) + len(items(0)) + 8
    return head + items(start) + heif_box(b"mdat", grid, data)


@functools.cache
def square(kind: str, side: int, **options: Any) -> bytes:
    """White square in AVIF or HEIC."""
    return saved(Image.new("RGB", (side, side), "white"), kind, quality=10, **options)


def smaller(file: bytes, side: int) -> bytes:
    """File that says that it has 64 x 64 pixels."""
    return file.replace(struct.pack(">II", side, side), struct.pack(">II", 64, 64))


@case(413)
def avif_of_64_megapixels_that_says_it_is_small() -> list[bytes]:
    return [smaller(square("AVIF", 8000, speed=10), 8000)]


@case(422)
def batch_of_avifs_of_16_megapixels_that_say_they_are_small() -> list[bytes]:
    return batch(smaller(square("AVIF", 4000, speed=10), 4000))


@case(422)
def batch_of_heics_of_4_megapixels_that_say_they_are_small() -> list[bytes]:
    return batch(smaller(square("HEIF", 2000), 2000))


@case(200)
def avif_of_16_megapixels_with_transparency() -> list[bytes]:
    ink = Image.new("RGBA", (4000, 4000))
    ink.paste("black", (1000, 500, 1400, 3500))
    return [saved(ink, "AVIF", speed=10)]


@case(200)
def heic_of_16_megapixels_with_transparency() -> list[bytes]:
    ink = Image.new("RGBA", (4000, 4000))
    ink.paste("black", (1000, 500, 1400, 3500))
    return [saved(ink, "HEIF")]


@case(200)
def batch_of_avifs_of_a_megapixel() -> list[bytes]:
    return batch(saved(digit(1000, "RGB"), "AVIF", speed=10))


@case(200)
def batch_of_heics_of_a_megapixel() -> list[bytes]:
    return batch(saved(digit(1000, "RGB"), "HEIF", quality=10))


def noise(kind: str, quality: int, **options: Any) -> bytes:
    """Picture of which nothing can be saved."""
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind, quality=quality, **options)


@case(200, 422)
def avif_of_noise() -> list[bytes]:
    return [noise("AVIF", 80, speed=10)]


@case(200, 422)
def heic_of_noise() -> list[bytes]:
    return [noise("HEIF", 60)]


@case(413)
def avif_grid_of_one_tile_of_16_megapixels() -> list[bytes]:
    whole = heif_grid(square("AVIF", 4000, speed=10), b"avif", b"av01", 200, 4000)
    return [smaller(whole, 800_000)]


@case(413)
def heic_grid_of_one_tile_of_4_megapixels() -> list[bytes]:
    return [smaller(heif_grid(square("HEIF", 2000), b"heic", b"hvc1", 200, 2000), 400_000)]


@case(200, 422)
def avif_animation_of_thousands_of_frames() -> list[bytes]:
    frames = [Image.new("L", (64, 64), number % 256) for number in range(1000)]
    return [saved(digit(64), "AVIF", save_all=True, append_images=frames, speed=10)]


@case(413, 422)
def avif_of_a_million_boxes() -> list[bytes]:
    return [filled(heif_box(b"ftyp", b"avif", bytes(4), b"avif"), heif_box(b"free"), b"")]


@case(422)
def heic_of_fields_without_an_end() -> list[bytes]:
    head = heif_box(b"ftyp", b"heic", bytes(4), b"heic")
    meta = struct.pack(">I4sI", 4_000_000, b"meta", 0) + struct.pack(">I4s", 0, b"ipma")
    return [head + meta + b"\xff" * 3_900_000 + bytes(200_000)]
