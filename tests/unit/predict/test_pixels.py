"""pixels.py: every format and mode becomes the same pixels, and damage is refused."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from classifier.errors import (
    PredictError,
    TooLarge,
    UnreadableImage,
    UnsupportedMediaType,
)
from classifier.image import formats
from classifier.image.pixels import WORKING_SIDE, Part, Picture, Pixels, decode
from classifier.image.tiff import further_pages
from tests.support.heavy_files import tiff

FORMATS = tuple(accepted.name for accepted in formats.ACCEPTED)


def encode(picture: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def bars(height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """Black upper left quarter, grey lower right one, on white; [height, width]."""
    picture = np.full((height, width), 255, dtype=np.uint8)
    picture[: height // 2, : width // 2] = 0
    picture[height // 2 :, width // 2 :] = 128
    return picture


def grey(pixels: Pixels) -> NDArray[np.float32]:
    """Mean of the channels of [H, W, C], as [H, W]; checks what decode promises of every image."""
    assert pixels.dtype in (np.uint8, np.float32)
    assert pixels.shape[2] in (1, 3)
    assert 0 <= pixels.min() <= pixels.max() <= 255
    return pixels.mean(axis=2, dtype=np.float32)


LOSSY = 6.0  # of 255: what JPEG may change in flat areas
CASES: list[tuple[str, str, str, float, dict[str, Any]]] = [
    ("grey PNG", "L", "PNG", 0, {}),
    ("RGB PNG", "RGB", "PNG", 0, {}),
    ("opaque RGBA PNG", "RGBA", "PNG", 0, {}),
    ("opaque grey PNG with alpha", "LA", "PNG", 0, {}),
    ("palette PNG", "P", "PNG", 0, {}),
    ("JPEG", "L", "JPEG", LOSSY, {"quality": 95}),
    ("colour JPEG", "RGB", "JPEG", LOSSY, {"quality": 95}),
    ("progressive JPEG", "RGB", "JPEG", LOSSY, {"quality": 95, "progressive": True}),
    ("CMYK JPEG", "CMYK", "JPEG", LOSSY, {"quality": 95}),
    ("GIF", "L", "GIF", 0, {}),
    ("palette GIF", "P", "GIF", 0, {"interlace": 1}),
    ("grey BMP", "L", "BMP", 0, {}),
    ("RGB BMP", "RGB", "BMP", 0, {}),
    ("RGBA BMP", "RGBA", "BMP", 0, {}),
    ("palette BMP", "P", "BMP", 0, {}),
    ("lossless WebP", "RGB", "WEBP", 0, {"lossless": True}),
    ("lossless WebP with alpha", "RGBA", "WEBP", 0, {"lossless": True}),
    ("lossy WebP", "RGB", "WEBP", LOSSY, {"quality": 95}),
    ("TIFF", "L", "TIFF", 0, {}),
    ("RGB TIFF", "RGB", "TIFF", 0, {"compression": "tiff_lzw"}),
    ("deflated RGBA TIFF", "RGBA", "TIFF", 0, {"compression": "tiff_adobe_deflate"}),
    ("palette TIFF", "P", "TIFF", 0, {}),
    ("CMYK TIFF", "CMYK", "TIFF", 0, {}),
]


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance", "options"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_every_format_and_mode_gives_the_same_pixels(
    mode: str, kind: str, tolerance: float, options: dict[str, Any]
) -> None:
    picture = Image.fromarray(bars()).convert(mode)
    found = grey(decode(encode(picture, kind, **options)))
    inside = np.ones((32, 48), dtype=bool)
    if tolerance:  # a lossy format rings at the edges
        inside[12:20] = inside[:, 20:28] = False
    assert found.shape == (32, 48)
    assert np.abs(found - bars())[inside].max() <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_one_bit_a_pixel_is_black_and_white(kind: str) -> None:
    sharp = np.where(bars() < 200, 0, 255).astype(np.uint8)
    assert np.array_equal(grey(decode(encode(Image.fromarray(sharp).convert("1"), kind))), sharp)


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_sixteen_bits_a_sample_are_scaled_and_not_clipped(kind: str, order: str) -> None:
    deep = (bars().astype(np.uint16) * 257).astype(order)
    file = encode(Image.fromarray(deep), kind)
    assert np.abs(grey(decode(file)) - bars()).max() < 0.01


def test_an_image_of_16_bits_in_colour_is_scaled_too() -> None:
    rows = b"".join(b"\x00" + struct.pack(">3H", 65535, 32768, 0) * 4 for _ in range(2))
    file = _png(_ihdr(4, 2, depth=16, colour=2), (b"IDAT", zlib.compress(rows)))
    assert decode(file)[0, 0].tolist() == pytest.approx([255, 128, 0], abs=1)


def test_a_dim_sixteen_bit_image_that_was_stored_as_eight_keeps_its_scale() -> None:
    assert decode(encode(Image.fromarray(bars().astype(np.uint16)), "PNG")).max() == 255


@pytest.mark.parametrize("values", [[0.0, 128.0, 255.0], [np.nan, np.inf, -np.inf]])
def test_floating_point_samples_stay_within_the_range(values: list[float]) -> None:
    grey(decode(encode(np.array([values], dtype=np.float32), "TIFF")))


def test_an_animation_gives_its_first_frame() -> None:
    first, second = Image.fromarray(bars()), Image.fromarray(255 - bars())
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        file = encode(first, kind, save_all=True, append_images=[second], **options)
        assert np.array_equal(grey(decode(file)), bars()), kind


def frames(kind: str, *pictures: Image.Image) -> bytes:
    options = {"lossless": True} if kind == "WEBP" else {}
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("empty", [(0, 0, 0, 0), (255, 255, 255, 255)])
def test_an_animation_of_a_drawing_gives_the_last_frame_that_shows_something(
    kind: str, empty: tuple[int, ...]
) -> None:
    """Its first frame is often the empty page, and its last may be."""
    page = Image.new("RGBA", (48, 32), empty)
    shown = Image.fromarray(bars()).convert("RGBA")
    dot = Image.new("RGBA", (48, 32), "white")
    dot.putpixel((1, 1), (0, 0, 0, 255))
    for pictures in ((page, page, shown), (page, dot, shown), (page, dot, shown, page)):
        assert np.array_equal(grey(decode(frames(kind, *pictures))), bars())


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16", "F"])
def test_the_first_page_of_a_tiff_that_shows_something_is_read(mode: str, *, is_big: bool) -> None:
    """Scanners of both sides keep the empty ones, too."""
    shown = Image.fromarray(np.where(bars() > 99, 255, 0).astype(np.uint8)[:, :40])
    other = shown.rotate(90)
    blank = Image.new("L", (48, 32), 255)
    pages = [page.convert(mode) for page in (blank, blank, shown, blank, other)]
    file = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], big_tiff=is_big)
    picture = Picture(file)
    assert picture.size == (32, 40)
    assert np.array_equal(grey(picture.pixels), np.asarray(shown))


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_either_order_are_looked_at(order: str) -> None:
    shown = bars().astype(f"{order}u2") * 257
    blank = np.full_like(shown, 65_535)
    file = tiff(48, 32, blank.tobytes() + shown.tobytes(), order, bits=16)
    (count,) = struct.unpack_from(f"{order}H", file, 8)
    end = 10 + 12 * count
    directory = bytearray(file[8:end])
    at = directory.index(struct.pack(f"{order}HH", 273, 4)) + 8
    struct.pack_into(f"{order}I", directory, at, len(file) - shown.nbytes)
    file = file[:end] + struct.pack(f"{order}I", len(file)) + file[end + 4 :] + directory + bytes(4)
    assert np.abs(grey(decode(file)) - bars()).max() < 0.01


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_whose_pages_lead_back_or_nowhere_is_an_empty_picture(order: str) -> None:
    file = bytearray(tiff(4, 4, bytes(16), order))
    (count,) = struct.unpack_from(f"{order}H", file, 8)
    for start in (8, len(file) + 1, 2**32 - 1):
        struct.pack_into(f"{order}I", file, 10 + 12 * count, start)
        assert not decode(bytes(file)).any()
    assert not list(further_pages(bytes(file[: 10 + 12 * count])))


def test_a_long_animation_is_not_looked_at_to_its_end() -> None:
    """Its frames would be more than a request may have."""
    pages = [Image.new("L", (1000, 1000), 255) for _ in range(40)]
    for number, page in enumerate(pages[1:]):
        page.putpixel((number, number), 0)
    assert decode(frames("GIF", *pages)).min() == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_without_anything_is_an_empty_picture(kind: str) -> None:
    pages = [Image.new("RGB", (48, 32), (255, 255, shade)) for shade in (255, 250, 245)]
    pixels = decode(frames(kind, *pages))
    assert (pixels == pixels[0, 0]).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_that_are_looked_at_count_as_pictures(kind: str) -> None:
    pages = [Image.new("L", (2000, 2000), shade) for shade in range(255, 245, -1)]
    with pytest.raises(TooLarge, match="32 megapixels together"):
        decode(frames(kind, *pages))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_gif_with_a_later_frame_beyond_its_screen_is_too_large() -> None:
    whole = frames("GIF", Image.new("P", (8, 8), 3), Image.new("P", (8, 8), 4))
    small = struct.pack("<HHHH", 0, 0, 8, 8)
    last = whole.rindex(b"," + small) + 1
    with pytest.raises(TooLarge, match="megapixels"):
        decode(whole[:last] + struct.pack("<HHHH", 0, 0, 12_000, 12_000) + whole[last + 8 :])


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_whose_transparency_was_left_empty_is_opaque(alpha: int) -> None:
    """Many programs write a BMP of version 5 and nothing into its fourth byte."""
    pixels = np.dstack([bars()] * 3 + [np.full_like(bars(), alpha)]).tobytes()
    header = struct.pack("<IiiHHII", 124, 48, -32, 1, 32, 3, len(pixels)) + bytes(16)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    start = 14 + 124
    file = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    file += (header + masks).ljust(124, b"\0") + pixels
    assert np.array_equal(grey(decode(file)), bars())


def test_premultiplied_grey_is_what_it_was_multiplied_from() -> None:
    alpha = np.full_like(bars(), 128)
    ink = (bars().astype(int) * 128 // 255).astype(np.uint8)
    stored = np.dstack([ink, alpha]).tobytes()
    file = tiff(48, 32, stored, samples=2, bits=[8, 8], extra_samples=1)
    assert np.abs(grey(decode(file)) - (bars() * 128.0 / 255 + 127)).max() <= 2


def test_a_tiff_of_pixels_in_an_unknown_form_is_refused_by_it() -> None:
    numbers = bars().astype(np.uint64).tobytes()
    with pytest.raises(UnsupportedMediaType, match=r"form of TIFF.*8 bits"):
        decode(tiff(48, 32, numbers, bits=64))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_a_bigtiff_is_read(mode: str, compression: str | None) -> None:
    picture = Image.fromarray(bars()).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 3
    options: dict[str, Any] = {} if compression else {"exif": exif}
    file = encode(picture, "TIFF", big_tiff=True, compression=compression, **options)
    expected = bars() if compression else bars()[::-1, ::-1]
    assert np.array_equal(grey(decode(file)), expected)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_is_cut_off_by_a_few_bytes_is_read(
    mode: str,
    progressive: bool,  # noqa: FBT001
) -> None:
    picture = Image.fromarray(bars(480, 640)).convert(mode)
    file = encode(picture, "JPEG", progressive=progressive, quality=90)
    whole = grey(decode(file))
    for missing in (1, 2, 3, 5, 10) if progressive else (1, 2, 3, 5, 10, 20, 40):
        assert np.abs(grey(decode(file[:-missing])) - whole).mean() < 1, missing


def test_a_large_jpeg_that_is_cut_off_is_read_in_every_size() -> None:
    file = encode(Image.fromarray(drawn(3200)), "JPEG", quality=90)
    whole, cut = Picture(file), Picture(file[:-30])
    assert np.abs(grey(cut.pixels) - grey(whole.pixels)).mean() < 1
    expected, part = (picture.detail(Part(0.7, 1, 0.7, 1)) for picture in (whole, cut))
    assert expected is not None
    assert part is not None
    assert np.abs(grey(part) - grey(expected)).mean() < 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_half_of_its_data_is_refused(progressive: bool) -> None:  # noqa: FBT001
    noise = np.random.default_rng(0).integers(0, 255, (480, 640)).astype(np.uint8)
    file = encode(Image.fromarray(noise), "JPEG", progressive=progressive, quality=90)
    with pytest.raises(UnreadableImage, match="truncated"):
        decode(file[: len(file) // 2])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("PA", "TIFF")],
)
def test_black_ink_on_transparency_lies_on_white(mode: str, kind: str) -> None:
    opaque = (bars() == 0).astype(np.uint8) * 255
    drawing = Image.new("RGBA", (48, 32))
    drawing.putalpha(Image.fromarray(opaque))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if mode == "PA":
        picture = Image.new("PA", drawing.size)
        picture.putalpha(Image.fromarray(opaque))
    else:
        picture = drawing.convert(mode)
    assert np.array_equal(grey(decode(encode(picture, kind, **options))), 255 - opaque)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_lies_on_white(kind: str) -> None:
    picture = Image.fromarray((bars() == 0).astype(np.uint8))
    picture.putpalette([0, 0, 0, 0, 0, 0])  # both black: only the transparency tells them apart
    found = grey(decode(encode(picture, kind, transparency=0)))
    assert np.array_equal(found, np.where(bars() == 0, 0, 255))


@pytest.mark.parametrize(("mode", "key"), [("L", 77), ("RGB", (77, 77, 77)), ("1", 0)])
def test_a_transparent_colour_lies_on_white(mode: str, key: Any) -> None:
    picture = Image.new(mode, (4, 4), key)
    assert decode(encode(picture, "PNG", transparency=key)).min() == 255


def test_half_transparent_ink_is_half_as_dark() -> None:
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert grey(decode(encode(picture)))[0, 0] == pytest.approx(127, abs=1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_without_colour_is_one_channel(mode: str) -> None:
    pixels = decode(encode(Image.fromarray(bars()).convert(mode)))
    assert np.array_equal(pixels, bars()[:, :, np.newaxis])


@pytest.mark.parametrize("channel", range(3))
def test_one_coloured_pixel_keeps_three_channels(channel: int) -> None:
    stored = bars()[:, :, np.newaxis].repeat(3, axis=2)
    stored[20, 30, channel] ^= 1
    assert np.array_equal(decode(encode(stored)), stored)


# Where the first row and the first column of the stored image are seen (Exif 2.3, 4.6.4).
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_undone_in_every_format(orientation: int, kind: str) -> None:
    stored = bars()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    found = grey(decode(encode(stored, kind, exif=exif, **options)))
    expected = UPRIGHT[orientation](stored)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < (2 if kind == "JPEG" else 1e-6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(grey(decode(encode(bars(), exif=exif))), bars())


def test_a_failure_within_a_decoder_is_the_file_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's modules in C raise SystemError, for example for a part outside its picture."""

    def load(_: Image.Image) -> None:
        raise SystemError("tile cannot extend outside image")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(UnreadableImage, match="damaged or truncated"):
        decode(encode(bars()))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"garbage", b"II*\x00\x08\x00\x00\x00\xff\xff", b"II*\x00", b""])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_picture(exif: bytes, kind: str) -> None:
    marked = b"Exif\x00\x00" + exif
    options = {"lossless": True} if kind == "WEBP" else {}
    assert decode(encode(bars(), kind, exif=marked, **options)).shape[:2] == (32, 48)


