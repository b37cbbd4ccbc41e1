"""png.py: small and plain PNG files give what Pillow's reader gives, all others are left to it."""

import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from classifier.errors import PredictError
from classifier.image import pixels, png

CHANNELS = {"L": 1, "RGB": 3, "LA": 2, "RGBA": 4}
PICTURE = np.random.default_rng(1).integers(0, 256, (24, 31, 4), dtype=np.uint8)


def saved(mode: str = "L", picture: NDArray[np.uint8] = PICTURE, **options: Any) -> bytes:
    samples = picture[:, :, : CHANNELS[mode]]
    file = io.BytesIO()
    Image.fromarray(samples[:, :, 0] if mode == "L" else samples).save(file, "PNG", **options)
    return file.getvalue()


def converted(mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PICTURE[:, :, 0]).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes = b"", *, damage: int = 0) -> bytes:
    crc = zlib.crc32(name + content) ^ damage
    return len(content).to_bytes(4) + name + content + crc.to_bytes(4)


def parts(file: bytes) -> tuple[bytes, bytes, bytes]:
    """Signature and header, the compressed pixels, and the end of a file with one IDAT chunk."""
    length = int.from_bytes(file[33:37])
    assert file[37:41] == b"IDAT"
    return file[:33], file[41 : 41 + length], file[45 + length :]


HEAD, DATA, END = parts(saved())


@given(
    mode=st.sampled_from(sorted(CHANNELS)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    smooth=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_plain_file_gives_the_pixels_it_was_made_of(
    *, mode: str, height: int, width: int, smooth: bool, seed: int
) -> None:
    """Smooth pictures are stored as differences to neighbours, noise as it is."""
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if smooth:
        picture = np.add.outer(np.arange(height), 3 * np.arange(width) + seed % 256)[:, :, None]
        picture = (picture + np.arange(4)).astype(np.uint8)
    image = png.decode_plain(saved(mode, picture))
    assert image is not None
    assert image.mode == mode
    expected = picture[:, :, : CHANNELS[mode]]
    assert (np.asarray(image).reshape(expected.shape) == expected).all()


@pytest.mark.parametrize(
    "file",
    [
        HEAD + chunk(b"IDAT", DATA[:100]) + chunk(b"IDAT", DATA[100:]) + END,
        HEAD + chunk(b"IDAT") + chunk(b"IDAT", DATA) + END,
        HEAD + chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"pHYs", b"\0" * 9) + saved()[33:],
        HEAD + chunk(b"tIME", b"\7\xea\1\1\0\0\0") + saved()[33:],
        saved() + b"what comes after the end",
    ],
    ids=["in pieces", "an empty piece", "colour and size", "time", "more after the end"],
)
def test_pieces_and_what_leaves_the_pixels_alone_are_plain(file: bytes) -> None:
    image = png.decode_plain(file)
    assert image is not None
    assert (np.asarray(image) == PICTURE[:, :, 0]).all()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6
    return found


def text() -> PngImagePlugin.PngInfo:
    found = PngImagePlugin.PngInfo()
    found.add_text("Software", "an editor")
    return found


@pytest.mark.parametrize(
    "file",
    [
        b"",
        HEAD[:-1],
        HEAD,
        b"\x8aPNG" + saved()[4:],
        converted("P"),
        converted("1"),
        converted("I;16"),
        saved(transparency=7),
        saved(exif=exif()),
        saved(pnginfo=text()),
        saved(save_all=True, append_images=[Image.new("L", (31, 24))]),
        HEAD[:28] + b"\1" + zlib.crc32(HEAD[12:28] + b"\1").to_bytes(4) + saved()[33:],
        HEAD[:-1] + bytes([HEAD[-1] ^ 1]) + saved()[33:],
        HEAD + chunk(b"gAMA", b"\0\0\xb1\x8f", damage=1) + saved()[33:],
        HEAD + chunk(b"abCd") + saved()[33:],
        HEAD
        + chunk(b"IDAT", DATA[:9])
        + chunk(b"tIME", b"\0" * 7)
        + chunk(b"IDAT", DATA[9:])
        + END,
        HEAD + END,
        saved()[:-12],
        HEAD + chunk(b"IDAT") * 70 + saved()[33:],
        saved(picture=np.zeros((1, png.MAX_PIXELS + 1, 1), np.uint8)),
    ],
    ids=[
        "empty",
        "no whole header",
        "header alone",
        "another signature",
        "palette",
        "one bit",
        "16 bits",
        "transparent grey",
        "EXIF",
        "text, which may hold EXIF",
        "animation",
        "interlaced",
        "header damaged",
        "chunk damaged",
        "unknown chunk",
        "something amid the pixels",
        "no pixels",
        "no end",
        "many pieces",
        "large",
    ],
)
def test_any_other_file_is_left_to_the_reader(file: bytes) -> None:
    assert png.decode_plain(file) is None


@pytest.mark.parametrize(
    "data",
    [b"", DATA[:40], b"\xff" + DATA[1:], zlib.compress(b"\0" * 32 * 10)[:-9]],
    ids=["none", "cut off", "not compressed", "too few rows"],
)
def test_pixels_that_are_not_all_there_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="image data"):
        png.decode_plain(HEAD + chunk(b"IDAT", data) + END)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    smooth=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_grey_file_is_decoded_where_its_pixels_are_wanted(
    *, height: int, width: int, smooth: bool, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    if smooth:
        picture = np.add.outer(np.arange(height), 3 * np.arange(width)).astype(np.uint8)
    found = np.full((3, height, width), 77, dtype=np.uint8)
    assert png.decode_grey(saved("L", picture[:, :, np.newaxis]), found[1])
    assert (found[1] == picture).all()
    assert (found[::2] == 77).all()


@pytest.mark.parametrize(
    "file",
    [
        b"",
        HEAD[:-1],
        HEAD,
        saved("RGB"),
        saved("LA"),
        saved(picture=PICTURE[1:]),
        saved(picture=PICTURE[:, 1:]),
        saved(exif=exif()),
        saved(transparency=7),
        converted("I;16"),
        converted("P"),
    ],
)
def test_a_file_of_another_kind_or_size_is_not_decoded_as_grey(file: bytes) -> None:
    assert not png.decode_grey(file, np.empty((24, 31), np.uint8))
    assert png.decode_grey(saved(), np.empty((24, 31), np.uint8))


@pytest.mark.parametrize("data", [b"", DATA[:40], b"\xff" + DATA[1:]])
def test_grey_pixels_that_are_not_all_there_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="image data"):
        png.decode_grey(HEAD + chunk(b"IDAT", data) + END, np.empty((24, 31), np.uint8))


