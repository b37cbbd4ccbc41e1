"""Every recipe built, and every candidate measured beside the others in one run."""

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
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.image import pixels
from classifier.prepare.mnist import MnistPipeline
from model_build.data import datasets
from model_build.data.synthetic_pictures import take_picture
from model_build.engine.factory import Built, Factory, OnStage
from model_build.errors import BuildError
from model_build.evaluation.evaluate import (
    Timing,
    expected_calibration_error,
    session,
    time_side_by_side,
)
from model_build.graph import temperature
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.search.measurements import Measured, Search, wilson_interval
from model_build.training.augment import Strength, augment

if TYPE_CHECKING:
    from model_build.engine.recipe import Recipe

VIEWS = 10  # of each validation sample, for the figure that the choice is made on
PICTURES = slice(600, None)  # the first 600 were looked at when augmentation was chosen
ROUNDS = 40  # of timing
_BINS = 15

type OnRecipe = Callable[[str, int, int], OnStage]  # name, number from 1, how many


@dataclass(frozen=True)
class Sets:
    """What every candidate is measured on: images uint8 [N, H, W] and labels int64 [N]."""

    dataset: datasets.Dataset

    @cached_property
    def views(self) -> datasets.Labelled:
        """Validation samples, ten augmented views of each: hard enough to tell candidates apart."""
        images = np.repeat(self.dataset.validation_images, VIEWS, axis=0)
        labels = np.repeat(self.dataset.validation_labels, VIEWS)
        return augment(images, labels, np.random.default_rng(0), Strength()), labels

    @cached_property
    def pictures(self) -> datasets.Labelled:
        """Digits by other writers, as pictures on paper, through the code that serves."""
        digits, labels = datasets.load_other_writers()
        generator = np.random.default_rng(11)
        pipeline = MnistPipeline(*self.dataset.test_images.shape[1:])
        images = [
            pipeline(pixels.decode(take_picture(digit, generator)), "auto")
            for digit in digits[PICTURES]
        ]
        return np.stack(images), labels[PICTURES]


def search(
    factory: Factory,
    names: list[str],
    reference: str,
    on_recipe: OnRecipe,
    on_measure: Callable[[], None] = lambda: None,
) -> Search:
    """Build the named recipes and measure them; what fails to build is named, not measured.

    reference: the recipe whose latency is 1; it is built in any case. on_recipe is called as a
    recipe begins and gives the factory's on_stage; on_measure when measuring begins.
    """
    wanted = list(dict.fromkeys([reference, *names]))
    built: dict[str, Built] = {}
    served: dict[str, Path] = {}
    temperatures: dict[str, float] = {}
    failed = []
    for number, name in enumerate(wanted, 1):
        on_stage = on_recipe(name, number, len(wanted))
        try:
            made = factory.build(factory.recipes[name], on_stage)
            served[name], temperatures[name] = _calibrate(made.graph, factory.dataset)
            built[name] = made
        except (BuildError, ValueError) as error:
            failed.append({"recipe": name, "error": str(error)})
    if reference not in built:
        raise BuildError(f"the reference {reference} could not be built: {failed[0]['error']}")
    on_measure()
    sets = Sets(factory.dataset)
    timings = time_side_by_side(served, factory.dataset.test_images, ROUNDS)
    measured = [
        measure(
            factory.recipes[name],
            made,
            served[name],
            temperatures[name],
            (timings[name], timings[reference]),
            sets,
        )
        for name, made in built.items()
    ]
    dataset = factory.dataset
    rounds, runs = timings[reference].run_ms.shape
    return Search(
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        profile=factory.profile,
        seed=factory.seed,
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


def measure(
    recipe: "Recipe",
    built: Built,
    served: Path,
    fitted: float,
    timing: tuple[Timing, Timing],
    sets: Sets,
) -> Measured:
    """Measure one candidate. timing: its own and the reference's, from the same run."""
    content = served.read_bytes()
    graph = onnx.load_from_string(content).graph
    dataset = sets.dataset
    opened = session(served)

    def right(labelled: datasets.Labelled) -> NDArray[np.bool_]:
        images, labels = labelled
        return np.asarray(_run(opened, images).argmax(axis=1) == labels)

    probabilities = _run(opened, dataset.test_images)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    correct = predicted == dataset.test_labels
    confusion = np.zeros((dataset.classes, dataset.classes), dtype=int)
    np.add.at(confusion, (dataset.test_labels, predicted), 1)
    views, pictures = right(sets.views), right(sets.pictures)
    validation = right((dataset.validation_images, dataset.validation_labels))
    own, reference = timing
    ratio, *interval = own.ratio(reference)
    load_ms = float(np.median(own.load_ms))
    return Measured(
        recipe=recipe.name,
        description=recipe.description,
        stages=built.stages,
        techniques=[stage["technique"] for stage in built.stages],
        file=str(served),
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content, mtime=0)),
        parameters=_parameters(graph),
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        validation_accuracy=float(validation.mean()),
        validation_views_accuracy=float(views.mean()),
        validation_views_right=views.reshape(-1, VIEWS).mean(axis=1).tolist(),
        accuracy=float(correct.mean()),
        accuracy_interval=wilson_interval(int(correct.sum()), len(correct)),
        pictures_accuracy=float(pictures.mean()),
        pictures_interval=wilson_interval(int(pictures.sum()), len(pictures)),
        expected_calibration_error=expected_calibration_error(confidence, correct),
        temperature=fitted,
        per_class_accuracy=(confusion.diagonal() / confusion.sum(axis=1)).tolist(),
        confusion=confusion.tolist(),
        reliability=_reliability(confidence, correct),
        latency_p50_ms=float(np.median(own.run_ms)),
        latency_p99_ms=float(np.quantile(own.run_ms, 0.99)),
        latency_ratio=ratio,
        latency_ratio_interval=(interval[0], interval[1]),
        load_ms=load_ms,
        load_ratio=load_ms / float(np.median(reference.load_ms)),
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


def _calibrate(graph: Path, dataset: datasets.Dataset) -> tuple[Path, float]:
    """Graph with its temperature, beside the one without; fitted on validation samples."""
    target = graph.with_name("served.onnx")
    fitted = temperature.calibrate(
        graph, target, dataset.validation_images, dataset.validation_labels
    )
    return target, fitted


def _run(opened: ort.InferenceSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [images[at : at + 500] for at in range(0, len(images), 500)]
    return np.concatenate([opened.run([OUTPUT_NAME], {INPUT_NAME: part})[0] for part in parts])


def _reliability(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_]
) -> list[dict[str, float | int]]:
    """Mean confidence and accuracy of the samples in each of 15 equal bins of confidence."""
    bins = []
    for low in np.arange(_BINS) / _BINS:
        inside = (confidence > low) & (confidence <= low + 1 / _BINS)
        count = int(inside.sum())
        bins.append(
            {
                "confidence": float(confidence[inside].mean()) if count else 0.0,
                "accuracy": float(correct[inside].mean()) if count else 0.0,
                "count": count,
            }
        )
    return bins


def _parameters(graph: onnx.GraphProto) -> int:
    """Count of the graph's weights: all its initialisers with more than one element."""
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
