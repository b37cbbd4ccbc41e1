"""The engine: each stage is built once, and cached under everything that determines it."""

import dataclasses
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_build.data import datasets
from model_build.engine.engine import Engine
from model_build.engine.recipe import Recipe, Stage
from model_build.engine.stage import load_network
from model_build.engine.techniques import ALL
from model_build.errors import RecipeError

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
                    "temperature": 2.0,
                    "mix": 0.5,
                    "epochs": 1,
                    "augmentation": False,
                },
                ((TRAIN,),),
            ),
            SLIM,
        ),
    ),
}


class Log:
    """The engine's progress: (technique, whether it was cached)."""

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
def engine(dataset: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("cache"), dataset, 3)


def test_a_recipe_becomes_a_graph_through_its_stages(engine: Engine) -> None:
    """The network is converted to a graph in between; each stage leaves a record."""
    log = Log()
    built = engine.build(RECIPES["mlp-static"].model, log)
    assert [name for name, _ in log.stages] == [
        "train",
        "convert",
        "optimise",
        "quantise-static",
        "calibrate",
    ]
    assert built.file.stat().st_size < 150_000
    assert built.quantization is not None
    assert built.quantization["method"] == "static"
    assert [record["technique"] for record in built.records] == [name for name, _ in log.stages]


def test_what_was_built_is_not_built_again(engine: Engine) -> None:
    """Another recipe reuses the stages that both have."""
    engine.build(RECIPES["mlp-static"].model, Log())
    log = Log()
    again = engine.build(RECIPES["mlp-static"].model, log)
    assert log.stages
    assert all(cached for _, cached in log.stages)
    assert log.epochs == 0
    assert engine.build(RECIPES["mlp"].model, Log()).records[0]["cached"]
    assert again.records[0]["parameters"] == TRAIN.parameters


def test_a_teacher_is_built_first_and_once(engine: Engine) -> None:
    engine.build(RECIPES["mlp"].model, Log())
    log = Log()
    built = engine.build(RECIPES["mlp-taught"].model, log)
    assert log.stages[0] == ("train", True)
    assert [name for name, _ in log.stages[1:]] == [
        "distil",
        "remove-filters",
        "convert",
        "optimise",
        "calibrate",
    ]
    assert built.quantization is None


@pytest.mark.parametrize("change", ["seed", "dataset", "parameters"])
def test_whatever_decides_a_stage_makes_it_another_stage(
    engine: Engine, dataset: datasets.Dataset, change: str
) -> None:
    first = engine.build(RECIPES["mlp"].model, Log())
    recipe = RECIPES["mlp"]
    if change == "seed":
        engine = dataclasses.replace(engine, seed=4)
    elif change == "dataset":
        engine = dataclasses.replace(engine, dataset=dataclasses.replace(dataset, sha256="0" * 64))
    else:
        other = dataclasses.replace(TRAIN, parameters={**TRAIN.parameters, "epochs": 2})
        recipe = dataclasses.replace(recipe, stages=(other,))
    second = engine.build(recipe.model, Log())
    assert not second.records[0]["cached"]
    assert first.file != second.file


def test_the_same_recipe_in_another_place_gives_the_same_bytes(
    engine: Engine, tmp_path: Path
) -> None:
    first = engine.build(RECIPES["mlp-taught"].model, Log())
    again = dataclasses.replace(engine, cache=tmp_path).build(RECIPES["mlp-taught"].model, Log())
    assert first.file.read_bytes() == again.file.read_bytes()
    assert not again.records[0]["cached"]


def test_the_quick_profile_trains_a_tenth_of_the_epochs(engine: Engine, tmp_path: Path) -> None:
    longer = dataclasses.replace(TRAIN, parameters={**TRAIN.parameters, "epochs": 20})
    log = Log()
    recipe = Recipe("mlp", "plain", (longer,)).in_profile("quick")
    built = dataclasses.replace(engine, cache=tmp_path).build(recipe.model, log)
    assert built.records[0]["parameters"]["epochs"] == log.epochs == 2


def test_a_stage_that_fails_leaves_nothing_that_is_found_later(
    engine: Engine, tmp_path: Path
) -> None:
    too_thin = dataclasses.replace(SLIM, parameters={**SLIM.parameters, "keep": 0.0})
    broken = dataclasses.replace(engine, cache=tmp_path)
    for _ in range(2):
        with pytest.raises(RecipeError, match="remove-filters: keep must be"):
            broken.build((TRAIN, too_thin), Log())
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("*/stage.json")]
    assert [record["technique"] for record in kept] == ["train"]
    assert not list(tmp_path.glob(".building-*"))


def test_the_graph_answers_as_the_network_does(engine: Engine, dataset: datasets.Dataset) -> None:

    from model_build.evaluation.evaluate import session
    from model_build.graph.convert import INPUT_NAME

    built = engine.build(RECIPES["mlp"].parent[:-1], Log())
    network = load_network(engine.build(RECIPES["mlp"].network, Log()).folder)
    (answers,) = session(built.file).run(None, {INPUT_NAME: dataset.test_images})
    expected = network.predict(dataset.test_images[..., np.newaxis] / np.float32(255), verbose=0)
    assert np.abs(answers - expected).max() < 1e-5


@pytest.mark.parametrize("name", ALL)
def test_every_technique_is_a_function_that_takes_its_parameters(name: str) -> None:
    technique = ALL[name]
    module = importlib.import_module(f"model_build.{technique.module}")
    parameters = dict.fromkeys([*technique.required, *technique.optional])
    parameters.pop("teachers", None)  # they are the stage's inputs
    if name == "evaluate":
        parameters["candidates"] = None
    inspect.signature(module.build_stage).bind("the context", **parameters)
