"""structure.py: the work of decoding a file is counted; forms of BMP are accepted by a list."""

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classifier.errors import PredictError, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.image import formats
from classifier.image.limits import MAX_WORK, PIECE
from classifier.image.structure import work
from tests.support.heavy_files import bmp
from tests.support.hostile_files import chunk

PIXELS = np.random.default_rng(1).integers(0, 256, (96, 64), dtype=np.uint8)
NAMES = [accepted.name for accepted in formats.ACCEPTED]


def saved(kind: str, mode: str = "L", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def with_chunks(filling: bytes, count: int) -> bytes:
    whole = saved("PNG")
    return whole[:33] + filling * count + whole[33:]


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_ordinary_file_is_little_work(kind: str, mode: str) -> None:
    assert work(saved(kind, mode), kind) < MAX_WORK / 1000


def test_chunks_of_a_png_are_counted() -> None:
    plain = work(saved("PNG"), "PNG")
    assert work(with_chunks(chunk(b"abCd", b""), 100), "PNG") == plain + 100 * PIECE
    assert work(with_chunks(chunk(b"abCd", b""), 350_000), "PNG") > MAX_WORK


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_what_a_png_has_packed_counts_for_what_it_may_unpack_to(kind: bytes) -> None:
    text = chunk(kind, b"key\0\0" + zlib.compress(bytes(1_000_000)))
    assert work(with_chunks(text, 5), "PNG") < MAX_WORK / 100
    assert work(with_chunks(text, 1000), "PNG") > MAX_WORK


def test_what_follows_the_end_of_a_png_is_not_counted() -> None:
    """No decoder reads it; some programs pad their files."""
    assert work(saved("PNG") + bytes(4_000_000), "PNG") == work(saved("PNG"), "PNG")


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 24, 32])
def test_an_uncompressed_bmp_is_accepted(bits: int) -> None:
    assert work(bmp(64, 96, b"", bits=bits, compression=0), "BMP") == 0


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_run_lengths_are_slow(bits: int, compression: int) -> None:
    """A page of a fax is accepted, what Pillow would decode for seconds is not."""
    assert (
        0
        < work(bmp(1728, 2200, bytes(1_000_000), bits=bits, compression=compression), "BMP")
        < MAX_WORK
    )
    assert work(bmp(32_000, 500, b"", bits=bits, compression=compression), "BMP") > MAX_WORK


@pytest.mark.parametrize(
    ("bits", "compression"), [(4, 1), (8, 2), (24, 1), (24, 4), (24, 5), (2, 0), (0, 0), (8, 99)]
)
def test_another_form_of_bmp_is_refused(bits: int, compression: int) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"{bits} bits a pixel .* {compression} is not"):
        work(bmp(64, 96, b"", bits=bits, compression=compression), "BMP")


def test_a_bmp_of_another_header_or_of_too_many_colors_or_pixels_is_refused() -> None:
    whole = bmp(64, 96, b"")
    with pytest.raises(UnsupportedMediaType, match="header of 41 bytes"):
        work(whole[:14] + struct.pack("<I", 41) + whole[18:], "BMP")
    with pytest.raises(UnreadableImage, match="at most 256 colors, got 65536"):
        work(whole[:46] + struct.pack("<I", 65_536) + whole[50:], "BMP")
    with pytest.raises(TooLarge, match="16 megapixels"):
        work(bmp(32_000, -(2**31), b""), "BMP")
    with pytest.raises(UnreadableImage, match="cut off"):
        work(whole[:45], "BMP")


def test_a_bmp_of_os2_is_accepted() -> None:
    header = struct.pack("<IHHHH", 12, 64, 96, 1, 24)
    assert work(b"BM" + struct.pack("<IHHI", 26, 0, 0, 26) + header, "BMP") == 0


@given(
    kind=st.sampled_from(NAMES),
    content=st.binary(max_size=200),
    start=st.sampled_from(
        [b"", b"II*\x00\x08\x00\x00\x00", b"MM\x00*\xff\xff\xff\xff", b"\xff\xd8", b"BM"]
    ),
)
def test_any_bytes_are_counted_or_refused(kind: str, content: bytes, start: bytes) -> None:
    with contextlib.suppress(PredictError):
        assert work(start + content, kind) >= 0
