"""The evaluation that a manifest holds: candidates side by side, on what nobody was trained on."""

from dataclasses import asdict
from typing import Any

from model_build.data import datasets
from model_build.engine.stage import GRAPH, StageContext
from model_build.evaluation.baseline import with_baseline
from model_build.evaluation.evaluate import Evaluation, evaluate


def build_stage(context: StageContext, *, candidates: list[str]) -> dict[str, Any]:
    """Evaluate the stage's inputs, by the candidates' names; the answer is for `evaluations`.

    Times are those of this moment on this machine: of a stage that was built before, of then.
    """
    folders = zip(candidates, context.inputs, strict=True)
    files = {name: folder / GRAPH for name, folder in folders}
    images, labels = context.dataset.test_images, context.dataset.test_labels
    parameters = datasets.pipeline_of(context.dataset.name)
    return {
        name: asdict(with_baseline(evaluation, files[name], images, parameters))
        for name, evaluation in evaluate(files, images, labels).items()
    }


def evaluations(result: dict[str, Any]) -> dict[str, Evaluation]:
    """Evaluations by candidate, of what `build_stage` returned."""
    return {name: Evaluation(**figures) for name, figures in result.items()}
