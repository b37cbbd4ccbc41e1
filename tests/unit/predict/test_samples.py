"""samples.py: samples of more than 8 bits get the brightness that their file means."""

import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.errors import UnsupportedMediaType
from classifier.image.pixels import Picture, decode
from tests.support.heavy_files import tiff
from tests.support.hostile_files import digit, saved

DIGIT = np.asarray(digit(48))  # 20 to 235
SHARES = DIGIT / 255
UNSIGNED, SIGNED, FRACTIONS = 1, 2, 3


def grey_tiff(samples: NDArray[Any], sample_format: int, order: str = "<", **more: Any) -> bytes:
    """TIFF of one sample a pixel, in either order, packed if `more` says so."""
    pixels = samples.astype(f"{order}{samples.dtype.str[1:]}").tobytes()
    if more.get("compression") == 8:
        pixels = zlib.compress(pixels)
    fields = {"bits": samples.itemsize * 8, "sample_format": sample_format} | more
    return tiff(samples.shape[1], samples.shape[0], pixels, order, **fields)


def grey(file: bytes) -> NDArray[Any]:
    return decode(file)[:, :, 0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize(
    ("dtype", "sample_format", "white"),
    [
        ("u2", UNSIGNED, 255),
        ("u2", UNSIGNED, 65_535),
        ("i2", SIGNED, 255),
        ("i2", SIGNED, 32_767),
        ("u4", UNSIGNED, 255),
        ("u4", UNSIGNED, 4095),
        ("u4", UNSIGNED, 65_535),
        ("i4", SIGNED, 65_535),
        ("f4", FRACTIONS, 1),
        ("f4", FRACTIONS, 255),
        ("f4", FRACTIONS, 65_535),
        ("f8", FRACTIONS, 1),
    ],
)
def test_the_numbers_of_a_tiff_are_scaled_by_the_white_of_their_bits(
    dtype: str, sample_format: int, white: int, compression: int, order: str
) -> None:
    samples = (SHARES * white).astype(dtype)
    file = grey_tiff(samples, sample_format, order, compression=compression)
    assert np.abs(grey(file) - DIGIT).max() < 0.6


def deep_tiff(
    samples: NDArray[Any], sample_format: int, order: str = "<", *, in_planes: bool, **more: Any
) -> bytes:
    """TIFF of several samples a pixel [H, W, S], each plane in two strips if it has its own."""
    height, width, count = samples.shape
    stored = samples.astype(f"{order}{samples.dtype.str[1:]}")
    parts = [half for plane in stored.transpose(2, 0, 1) for half in np.split(plane, 2)]
    parts = [part.tobytes() for part in (parts if in_planes else [stored])]
    if more.get("compression") == 8:
        parts = [zlib.compress(part) for part in parts]
    starts = np.cumsum([0, *map(len, parts)])[:-1].tolist()
    fields = {
        "bits": [samples.itemsize * 8] * count,
        "samples": count,
        "sample_format": [sample_format] * count,
        "photometric": 2 if count > 2 else 1,
        "planes": 2 if in_planes else 1,
        "rows": height // 2 if in_planes else height,
        "strips": starts,
        "strip_bytes": [len(part) for part in parts],
    }
    return tiff(width, height, b"".join(parts), order, **(fields | more))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("in_planes", [False, True])
@pytest.mark.parametrize(
    ("dtype", "sample_format", "white"),
    [
        ("f2", FRACTIONS, 1),
        ("f4", FRACTIONS, 1),
        ("f4", FRACTIONS, 255),
        ("f8", FRACTIONS, 1),
        ("i2", SIGNED, 32_767),
        ("u2", UNSIGNED, 4095),
        ("u4", UNSIGNED, 65_535),
        ("u4", UNSIGNED, 2**32 - 1),
    ],
)
def test_colours_of_a_tiff_of_many_bits_are_read(
    dtype: str, sample_format: int, white: int, compression: int, order: str, *, in_planes: bool
) -> None:
    shares = np.stack([SHARES, SHARES, SHARES], axis=2)
    file = deep_tiff(
        (shares * white).astype(dtype),
        sample_format,
        order,
        in_planes=in_planes,
        compression=compression,
    )
    picture = Picture(file)
    assert picture.size == DIGIT.shape
    pixels = picture.pixels
    largest = 255 / DIGIT.max() if white == 2**32 - 1 else 1  # the white of no known bits
    assert np.abs(pixels - largest * DIGIT[:, :, np.newaxis]).max() < 1.1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("dtype", "count", "in_planes"),
    [("f2", 1, False), ("f4", 3, False), ("u4", 3, True), ("u2", 2, False), ("u2", 3, True)],
)
def test_many_bits_are_read_the_right_way_up(
    dtype: str, count: int, orientation: int, *, in_planes: bool
) -> None:
    stored = DIGIT[:, 6:38]
    form, white = (FRACTIONS, 1) if dtype[0] == "f" else (UNSIGNED, 65_535)
    samples = np.repeat(stored[:, :, np.newaxis] / 255 * white, count, axis=2)
    if count == 2:
        samples[:, :, 1] = white
    file = deep_tiff(samples.astype(dtype), form, in_planes=in_planes, orientation=orientation)
    height, width = stored.shape
    expected = grey(tiff(width, height, stored.tobytes(), orientation=orientation))
    assert Picture(file).size == expected.shape
    assert np.abs(grey(file) - expected).max() < 0.6