@pytest.mark.parametrize(
    ("kind", "side"),
    [
        *((kind, WORKING_SIDE * 2 - 1) for kind in FORMATS),
        ("PNG", WORKING_SIDE - 1),
        ("PNG", WORKING_SIDE * 4 + 3),
        ("JPEG", WORKING_SIDE * 4 + 3),
    ],
)
def test_a_large_picture_is_brought_down_to_a_working_size(kind: str, side: int) -> None:
    found = grey(decode(encode(bars(side, side // 2), kind)))
    assert max(found.shape) < WORKING_SIDE * 2
    assert max(found.shape) >= (256 if kind == "JPEG" else min(side, WORKING_SIDE))
    assert found.shape[0] / found.shape[1] == pytest.approx(2, rel=0.01)
    height, width = found.shape
    assert found[height // 4, width // 4] == pytest.approx(0, abs=LOSSY)
    assert found[height // 4, width * 3 // 4] == pytest.approx(255, abs=LOSSY)


def test_a_large_sixteen_bit_picture_is_brought_down_by_averaging() -> None:
    checks = np.add.outer(np.arange(1400), np.arange(1400)) % 2 * np.uint16(65535)
    found = grey(decode(encode(Image.fromarray(checks.astype(np.uint16)), "PNG")))
    assert found.shape == (700, 700)
    assert found.min() == found.max() == 127.5


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (65535, 2), (2, 65535)])
def test_extreme_shapes_are_decoded(size: tuple[int, int]) -> None:
    found = grey(decode(encode(Image.new("L", size, 200))))
    assert max(found.shape) < WORKING_SIDE * 2
    assert found.min() == found.max() == 200


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _ihdr(width: int, height: int, *, depth: int = 8, colour: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _promise(kind: str, width: int, height: int) -> bytes:
    """File whose header promises width x height pixels and that holds none of them."""
    size = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    return {
        "PNG": lambda: _png(_ihdr(width, height), (b"IDAT", b"")),
        "BMP": lambda: (
            b"BM"
            + struct.pack("<IHHI", 54, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        ),
        "GIF": lambda: b"GIF89a" + size + b"\0\0\0," + bytes(4) + size + b"\0\x02\0;",
        "JPEG": lambda: (
            b"\xff\xd8\xff\xc0\x00\x0b\x08"
            + struct.pack(">HH", height, width)
            + b"\x01\x01\x11\x00"
            b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9"
        ),
        "TIFF": lambda: (
            b"II*\x00\x08\x00\x00\x00"
            + struct.pack("<H", 6)
            + b"".join(
                struct.pack("<HHII", tag, 4, 1, value)
                for tag, value in (
                    (256, width),
                    (257, height),
                    (258, 8),
                    (259, 1),
                    (262, 1),
                    (273, 8),
                )
            )
            + bytes(4)
        ),
        "WEBP": lambda: (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<I", 10)
            + bytes(4)
            + (width - 1).to_bytes(3, "little")
            + (height - 1).to_bytes(3, "little")
        ),
    }[kind]()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG", "TIFF"])
@pytest.mark.parametrize(
    "size", [(4001, 4000), (10_000, 10_000), (20_000, 10_000), (60_000, 60_000)]
)
def test_over_16_megapixels_is_refused_by_the_header_alone(
    kind: str, size: tuple[int, int]
) -> None:
    with pytest.raises(TooLarge, match="16 megapixels"):
        decode(_promise(kind, *size))


def test_sixteen_megapixels_are_taken() -> None:
    found = decode(encode(Image.new("1", (4000, 4000), 1)))
    assert max(found.shape) < WORKING_SIDE * 2


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x1cftypisom\x00\x00\x00\x00", "video"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\xf8\x1f", "JPEG XL"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "WAV"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x4f\xff\x51\x00\x29", "JPEG 2000"),
        (b"II\xbc\x01", "JPEG XR"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"\x00\x00\x01\x00\x01\x00", "ICO"),
        (b"P6\n28 28\n255\n", "PPM"),
        (b"Pf\n28 28\n-1.0\n", "PPM"),
        (b"qoif\x00\x00", "QOI"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'\n  <?xml version="1.0"?><svg/>', "SVG"),
        (b"\xef\xbb\xbf<!-- seven --><svg/>", "SVG"),
        (b"<SVG />", "SVG"),
        (b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" ""><svg/>', "SVG"),
        (b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>', "SVG"),
        ("\ufeff<svg/>".encode("utf-16-le"), "SVG"),
        ("\ufeff<!-- seven --><svg/>".encode("utf-16-be"), "SVG"),
        (b"\xef\xbb\xbf<!doctype HTML>", "HTML"),
        (b"%PDF-1.7\n", "PDF"),
    ],
)
def test_another_format_is_refused_by_its_name_with_those_that_are_accepted(
    data: bytes, name: str
) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"{name} files.* send {formats.NAMES}"):
        decode(data)


def test_the_other_formats_of_pillow_are_not_taken() -> None:
    for kind in ("PPM", "ICO", "PCX", "TGA", "ICNS", "JPEG2000"):
        file = encode(Image.new("RGB", (32, 32)), kind)
        with pytest.raises((UnreadableImage, UnsupportedMediaType)):
            decode(file)


def test_an_empty_file_is_told_from_one_without_an_image() -> None:
    with pytest.raises(UnreadableImage, match="empty; send"):
        decode(b"")
    with pytest.raises(UnreadableImage, match="no image in the bytes; send"):
        decode(b"seven")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"II*\x00",
        b"MM\x00*\x00\x00\x00\x08\x00\x00",
        _png(_ihdr(0, 0), (b"IDAT", zlib.compress(b""))),
        _png(_ihdr(4, 4)),
        _png(_ihdr(4, 4), (b"IDAT", b"no zlib")),
        _png(_ihdr(4, 4, depth=3), (b"IDAT", zlib.compress(bytes(20)))),
        _png((b"IDAT", zlib.compress(bytes(20)))),
    ],
)
def test_a_signature_without_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match="send"):
        decode(data)


def _samples() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    return {
        **{kind: encode(picture, kind) for kind in FORMATS},
        "palette PNG": encode(picture.quantize(16)),
        "16-bit PNG": encode(Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)),
        "JPEG with EXIF": encode(
            picture,
            "JPEG",
            exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00"
            b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + bytes(4),
        ),
        "progressive JPEG": encode(picture, "JPEG", progressive=True),
        "animated GIF": encode(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]),
        "lossless WebP": encode(picture, "WEBP", lossless=True),
        "LZW TIFF": encode(picture, "TIFF", compression="tiff_lzw"),
        "JPEG TIFF": encode(picture, "TIFF", compression="jpeg"),
        "fax TIFF": encode(picture.convert("1"), "TIFF", compression="group4"),
    }


