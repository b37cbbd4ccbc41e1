"""tiff.py: TIFF files are accepted by a list of forms, and the work of decoding is counted."""

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classifier.errors import PredictError, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.image.limits import MAX_PIECES, MAX_WORK, PIECE
from classifier.image.tiff import work
from tests.support.heavy_files import LONG, TAGS, jpeg_tiff, scans, tiff, tile

GREY = Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 64), dtype=np.uint8))


def work_of_fields(file: bytes) -> int:
    return PIECE * int(struct.unpack_from("<H" if file.startswith(b"II") else ">H", file, 8)[0])


def saved(image: Image.Image = GREY, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        *itertools.product(
            ("L", "RGB", "RGBA", "P", "CMYK"),
            (None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "lzma", "zstd"),
        ),
        *itertools.product(("1",), (None, "tiff_ccitt", "group3", "group4", "packbits")),
        *itertools.product(("L", "RGB"), ("jpeg",)),
        *itertools.product(("I;16", "F", "I"), (None, "tiff_lzw", "zstd")),
    ],
)
def test_what_ordinary_programs_write_is_accepted(mode: str, compression: str | None) -> None:
    assert 64 * 96 <= work(saved(GREY.convert(mode), compression=compression)) < 3_000_000


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("side", [16, 256, 1024])
def test_a_small_picture_in_an_ordinary_tile_is_accepted(order: str, side: int) -> None:
    size = {"tile_width": side, "tile_height": side}
    file = tiff(16, 16, tile(side, side), order, compression=8, tiles=0, tile_bytes=9, **size)
    assert work(file) == side * side + PIECE + work_of_fields(file)


@pytest.mark.parametrize("side", [(1040, 1024), (1024, 1040), (38_016, 38_016), (16, 1 << 24)])
def test_a_tile_that_is_larger_than_its_picture_is_refused(side: tuple[int, int]) -> None:
    size = {"tile_width": side[0], "tile_height": side[1]}
    with pytest.raises(UnreadableImage, match=f"64 x 64 pixels.* got {side[0]} x {side[1]}"):
        work(tiff(64, 64, b"", compression=8, tiles=0, tile_bytes=1, **size))


def test_a_tile_as_large_as_its_picture_is_accepted_rounded_up_to_16_pixels() -> None:
    size = {"tile_width": 2000, "tile_height": 3008}
    assert work(tiff(2000, 3000, b"", tiles=0, **size)) > 2000 * 3000


@pytest.mark.parametrize("compression", [0, 6, 32771, 32809, 34676, 50001, 65_536, 2**32 - 1])
def test_a_compression_that_is_not_listed_is_refused(compression: int) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"compression {compression} is not.*Deflate"):
        work(tiff(64, 64, b"", compression=compression))


@pytest.mark.parametrize("photometric", [32803, 34892])
def test_a_camera_raw_file_is_named(photometric: int) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"camera raw files \(DNG"):
        work(tiff(64, 64, bytes(8192), bits=16, photometric=photometric))


@pytest.mark.parametrize("order", ["<", ">"])
def test_strips_are_counted_whatever_the_type_of_the_compression(order: str) -> None:
    """A LONG of a big-endian file was once read as a SHORT, 0, which no rule was for."""
    rows = 10_000
    file = tiff(16, rows, b"", order, rows=1, strips=[0] * rows)
    assert work(file) == 16 * rows + rows * PIECE + work_of_fields(file)
    with pytest.raises(UnreadableImage, match="do not describe a picture"):
        work(tiff(16, 16, b"", order, rows=1, strips=[0] * (MAX_PIECES + 1)))


@pytest.mark.parametrize(("width", "height"), [(0, 16), (16, 0), (1, 65_536), (65_536, 1)])
def test_a_side_that_no_picture_has_is_refused(width: int, height: int) -> None:
    with pytest.raises(UnreadableImage, match=f"1 to 65535 pixels, got {width} x {height}"):
        work(tiff(width, height, b""))


def test_more_pixels_than_16_megapixels_are_refused() -> None:
    with pytest.raises(TooLarge, match="16 megapixels"):
        work(tiff(2**32 - 1, 2**32 - 1, b""))


@pytest.mark.parametrize(("samples", "bits"), [(9, 8), (3, 32), (65_535, 1), (1, 0), (0, 8)])
def test_a_pixel_of_over_64_bits_is_refused(samples: int, bits: int) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"got {samples} samples of {bits}"):
        work(tiff(16, 16, b"", samples=samples, bits=bits))