@pytest.mark.parametrize("order", ["<", ">"])
def test_halves_of_a_grey_tiff_are_read(order: str) -> None:
    assert np.abs(grey(grey_tiff(SHARES.astype("f2"), FRACTIONS, order)) - DIGIT).max() < 0.2


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize(
    ("count", "dtype", "form", "white"),
    [
        (2, "u2", UNSIGNED, 4095),
        (2, "u2", UNSIGNED, 65_535),
        (2, "f4", FRACTIONS, 1),
        (4, "f4", FRACTIONS, 1),
    ],
)
def test_alpha_of_many_bits_is_put_on_white(
    count: int, dtype: str, form: int, white: int, extra: int
) -> None:
    """Black ink that is all in the alpha."""
    layers = np.stack([0 * SHARES] * (count - 1) + [1 - SHARES], axis=2)
    file = deep_tiff((layers * white).astype(dtype), form, in_planes=False, extra_samples=extra)
    assert np.abs(grey(file) - DIGIT).max() < 0.6


@pytest.mark.parametrize(
    ("dtype", "form", "count"), [("f4", FRACTIONS, 3), ("u2", UNSIGNED, 3), ("u1", UNSIGNED, 2)]
)
def test_planes_whose_strips_cannot_be_stacked_are_refused_by_their_form(
    dtype: str, form: int, count: int
) -> None:
    file = deep_tiff(np.zeros((4, 4, count), dtype), form, in_planes=True, rows=3)
    bits = 8 * np.dtype(dtype).itemsize
    with pytest.raises(UnsupportedMediaType, match=f"{count} samples of {bits} bits in planes"):
        decode(file)


def test_colours_behind_a_predictor_are_refused_by_it() -> None:
    file = deep_tiff(np.zeros((4, 4, 3), "f4"), FRACTIONS, in_planes=False, predictor=3)
    with pytest.raises(UnsupportedMediaType, match="3 samples of 32 bits with a predictor"):
        decode(file)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_planes_behind_a_predictor_are_read(dtype: str, order: str) -> None:
    """Each sample of a row is less the one before it, as a whole number."""
    size = np.dtype(dtype).itemsize
    shares = np.stack([SHARES] * 3, axis=2).astype(dtype)
    numbers = shares.view(f"u{size}")
    less = np.diff(numbers, axis=1, prepend=numbers.dtype.type(0)).view(dtype)
    file = deep_tiff(less, FRACTIONS, order, in_planes=True, compression=8, predictor=2)
    assert np.abs(grey(file) - DIGIT).max() < 0.6


def test_grey_and_alpha_in_planes_of_8_bits_are_read() -> None:
    layers = np.stack([DIGIT, np.full_like(DIGIT, 255)], axis=2).astype("u1")
    assert np.abs(grey(deep_tiff(layers, UNSIGNED, in_planes=True)) - DIGIT).max() < 0.6