SAMPLES = _samples()


@pytest.mark.filterwarnings("ignore:(Corrupt EXIF|Truncated)")
@pytest.mark.parametrize("name", SAMPLES)
def test_a_truncated_file_of_every_format_is_refused(name: str) -> None:
    """Cut anywhere in its first half; some formats end in bytes that a decoder can do without."""
    file = SAMPLES[name]
    for length in range(0, len(file) // 2, max(1, len(file) // 80)):
        with pytest.raises(UnreadableImage):
            decode(file[:length])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Pillow's own, on what it can still read of a damaged file
@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=10)
@given(damage=st.data())
def test_a_damaged_file_of_every_format_gives_pixels_or_a_refusal(
    name: str, damage: st.DataObject
) -> None:
    file = bytearray(SAMPLES[name])
    anywhere = st.integers(0, len(file) - 1)
    header = st.integers(0, min(120, len(file) - 1))
    for place in damage.draw(st.lists(header | anywhere, min_size=1, max_size=6)):
        file[place] = damage.draw(st.integers(0, 255))
    end = damage.draw(st.just(len(file)) | anywhere)
    try:
        grey(decode(bytes(file[:end])))
    except PredictError as error:
        refusal = error
        assert refusal.status in (413, 415, 422)


@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from([file[:12] for file in SAMPLES.values()]), st.binary(max_size=200))
@example(b"", b"\x00")
def test_any_bytes_behind_a_signature_give_pixels_or_a_refusal(start: bytes, rest: bytes) -> None:
    try:
        grey(decode(start + rest))
    except PredictError as error:
        refusal = error
        assert refusal.status in (413, 415, 422)


