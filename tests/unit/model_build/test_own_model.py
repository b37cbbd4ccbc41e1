"""The three models of docs/own-model.md: brought as the page says, answered as by their owners."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_build.data.datasets import Dataset, load_other_writers
from model_build.importing import candidates
from model_build.store.model_store import ModelStore
from tests.support import ROOT
from tests.support.command_line import Run
from tests.support.handling import handling

STORIES = ROOT / "tests" / "support" / "stories"


def command(heading: str) -> list[str]:
    """Arguments of `model_build` in a section of the page."""
    page = (ROOT / "docs" / "own-model.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (line,) = re.findall(r"^\$ python -m model_build ((?:.*\\\n)*.*)", section, re.MULTILINE)
    return shlex.split(line.replace("\\\n", ""))


def bring(heading: str, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a section's command in a folder; return what it prints."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(candidates, "_TIMED_SECONDS", 0.0)
    own = ("--store", (folder / "store").as_uri(), "--build", folder / "build")
    code, out, err = run(*command(heading), *own)
    assert (code, err) == (0, "")
    return out


def served(folder: Path, name: str) -> NDArray[np.int64]:
    """The function's own answers to the pictures of answers.npz, as indices of labels."""
    store = (folder / "store").as_uri()
    document = ModelStore(store).manifest(name, ModelStore(store).resolve(name, "production"))
    with np.load(folder / "answers.npz") as archive:
        files = [(folder / "pictures" / picture).read_bytes() for picture in archive["names"]]
    with handling(name, "production", store) as send:
        answers = send(files, "auto")
    # With a threshold, the function may answer null: what it would have said is the largest.
    assert all(len(answer["probabilities"]) == len(document.output.labels) for answer in answers)
    return np.array([np.argmax(answer["probabilities"]) for answer in answers])


def expected(folder: Path) -> NDArray[np.int64]:
    with np.load(folder / "answers.npz") as archive:
        best: NDArray[np.int64] = archive["outputs"].argmax(axis=1)
        return best


def save(path: Path, pixels: NDArray[np.uint8], mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.mark.slow
def test_a_pytorch_model_answers_as_in_pytorch(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, mnist: Dataset
) -> None:
    shutil.copytree(STORIES / "pytorch", tmp_path, dirs_exist_ok=True)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(10))))
    digits = zip(mnist.test_images[::4], mnist.test_labels[::4], strict=True)
    for index, (image, label) in enumerate(digits):
        large = image.repeat(3, axis=0).repeat(3, axis=1)
        save(tmp_path / "pictures" / str(label) / f"{index:03}.png", large, "RGB")
    out = bring("A PyTorch model", tmp_path, run, monkeypatch)
    assert "answers.npz, 250 pictures: top-1 agreement 100.0%, largest difference 0.000" in out
    assert "the model outputs logarithms of probabilities: appended a Softmax" in out
    assert (served(tmp_path, "digits") == expected(tmp_path)).mean() >= 0.99


@pytest.mark.slow
def test_a_scikit_learn_model_answers_as_in_scikit_learn(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(STORIES / "scikit_learn", tmp_path, dirs_exist_ok=True)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(10))))
    images, labels = load_other_writers()
    for index in range(1400, len(images)):
        save(tmp_path / "pictures" / str(labels[index]) / f"{index}.png", images[index])
    out = bring("A scikit-learn model", tmp_path, run, monkeypatch)
    assert "answers.npz, 397 pictures: top-1 agreement 100.0%, largest difference 0.0000" in out
    np.testing.assert_array_equal(served(tmp_path, "forest"), expected(tmp_path))


@pytest.mark.keras
def test_a_keras_model_answers_as_in_keras(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, mnist: Dataset
) -> None:
    """It is trained here, for seconds, as the page says."""
    import keras

    keras.utils.set_random_seed(0)
    for split, images, labels in (
        ("training", mnist.train_images[::2], mnist.train_labels[::2]),
        ("pictures", mnist.test_images[::4], mnist.test_labels[::4]),
    ):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            large = image.repeat(2, axis=0).repeat(3, axis=1)
            save(tmp_path / split / f"digit {label}" / f"{index:04}.png", large)

    def dataset(split: str, *, shuffle: bool) -> keras.utils.PyDataset:
        return keras.utils.image_dataset_from_directory(
            tmp_path / split,
            image_size=(28, 28),
            color_mode="grayscale",
            shuffle=shuffle,
            seed=0,
            verbose=False,
        )

    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(dataset("training", shuffle=True), epochs=5, verbose=0, shuffle=False)
    pictures = dataset("pictures", shuffle=False)
    network.save(tmp_path / "digits.keras")
    names = [str(Path(path).relative_to(tmp_path / "pictures")) for path in pictures.file_paths]
    outputs = network.predict(pictures, verbose=0)
    np.savez(tmp_path / "answers.npz", names=names, outputs=outputs)
    (tmp_path / "labels.txt").write_text("\n".join(pictures.class_names))
    (tmp_path / "preprocess.json").write_text(preprocess_of_the_page())
    out = bring("A Keras model", tmp_path, run, monkeypatch)
    assert re.search(r"answers\.npz, 250 pictures: top-1 agreement (100\.0|99\.\d)%", out)
    assert (served(tmp_path, "digits") == expected(tmp_path)).mean() >= 0.98


def preprocess_of_the_page() -> str:
    """The JSON that the page's Python writes."""
    page = (ROOT / "docs" / "own-model.md").read_text()
    (text,) = re.findall(r"^preprocess = (\{.*?\})$", page, re.MULTILINE | re.DOTALL)
    return json.dumps(ast.literal_eval(text))
