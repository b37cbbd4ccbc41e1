"""progressive.py: the scans in front of a progressive JPEG hold the whole picture at an eighth."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.image.progressive import first_scans


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    page = np.full((480, 640), 220, dtype=np.uint8)
    page[100:300, 250:330] = 30
    file = io.BytesIO()
    Image.fromarray(page).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def eighth(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.draft(image.mode, (80, 60))
    return np.asarray(image, dtype=np.float32)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_first_scans_give_the_picture_at_an_eighth(mode: str) -> None:
    whole = jpeg(mode, progressive=True)
    first = first_scans(whole)
    assert len(first) < len(whole)
    assert eighth(first).shape == eighth(whole).shape
    assert np.abs(eighth(first) - eighth(whole)).mean() < 2


def test_the_thumbnail_in_front_is_no_scan() -> None:
    thumbnail = b"\xff\xe1" + (2 + 14).to_bytes(2) + b"\xff\xda\x00\x08\x01\x01\x00\x05\x3f\x00abcd"
    whole = jpeg(progressive=True)
    marked = whole[:2] + thumbnail + whole[2:]
    assert first_scans(marked) == whole[:2] + thumbnail + first_scans(whole)[2:]


def test_a_file_without_an_end_stays_for_the_decoder_to_refuse() -> None:
    whole = jpeg(progressive=True)
    assert first_scans(whole[:-2]) == whole[:-2]


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