def test_packed_strips_that_lie_on_each_other_are_refused() -> None:
    """Each would be unpacked anew. Bytes that are not packed may well be shared."""
    strips: dict[str, Any] = {"rows": 1, "strips": [0] * 64, "strip_bytes": [2000] * 64}
    work(tiff(64, 64, bytes(2000), **strips))
    with pytest.raises(UnreadableImage, match="must not overlap; they have 128000 bytes"):
        work(tiff(64, 64, bytes(2000), compression=8, **strips))


def test_rows_of_a_fax_are_counted() -> None:
    """Any of them can be damaged, and is then reported."""
    file = tiff(1728, 2200, b"abcd", bits=1, compression=4)
    assert work(file) == 1728 * 2200 + (1 + 2200) * PIECE + work_of_fields(file)


def test_scans_of_the_jpegs_inside_are_counted() -> None:
    white = Image.new("L", (160, 160), 255)
    once = work(jpeg_tiff(scans(6, white), 160, 2, apart=True))
    assert work(jpeg_tiff(scans(50, white), 160, 2, apart=True)) > once + 4 * 44 * 160 * 160


def test_fields_of_every_directory_are_counted() -> None:
    directory = struct.pack("<H", 60_000) + bytes(12 * 60_000)
    assert work(tiff(16, 16, directory, exif=0)) > 60_000 * PIECE
    assert work(tiff(16, 16, directory, exif=0, gps=0, interoperability=0)) > MAX_WORK
    assert work(tiff(16, 16, b"", exif=4_000_000_000)) < 100 * PIECE


def test_fractions_are_counted() -> None:
    """Pillow makes an object of each."""
    file = tiff(16, 16, bytes(400_000), planes=[1] * 2)
    planes = struct.pack("<HHI", 284, LONG, 2)
    assert planes in file
    fractions = file.replace(planes, struct.pack("<HHI", 282, 5, 50_000))
    assert work(fractions) == 16 * 16 + (1 + 50_000) * PIECE + work_of_fields(file)
    assert work(file.replace(planes, struct.pack("<HHI", 282, 5, 2**32 - 1))) < MAX_WORK


@pytest.mark.parametrize(
    "file",
    [
        b"II*\0",
        b"MM\0*\0\0\0\x08\0\0",
        b"II*\0\xff\xff\xff\xff",
        tiff(16, 16, b"")[:60],
        tiff(16, 16, b"", rows=0),
        tiff(16, 16, b"", tiles=0, tile_width=0, tile_height=16),
        tiff(16, 16, b"", tiles=0, tile_width=16, tile_height=0),
        tiff(16, 16, b"", tiles=0, strips=0, tile_width=16, tile_height=16),
        tiff(16, 16, b"", bits=[8] * (MAX_PIECES + 1)),
        tiff(16, 16, b"", compression=[1, 8]),
        tiff(16, 16, b"").replace(struct.pack("<HH", 259, 4), struct.pack("<HH", 259, 9)),
        tiff(16, 16, b"").replace(struct.pack("<HH", 259, 4), struct.pack("<HH", 258, 4)),
        tiff(16, 16, b"").replace(struct.pack("<HHI", 259, 4, 1), struct.pack("<HHI", 259, 4, 0)),
        tiff(16, 16, b"", compression=7, strips=[0, 0], strip_bytes=[9]),
        tiff(16, 16, b"", compression=8, strips=0),
        tiff(16, 16, b"", compression=8, strips=[0, 0], strip_bytes=[9, 0]),
        tiff(16, 16, b"", strips=0, tile_height=16),
    ],
)
def test_fields_that_describe_no_picture_are_refused(file: bytes) -> None:
    with pytest.raises(UnreadableImage, match="do not describe a picture"):
        work(file)


@given(
    st.dictionaries(st.sampled_from(sorted(TAGS)), st.integers(0, 2**32 - 1) | st.integers(0, 300)),
    st.sampled_from("<>"),
    st.binary(max_size=100),
)
def test_any_fields_are_accepted_or_refused(
    fields: dict[str, Any], order: str, pixels: bytes
) -> None:
    fields = {name: [value] if name.endswith("s") else value for name, value in fields.items()}
    for pointer in ("strips", "tiles", "exif", "gps", "interoperability"):
        if pointer in fields:
            fields[pointer] = 0
    try:
        assert work(tiff(16, 16, pixels, order, **fields)) > 0
    except PredictError as error:
        refusal = error
        assert refusal.status in (413, 415, 422)
