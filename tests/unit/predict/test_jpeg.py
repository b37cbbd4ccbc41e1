"""jpeg.py: how often a decoder goes over a picture, and the scans that hold it at an eighth."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.errors import TooLarge, UnsupportedMediaType
from classifier.image.jpeg import first_scans, with_end, work
from classifier.image.limits import MAX_WORK, PIECE

SIDES = (480, 640)  # pixels
FILLED = (SIDES[0] + 32) * (SIDES[1] + 32)  # and those that decoders may add
DEFAULT_SCANS = {"L": 6, "RGB": 10, "CMYK": 18}  # of a progressive file


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    page = np.full(SIDES, 220, dtype=np.uint8)
    page[100:300, 250:330] = 30
    file = io.BytesIO()
    Image.fromarray(page).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def scans(count: int) -> int:
    """Work of so many scans, in pixels."""
    return count * FILLED


def eighth(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.draft(image.mode, (80, 60))
    return np.asarray(image, dtype=np.float32)


def behind_start(whole: bytes, filling: bytes) -> bytes:
    return whole[:2] + filling + whole[2:]


def segment(content: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    return marker + (2 + len(content)).to_bytes(2) + content


@pytest.mark.parametrize("mode", DEFAULT_SCANS)
def test_the_work_is_that_of_each_scan_on_the_whole_picture(mode: str) -> None:
    assert 0 < work(jpeg(mode)) - scans(1) < 20 * PIECE
    count = DEFAULT_SCANS[mode]
    assert 0 < work(jpeg(mode, progressive=True)) - scans(count) < 50 * PIECE


@pytest.mark.parametrize(
    ("frame", "bits", "form"),
    [
        (0xC1, 12, "JPEG of 12 bits per sample"),
        (0xC3, 8, "lossless or hierarchical JPEG"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_a_form_that_no_decoder_reads_is_named(frame: int, bits: int, form: str) -> None:
    size = bits.to_bytes() + b"\0\x08\0\x08\1\1\x11\0"
    data = b"\xff\xd8" + segment(size, bytes([0xFF, frame]))
    with pytest.raises(UnsupportedMediaType, match=f"^{form} is not supported"):
        work(data)


@pytest.mark.parametrize(
    "content", [b"\xff\xda" * 3000, jpeg()[:30_000], b"\xff\xd9\xff\xda\x00\x02" * 100]
)
def test_scans_inside_a_segment_or_behind_the_end_are_not_counted(content: bytes) -> None:
    """Thumbnails, profiles, and what phones write behind a picture: videos, further pictures."""
    whole = jpeg()
    assert work(behind_start(whole, segment(content))) == work(whole) + PIECE
    assert work(whole + content * 100) == work(whole)


@pytest.mark.parametrize(
    ("filling", "pieces"),
    [
        (b"\xff\xfe\x00\x02", 1),
        (b"\xff", 1),
        (b"\xff\xd0", 2),
        (b"\x00", 1),
        (b"\xff\xe1\x00\x04ab", 1),
    ],
)
def test_what_stands_in_front_of_the_first_scan_is_counted(filling: bytes, pieces: int) -> None:
    whole = jpeg()
    assert work(behind_start(whole, filling * 100)) == work(whole) + 100 * pieces * PIECE


def test_segments_between_scans_are_counted() -> None:
    whole = jpeg(progressive=True)
    last = whole.rindex(b"\xff\xda")
    more = whole[:last] + segment(b"", b"\xff\xfe") * 100 + whole[last:]
    assert work(more) == work(whole) + 100 * PIECE


def test_a_million_segments_are_over_the_limit_before_all_are_counted() -> None:
    assert MAX_WORK < work(behind_start(jpeg(), segment(b"") * 1_000_000)) < 2 * MAX_WORK


def test_a_size_over_16_megapixels_is_refused() -> None:
    whole = jpeg()
    frame = whole.index(b"\xff\xc0") + 5
    with pytest.raises(TooLarge, match="16 megapixels"):
        work(whole[:frame] + b"\xff\xff\xff\xff" + whole[frame + 4 :])


@pytest.mark.parametrize("mode", DEFAULT_SCANS)
def test_the_first_scans_give_the_picture_at_an_eighth(mode: str) -> None:
    whole = jpeg(mode, progressive=True)
    first = first_scans(whole)
    assert len(first) < len(whole)
    assert eighth(first).shape == eighth(whole).shape
    assert np.abs(eighth(first) - eighth(whole)).mean() < 2


def test_the_thumbnail_in_front_is_no_scan() -> None:
    thumbnail = segment(b"\xff\xda\x00\x08\x01\x01\x00\x05\x3f\x00abcd")
    whole = jpeg(progressive=True)
    assert first_scans(behind_start(whole, thumbnail)) == behind_start(
        first_scans(whole), thumbnail
    )


def test_a_file_without_an_end_stays_for_the_decoder_to_refuse() -> None:
    whole = jpeg(progressive=True)
    assert first_scans(whole[:-2]) == whole[:-2]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", DEFAULT_SCANS)
def test_a_file_cut_in_its_last_scan_gets_an_end(mode: str, progressive: bool) -> None:  # noqa: FBT001
    whole = jpeg(mode, progressive=progressive)
    last = whole.rindex(b"\xff\xda")
    for length in range(last + 20, len(whole), 101):
        assert with_end(whole[:length]) == whole[:length] + b"\xff\xd9"
    for length in range(0, whole.index(b"\xff\xda"), 7):
        assert with_end(whole[:length]) == whole[:length]


def test_a_whole_file_has_its_end_whatever_follows() -> None:
    for data in (jpeg(), jpeg(progressive=True), jpeg() + b"\xff\xda\xff\xd8" * 100):
        assert with_end(data) is data


def test_a_component_that_comes_later_keeps_the_file_whole() -> None:
    whole = jpeg(progressive=True)
    frame = whole.index(b"\xff\xc2")
    more = whole[: frame + 9] + b"\x04" + whole[frame + 10 :]
    assert first_scans(more) == more


@pytest.mark.parametrize("data", [jpeg(), b"", b"\xff\xd8", b"\xff\xd8\xff\xc2\x00\x08"])
def test_any_other_file_stays_as_it_is(data: bytes) -> None:
    assert first_scans(data) == data


def test_a_file_cut_anywhere_is_never_an_error() -> None:
    whole = jpeg(progressive=True)
    for length in range(700):
        assert first_scans(whole[:length]) == whole[:length]
        assert work(whole[:length]) < work(whole)