def drawn(side: int, orientation: int = 1) -> NDArray[np.uint8]:
    """Page [side, side * 3 / 4] whose every corner differs, stored as an orientation has it."""
    page = np.full((side, side * 3 // 4), 200, dtype=np.uint8)
    page[side // 8 : side // 4, side // 8 : side // 4] = 0
    page[side * 3 // 4 : side * 7 // 8, side // 8 : side // 2] = 90
    for stored, upright in ((6, 8), (8, 6)):  # each undoes the other
        if orientation == stored:
            return UPRIGHT[upright](page)
    return UPRIGHT[orientation](page)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_a_part_of_a_large_picture_is_loaded_in_detail(kind: str) -> None:
    picture = Picture(encode(drawn(1600), kind))
    part = picture.detail(Part(0.1, 0.2, 0.1, 0.2))
    assert part is not None
    found = grey(part)
    assert found.shape == (160, 120)
    assert found[:33].min() > 190
    assert found[43:, 83:].max() < 10


def test_a_part_is_brought_down_by_averaging_to_what_is_looked_at() -> None:
    part = Picture(encode(drawn(2400), "PNG")).detail(Part(0, 0.5, 0, 1))
    assert part is not None
    assert part.shape == (86, 129, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_is_that_of_the_upright_picture(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encode(np.ascontiguousarray(drawn(1600, orientation)), kind, exif=exif, compression=None)
    where = Part(0.6875, 0.8125, 0.0625, 0.1875)
    part = Picture(file).detail(where)
    assert part is not None
    expected = Picture(encode(drawn(1600), "PNG")).detail(where)
    assert expected is not None
    assert part.shape[:2] == expected.shape[:2]
    assert np.abs(grey(part) - grey(expected)).mean() < 1


@pytest.mark.parametrize("side", [512, 513, 767, 1600, 2047])
def test_a_jpeg_is_decoded_anew_only_for_more_detail(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    load = Picture._load

    def counted(self: Picture, image: Image.Image, shrink: int) -> Image.Image:
        loaded = load(self, image, shrink)
        sizes.append(max(loaded.size))
        return loaded

    monkeypatch.setattr(Picture, "_load", counted)
    picture = Picture(encode(drawn(side), "JPEG"))
    for reach in (0.9, 0.1, 0.05, 0.1, 0.9):
        picture.detail(Part(0, reach, 0, reach))
    assert sizes == sorted(set(sizes)), "each time with more detail"
    assert sizes[-1] == side


def test_a_picture_at_its_full_size_has_no_more_detail() -> None:
    assert Picture(encode(bars(), "PNG")).detail(Part(0, 0.5, 0, 0.5)) is None


def test_a_jpeg_that_does_not_decode_a_second_time_is_refused() -> None:
    """The first look scales by 8 and needs less of the file than the second."""
    picture = Picture(encode(drawn(4000), "JPEG", progressive=True))
    picture._data = picture._data[: len(picture._data) // 2]
    with pytest.raises(UnreadableImage, match="damaged"):
        picture.detail(Part(0, 0.1, 0, 0.1))


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("L", {"progressive": True}), ("RGB", {"progressive": True}), ("CMYK", {})],
)
def test_a_large_jpeg_is_decoded_at_an_eighth(mode: str, options: Any) -> None:
    picture = Image.fromarray(drawn(3200)).convert(mode)
    found = grey(decode(encode(picture, "JPEG", quality=90, **options)))
    expected = np.asarray(Image.fromarray(drawn(3200)).reduce(8), dtype=np.float32)
    assert found.shape == (400, 300)
    assert np.abs(found - expected).mean() < 2


def test_a_photo_of_a_phone_with_a_second_picture_inside_is_decoded_at_an_eighth() -> None:
    photo = Image.fromarray(drawn(3200))
    file = encode(photo, "MPO", save_all=True, append_images=[photo.reduce(4)])
    assert decode(file).shape == (400, 300, 1)


@pytest.mark.parametrize("left", [1000, 1007, 1014])
def test_a_white_hairline_on_a_large_transparent_picture_is_not_lost(left: int) -> None:
    drawing = Image.new("RGBA", (3000, 2000))
    drawing.paste("white", (left, 900, left + 3, 960))
    file = io.BytesIO()
    drawing.save(file, "PNG")
    pixels = Picture(file.getvalue()).pixels
    assert pixels.min() == 0
    assert pixels.max() > 100


def test_white_ink_on_transparency_lies_on_black() -> None:
    opaque = (bars() == 0).astype(np.uint8) * 255
    drawing = Image.new("RGBA", (48, 32), "white")
    drawing.putalpha(Image.fromarray(opaque))
    assert np.array_equal(grey(decode(encode(drawing))), opaque)
    large = drawing.resize((2400, 1600), Image.Resampling.NEAREST)
    part = Picture(encode(large)).detail(Part(0, 0.1, 0, 0.1))
    assert part is not None
    assert part.min() == 255


@pytest.mark.parametrize(
    ("colour", "share"),
    [("black", 0.3), ("yellow", 0.3), ("gray", 0.3), ("white", 0.8)],
)
def test_other_ink_and_a_page_on_transparency_lie_on_white(colour: str, share: float) -> None:
    drawing = Image.new("RGBA", (40, 40))
    drawing.paste(colour, (0, 0, 40, round(40 * share)))
    assert grey(decode(encode(drawing)))[-1].min() == 255


def test_a_gif_with_a_frame_beyond_its_screen_is_too_large() -> None:
    """The header says 1 x 1, the first frame 65,535 x 65,535: nothing of it is decoded."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"
    with pytest.raises(TooLarge, match="megapixels"):
        decode(screen + frame)


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (2, 3000)])
def test_a_jpeg_narrower_than_its_decoder_would_make_it_is_read(size: tuple[int, int]) -> None:
    pixels = decode(encode(Image.new("L", size, 200), "JPEG"))
    assert min(pixels.shape[:2]) >= 1
    assert np.abs(pixels - 200.0).max() < LOSSY
