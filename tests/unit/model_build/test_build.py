import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.model import session
from classifier.model import store as function_store
from model_build.data.datasets import Dataset
from model_build.engine.build import Build
from model_build.engine.engine import library_versions, silent
from model_build.engine.stage import OnEpoch
from model_build.errors import GateError, StepError
from model_build.graph import temperature
from model_build.store.model_store import ModelStore
from tests.support import given_network

FILES = {
    "train": ["model.keras"],
    "convert": ["converted.onnx"],
    "optimise": ["optimised.onnx"],
    "quantise": ["quantised.onnx"],
    "calibrate": ["fp32.onnx", "int8.onnx"],
    "evaluate": ["evaluation.json"],
}


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, classifier: bytes, mnist: Dataset
) -> Iterator[Build]:
    """A build of the tests' classifier, up to its evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        given_network.give(patch, classifier)
        build = given_network.build(tmp_path_factory.mktemp("made") / "cache", mnist)
        build.evaluate(silent)
        yield build


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore((tmp_path / "store").as_uri())


def test_a_build_that_was_evaluated_is_published_with_its_parent_and_served(
    evaluated: Build, store: ModelStore, mnist: Dataset, digits: NDArray[np.uint8]
) -> None:
    versions = evaluated.publish(store, "mnist", min_accuracy=0.5)
    assert list(versions) == ["fp32", "int8"]
    fp32, int8 = (store.manifest("mnist", versions[name]).document for name in ("fp32", "int8"))
    assert (fp32["lineage"]["parent"], int8["lineage"]["parent"]) == (None, versions["fp32"])
    assert fp32["quantization"] is None
    assert int8["quantization"]["method"] == "static"
    found = evaluated.evaluate(silent)
    for name, document in (("fp32", fp32), ("int8", int8)):
        outcome = evaluated.engine.build(evaluated.recipe.candidates[name], silent)
        assert store.model("mnist", versions[name]) == outcome.file.read_bytes()
        assert document["metrics"]["calibration"] == outcome.record["result"]
        assert document["metrics"]["calibration"]["samples"] == len(mnist.validation_labels)
        assert document["metrics"]["accuracy"] == found[name].accuracy
    served = session.load(function_store.open_store(store.url), "mnist", versions["int8"])
    assert served.probabilities(digits).argmax(axis=1).tolist() == list(range(10))


def test_the_lineage_says_all_that_decided_the_file(
    evaluated: Build, store: ModelStore, mnist: Dataset
) -> None:
    versions = evaluated.publish(store, "mnist", min_accuracy=0.5)
    lineage = store.manifest("mnist", versions["int8"]).document["lineage"]
    recipe = lineage["recipe"]
    assert recipe["name"] == "mlp-static"
    assert recipe["stages"][0] == {
        "technique": "train",
        "parameters": {
            "architecture": "mlp",
            "epochs": 20,
            "learning_rate": 1e-3,
            "augmentation": False,
        },
    }
    made = [stage["technique"] for stage in recipe["stages"]]
    assert made == ["train", "convert", "optimise", "quantise-static", "calibrate"]
    assert (lineage["profile"], lineage["seed"]) == ("full", 7)
    assert lineage["dataset"]["sha256"] == mnist.sha256
    assert lineage["libraries"] == library_versions()
    parent = store.manifest("mnist", versions["fp32"]).document["lineage"]["recipe"]
    assert parent["stages"] == [*recipe["stages"][:3], recipe["stages"][-1]]


def test_publishing_promotes_nothing(evaluated: Build, store: ModelStore) -> None:
    evaluated.publish(store, "mnist", min_accuracy=0.5)
    assert store.channel("mnist", "production") is None


@pytest.mark.parametrize(("asked", "sentence"), [(0.999, r"99\.90%"), (None, r"92\.00%")])
def test_a_gate_that_fails_publishes_nothing(
    asked: float | None, sentence: str, evaluated: Build, store: ModelStore, tmp_path: Path
) -> None:
    """By default the limit is the recipe's."""
    with pytest.raises(GateError, match=f"int8 accuracy must be at least {sentence}"):
        evaluated.publish(store, "mnist", asked)
    assert not (tmp_path / "store").exists()


def test_a_wish_of_zero_is_a_wish(evaluated: Build) -> None:
    evaluated.gate(0.0)


def test_what_was_not_evaluated_is_not_published(
    evaluated: Build, store: ModelStore, tmp_path: Path
) -> None:
    """As after a change to the code: the gate would judge a file that was never evaluated."""
    engine = evaluated.engine
    build = dataclasses.replace(evaluated, engine=dataclasses.replace(engine, seed=8))
    for stages in build.recipe.candidates.values():
        build.engine.build(stages, silent)
    with pytest.raises(StepError, match="run `python -m model_build evaluate` first"):
        build.publish(store, "mnist", min_accuracy=0)
    assert not (tmp_path / "store").exists()


