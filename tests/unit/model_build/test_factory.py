"""The factory: stages become files once, and are found again by all that decides them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_build.data import datasets
from model_build.engine.factory import Factory
from model_build.engine.recipe import Recipe, Stage

pytestmark = pytest.mark.keras

TRAIN = Stage("train", {"architecture": "mlp", "epochs": 1, "augmentation": False})
SLIM = Stage("remove-filters", {"keep": 0.5, "epochs": 1, "augmentation": False})
STATIC = Stage("quantise-static", {"per_channel": True})
RECIPES = {
    "mlp": Recipe("mlp", "plain", (TRAIN,)),
    "mlp-static": Recipe("mlp-static", "int8", (TRAIN, STATIC)),
    "mlp-taught": Recipe(
        "mlp-taught",
        "taught",
        (
            Stage(
                "distil",
                {
                    "architecture": "mlp",
                    "teachers": ["mlp"],
                    "temperature": 2.0,
                    "mix": 0.5,
                    "epochs": 1,
                    "augmentation": False,
                },
            ),
            SLIM,
        ),
    ),
}


class Log:
    """What the factory says as it goes: (technique, built before)."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, bool]] = []
        self.epochs = 0

    def __call__(self, technique: str, cached: bool) -> Any:  # noqa: FBT001
        self.stages.append((technique, cached))

        def on_epoch(*_: object) -> None:
            self.epochs += 1

        return on_epoch


@pytest.fixture(scope="module")
def dataset() -> datasets.Dataset:
    whole = datasets.load_mnist_5k()
    return dataclasses.replace(
        whole,
        train_images=whole.train_images[::10],
        train_labels=whole.train_labels[::10],
        validation_images=whole.validation_images[::4],
        validation_labels=whole.validation_labels[::4],
    )


@pytest.fixture(scope="module")
def factory(dataset: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Factory:
    return Factory(tmp_path_factory.mktemp("cache"), dataset, "full", 3, RECIPES)


def test_a_recipe_becomes_a_graph_through_its_stages(factory: Factory) -> None:
    """Between network and graph it is converted; each stage leaves a record."""
    log = Log()
    built = factory.build(RECIPES["mlp-static"], log)
    assert [name for name, _ in log.stages] == ["train", "convert", "quantise-static"]
    assert built.graph.stat().st_size < 150_000
    assert built.quantization is not None
    assert built.quantization["method"] == "static"
    assert [record["technique"] for record in built.stages] == [name for name, _ in log.stages]


def test_what_was_built_is_not_built_again(factory: Factory) -> None:
    """Another recipe shares the stages that it has in common."""
    factory.build(RECIPES["mlp-static"], Log())
    log = Log()
    again = factory.build(RECIPES["mlp-static"], log)
    assert log.stages == [("train", True), ("convert", True), ("quantise-static", True)]
    assert log.epochs == 0
    assert factory.build(RECIPES["mlp"], Log()).stages[0]["cached"]
    assert again.stages[0]["parameters"] == TRAIN.parameters


def test_a_teacher_is_built_first_and_once(factory: Factory) -> None:
    factory.build(RECIPES["mlp"], Log())
    log = Log()
    built = factory.build(RECIPES["mlp-taught"], log)
    assert log.stages[0] == ("train", True)
    assert [name for name, _ in log.stages[1:]] == ["distil", "remove-filters", "convert"]
    assert built.quantization is None


@pytest.mark.parametrize("change", ["seed", "dataset", "parameters"])
def test_whatever_decides_a_stage_makes_it_another_stage(
    factory: Factory, dataset: datasets.Dataset, change: str
) -> None:
    first = factory.build(RECIPES["mlp"], Log())
    recipe = RECIPES["mlp"]
    if change == "seed":
        factory = dataclasses.replace(factory, seed=4)
    elif change == "dataset":
        factory = dataclasses.replace(
            factory, dataset=dataclasses.replace(dataset, sha256="0" * 64)
        )
    else:
        other = dataclasses.replace(TRAIN, parameters={**TRAIN.parameters, "epochs": 2})
        recipe = dataclasses.replace(recipe, stages=(other,))
    second = factory.build(recipe, Log())
    assert not second.stages[0]["cached"]
    assert first.graph != second.graph


def test_the_same_recipe_in_another_place_gives_the_same_bytes(
    factory: Factory, tmp_path: Path
) -> None:
    first = factory.build(RECIPES["mlp-taught"], Log())
    again = dataclasses.replace(factory, cache=tmp_path).build(RECIPES["mlp-taught"], Log())
    assert first.graph.read_bytes() == again.graph.read_bytes()
    assert not again.stages[0]["cached"]


def test_the_quick_profile_trains_a_tenth_of_the_epochs(factory: Factory, tmp_path: Path) -> None:
    longer = dataclasses.replace(TRAIN, parameters={**TRAIN.parameters, "epochs": 20})
    log = Log()
    quick = dataclasses.replace(factory, cache=tmp_path, profile="quick")
    built = quick.build(Recipe("mlp", "plain", (longer,)), log)
    assert built.stages[0]["parameters"]["epochs"] == log.epochs == 2


def test_a_stage_that_fails_leaves_nothing_that_is_found_later(
    factory: Factory, tmp_path: Path
) -> None:
    too_thin = dataclasses.replace(SLIM, parameters={**SLIM.parameters, "keep": 0.0})
    broken = dataclasses.replace(factory, cache=tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="keep"):
            broken.build(Recipe("thin", "none", (TRAIN, too_thin)), Log())
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("*/stage.json")]
    assert [record["technique"] for record in kept] == ["train"]
    assert not list(tmp_path.glob(".building-*"))


def test_the_graph_answers_as_the_network_does(factory: Factory, dataset: datasets.Dataset) -> None:
    from model_build.engine.factory import load_network
    from model_build.evaluation.evaluate import session
    from model_build.graph.convert import INPUT_NAME

    built = factory.build(RECIPES["mlp"], Log())
    network = load_network(next(factory.cache.glob("*/network.keras")))
    (answers,) = session(built.graph).run(None, {INPUT_NAME: dataset.test_images})
    expected = network.predict(dataset.test_images[..., np.newaxis] / np.float32(255), verbose=0)
    assert answers.shape == expected.shape
