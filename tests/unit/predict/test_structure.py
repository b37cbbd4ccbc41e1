"""structure.py: files in more pieces than a picture needs are refused, others are let through."""

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

from classifier.errors import UnreadableImage
from classifier.image.structure import MAX_CHUNKS, MAX_SCANS, MAX_SEGMENTS, MAX_STRIPS, check

PIXELS = np.random.default_rng(1).integers(0, 256, (96, 64), dtype=np.uint8)


def saved(kind: str, mode: str = "L", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def with_scans(count: int) -> bytes:
    whole = saved("JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


def with_segments(count: int, segment: bytes = b"\xff\xfe\x00\x02") -> bytes:
    whole = saved("JPEG")
    return whole[:2] + segment * count + whole[2:]


def with_chunks(count: int) -> bytes:
    whole = saved("PNG")
    return whole[:33] + (struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd")) * count) + whole[33:]


def with_strips(count: int, tag: int = 273, *, order: str = "<", compression: int = 1) -> bytes:
    entries = [(259, 3, 1, compression), (tag, 3, count, 100)]
    directory = b"".join(
        struct.pack(f"{order}HHI", *entry[:3])
        + (
            struct.pack(f"{order}HH", entry[3], 0)
            if entry[1:3] == (3, 1)
            else struct.pack(f"{order}I", entry[3])
        )
        for entry in entries
    )
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + directory + bytes(4)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "mode": "RGB", "subsampling": 0}),
        ("JPEG", {"comment": b"\xff\xda" * 10, "icc_profile": bytes(200_000)}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
    ],
)
def test_pictures_are_let_through(kind: str, options: dict[str, Any]) -> None:
    check(saved(kind, **options), kind)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tag", [273, 324], ids=["strips", "tiles"])
def test_strips_of_an_uncompressed_tiff_are_counted(order: str, tag: int) -> None:
    check(with_strips(MAX_STRIPS, tag, order=order), "TIFF")
    with pytest.raises(UnreadableImage, match=f"over {MAX_STRIPS} strips"):
        check(with_strips(MAX_STRIPS + 1, tag, order=order), "TIFF")


def test_strips_of_a_compressed_tiff_are_no_matter() -> None:
    """libtiff reads a million of them in a tenth of a second; Pillow itself takes them singly."""
    check(with_strips(1_000_000, compression=5), "TIFF")


def test_scans_of_a_jpeg_are_counted() -> None:
    check(with_scans(MAX_SCANS), "JPEG")
    with pytest.raises(UnreadableImage, match=f"over {MAX_SCANS} scans"):
        check(with_scans(MAX_SCANS + 1), "JPEG")


@pytest.mark.parametrize(
    "segment", [b"\xff\xfe\x00\x02", b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xe1\x00\x04ab"]
)
def test_segments_in_front_of_a_scan_are_counted(segment: bytes) -> None:
    check(with_segments(MAX_SEGMENTS - 20, segment), "JPEG")
    with pytest.raises(UnreadableImage, match=f"over {MAX_SEGMENTS} segments"):
        check(with_segments(MAX_SEGMENTS, segment), "JPEG")


def test_chunks_of_a_png_are_counted() -> None:
    check(with_chunks(MAX_CHUNKS - 10), "PNG")
    with pytest.raises(UnreadableImage, match=f"over {MAX_CHUNKS} chunks"):
        check(with_chunks(MAX_CHUNKS), "PNG")


@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "GIF"]),
    content=st.binary(max_size=200),
    start=st.sampled_from(
        [b"", b"II*\x00\x08\x00\x00\x00", b"MM\x00*\xff\xff\xff\xff", b"\xff\xd8"]
    ),
)
def test_any_bytes_are_let_through_or_refused(kind: str, content: bytes, start: bytes) -> None:
    """What they are otherwise, the decoder says."""
    with contextlib.suppress(UnreadableImage):
        check(start + content, kind)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_file_that_is_cut_off_is_let_through(kind: str) -> None:
    whole = saved(kind)
    for end in range(0, 400, 7):
        check(whole[:end], kind)


def test_what_follows_the_end_of_a_png_is_not_counted() -> None:
    """No decoder reads it; some programs pad their files."""
    check(saved("PNG") + bytes(12 * MAX_CHUNKS), "PNG")