def test_a_publish_that_breaks_off_is_repeated_as_new_versions(
    evaluated: Build, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = store._objects.create
    left = iter([True, True, True, False])

    def breaks_off(key: str, content: bytes) -> None:
        if not next(left):
            raise ConnectionAbortedError("the network ends here")
        create(key, content)

    with monkeypatch.context() as patch:
        patch.setattr(store._objects, "create", breaks_off)
        with pytest.raises(ConnectionAbortedError):
            evaluated.publish(store, "mnist", min_accuracy=0.5)
    complete = list((tmp_path / "store").glob("mnist/versions/*/manifest.json"))
    assert len(complete) == 1
    versions = evaluated.publish(store, "mnist", min_accuracy=0.5)
    assert store.promote("mnist", versions["int8"], "production")["version"] == versions["int8"]


def test_a_temperature_is_fitted_on_validation_samples_and_is_inside_the_files(
    evaluated: Build, mnist: Dataset
) -> None:
    shown, meant = temperature.views(mnist.validation_images, mnist.validation_labels)
    for stages in evaluated.recipe.candidates.values():
        source = evaluated.engine.build(stages[:-1], silent).file
        calibrated = evaluated.engine.build(stages, silent)
        fitted = calibrated.record["result"]["temperature"]
        before = temperature.logits(source, mnist.test_images)
        after = temperature.logits(calibrated.file, mnist.test_images)
        assert np.allclose(after * fitted, before, rtol=1e-4, atol=1e-3)
        on_views = temperature.logits(source, shown)
        assert fitted == pytest.approx(temperature.fit(on_views, meant), rel=1e-4)


def test_evaluation_takes_the_held_out_samples(evaluated: Build, mnist: Dataset) -> None:
    for found in evaluated.evaluate(silent).values():
        assert sum(found.predicted_counts) == len(mnist.test_labels)


def test_each_step_leaves_its_files_and_a_new_beginning_none_of_them(
    evaluated: Build, tmp_path: Path
) -> None:
    evaluated.save(tmp_path)
    left = {"build.json"}
    for step, files in FILES.items():
        Build.open(tmp_path).run(step, tmp_path, silent)
        left |= set(files)
        assert {path.name for path in tmp_path.iterdir()} == left
    evaluated.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["build.json"]


def test_a_step_makes_what_is_missing_before_it(
    evaluated: Build, tmp_path: Path, mnist: Dataset
) -> None:
    build = given_network.build(tmp_path / "cache", mnist)
    built = []

    def on_stage(technique: str, cached: bool) -> OnEpoch:  # noqa: FBT001
        built.append(technique)
        return silent(technique, cached)

    build.run("quantise", tmp_path, on_stage)
    assert built == ["train", "convert", "optimise", "quantise-static"]
    expected = evaluated.engine.build(evaluated.recipe.model[:-1], silent).file
    assert (tmp_path / "quantised.onnx").read_bytes() == expected.read_bytes()


def test_a_recipe_that_does_not_quantise_is_published_alone(
    evaluated: Build, store: ModelStore, mnist: Dataset
) -> None:
    build = given_network.build(evaluated.engine.cache, mnist, "mlp")
    assert build.steps["quantise"] == {}
    build.evaluate(silent)
    versions = build.publish(store, "mnist", min_accuracy=0.5)
    assert list(versions) == ["fp32"]
    with pytest.raises(GateError, match="fp32 accuracy"):
        build.gate()


def test_a_build_is_opened_as_it_was_saved(evaluated: Build, tmp_path: Path) -> None:
    evaluated.save(tmp_path)
    opened = Build.open(tmp_path)
    assert (opened.recipe, opened.profile) == (evaluated.recipe, evaluated.profile)
    stages = evaluated.recipe.evaluation
    assert opened.engine.folder(stages) == evaluated.engine.folder(stages)


def test_a_folder_in_which_nothing_was_begun_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"build\.json is missing; run .* train` first"):
        Build.open(tmp_path)


def test_a_model_is_not_built_on_with_another_data_set_than_its_own(
    evaluated: Build, mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out samples of one data set may be training samples of another."""
    evaluated.save(tmp_path)
    other = dataclasses.replace(mnist, name="full", sha256="0" * 64)
    monkeypatch.setattr("model_build.data.datasets.load", lambda _: other)
    with pytest.raises(StepError, match=r"trained on mnist-5k .* not on full"):
        Build.open(tmp_path, "full")


def test_a_stage_that_someone_deleted_from_is_built_again(evaluated: Build, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(evaluated.engine.cache, cache)
    engine = dataclasses.replace(evaluated.engine, cache=cache)
    stages = evaluated.recipe.model
    content = engine.build(stages, silent).file.read_bytes()
    (engine.folder(stages) / "stage.json").unlink()
    assert engine.build(stages, silent).file.read_bytes() == content
