"""Build one recipe: its steps, the gate, and publishing its versions.

train     → model.keras
convert   → converted.onnx          parity with Keras shown
optimise  → optimised.onnx
quantise  → quantised.onnx
calibrate → fp32.onnx, int8.onnx    each with a temperature of its own
evaluate  → evaluation.json         fp32 and int8, in one run
gate                                int8 against its parent
publish   → model store             fp32, then int8, which names it as parent

A step builds everything it needs that is not cached. Results are in the engine's cache; the files
in the build's folder are copies to look at.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from model_build.data import datasets
from model_build.engine.engine import Engine, OnStage, Outcome, library_versions, silent
from model_build.engine.recipe import (
    CONVERT,
    OPTIMISE,
    Recipe,
    Stages,
    chosen,
    folder_of,
    from_documents,
    load,
    to_documents,
)
from model_build.engine.stage import OnEpoch
from model_build.errors import StepError
from model_build.evaluation import gate
from model_build.evaluation.evaluate import Evaluation
from model_build.evaluation.held_out import evaluations
from model_build.store import manifest
from model_build.store.model_store import ModelStore

_DESCRIPTION = "build.json"  # in a build's folder: what is being built


@dataclass(frozen=True)
class Build:
    """A recipe, as long as its profile trains it, and the engine that builds it."""

    engine: Engine
    recipe: Recipe
    profile: str

    @property
    def steps(self) -> dict[str, dict[str, Stages]]:
        """Of each step the files that it makes, and the stages up to each."""
        recipe = self.recipe
        converted = (*recipe.network, CONVERT)
        quantises = len(recipe.candidates) > 1
        return {
            "train": {"model.keras": recipe.network},
            "convert": {"converted.onnx": converted},
            "optimise": {"optimised.onnx": (*converted, OPTIMISE)},
            "quantise": {"quantised.onnx": recipe.model[:-1]} if quantises else {},
            "calibrate": {f"{name}.onnx": stages for name, stages in recipe.candidates.items()},
            "evaluate": {"evaluation.json": recipe.evaluation},
        }

    def run(self, step: str, folder: Path, on_stage: OnStage) -> list[Outcome]:
        """Build up to a step, and copy what it makes into a folder."""
        outcomes = []
        for name, stages in self.steps[step].items():
            outcomes.append(self.engine.build(stages, on_stage))
            shutil.copyfile(outcomes[-1].file, folder / name)
        return outcomes

    def evaluate(self, on_stage: OnStage) -> dict[str, Evaluation]:
        """Evaluations of the candidates, side by side."""
        return evaluations(self.engine.build(self.recipe.evaluation, on_stage).record["result"])

    def gate(self, min_accuracy: float | None = None) -> dict[str, Evaluation]:
        """Evaluations of what may be published; raises GateError if it may not.

        min_accuracy: by default what the recipe asks. Raises StepError before `evaluate`.
        """

        def only_built_before(technique: str, cached: bool) -> OnEpoch:  # noqa: FBT001
            if not cached:
                raise StepError(
                    f"{self.recipe.name} has not been evaluated ({technique} is missing); "
                    "run `python -m model_build evaluate` first"
                )
            return silent(technique, cached)

        found = self.evaluate(only_built_before)
        *_, name = found
        if min_accuracy is None:
            min_accuracy = self.recipe.min_accuracy.get(self.profile, 0.0)
        gate.check(found[name], found["fp32"], min_accuracy, name=name)
        return found

    def publish(
        self, store: ModelStore, name: str, min_accuracy: float | None = None
    ) -> dict[str, str]:
        """Publish the candidates to a store, if they pass the gate; return their versions."""
        found = self.gate(min_accuracy)
        dataset = self.engine.dataset
        versions: dict[str, str] = {}
        for candidate, stages in self.recipe.candidates.items():
            outcome = self.engine.build(stages, silent)
            content = outcome.file.read_bytes()
            lineage = self._origin | {
                "recipe": {"name": self.recipe.name, "stages": to_documents(stages)},
                "parent": versions.get("fp32"),
            }
            document = manifest.build(
                name=name,
                content=content,
                image_shape=dataset.test_images.shape[1:],
                preprocess=datasets.pipeline_of(dataset.name),
                labels=datasets.labels_of(dataset.name),
                quantization=outcome.quantization,
                calibration=outcome.record["result"],
                evaluation=found[candidate],
                lineage=manifest.lineage(lineage, tuple(library_versions())),
            )
            store.publish(document, content)
            versions[candidate] = document["version"]
        return versions

    @property
    def _origin(self) -> dict[str, Any]:
        """What beside the recipe decides the build."""
        named = ("name", "source", "sha256")
        dataset = {key: getattr(self.engine.dataset, key) for key in named}
        return {"profile": self.profile, "seed": self.engine.seed, "dataset": dataset}

    def save(self, folder: Path) -> None:
        """Write into a folder what is being built there, in place of what was."""
        for file in (file for files in self.steps.values() for file in files):
            (folder / file).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        stages = to_documents(self.recipe.stages)
        document = self._origin | {
            "recipe": vars(self.recipe) | {"stages": stages},
            "cache": str(self.engine.cache.resolve()),
        }
        (folder / _DESCRIPTION).write_bytes(manifest.encode(document))

    @classmethod
    def open(cls, folder: Path, dataset: str | None = None) -> Self:
        """Build that was saved into a folder; dataset: its name, if the caller insists on one.

        Raises StepError if none was, or if it is of another data set: held-out samples of one may
        be among those that are trained on in another.
        """
        path = folder / _DESCRIPTION
        if not path.exists():
            raise StepError(f"{path} is missing; run `python -m model_build train` first")
        document = json.loads(path.read_text())
        described = document["dataset"]
        loaded = datasets.load(dataset or described["name"])
        if loaded.sha256 != described["sha256"]:
            raise StepError(
                f"the model was trained on {described['name']} with sha256 "
                f"{described['sha256'][:8]}, not on {loaded.name} with {loaded.sha256[:8]}; give "
                f"every step --dataset {described['name']}, or start again with train"
            )
        recipe = document["recipe"]
        return cls(
            Engine(Path(document["cache"]), loaded, document["seed"]),
            Recipe(**recipe | {"stages": from_documents(recipe["stages"])}),
            document["profile"],
        )


def rebuild(lineage: dict[str, Any], cache: Path, on_stage: OnStage) -> Path:
    """Rebuild a lineage's model file in an empty cache; return its path.

    Raises StepError if the lineage has no recipe or the data set has changed.
    """
    stages = _stages(lineage)
    dataset = datasets.load(lineage["dataset"]["name"])
    if dataset.sha256 != lineage["dataset"]["sha256"]:
        raise StepError(
            f"the data set {dataset.name} has changed: expected sha256 "
            f"{lineage['dataset']['sha256'][:8]}, got {dataset.sha256[:8]}"
        )
    return Engine(cache, dataset, lineage["seed"]).build(stages, on_stage).file


def _stages(lineage: dict[str, Any]) -> Stages:
    """Stages of a lineage; one of the time before recipes names an architecture instead."""
    if lineage.get("recipe"):
        return from_documents(lineage["recipe"]["stages"])
    if lineage.get("architecture") is None or lineage["seed"] is None:
        raise StepError(
            "the lineage has no recipe; only what `python -m model_build run` or `search "
            "--publish` built can be rebuilt"
        )
    if lineage["profile"] != "full":
        raise StepError(
            f"the lineage has no recipe and profile {lineage['profile']}; only full builds "
            "without a recipe can be rebuilt"
        )
    recipes = load(folder_of(lineage["dataset"]["name"]))
    recipe = chosen(recipes, f"{lineage['architecture']}-static")
    return recipe.candidates["int8" if lineage["parent"] else "fp32"]
