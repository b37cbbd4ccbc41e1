import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.model import session
from classifier.model import store as function_store
from model_build.data.datasets import Dataset
from model_build.engine import pipeline
from model_build.engine.pipeline import Build, contact_sheet
from model_build.errors import GateError, ParityError, StepError
from model_build.graph import temperature
from model_build.quantise.static import CALIBRATION_SAMPLES
from model_build.store import manifest
from model_build.store.model_store import ModelStore
from tests.support.manifests import training
from tests.support.networks import trained

type Step = Callable[[Build, Dataset, Path], object]


@pytest.fixture
def build(tmp_path: Path, classifier: bytes, monkeypatch: pytest.MonkeyPatch) -> Build:
    """A build that was trained and converted, to the classifier of these tests."""
    monkeypatch.setattr(manifest, "_LIBRARIES", ("onnx", "onnxruntime", "numpy"))  # no TensorFlow
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"a Keras model")
    (folder / "training.json").write_text(json.dumps(training()))
    (folder / "converted.onnx").write_bytes(classifier)
    return Build(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, classifier: bytes, mnist: Dataset) -> Path:
    """Folder of a build up to its evaluation."""
    build = Build(tmp_path_factory.mktemp("made"))
    (build.folder / "training.json").write_text(json.dumps(training()))
    (build.folder / "converted.onnx").write_bytes(classifier)
    build.optimise()
    build.quantise(mnist)
    build.calibrate(mnist)
    build.evaluate(mnist)
    return build.folder


@pytest.fixture
def evaluated(build: Build, made: Path) -> Build:
    shutil.copytree(made, build.folder, dirs_exist_ok=True)
    return build


def test_a_build_that_was_evaluated_is_published_with_its_parent_and_served(
    evaluated: Build, tmp_path: Path, mnist: Dataset, digits: NDArray[np.uint8]
) -> None:
    models = ModelStore((tmp_path / "store").as_uri())
    versions = evaluated.publish(models, "mnist", min_accuracy=0.5)
    assert list(versions) == ["fp32", "int8"]
    fp32, int8 = (models.manifest("mnist", versions[name]).document for name in ("fp32", "int8"))
    assert (fp32["lineage"]["parent"], int8["lineage"]["parent"]) == (None, versions["fp32"])
    assert fp32["quantization"] is None
    recorded = json.loads((evaluated.folder / "calibration.json").read_text())
    assert fp32["metrics"]["calibration"] == recorded["fp32"]
    assert int8["metrics"]["calibration"] == recorded["int8"]
    assert recorded["int8"]["samples"] == len(mnist.validation_labels)
    assert int8["quantization"]["method"] == "static"
    assert fp32["lineage"]["dataset"] == training()["dataset"]
    for name, document in (("fp32", fp32), ("int8", int8)):
        content = (evaluated.folder / f"{name}.onnx").read_bytes()
        assert models.model("mnist", versions[name]) == content
        assert document["metrics"]["accuracy"] == evaluated.evaluation()[name].accuracy
    served = session.load(function_store.open_store(models.url), "mnist", versions["int8"])
    assert served.probabilities(digits).argmax(axis=1).tolist() == list(range(10))


def test_publishing_promotes_nothing(evaluated: Build, tmp_path: Path) -> None:
    models = ModelStore((tmp_path / "store").as_uri())
    evaluated.publish(models, "mnist", min_accuracy=0.5)
    assert models.channel("mnist", "production") is None


@pytest.mark.parametrize(
    ("missing", "step", "sentence"),
    [
        pytest.param("model.keras", "convert", "train", marks=pytest.mark.keras),
        ("converted.onnx", "optimise", "convert"),
        ("optimised.onnx", "quantise", "optimise"),
        ("optimised.onnx", "calibrate", "optimise"),
        ("quantised.onnx", "calibrate", "quantise"),
        ("fp32.onnx", "evaluate", "calibrate"),
        ("int8.onnx", "evaluate", "calibrate"),
        ("training.json", "gate", "train"),
        ("evaluation.json", "gate", "evaluate"),
        ("training.json", "publish", "train"),
        ("evaluation.json", "publish", "evaluate"),
        ("quantization.json", "publish", "quantise"),
        ("calibration.json", "publish", "calibrate"),
        ("fp32.onnx", "publish", "calibrate"),
        ("int8.onnx", "publish", "calibrate"),
    ],
)
def test_a_step_without_its_predecessor_names_the_step_to_run_first(
    missing: str, step: str, sentence: str, evaluated: Build, mnist: Dataset, tmp_path: Path
) -> None:
    (evaluated.folder / missing).unlink()
    with pytest.raises(StepError, match=f"{missing} is missing; run `python -m model_build") as no:
        _step(step, evaluated, mnist, tmp_path / "store")
    assert f"`python -m model_build {sentence}` first" in str(no.value)


