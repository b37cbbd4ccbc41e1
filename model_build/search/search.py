"""Build every recipe, and measure all candidates side by side in one run."""

import gzip
import hashlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.image import pixels
from classifier.prepare.mnist import MnistPipeline
from model_build.data import datasets
from model_build.data.synthetic_pictures import take_picture
from model_build.engine.engine import Engine, OnStage, Outcome
from model_build.engine.recipe import Recipe
from model_build.errors import BuildError
from model_build.evaluation.evaluate import (
    Timing,
    probabilities,
    right,
    score,
    time_side_by_side,
)
from model_build.search.measurements import Measured, Search, wilson_interval
from model_build.training.augment import Strength, augment

PICTURES = slice(600, None)  # the first 600 were used to choose the augmentation
VIEWS = 10  # per validation sample, for the figure that decides the choice
ROUNDS = 40  # of timing
_BINS = 15


@dataclass(frozen=True)
class Sets:
    """Samples that every candidate is measured on: images uint8 [N, H, W], labels int64 [N]."""

    dataset: datasets.Dataset

    @cached_property
    def views(self) -> datasets.Labelled:
        """Ten augmented views of each validation sample: hard enough to tell candidates apart."""
        images = np.repeat(self.dataset.validation_images, VIEWS, axis=0)
        labels = np.repeat(self.dataset.validation_labels, VIEWS)
        return augment(images, labels, np.random.default_rng(0), Strength()), labels

    @cached_property
    def pictures(self) -> datasets.Labelled:
        """Digits by other writers, as pictures on paper, preprocessed by the serving code."""
        digits, labels = datasets.load_other_writers()
        generator = np.random.default_rng(11)
        pipeline = MnistPipeline(*self.dataset.test_images.shape[1:])
        images = [
            pipeline(pixels.decode(take_picture(digit, generator)), "auto")
            for digit in digits[PICTURES]
        ]
        return np.stack(images), labels[PICTURES]


def search(
    engine: Engine,
    recipes: Mapping[str, Recipe],
    profile: str,
    reference: str,
    on_stage: OnStage,
    say: Callable[[str], None],
) -> Search:
    """Build recipes and measure them side by side; recipes that fail to build are listed.

    recipes: by name, with their profile applied. reference: the recipe whose latency counts as 1;
    it is built first. say is called with the progress.
    """
    names = list(dict.fromkeys([reference, *recipes]))
    built: dict[str, Outcome] = {}
    failed = []
    for number, name in enumerate(names, 1):
        say(f"{number} of {len(names)}: {name}")
        try:
            built[name] = engine.build(recipes[name].model, on_stage)
        except BuildError as error:
            failed.append({"recipe": name, "error": str(error)})
    if reference not in built:
        raise BuildError(f"the reference {reference} could not be built: {failed[0]['error']}")
    say("measuring all candidates side by side")
    dataset = engine.dataset
    sets = Sets(dataset)
    files = {name: outcome.file for name, outcome in built.items()}
    timings = time_side_by_side(files, dataset.test_images, ROUNDS)
    measured = [
        measure(recipes[name], outcome, (timings[name], timings[reference]), sets)
        for name, outcome in built.items()
    ]
    rounds, runs = timings[reference].run_ms.shape
    return Search(
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        profile=profile,
        seed=engine.seed,
        machine=_machine(),
        dataset={
            "name": dataset.name,
            "sha256": dataset.sha256,
            "train": len(dataset.train_labels),
            "validation": len(dataset.validation_labels),
            "views": VIEWS,
            "held_out": len(dataset.test_labels),
            "pictures": len(sets.pictures[1]),
        },
        reference=reference,
        candidates=measured,
        failed=failed,
        timing={"rounds": rounds, "runs": runs},
    )


def measure(recipe: Recipe, built: Outcome, timing: tuple[Timing, Timing], sets: Sets) -> Measured:
    """Measure one candidate. timing: its own and the reference's, from the same run."""
    file, dataset = built.file, sets.dataset
    content = file.read_bytes()
    graph = onnx.load_from_string(content).graph
    answers = probabilities(file, dataset.test_images)
    predicted, confidence = answers.argmax(axis=1), answers.max(axis=1)
    correct = predicted == dataset.test_labels
    confusion = np.zeros((dataset.classes, dataset.classes), dtype=int)
    np.add.at(confusion, (dataset.test_labels, predicted), 1)
    own, reference = timing
    evaluation = score(answers, dataset.test_labels, file, own)
    views, pictures = right(file, *sets.views), right(file, *sets.pictures)
    validation = right(file, dataset.validation_images, dataset.validation_labels)
    ratio, *interval = own.ratio(reference)
    return Measured(
        recipe=recipe.name,
        description=recipe.description,
        stages=built.records,
        techniques=[stage.technique for stage in recipe.stages],
        file=str(file),
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=evaluation.bytes,
        gzip_bytes=len(gzip.compress(content, mtime=0)),
        parameters=_parameters(graph),
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        validation_accuracy=float(validation.mean()),
        validation_views_accuracy=float(views.mean()),
        validation_views_right=views.reshape(-1, VIEWS).mean(axis=1).tolist(),
        accuracy=evaluation.accuracy,
        accuracy_interval=wilson_interval(int(correct.sum()), len(correct)),
        pictures_accuracy=float(pictures.mean()),
        pictures_interval=wilson_interval(int(pictures.sum()), len(pictures)),
        expected_calibration_error=evaluation.expected_calibration_error,
        temperature=built.record["result"]["temperature"],
        per_class_accuracy=evaluation.per_class_accuracy,
        confusion=confusion.tolist(),
        reliability=_reliability(confidence, correct),
        latency_p50_ms=evaluation.latency_p50_ms,
        latency_p99_ms=evaluation.latency_p99_ms,
        latency_ratio=ratio,
        latency_ratio_interval=(interval[0], interval[1]),
        load_ms=evaluation.load_ms,
        load_ratio=float(np.median(own.load_ms) / np.median(reference.load_ms)),
        misread=[
            {
                "index": int(index),
                "label": int(dataset.test_labels[index]),
                "predicted": int(predicted[index]),
                "confidence": float(confidence[index]),
                "image": dataset.test_images[index].tolist(),
            }
            for index in np.flatnonzero(~correct)
        ],
    )


def _reliability(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_]
) -> list[dict[str, float | int]]:
    """Mean confidence and accuracy of the samples in each of 15 equal bins of confidence."""
    bin_of = np.digitize(confidence, np.arange(1, _BINS) / _BINS, right=True)
    counts = np.bincount(bin_of, minlength=_BINS)
    confidences, accuracies = (
        np.bincount(bin_of, values, _BINS) / np.maximum(counts, 1)
        for values in (confidence, correct)
    )
    return [
        {"confidence": float(mean), "accuracy": float(share), "count": int(count)}
        for mean, share, count in zip(confidences, accuracies, counts, strict=True)
    ]


def _parameters(graph: onnx.GraphProto) -> int:
    """Number of weights: the elements of all initialisers that have more than one."""
    sizes = [int(np.prod(tensor.dims)) for tensor in graph.initializer]
    return sum(size for size in sizes if size > 1)


def _machine() -> dict[str, Any]:
    described: Mapping[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line.partition(":") for line in cpuinfo.read_text().splitlines()]
        described = {key.strip(): value.strip() for key, _, value in lines}
    flags = set(described.get("flags", "").split())
    return {
        "cpu": described.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "flags": [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if flag in flags],
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
    }
