"""bigtiff.py: a BigTIFF becomes a TIFF of the same pixels, and damage is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import PredictError, UnreadableImage
from classifier.image.bigtiff import as_classic
from classifier.image.pixels import decode
from tests.support.heavy_files import big_tiff, tiff
from tests.support.hostile_files import digit

PAGE = np.asarray(digit(96))
PIXELS = PAGE.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [16, 4, 3])
@pytest.mark.parametrize("strips", [1, 2, 3, 96])
def test_a_bigtiff_of_either_order_is_read(order: str, kind: int, strips: int) -> None:
    pixels = decode(big_tiff(96, 96, PIXELS, order, kind=kind, strips=strips))
    assert np.array_equal(pixels[:, :, 0], PAGE)


def test_any_other_file_stays_as_it_is() -> None:
    for data in (b"", b"II", tiff(96, 96, PIXELS)):
        assert as_classic(data) is data


def test_a_number_that_no_tiff_can_hold_is_refused() -> None:
    file = big_tiff(96, 96, PIXELS).replace(struct.pack("<Q", 96), struct.pack("<Q", 2**32), 1)
    with pytest.raises(UnreadableImage, match="BigTIFF is damaged"):
        decode(file)


def test_a_bigtiff_cut_anywhere_in_its_directory_is_refused() -> None:
    file = big_tiff(96, 96, PIXELS, strips=2)
    for length in range(9, len(file), 7):
        with pytest.raises(UnreadableImage):
            decode(file[:length])


@given(st.binary(max_size=300), st.sampled_from([b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]))
def test_any_bytes_are_read_or_refused(content: bytes, mark: bytes) -> None:
    start = struct.pack("<Q" if mark.startswith(b"II") else ">Q", 16)
    try:
        decode(mark + start + content)
    except PredictError as error:
        refusal = error
        assert refusal.status in (413, 415, 422)