@pytest.mark.parametrize(
    "step", ["optimise", "quantise", "calibrate", "evaluate", "gate", "publish"]
)
def test_a_step_in_an_empty_folder_fails_and_leaves_it_empty(
    step: str, tmp_path: Path, mnist: Dataset
) -> None:
    with pytest.raises(StepError):
        _step(step, Build(tmp_path / "none"), mnist, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_gate_that_fails_publishes_nothing(evaluated: Build, tmp_path: Path) -> None:
    models = ModelStore((tmp_path / "store").as_uri())
    with pytest.raises(GateError, match=r"is under the 99\.90% asked"):
        evaluated.publish(models, "mnist", min_accuracy=0.999)
    assert not (tmp_path / "store").exists()


def test_a_gate_without_a_wish_asks_what_the_recipe_must_reach(evaluated: Build) -> None:
    with pytest.raises(GateError, match=r"is under the 88\.00% asked"):
        evaluated.gate()


def test_a_wish_of_zero_is_a_wish(evaluated: Build) -> None:
    evaluated.gate(0.0)


def test_a_publish_that_breaks_off_is_repeated_as_new_versions(
    evaluated: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelStore((tmp_path / "store").as_uri())
    create = models._objects.create
    left = iter([True, True, True, False])

    def breaks_off(key: str, content: bytes) -> None:
        if not next(left):
            raise ConnectionAbortedError("the network ends here")
        create(key, content)

    with monkeypatch.context() as patch:
        patch.setattr(models._objects, "create", breaks_off)
        with pytest.raises(ConnectionAbortedError):
            evaluated.publish(models, "mnist", min_accuracy=0.5)
    complete = list((tmp_path / "store").glob("mnist/versions/*/manifest.json"))
    assert len(complete) == 1
    versions = evaluated.publish(models, "mnist", min_accuracy=0.5)
    assert models.promote("mnist", versions["int8"], "production")["version"] == versions["int8"]


def test_calibration_takes_training_samples_alone_and_of_each_class_as_many(
    build: Build, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[NDArray[np.uint8]] = []

    def spy(source: Path, target: Path, calibration: NDArray[np.uint8]) -> dict[str, Any]:
        taken.append(calibration)
        return {"method": "none"}

    monkeypatch.setattr(pipeline, "quantise", spy)
    build.optimise()
    build.quantise(mnist)
    (calibration,) = taken
    labels = {
        image.tobytes(): int(label)
        for image, label in zip(mnist.train_images, mnist.train_labels, strict=True)
    }
    held_out = {image.tobytes() for image in mnist.test_images}
    assert not [image for image in calibration if image.tobytes() in held_out]
    found = np.bincount([labels[image.tobytes()] for image in calibration])
    assert found.tolist() == [CALIBRATION_SAMPLES // 10] * 10


def test_a_temperature_is_fitted_on_validation_samples_and_is_inside_the_files(
    evaluated: Build, mnist: Dataset
) -> None:
    sources = {"fp32": "optimised.onnx", "int8": "quantised.onnx"}
    recorded = json.loads((evaluated.folder / "calibration.json").read_text())
    shown, meant = temperature.views(mnist.validation_images, mnist.validation_labels)
    for name, source in sources.items():
        before = temperature.logits(evaluated.folder / source, mnist.test_images)
        after = temperature.logits(evaluated.folder / f"{name}.onnx", mnist.test_images)
        fitted = recorded[name]["temperature"]
        assert np.allclose(after * fitted, before, rtol=1e-4, atol=1e-3)
        on_views = temperature.logits(evaluated.folder / source, shown)
        assert fitted == pytest.approx(temperature.fit(on_views, meant), rel=1e-4)


def test_calibrating_again_gives_the_same_files(evaluated: Build, mnist: Dataset) -> None:
    files = [evaluated.folder / f"{name}.onnx" for name in ("fp32", "int8")]
    before = [file.read_bytes() for file in files]
    evaluated.calibrate(mnist)
    assert [file.read_bytes() for file in files] == before


def test_evaluation_takes_the_held_out_samples(evaluated: Build, mnist: Dataset) -> None:
    for found in evaluated.evaluation().values():
        assert sum(found.predicted_counts) == len(mnist.test_labels)


def test_what_evaluate_gives_is_what_is_read_later(build: Build, mnist: Dataset) -> None:
    build.optimise()
    build.quantise(mnist)
    build.calibrate(mnist)
    assert build.evaluate(mnist) == build.evaluation()


@pytest.mark.parametrize("step", ["optimise", "quantise", "calibrate"])
def test_a_step_that_runs_again_outdates_what_was_made_from_it(
    step: str, evaluated: Build, mnist: Dataset, tmp_path: Path
) -> None:
    """Else the gate would judge a new file by the accuracy of an old one."""
    _step(step, evaluated, mnist, tmp_path / "store")
    with pytest.raises(StepError, match="run `python -m model_build evaluate` first"):
        evaluated.publish(ModelStore((tmp_path / "store").as_uri()), "mnist", min_accuracy=0)
    assert not (tmp_path / "store").exists()


def test_the_contact_sheet_shows_a_row_a_class(mnist: Dataset) -> None:
    sheet = contact_sheet(mnist, columns=5)
    assert sheet.shape == (10 * 28, 5 * 28)
    for label in (0, 9):
        first = mnist.train_images[mnist.train_labels == label][0]
        assert np.array_equal(sheet[label * 28 : label * 28 + 28, :28], first)


@pytest.mark.keras
def test_a_trained_network_goes_from_keras_to_the_store(tmp_path: Path, mnist: Dataset) -> None:
    build = Build(tmp_path)
    trained("mlp").save(tmp_path / "model.keras")
    (tmp_path / "training.json").write_text(json.dumps(training()))
    assert build.convert(mnist) <= 1e-5
    build.optimise()
    build.quantise(mnist)
    build.calibrate(mnist)
    found = build.evaluate(mnist)
    assert found["int8"].bytes < found["fp32"].bytes
    models = ModelStore((tmp_path / "store").as_uri())
    versions = build.publish(models, "mnist", min_accuracy=0.5)
    libraries = models.manifest("mnist", versions["int8"]).lineage.libraries
    assert libraries.keys() == set(manifest._LIBRARIES)


@pytest.mark.keras
def test_a_conversion_that_is_not_true_leaves_nothing_for_the_next_step(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build(tmp_path)
    trained("mlp").save(tmp_path / "model.keras")
    (tmp_path / "training.json").write_text(json.dumps(training()))
    (tmp_path / "converted.onnx").write_bytes(b"of an earlier build")

    def untrue(*_: Any) -> float:
        raise ParityError("Keras and ONNX differ")

    monkeypatch.setattr(pipeline, "check_parity", untrue)
    with pytest.raises(ParityError):
        build.convert(mnist)
    with pytest.raises(StepError, match="run `python -m model_build convert` first"):
        build.optimise()


def _step(name: str, build: Build, dataset: Dataset, store: Path) -> None:
    steps: dict[str, Callable[[], object]] = {
        "convert": lambda: build.convert(dataset),
        "optimise": build.optimise,
        "quantise": lambda: build.quantise(dataset),
        "calibrate": lambda: build.calibrate(dataset),
        "evaluate": lambda: build.evaluate(dataset),
        "gate": lambda: build.gate(0),
        "publish": lambda: build.publish(ModelStore(store.as_uri()), "mnist", 0),
    }
    steps[name]()


def test_a_model_is_not_evaluated_on_another_data_set_than_its_own(
    build: Build, mnist: Dataset
) -> None:
    """Held-out samples of one data set may be among what was trained on in another."""
    build.optimise()
    build.quantise(mnist)
    build.calibrate(mnist)
    with pytest.raises(StepError, match="trained on mnist-5k, not on full"):
        build.evaluate(dataclasses.replace(mnist, name="full", sha256="0" * 64))
