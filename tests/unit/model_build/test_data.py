import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_build.data import datasets
from model_build.data.contact_sheet import contact_sheet
from model_build.data.datasets import (
    Dataset,
    load,
    load_other_writers,
    read_mnist_npz,
    stratified_split,
)
from model_build.errors import DatasetError
from tests.support import ROOT


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return _write_npz(tmp_path / "mnist.npz")


def test_the_default_set_has_3600_samples_to_train_and_1000_held_out(mnist: Dataset) -> None:
    assert mnist.train_images.shape == (3600, 28, 28)
    assert mnist.validation_images.shape == (400, 28, 28)
    assert mnist.test_images.shape == (1000, 28, 28)
    assert mnist.train_images.dtype == mnist.test_images.dtype == np.uint8
    assert np.bincount(mnist.train_labels).tolist() == [360] * 10
    assert np.bincount(mnist.validation_labels).tolist() == [40] * 10
    assert np.bincount(mnist.test_labels).tolist() == [100] * 10


def test_the_samples_are_white_ink_on_black(mnist: Dataset) -> None:
    assert mnist.train_images.max() == 255
    assert mnist.train_images[:, 0, 0].max() == 0
    assert mnist.train_images.mean() < 64


def test_no_held_out_sample_is_trained_on(mnist: Dataset) -> None:
    trained = {image.tobytes() for image in mnist.train_images}
    validation = {image.tobytes() for image in mnist.validation_images}
    held_out = {image.tobytes() for image in mnist.test_images}
    assert not trained & validation
    assert not (trained | validation) & held_out


def test_a_data_set_is_loaded_by_name_and_is_the_same_every_time(mnist: Dataset) -> None:
    again = load("mnist-5k")
    assert again.sha256 == mnist.sha256
    assert len(again.sha256) == 64
    assert np.array_equal(again.test_images, mnist.test_images)
    assert np.array_equal(again.train_labels, mnist.train_labels)


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"one of mnist-5k, full.*, got 'cifar'"):
        load("cifar")


def test_a_split_holds_out_the_same_number_of_each_class() -> None:
    labels = np.repeat(np.arange(4), [50, 10, 30, 20])
    held_out = stratified_split(labels, 7)
    assert np.bincount(labels[held_out]).tolist() == [7] * 4


def test_a_split_is_fixed_and_another_seed_is_another_split() -> None:
    labels = np.tile(np.arange(10), 40)
    assert np.array_equal(stratified_split(labels, 5), stratified_split(labels, 5))
    assert not np.array_equal(stratified_split(labels, 5), stratified_split(labels, 5, seed=1))


def test_a_split_is_drawn_from_the_whole_class() -> None:
    labels = np.repeat(np.arange(3), 300)
    places = np.flatnonzero(stratified_split(labels, 60)) % 300
    assert 100 < places.mean() < 200


def test_a_file_of_keras_s_form_becomes_a_data_set(npz: Path) -> None:
    full = read_mnist_npz(npz)
    assert full.name == "full"
    assert full.train_images.shape == (270, 28, 28)
    assert full.test_images.shape == (100, 28, 28)
    assert [full.train_images.dtype, full.train_labels.dtype] == ["uint8", "int64"]
    with np.load(npz) as arrays:
        assert np.array_equal(full.test_labels, arrays["y_test"])
        assert np.array_equal(full.test_images, arrays["x_test"])


@pytest.mark.parametrize("lacking", ["x_train", "y_train", "x_test", "y_test"])
def test_a_file_of_another_form_is_refused_with_what_it_lacks(lacking: str, tmp_path: Path) -> None:
    arrays = {"x_train", "y_train", "x_test", "y_test"} - {lacking}
    path = tmp_path / "other.npz"
    np.savez(path, allow_pickle=False, **{name: np.zeros(1) for name in arrays})
    with pytest.raises(DatasetError, match=rf"lacks the arrays \['{lacking}'\]; expected"):
        read_mnist_npz(path)


def test_other_writers_are_read_at_full_contrast() -> None:
    images, labels = load_other_writers()
    assert images.shape == (1797, 8, 8)
    assert [int(images.min()), int(images.max())] == [0, 255]
    assert set(labels.tolist()) == set(range(10))


# The command line, with a small file instead of the full one.
SMALL_FILE = """
import sys
from model_build.data import datasets
datasets._MNIST_SHA256 = sys.argv.pop(1)
from model_build.cli.main import main
main()
"""


@pytest.mark.keras
def test_the_full_set_is_taken_from_the_cache_of_keras(tmp_path: Path) -> None:
    digest = datasets.read_mnist_npz(_write_npz(tmp_path / "keras/datasets/mnist.npz")).sha256
    done = _data_command(tmp_path, digest)
    assert done.returncode == 0, done.stderr
    assert f"full: Keras mnist.npz, sha256 {digest}" in done.stdout
    assert "270 training and 100 held-out samples" in done.stdout
    assert (tmp_path / "build/samples.png").exists()


@pytest.mark.keras
def test_a_full_set_that_can_not_be_downloaded_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setattr(datasets, "_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    empty_cache = partial(keras.utils.get_file, cache_dir=tmp_path)
    monkeypatch.setattr(keras.utils, "get_file", empty_cache)
    with pytest.raises(DatasetError, match=r"could not be downloaded; copy it .* use --dataset"):
        load("full")


def _data_command(folder: Path, digest: str) -> subprocess.CompletedProcess[str]:
    arguments = [digest, "data", "--dataset", "full", "--build", str(folder / "build")]
    environment = os.environ | {"KERAS_HOME": str(folder / "keras"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-c", SMALL_FILE, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _write_npz(path: Path) -> Path:
    generator = np.random.default_rng(0)

    def images(count: int) -> NDArray[np.uint8]:
        return generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        allow_pickle=False,
        x_train=images(300),
        y_train=np.arange(300, dtype=np.uint8) % 10,
        x_test=images(100),
        y_test=np.arange(100, dtype=np.uint8) % 10,
    )
    return path


def test_the_contact_sheet_shows_a_row_a_class(mnist: datasets.Dataset) -> None:
    sheet = contact_sheet(mnist, columns=5)
    assert sheet.shape == (10 * 28, 5 * 28)
    for label in (0, 9):
        first = mnist.train_images[mnist.train_labels == label][0]
        assert np.array_equal(sheet[label * 28 : label * 28 + 28, :28], first)
