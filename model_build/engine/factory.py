"""Stages of recipes → files, each stage built once: a cache addressed by all that decides a stage.

    <cache>/<key>/network.keras                      what a stage that makes a network leaves
    <cache>/<key>/model.onnx, quantization.json      what a stage that makes a graph leaves
    <cache>/<key>/stage.json                         technique, parameters, seconds

The key is the SHA-256 of technique, parameters, seed, data set, library versions, the source code
that the technique runs, and the keys of the stages it builds on.
"""

import hashlib
import inspect
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.prepare.mnist import MnistPipeline
from model_build.data import datasets
from model_build.engine.recipe import TECHNIQUES, Recipe, Stage, network_stages
from model_build.store import manifest

if TYPE_CHECKING:
    from model_build.training.train import OnEpoch, Samples, Schedule

CALIBRATION_SAMPLES = 512
QUICK = 0.1  # share of a stage's epochs that the quick profile trains
_CONVERT = Stage("convert", {})
_LIBRARIES = ("keras", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")
_PRUNED_CODE = ("training.layer_chain", "training.prune")
_TRAINING_CODE = (
    "training.train",
    "training.augment",
    "training.handwriting_styles",
    "training.architectures",
)
_GRAPH_CODE = ("graph.convert", "graph.optimise")
_SERVED = inspect.getsource(MnistPipeline.normalise).encode()
# The modules whose source decides what a technique makes, the shared ones apart.
_CODE = {
    "train": _TRAINING_CODE,
    "fine-tune": (*_TRAINING_CODE, *_PRUNED_CODE),
    "distil": (*_TRAINING_CODE, *_PRUNED_CODE, "training.distil"),
    "prune": (*_TRAINING_CODE, *_PRUNED_CODE),
    "remove-filters": (*_TRAINING_CODE, *_PRUNED_CODE, "training.filter_pruning"),
    "factorise": ("training.layer_chain", "training.factorise"),
    "convert": _GRAPH_CODE,
    "qat": (*_TRAINING_CODE, *_GRAPH_CODE, *_PRUNED_CODE, "graph.integer_fusion", "training.qat"),
    "quantise-dynamic": (*_GRAPH_CODE, "quantise.dynamic"),
    "quantise-static": (*_GRAPH_CODE, "graph.integer_fusion", "quantise.static"),
    "quantise-weights": (*_GRAPH_CODE, "quantise.weight_only"),
}

type OnStage = Callable[[str, bool], "OnEpoch"]  # technique, whether it was built before


@dataclass(frozen=True)
class Built:
    """What a recipe has become. quantization: None where the graph computes in float32."""

    graph: Path
    quantization: dict[str, Any] | None
    stages: list[dict[str, Any]]


@dataclass(frozen=True)
class Factory:
    """Builds recipes from one data set and seed; profile `quick` trains a tenth of the epochs."""

    cache: Path
    dataset: datasets.Dataset
    profile: str
    seed: int
    recipes: Mapping[str, Recipe]

    def build(self, recipe: Recipe, on_stage: OnStage) -> Built:
        """Build a recipe up to its graph; stages that were built before are not built again.

        on_stage is called as each stage begins and gives what is called after its epochs.
        """
        folder: Path | None = None
        stages = []
        for stage in _with_conversion(recipe.stages):
            teachers = [
                self._network(self.recipes[name], on_stage)
                for name in stage.parameters.get("teachers", [])
            ]
            folder, record = self._stage(stage, folder, teachers, on_stage)
            stages.append(record)
        assert folder is not None  # a recipe has a stage
        quantization = json.loads((folder / "quantization.json").read_text())
        return Built(folder / "model.onnx", quantization, stages)

    def _network(self, recipe: Recipe, on_stage: OnStage) -> Path:
        """Folder of the last network that a recipe makes."""
        folder: Path | None = None
        for stage in network_stages(recipe):
            teachers = [
                self._network(self.recipes[name], on_stage)
                for name in stage.parameters.get("teachers", [])
            ]
            folder, _ = self._stage(stage, folder, teachers, on_stage)
        assert folder is not None
        return folder

    def _stage(
        self, stage: Stage, source: Path | None, teachers: list[Path], on_stage: OnStage
    ) -> tuple[Path, dict[str, Any]]:
        """Folder of a stage and its record, built now or before."""
        parameters = self._in_profile(stage.parameters)
        folder = self.cache / self._key(stage.technique, parameters, source, teachers)
        cached = (folder / "stage.json").exists()
        on_epoch = on_stage(stage.technique, cached)
        if not cached:
            self.cache.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            with tempfile.TemporaryDirectory(dir=self.cache, prefix=".building-") as temporary:
                target = Path(temporary) / "stage"
                target.mkdir()
                self._apply(stage.technique, parameters, source, teachers, target, on_epoch)
                record = {
                    "technique": stage.technique,
                    "parameters": parameters,
                    "seconds": round(time.perf_counter() - started, 1),
                }
                (target / "stage.json").write_bytes(manifest.encode(record))
                if folder.exists():  # the rest of a folder that somebody deleted from
                    shutil.rmtree(folder)
                target.rename(folder)
        return folder, {**json.loads((folder / "stage.json").read_text()), "cached": cached}

    def _in_profile(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if self.profile != "quick" or "epochs" not in parameters:
            return parameters
        return {**parameters, "epochs": max(1, round(parameters["epochs"] * QUICK))}

    def _key(
        self,
        technique: str,
        parameters: dict[str, Any],
        source: Path | None,
        teachers: list[Path],
    ) -> str:
        decides = {
            "technique": technique,
            "parameters": parameters,
            "seed": self.seed,
            "dataset": _content(self.dataset.sha256, self.dataset.train_images),
            "libraries": {library: installed(library) for library in _LIBRARIES},
            "code": _digest(_CODE[technique]),
            "source": source.name if source else None,
            "teachers": [teacher.name for teacher in teachers],
        }
        return hashlib.sha256(manifest.encode(decides)).hexdigest()[:24]

    def _apply(
        self,
        technique: str,
        parameters: dict[str, Any],
        source: Path | None,
        teachers: list[Path],
        target: Path,
        on_epoch: "OnEpoch",
    ) -> None:
        if not technique.startswith("quantise"):
            import keras  # noqa: PLC0415 - TensorFlow takes seconds; the others do without

            keras.backend.clear_session()  # names of layers start anew: the same bytes each time
        if TECHNIQUES[technique].makes == "network":
            network = self._make_network(technique, parameters, source, teachers, on_epoch)
            network.save(target / "network.keras")
            return
        assert source is not None
        graph = target / "model.onnx"
        quantization: dict[str, Any] | None = None
        if technique == "convert":
            self._convert(source / "network.keras", graph)
        elif technique == "qat":
            quantization = self._quantise_aware(parameters, source, graph, on_epoch)
        else:
            quantization = self._quantise(technique, parameters, source / "model.onnx", graph)
        (target / "quantization.json").write_text(json.dumps(quantization, indent=2))

    def _make_network(
        self,
        technique: str,
        parameters: dict[str, Any],
        source: Path | None,
        teachers: list[Path],
        on_epoch: "OnEpoch",
    ) -> Any:
        from model_build.training import (  # noqa: PLC0415 - TensorFlow takes seconds
            architectures,
            distil,
            factorise,
            filter_pruning,
            prune,
            train,
        )

        samples, own = self._samples(), _own(parameters)
        if technique == "train":
            return train.fit_new(
                own["architecture"], samples, schedule(parameters), self.seed, on_epoch
            )
        training = (samples, schedule(parameters), self.seed, on_epoch) if own != parameters else ()
        if technique == "distil":
            train.be_deterministic(self.seed)
            shape = samples.images.shape[1:]
            student = architectures.build(own.pop("architecture"), shape, samples.classes)
            del own["teachers"]
            networks = [load_network(teacher / "network.keras") for teacher in teachers]
            return distil.distil(student, networks, *training, **own)
        assert source is not None
        network = load_network(source / "network.keras")
        if technique == "prune":
            return prune.prune(network, *training, **own)
        if technique == "remove-filters":
            return filter_pruning.remove_filters(network, *training, **own)
        if technique == "factorise":
            return factorise.factorise(network, **own)
        with prune.zeros_held(network):
            train.fit(network, *training)  # fine-tune
        return network

    def _convert(self, network: Path, graph: Path) -> None:
        from model_build.graph.convert import check_parity, convert  # noqa: PLC0415
        from model_build.graph.optimise import optimise  # noqa: PLC0415

        model = load_network(network)
        converted = graph.with_name("converted.onnx")
        convert(model, converted)
        check_parity(model, converted, self.dataset.validation_images)
        optimise(converted, graph)
        converted.unlink()

    def _quantise_aware(
        self, parameters: dict[str, Any], source: Path, graph: Path, on_epoch: "OnEpoch"
    ) -> dict[str, Any]:
        from model_build.training import qat  # noqa: PLC0415

        network = qat.fine_tune_quantised(
            load_network(source / "network.keras"),
            self._samples(),
            schedule(parameters),
            self.seed,
            on_epoch,
        )
        return qat.export(network, graph)

    def _quantise(
        self, technique: str, parameters: dict[str, Any], source: Path, graph: Path
    ) -> dict[str, Any]:
        from model_build.quantise import dynamic, static, weight_only  # noqa: PLC0415

        if technique == "quantise-dynamic":
            return dynamic.quantise(source, graph)
        if technique == "quantise-weights":
            return weight_only.quantise(source, graph, **parameters)
        return static.quantise(source, graph, calibration_images(self.dataset), **parameters)

    def _samples(self) -> "Samples":
        from model_build.training.train import Samples  # noqa: PLC0415

        dataset = self.dataset
        return Samples(dataset.train_images, dataset.train_labels, dataset.classes)


def schedule(parameters: dict[str, Any]) -> "Schedule":
    """Schedule of a training from a stage's parameters, as far as they name any."""
    from model_build.training.train import Schedule  # noqa: PLC0415

    chosen = {key: value for key, value in parameters.items() if key in _schedule_fields()}
    if chosen.pop("augmentation", True):
        return Schedule(**chosen)
    return replace(Schedule(**chosen), augmentation=None)


def calibration_images(dataset: datasets.Dataset) -> Any:
    """Training samples uint8 [N, H, W] that set the scales, the same number of each class."""
    per_class = CALIBRATION_SAMPLES // dataset.classes
    return dataset.train_images[datasets.stratified_split(dataset.train_labels, per_class)]


def load_network(path: Path) -> Any:
    """Keras model of a file, the project's own layers included."""
    import keras  # noqa: PLC0415

    import_module("model_build.training.qat")  # registers its layers
    return keras.models.load_model(path, compile=False)


def _with_conversion(stages: tuple[Stage, ...]) -> list[Stage]:
    """Stages with `convert` wherever a graph is needed and a network is there."""
    complete: list[Stage] = []
    made = None
    for stage in stages:
        technique = TECHNIQUES[stage.technique]
        if technique.needs == "graph" and made == "network":
            complete.append(_CONVERT)
        complete.append(stage)
        made = technique.makes
    return [*complete, _CONVERT] if made == "network" else complete


def _content(sha256: str, images: NDArray[np.uint8]) -> str:
    """Name a data set by its source and by the samples of it that are trained on."""
    return f"{sha256}-{hashlib.sha256(images.tobytes()).hexdigest()}"


def _own(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the technique itself, without those of its training."""
    return {key: value for key, value in parameters.items() if key not in _schedule_fields()}


def _schedule_fields() -> set[str]:
    return {"epochs", "learning_rate", "batch", "label_smoothing", "augmentation"}


@cache
def _digest(modules: tuple[str, ...]) -> str:
    """SHA-256 of the modules' source, and of the serving code that augmentation goes through.

    As it was when it was first asked for: what is imported stays as it is, too.
    """
    digest = hashlib.sha256()
    for name in modules:
        path = Path(__file__).parents[1].joinpath(*name.split(".")).with_suffix(".py")
        digest.update(path.read_bytes())
    if "training.augment" in modules:
        digest.update(_SERVED)
    return digest.hexdigest()
