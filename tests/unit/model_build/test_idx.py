"""idx.py and the data set that comes in its format."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_build.data import datasets, idx
from model_build.errors import DatasetError

NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def encoded(array: NDArray[np.uint8]) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def test_an_array_is_read_as_it_was_written(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (tmp_path / "a.gz").write_bytes(encoded(array))
    np.testing.assert_array_equal(idx.read(tmp_path / "a.gz"), array)


WHOLE = gzip.decompress(encoded(np.zeros((2, 3), dtype=np.uint8)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a valid gzipped IDX file"),
        (b"\x00\x00\x08\x01", "not a valid gzipped IDX file"),
        (gzip.compress(WHOLE, mtime=0)[:-9], "not a valid gzipped IDX file"),
        (gzip.compress(b"\x00\x00\x08", mtime=0), "not a valid gzipped IDX file"),
        (gzip.compress(WHOLE[:9], mtime=0), "not a valid gzipped IDX file"),
        (gzip.compress(b"\x00\x00\x0d" + WHOLE[3:], mtime=0), "not an IDX file of unsigned bytes"),
        (gzip.compress(b"\x08" + WHOLE[1:], mtime=0), "not an IDX file of unsigned bytes"),
        (gzip.compress(WHOLE[:-1], mtime=0), r"expected \("),
        (gzip.compress(WHOLE + b"\x00", mtime=0), r"expected \("),
    ],
)
def test_what_is_damaged_or_no_such_file_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=sentence) as refused:
        idx.read(tmp_path / "a.gz")
    assert "a.gz" in str(refused.value)


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    """The four files, with 40 and 20 small pictures."""
    generator = np.random.default_rng(1)
    for images, labels, count in ((*NAMES[:2], 40), (*NAMES[2:], 20)):
        shown = generator.integers(0, 256, (count, 6, 6), dtype=np.uint8)
        (tmp_path / f"{images}-ubyte.gz").write_bytes(encoded(shown))
        named = np.arange(count, dtype=np.uint8) % 2
        (tmp_path / f"{labels}-ubyte.gz").write_bytes(encoded(named))
    return tmp_path


def test_fashion_mnist_is_its_four_files(clothes: Path) -> None:
    loaded = datasets.load_fashion_mnist(clothes)
    assert loaded.name == "fashion-mnist"
    assert loaded.train_images.shape == (36, 6, 6)
    assert sorted(loaded.validation_labels.tolist()) == [0, 0, 1, 1]
    assert loaded.test_labels.tolist() == [0, 1] * 10
    before = loaded.sha256
    labels = clothes / f"{NAMES[3]}-ubyte.gz"
    labels.write_bytes(encoded(np.ones(20, dtype=np.uint8)))
    assert datasets.load_fashion_mnist(clothes).sha256 != before


def test_a_file_that_is_missing_is_named_with_what_to_do(clothes: Path) -> None:
    (clothes / f"{NAMES[2]}-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match=r"t10k-images.* is missing; install the Debian package"):
        datasets.load_fashion_mnist(clothes)


@pytest.mark.parametrize("labels", [np.zeros(19, np.uint8), np.full(20, 10, np.uint8)])
def test_files_that_do_not_belong_together_are_refused(
    clothes: Path, labels: NDArray[np.uint8]
) -> None:
    (clothes / f"{NAMES[3]}-ubyte.gz").write_bytes(encoded(labels))
    with pytest.raises(DatasetError, match="do not match"):
        datasets.load_fashion_mnist(clothes)


def test_a_data_set_knows_its_labels_and_its_pipeline() -> None:
    assert datasets.labels_of("mnist-5k") == list(range(10))
    assert datasets.pipeline_of("full") == {"pipeline": "mnist", "box": 20}
    assert datasets.labels_of("fashion-mnist")[9] == "Ankle boot"
    assert datasets.pipeline_of("fashion-mnist")["pipeline"] == "resize"
