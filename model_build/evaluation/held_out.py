"""The evaluation in a manifest: candidates side by side, on held-out samples."""

from dataclasses import asdict
from typing import Any

from model_build.data import datasets
from model_build.engine.stage import GRAPH, StageContext
from model_build.evaluation.baseline import with_baseline
from model_build.evaluation.evaluate import Evaluation, evaluate
from model_build.finding.maps import FINDER, maps_of


def build_stage(context: StageContext, *, candidates: list[str]) -> dict[str, Any]:
    """Evaluate the stage's inputs under the candidates' names; `evaluations` reads the result.

    Times depend on the machine and its load; a cached stage keeps those of its build.
    """
    folders = zip(candidates, context.inputs, strict=True)
    files = {name: folder / GRAPH for name, folder in folders}
    images, labels = context.dataset.test_images, context.dataset.test_labels
    parameters = datasets.pipeline_of(context.dataset.name)
    maps = maps_of(context.samples / FINDER) if context.samples else None
    return {
        name: asdict(with_baseline(evaluation, files[name], images, parameters, maps))
        for name, evaluation in evaluate(files, images, labels).items()
    }


def evaluations(result: dict[str, Any]) -> dict[str, Evaluation]:
    """Evaluations by candidate, from the result of `build_stage`."""
    return {name: Evaluation(**figures) for name, figures in result.items()}