@pytest.mark.parametrize("largest", [1.02, 1.5])
def test_fractions_that_a_filter_took_beyond_1_are_scaled_by_the_largest(largest: float) -> None:
    samples = (DIGIT / DIGIT.max() * largest).astype("f4")
    expected = DIGIT / DIGIT.max() * 255
    assert np.abs(grey(grey_tiff(samples, FRACTIONS)) - expected).max() < 0.1


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("white", [255, 511, 1023, 2047, 4095, 65_535])
def test_colours_of_a_camera_in_a_file_of_16_bits_are_scaled_by_their_own_bits(
    kind: str, white: int, count: int
) -> None:
    """The fourth sample is the transparency of nothing."""
    shares = np.stack([SHARES] * 3 + [SHARES**0] * (count - 3), axis=2)
    samples = np.rint(shares * white).astype(np.uint16)
    if kind == "TIFF":
        extra: dict[str, Any] = {"extra_samples": 2} if count == 4 else {}
        file = deep_tiff(samples, UNSIGNED, in_planes=False, **extra)
    else:
        rows = samples.astype(">u2").reshape(len(samples), -1)
        packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
        size = samples.shape[1].to_bytes(4) + samples.shape[0].to_bytes(4)
        chunks = [
            (b"IHDR", size + bytes([16, {3: 2, 4: 6}[count], 0, 0, 0])),
            (b"IDAT", packed),
            (b"IEND", b""),
        ]
        file = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert np.abs(decode(file) - DIGIT[:, :, np.newaxis].astype(float)).max() <= 1


def png_chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [9, 10, 11, 12])
def test_the_values_of_a_camera_in_a_file_of_16_bits_are_scaled_by_their_own_bits(
    kind: str, bits: int
) -> None:
    from PIL import Image

    samples = np.rint(SHARES * (2**bits - 1)).astype(np.uint16)
    assert np.abs(grey(saved(Image.fromarray(samples), kind)) - DIGIT).max() < 0.6


@pytest.mark.parametrize(
    ("dtype", "sample_format", "largest"),
    [
        ("u4", UNSIGNED, 2**32 - 1),
        ("u4", UNSIGNED, 10**6),
        ("i4", SIGNED, 2**31 - 1),
        ("f4", FRACTIONS, 1e6),
        ("f4", FRACTIONS, 1e30),
    ],
)
def test_numbers_of_no_known_bits_are_scaled_by_the_largest(
    dtype: str, sample_format: int, largest: float
) -> None:
    samples = (DIGIT / DIGIT.max() * largest).astype(dtype)
    expected = DIGIT / DIGIT.max() * 255
    assert np.abs(grey(grey_tiff(samples, sample_format)) - expected).max() < 0.1


@pytest.mark.parametrize(("dtype", "sample_format"), [("f4", FRACTIONS), ("i2", SIGNED)])
def test_numbers_below_zero_are_scaled_by_their_own_range(dtype: str, sample_format: int) -> None:
    """From the darkest to the lightest, as in a picture that was centred on 0."""
    samples = (DIGIT * 100.0 - 15_000).astype(dtype)
    pixels = grey(grey_tiff(samples, sample_format))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.abs(pixels - (DIGIT - 20.0) / 215 * 255).max() < 0.1


@pytest.mark.parametrize(("dtype", "sample_format"), [("u2", UNSIGNED), ("u4", UNSIGNED)])
def test_the_range_that_a_tiff_states_is_its_scale(dtype: str, sample_format: int) -> None:
    samples = (1000 + SHARES * 19_000).astype(dtype)
    file = grey_tiff(samples, sample_format, least=1000, most=20_000)
    assert np.abs(grey(file) - DIGIT).max() < 0.1


@pytest.mark.parametrize("most", [[0], [7], [2**32 - 1, 5]])
def test_a_stated_range_that_is_none_is_ignored(most: list[int]) -> None:
    file = grey_tiff((SHARES * 65_535).astype("u2"), UNSIGNED, least=[2**32 - 1], most=most)
    assert np.abs(grey(file) - DIGIT).max() < 0.6


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("dtype", "sample_format"), [("u2", UNSIGNED), ("f4", FRACTIONS)])
def test_white_that_is_zero_is_turned_over(dtype: str, sample_format: int, order: str) -> None:
    samples = (255 - DIGIT).astype(dtype)
    file = grey_tiff(samples, sample_format, order, photometric=0)
    assert np.abs(grey(file) - DIGIT).max() < 0.1


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-45, 3e38, -3e38, np.nan, np.inf, -np.inf])
def test_samples_that_are_all_the_same_stay_so(value: float) -> None:
    pixels = grey(grey_tiff(np.full((8, 8), value, np.float32), FRACTIONS))
    assert 0 <= pixels.min() == pixels.max() <= 255


def test_fractions_of_the_whole_range_are_scaled_without_an_overflow() -> None:
    samples = np.array([[-3.4e38, 0, 3.4e38, np.nan, np.inf]], np.float32)
    assert grey(grey_tiff(samples, FRACTIONS)).tolist() == [[0, 127.5, 255, 127.5, 255]]