def test_more_rows_than_the_header_says_go_nowhere() -> None:
    """The memory behind the pixels is somebody else's."""
    rows = zlib.compress((b"\0" + b"\xaa" * 31) * 40)
    found = np.zeros((2, 24, 31), dtype=np.uint8)
    assert png.decode_grey(HEAD + chunk(b"IDAT", rows) + END, found[0])
    assert (found[0] == 0xAA).all()
    assert not found[1].any()


def outcome(file: bytes) -> tuple[Any, ...]:
    """What a client gets: pixels, or the sentence that refuses the file."""
    try:
        found = pixels.Picture(file).pixels
    except PredictError as error:
        return type(error), error.detail
    return found.shape, found.tobytes()


@given(
    mode=st.sampled_from(sorted(CHANNELS)),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=3),
    more=st.binary(max_size=4),
    rehashed=st.booleans(),
)
def test_a_damaged_file_is_answered_as_the_reader_answers_it(
    *, mode: str, changes: list[tuple[int, int]], more: bytes, rehashed: bool
) -> None:
    """Whichever way a file takes, pixels and refusals are the same."""
    file = bytearray(saved(mode, PICTURE[:9, :7]))
    place = changes[0][0] % len(file) if changes else len(file)
    file[place:place] = more
    for at, value in changes:
        file[at % len(file)] = value
    if rehashed:  # damage that only the decoder sees
        head, data, end = bytes(file[:33]), bytes(file[41:-16]), bytes(file[-12:])
        file = bytearray(head + chunk(b"IDAT", data) + end)
    with pytest.MonkeyPatch.context() as patch:
        quick = outcome(bytes(file))
        patch.setattr(png, "decode_plain", lambda _data: None)
        assert quick == outcome(bytes(file))
