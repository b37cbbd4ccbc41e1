"""A ready-made classifier instead of a trained one: builds without TensorFlow."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_build.data.datasets import Dataset
from model_build.engine.build import Build
from model_build.engine.engine import Engine
from model_build.engine.recipe import load
from model_build.engine.stage import NETWORK, StageContext
from model_build.graph import convert


def give(patch: pytest.MonkeyPatch, classifier: bytes) -> None:
    """Let the stages `train` and `convert` return this ONNX classifier."""

    def training(context: StageContext, **parameters: Any) -> None:
        (context.target / NETWORK).write_bytes(classifier)

    def conversion(context: StageContext) -> dict[str, float]:
        context.graph.write_bytes((context.source / NETWORK).read_bytes())
        return {"largest_difference": 0.0}

    given = SimpleNamespace(build_stage=training)
    patch.setitem(sys.modules, "model_build.training.train", given)
    patch.setattr(convert, "build_stage", conversion)


def build(cache: Path, dataset: Dataset, recipe: str = "mlp-static") -> Build:
    """Build of one of the project's recipes, seed 7."""
    return Build(Engine(cache, dataset, 7), load()[recipe], "full")
