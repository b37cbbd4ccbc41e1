"""Build one recipe: its steps, the gate, and publishing its versions.

train     → model.keras
convert   → converted.onnx          checked against Keras
optimise  → optimised.onnx
quantise  → quantised.onnx
calibrate → fp32.onnx, int8.onnx    each with its own temperature
evaluate  → evaluation.json         fp32 and int8, in one run
gate                                int8 against its parent
publish   → model store             fp32, then int8, which names fp32 as its parent

A step builds whatever it needs that is not cached. Results are in the engine's cache; the files in
the build's folder are copies for inspection.
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

_STAGES = ("stages", "samples")  # of a recipe
_DESCRIPTION = "build.json"  # in a build's folder: what is being built


@dataclass(frozen=True)
class Build:
    """A recipe with its profile's number of epochs, and the engine that builds it."""

    engine: Engine
    recipe: Recipe
    profile: str

    @property
    def steps(self) -> dict[str, dict[str, Stages]]:
        """For each step, the files it makes and the stages that lead to each."""
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
        """Build up to a step, and copy its files into a folder."""
        outcomes = []
        for name, stages in self.steps[step].items():
            outcomes.append(self.engine.build(stages, on_stage))
            shutil.copyfile(outcomes[-1].file, folder / name)
        return outcomes

    def evaluate(self, on_stage: OnStage) -> dict[str, Evaluation]:
        """Evaluate the candidates side by side."""
        return evaluations(self.engine.build(self.recipe.evaluation, on_stage).record["result"])

    def gate(self, min_accuracy: float | None = None) -> dict[str, Evaluation]:
        """Return the candidates' evaluations; raises GateError if they may not be published.

        min_accuracy: by default the recipe's. Raises StepError if `evaluate` has not run.
        """

        def require_cached(technique: str, cached: bool) -> OnEpoch:  # noqa: FBT001
            if not cached:
                raise StepError(
                    f"{self.recipe.name} has not been evaluated ({technique} is missing); "
                    "run `python -m model_build evaluate` first"
                )
            return silent(technique, cached)

        evaluated = self.evaluate(require_cached)
        *_, name = evaluated
        if min_accuracy is None:
            min_accuracy = self.recipe.min_accuracy.get(self.profile, 0.0)
        gate.check(evaluated[name], evaluated["fp32"], min_accuracy, name=name)
        return evaluated

    def publish(
        self, store: ModelStore, name: str, min_accuracy: float | None = None
    ) -> dict[str, str]:
        """Publish the candidates to a store if they pass the gate; return their versions."""
        evaluated = self.gate(min_accuracy)
        dataset = self.engine.dataset
        versions: dict[str, str] = {}
        finder = None
        if self.recipe.finder:
            finder = self.engine.build(self.recipe.finder, silent).file.read_bytes()
        for candidate, stages in self.recipe.candidates.items():
            outcome = self.engine.build(stages, silent)
            content = outcome.file.read_bytes()
            calibration = dict(outcome.record["result"])
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
                calibration=calibration,
                rejection=calibration.pop("rejection", None),
                evaluation=evaluated[candidate],
                lineage=manifest.lineage(lineage, tuple(library_versions())),
                finder=finder,
            )
            store.publish(document, content, finder)
            versions[candidate] = document["version"]
        return versions

    @property
    def _origin(self) -> dict[str, Any]:
        """What determines the build besides the recipe."""
        fields = ("name", "source", "sha256")
        dataset = {field: getattr(self.engine.dataset, field) for field in fields}
        return {"profile": self.profile, "seed": self.engine.seed, "dataset": dataset}

    def save(self, folder: Path) -> None:
        """Describe this build in its folder, and delete an earlier build's files."""
        for file in (file for files in self.steps.values() for file in files):
            (folder / file).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {part: to_documents(getattr(self.recipe, part)) for part in _STAGES}
        document = self._origin | {
            "recipe": vars(self.recipe) | parts,
            "cache": str(self.engine.cache.resolve()),
        }
        (folder / _DESCRIPTION).write_bytes(manifest.encode(document))

    @classmethod
    def open(cls, folder: Path, dataset: str | None = None) -> Self:
        """Open the build saved in a folder; dataset: the name that the caller expects, if any.

        Raises StepError if there is none, or if it used another data set: held-out samples of one
        may be training samples of another.
        """
        path = folder / _DESCRIPTION
        if not path.exists():
            raise StepError(f"{path} is missing; run `python -m model_build train` first")
        document = json.loads(path.read_text())
        trained_on = document["dataset"]
        loaded = datasets.load(dataset or trained_on["name"])
        if loaded.sha256 != trained_on["sha256"]:
            raise StepError(
                f"the model was trained on {trained_on['name']} with sha256 "
                f"{trained_on['sha256'][:8]}, not on {loaded.name} with {loaded.sha256[:8]}; pass "
                f"--dataset {trained_on['name']} to every step, or start again with train"
            )
        recipe = document["recipe"]
        return cls(
            Engine(Path(document["cache"]), loaded, document["seed"]),
            Recipe(**recipe | {part: from_documents(recipe[part]) for part in _STAGES}),
            document["profile"],
        )


def rebuild(lineage: dict[str, Any], cache: Path, on_stage: OnStage) -> Path:
    """Rebuild the model file that a lineage describes in an empty cache; return its path.

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
    """Stages of a lineage; those older than recipes name an architecture instead."""
    if lineage.get("recipe"):
        return from_documents(lineage["recipe"]["stages"])
    if lineage.get("architecture") is None or lineage["seed"] is None:
        raise StepError(
            "the lineage has no recipe; only models built by `python -m model_build run` or "
            "`search --publish` can be rebuilt"
        )
    if lineage["profile"] != "full":
        raise StepError(
            f"the lineage has no recipe and its profile is {lineage['profile']}; without a recipe, "
            "only full builds can be rebuilt"
        )
    recipes = load(folder_of(lineage["dataset"]["name"]))
    recipe = chosen(recipes, f"{lineage['architecture']}-static")
    return recipe.candidates["int8" if lineage["parent"] else "fp32"]
