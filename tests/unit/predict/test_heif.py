"""heif.py: AVIF and HEIC are read within the limits, whatever their boxes say."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classifier.errors import PredictError, TooLarge, UnreadableImage, UnsupportedMediaType
from classifier.image.heif import work
from classifier.image.limits import MAX_WORK
from classifier.image.pixels import decode
from tests.support.heavy_files import heif_box, heif_grid, smaller, square
from tests.support.hostile_files import digit, saved

KINDS = ["AVIF", "HEIF"]
BRANDS = {"AVIF": (b"avif", b"av01"), "HEIF": (b"heic", b"hvc1")}


def grey(data: bytes) -> Any:
    return decode(data).mean(axis=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_picture_is_read(kind: str, mode: str) -> None:
    pixels = grey(saved(digit(96, mode), kind, quality=90))
    assert np.abs(pixels - np.asarray(digit(96))).mean() < 2


@pytest.mark.parametrize("kind", KINDS)
def test_ink_on_transparency_lies_on_white(kind: str) -> None:
    ink = Image.new("RGBA", (96, 96))
    ink.paste("black", (40, 10, 56, 80))
    pixels = grey(saved(ink, kind, quality=90))
    assert pixels[20:70, 44:52].max() < 20
    assert pixels[:, :30].min() > 235


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_of_tiles_is_read_and_all_of_them_are_counted(kind: str) -> None:
    """As phones write their photos."""
    file = heif_grid(square(kind, 128), *BRANDS[kind], 3, 128)
    assert decode(file).shape[:2] == (384, 384)
    assert grey(file).min() > 250
    assert work(file) > 8 * 2 * 384 * 384


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_of_one_large_tile_is_too_much_work(kind: str) -> None:
    file = smaller(heif_grid(square(kind, 1024), *BRANDS[kind], 200, 1024), 204_800)
    assert work(file) > MAX_WORK


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_larger_than_it_says_is_refused(kind: str) -> None:
    with pytest.raises(UnreadableImage):
        decode(smaller(square(kind, 1000), 1000))


@pytest.mark.parametrize("kind", KINDS)
def test_over_16_megapixels_are_refused(kind: str) -> None:
    file = square(kind, 64).replace(struct.pack(">II", 64, 64), struct.pack(">II", 4001, 4000))
    with pytest.raises(TooLarge, match="4001 x 4000"):
        decode(file)


def test_an_animation_of_avif_gives_its_picture() -> None:
    pages = [digit(96).rotate(90 * turn) for turn in range(4)]
    file = saved(pages[0], "AVIF", save_all=True, append_images=pages[1:])
    assert file[4:12] == b"ftypavis"
    assert np.abs(grey(file) - np.asarray(digit(96))).mean() < 3


def test_an_animation_of_avif_that_begins_empty_is_refused_by_that() -> None:
    pages = [Image.new("L", (96, 96), 255), digit(96)]
    with pytest.raises(UnreadableImage, match="first picture of the AVIF animation is empty"):
        decode(saved(pages[0], "AVIF", save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_a_picture_does_not_matter(kind: str) -> None:
    file = saved(digit(96), kind)
    assert np.array_equal(decode(file + b"a phone's trailer"), decode(file))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_an_avif_is_undone(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.tile(np.linspace(0, 255, 96, dtype=np.uint8), (64, 1)))
    expected = decode(saved(picture, "PNG", exif=exif))[:, :, 0].astype(float)
    pixels = grey(saved(picture, "AVIF", exif=exif, quality=90))
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 3


def test_a_file_without_a_still_picture_is_refused_as_a_video() -> None:
    with pytest.raises(UnsupportedMediaType, match="video"):
        work(heif_box(b"ftyp", b"heic", bytes(4), b"heic") + heif_box(b"moov"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_in_another_codec_is_refused_by_its_name(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="j2k1"):
        decode(square(kind, 64).replace(BRANDS[kind][1], b"j2k1"))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_damaged_boxes_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    for at in data.draw(st.lists(st.integers(0, 500), min_size=1, max_size=5)):
        file[at % len(file)] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(file[: data.draw(st.integers(1, len(file)) | st.just(len(file)))]))
    except PredictError as error:
        refusal = error
        assert refusal.status in (413, 415, 422)


FILES = {kind: heif_grid(square(kind, 64), *BRANDS[kind], 2, 64) for kind in KINDS}
