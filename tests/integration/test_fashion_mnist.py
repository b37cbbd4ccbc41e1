"""A user's own model, here Fashion-MNIST: built, imported, and served beside the digits."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from events.make_events import encode_png
from model_build.data import datasets
from model_build.store.model_store import ModelStore, copy
from tests.support import ROOT, local_service
from tests.support.commands import run
from tests.support.handling import Send, handling
from tests.support.local_service import serving

STORE = local_service.STORE.as_uri()
LEAST = 0.91  # share of right answers on the 10,000 test images
PYTHON = ROOT / ".venv" / "model" / "bin" / "python"


@pytest.fixture(scope="module")
def clothes() -> datasets.Dataset:
    try:
        return datasets.load_fashion_mnist()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(clothes: datasets.Dataset) -> str:
    """Version of fashion-mnist in production in the local store; trains one if there is none."""
    models = ModelStore(STORE)
    if models.channel("fashion-mnist", "production") is None:
        run(
            *(PYTHON, "-m", "model_build", "run", "--dataset", "fashion-mnist"),
            *("--architecture", "cnn-dense", "--name", "fashion-mnist"),
            *("--build", "build/fashion-mnist"),
            timeout=1800,
        )
    return models.resolve("fashion-mnist", "production")


@pytest.fixture(scope="module")
def classify(built: str) -> Iterator[Send]:
    with handling("fashion-mnist", built) as send:
        yield send


def named(labels: NDArray[np.int64]) -> list[str]:
    return [datasets.CLOTHES[label] for label in labels]


def share_right(answers: list[Any], labels: NDArray[np.int64]) -> float:
    right = zip(answers, named(labels), strict=True)
    return sum(bool(answer["prediction"] == label) for answer, label in right) / len(labels)


def test_the_test_images_are_told_apart_through_the_function(
    classify: Send, clothes: datasets.Dataset
) -> None:
    assert len(clothes.test_labels) == 10_000
    answers = classify([encode_png(image) for image in clothes.test_images], "auto")
    assert share_right(answers, clothes.test_labels) >= LEAST


def test_what_is_published_is_int8_and_answers_in_words(
    built: str, clothes: datasets.Dataset
) -> None:
    described = ModelStore(STORE).manifest("fashion-mnist", built).document
    assert described["quantization"]["weights"].startswith("int8")
    assert described["output"]["labels"] == list(datasets.CLOTHES)
    assert described["lineage"]["dataset"]["sha256"] == clothes.sha256


def test_a_sample_answers_the_same_as_it_is_larger_and_as_a_negative(
    classify: Send, clothes: datasets.Dataset
) -> None:
    """As a shop shows clothes, dark on white, and larger."""
    images = clothes.test_images[:320]
    as_is = classify([encode_png(image) for image in images], "none")
    large = [image.repeat(8, axis=0).repeat(8, axis=1) for image in images]
    for pictures in (images, large, [255 - image for image in large]):
        found = classify([encode_png(picture) for picture in pictures], "auto")
        same = [a["prediction"] == b["prediction"] for a, b in zip(found, as_is, strict=True)]
        # Anti-aliasing softens what was enlarged: a few that were near to two classes change sides.
        assert sum(same) / len(same) >= (0.95 if pictures is not images else 1)


@pytest.fixture(scope="module")
def folder(clothes: datasets.Dataset, built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user provides: an ONNX file, its labels, folders of pictures."""
    folder = tmp_path_factory.mktemp("own")
    models = ModelStore(STORE)
    parent = models.manifest("fashion-mnist", built).lineage.parent
    (folder / "clothes.onnx").write_bytes(models.model("fashion-mnist", str(parent)))
    (folder / "labels.txt").write_text("\n".join(datasets.CLOTHES) + "\n")
    (folder / "calibration").mkdir()
    for index, image in enumerate(clothes.train_images[:600]):
        Image.fromarray(image).save(folder / "calibration" / f"{index}.png")
    for label in datasets.CLOTHES:
        (folder / "test" / label.replace("/", "_")).mkdir(parents=True)
    pictures = zip(clothes.test_images, named(clothes.test_labels), strict=True)
    for index, (image, label) in enumerate(pictures):
        Image.fromarray(image).save(folder / "test" / label.replace("/", "_") / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def store(folder: Path, model_version: str) -> str:
    """Store with the imported model and the model of digits."""
    store = (folder / "store").as_uri()
    run(
        *(PYTHON, "-m", "model_build", "import", folder / "clothes.onnx"),
        *("--labels", folder / "labels.txt", "--name", "fashion-mnist", "--channel", "production"),
        *("--preprocess", "resize", "--background", "dark", "--pad"),
        *("--calibration", folder / "calibration", "--evaluation", folder / "test"),
        *("--min-accuracy", str(LEAST), "--store", store, "--build", folder / "build"),
        timeout=600,
    )
    target = ModelStore(store)
    copy(ModelStore(STORE), target, "mnist", model_version)
    target.promote("mnist", model_version, "production")
    return store


def test_the_import_evaluates_what_it_publishes_on_the_folder(store: str, built: str) -> None:
    models = ModelStore(store)
    version = models.resolve("fashion-mnist", "production")
    described = models.manifest("fashion-mnist", version).document
    assert described["output"]["labels"] == list(datasets.CLOTHES)
    assert sum(described["baseline"]["predicted_counts"]) == 10_000
    assert described["metrics"]["accuracy"] >= LEAST
    theirs = ModelStore(STORE).manifest("fashion-mnist", built).document
    assert described["metrics"]["accuracy"] == pytest.approx(
        theirs["metrics"]["accuracy"], abs=5e-3
    )
    assert described["lineage"]["imported"]["file"] == "clothes.onnx"


def test_both_models_are_served_from_one_store_by_one_code(
    store: str, clothes: datasets.Dataset, tmp_path: Path
) -> None:
    digits = datasets.load_mnist_5k()
    sets: dict[str, tuple[NDArray[np.uint8], list[Any]]] = {
        "mnist": (digits.test_images[::25], digits.test_labels[::25].tolist()),
        "fashion-mnist": (clothes.test_images[:40], named(clothes.test_labels[:40])),
    }
    for name, (images, labels) in sets.items():
        with serving(tmp_path / name, MODEL_STORE_URL=store, MODEL_NAME=name) as service:
            found = [ask(service.url, encode_png(image)) for image in images]
        assert {one["model"]["name"] for one in found} == {name}
        right = [one["prediction"] == label for one, label in zip(found, labels, strict=True)]
        assert sum(right) / len(right) > 0.8


def ask(url: str, png: bytes) -> Any:
    headers = {"Content-Type": "image/png"}
    request = urllib.request.Request(f"{url}predict", data=png, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)
