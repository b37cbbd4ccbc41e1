"""png.py: what says nothing about the pixels of a PNG does not cost the picture."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from classifier.errors import PredictError, UnreadableImage
from classifier.image.pixels import decode
from classifier.image.png import essential
from tests.support.hostile_files import chunk, digit, saved

FILE = saved(digit(48), "PNG")
PIXELS = np.asarray(digit(48))
HEAD, END = 33, -12  # of the first chunk and of the last one
LARGE = zlib.compress(bytes(2_000_000))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
EXIF = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0)


def with_checksum_of_another(part: bytes) -> bytes:
    return part[:-4] + bytes(byte ^ 1 for byte in part[-4:])


def text(kind: bytes, name: bytes, value: bytes, *, is_packed: bool = False) -> bytes:
    value = zlib.compress(value) if is_packed else value
    head = {b"tEXt": b"", b"zTXt": b"\0", b"iTXt": bytes([is_packed]) + b"\0\0\0"}[kind]
    return chunk(kind, name + b"\0" + head + value)


SKIPPED = {
    **{
        f"checksum of {kind.decode()}": with_checksum_of_another(chunk(kind, b"\0" * 9))
        for kind in (b"tEXt", b"pHYs", b"tIME", b"tRNS", b"eXIf", b"abCd")
    },
    "large zTXt": chunk(b"zTXt", b"Comment\0\0" + LARGE),
    "large iTXt": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
    "large iCCP": chunk(b"iCCP", b"sRGB\0\0" + LARGE),
    "large XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "large EXIF as a text": chunk(b"zTXt", b"Raw profile type exif\0\0" + LARGE),
    "damaged EXIF as a text": chunk(b"zTXt", b"Raw profile type exif\0\0nothing packed"),
    "another packing": chunk(b"zTXt", b"Raw profile type exif\0\1"),
    "empty iCCP": chunk(b"iCCP", b""),
    "empty sRGB": chunk(b"sRGB", b""),
    "short gAMA": chunk(b"gAMA", b"\0\1"),
    "short pHYs": chunk(b"pHYs", b"\0"),
    "short tRNS": chunk(b"tRNS", b"\0"),
}


@pytest.mark.parametrize("name", SKIPPED)
@pytest.mark.parametrize("at", [HEAD, END], ids=["before the pixels", "behind them"])
def test_a_chunk_that_a_viewer_skips_does_not_cost_the_picture(name: str, at: int) -> None:
    assert np.array_equal(decode(FILE[:at] + SKIPPED[name] + FILE[at:])[:, :, 0], PIXELS)


def test_a_file_without_such_chunks_stays_as_it_is() -> None:
    for kind in ("L", "P", "RGBA", "LA", "1"):
        file = saved(digit(48).convert(kind), "PNG")
        assert essential(file) is file
    for data in (b"", FILE[:8], FILE[:40], FILE[:END], FILE + SKIPPED["short gAMA"]):
        assert essential(data) is data


@pytest.mark.parametrize(
    "turning",
    [
        chunk(b"eXIf", EXIF),
        text(b"iTXt", b"XML:com.adobe.xmp", XMP),
        text(b"iTXt", b"XML:com.adobe.xmp", XMP, is_packed=True),
        text(
            b"zTXt", b"Raw profile type exif", b"\nexif\n34\n" + EXIF.hex().encode(), is_packed=True
        ),
    ],
    ids=["EXIF", "XMP", "packed XMP", "EXIF as a text"],
)
def test_what_turns_the_picture_is_kept(turning: bytes) -> None:
    file = FILE[:HEAD] + SKIPPED["short gAMA"] + turning + FILE[HEAD:]
    assert np.array_equal(decode(file)[:, :, 0], np.rot90(PIXELS, -1))


def test_transparency_and_frames_are_kept() -> None:
    page = Image.new("P", (48, 48), 0)
    page.paste(1, (9, 9, 20, 40))
    page.putpalette([255, 255, 255, 0, 0, 0])
    file = saved(page, "PNG", transparency=0, save_all=True, append_images=[page.rotate(90)])
    more = file[:HEAD] + SKIPPED["short gAMA"] + file[HEAD:]
    assert essential(more) == file
    assert PngImagePlugin.PngImageFile(io.BytesIO(essential(more))).n_frames == 2


def test_damage_to_the_pixels_is_refused() -> None:
    at = FILE.index(b"IDAT")
    for file in (FILE[: at + 40], FILE[: at + 20] + b"!" + FILE[at + 21 :], FILE[:at] + b"IDAt"):
        with pytest.raises(UnreadableImage):
            decode(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for data in (FILE[:8] + content, FILE[:HEAD] + content + FILE[HEAD:]):
        try:
            decode(data)
        except PredictError:
            continue
