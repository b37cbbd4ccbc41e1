"""The steps of a build, each from files to files in one folder, so that each runs alone.

train     → model.keras, training.json
convert   → converted.onnx            parity with Keras shown
optimise  → optimised.onnx
quantise  → quantised.onnx, quantization.json
calibrate → fp32.onnx, int8.onnx, calibration.json   each with a temperature of its own
evaluate  → evaluation.json           fp32 and int8, in one run
gate                                  int8 against its parent
publish   → model store               fp32, then int8, which names it as parent
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_build.data import datasets
from model_build.errors import StepError
from model_build.evaluation import gate
from model_build.evaluation.baseline import with_baseline
from model_build.evaluation.evaluate import Evaluation, evaluate
from model_build.graph import temperature
from model_build.graph.convert import check_parity, convert
from model_build.graph.optimise import optimise
from model_build.quantise.static import CALIBRATION_SAMPLES, quantise
from model_build.store import manifest
from model_build.store.model_store import ModelStore

if TYPE_CHECKING:
    from model_build.training.train import OnEpoch

CANDIDATES = {"fp32": ("optimise", "optimised.onnx"), "int8": ("quantise", "quantised.onnx")}
_MADE = {
    "train": ("model.keras", "training.json"),
    "convert": ("converted.onnx",),
    "optimise": ("optimised.onnx",),
    "quantise": ("quantised.onnx", "quantization.json"),
    "calibrate": ("fp32.onnx", "int8.onnx", "calibration.json"),
    "evaluate": ("evaluation.json",),
}


@dataclass(frozen=True)
class Build:
    """One folder of a build."""

    folder: Path

    def train(
        self,
        dataset: datasets.Dataset,
        architecture: str,
        profile: str,
        seed: int,
        on_epoch: "OnEpoch",
    ) -> None:
        """Train and write the Keras model, with all that is needed to do it again."""
        from model_build.training.train import train  # noqa: PLC0415 - TensorFlow takes seconds to load

        model = train(architecture, dataset, profile, seed, on_epoch)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._outdate("train")
        model.save(self.folder / "model.keras")
        self._write(
            "training.json",
            {
                "dataset": {
                    "name": dataset.name,
                    "source": dataset.source,
                    "sha256": dataset.sha256,
                },
                "architecture": architecture,
                "profile": profile,
                "seed": seed,
            },
        )

    def convert(self, dataset: datasets.Dataset) -> float:
        """Convert to ONNX; give the largest difference to Keras on the held-out images."""
        import keras  # noqa: PLC0415 - as above

        keras.backend.clear_session()  # names start anew: the same bytes in every process
        model = keras.models.load_model(self._made_by("train", "model.keras"), compile=False)
        self._check_dataset(dataset)
        self._outdate("convert")
        unchecked = self.folder / "converted.unchecked.onnx"
        convert(model, unchecked)
        difference = check_parity(model, unchecked, dataset.test_images[:1000])
        unchecked.replace(self.folder / "converted.onnx")
        return difference

    def optimise(self) -> None:
        """Optimise the converted graph."""
        converted = self._made_by("convert", "converted.onnx")
        self._outdate("optimise")
        optimise(converted, self.folder / "optimised.onnx")

    def quantise(self, dataset: datasets.Dataset) -> None:
        """Quantise to int8, calibrated on training samples, the same number of each class."""
        parent = self._made_by("optimise", "optimised.onnx")
        self._check_dataset(dataset)
        self._outdate("quantise")
        per_class = CALIBRATION_SAMPLES // datasets.CLASSES
        chosen = datasets.stratified_split(dataset.train_labels, per_class)
        quantised = self.folder / "quantised.onnx"
        self._write("quantization.json", quantise(parent, quantised, dataset.train_images[chosen]))

    def calibrate(self, dataset: datasets.Dataset) -> dict[str, float]:
        """Put a temperature into fp32 and int8, fitted on validation samples; give both."""
        sources = {name: self._made_by(*made) for name, made in CANDIDATES.items()}
        self._check_dataset(dataset)
        self._outdate("calibrate")
        images, labels = dataset.validation_images, dataset.validation_labels
        temperatures = {
            name: temperature.calibrate(source, self.folder / f"{name}.onnx", images, labels)
            for name, source in sources.items()
        }
        self._write(
            "calibration.json",
            {
                name: {"temperature": fitted, "samples": len(labels)}
                for name, fitted in temperatures.items()
            },
        )
        return temperatures

    def evaluate(self, dataset: datasets.Dataset) -> dict[str, Evaluation]:
        """Evaluate fp32 and int8 on the held-out samples, as the function would see them."""
        files = {name: self._made_by("calibrate", f"{name}.onnx") for name in CANDIDATES}
        self._check_dataset(dataset)
        parameters = datasets.pipeline_of(dataset.name)
        found = {
            name: with_baseline(one, files[name], dataset.test_images, parameters)
            for name, one in evaluate(files, dataset.test_images, dataset.test_labels).items()
        }
        self._write("evaluation.json", {name: asdict(one) for name, one in found.items()})
        return found

    def evaluation(self) -> dict[str, Evaluation]:
        """What `evaluate` found."""
        found = self._read("evaluate", "evaluation.json")
        return {name: Evaluation(**one) for name, one in found.items()}

    def gate(self, min_accuracy: float | None = None) -> None:
        """Raise GateError if int8 may not be published."""
        training = self._read("train", "training.json")
        asked = gate.least_accuracy(
            training["dataset"]["name"], training["architecture"], training["profile"]
        )
        found = self.evaluation()
        gate.check(found["int8"], found["fp32"], asked if min_accuracy is None else min_accuracy)

    def publish(
        self, store: ModelStore, name: str, min_accuracy: float | None = None
    ) -> dict[str, str]:
        """Publish fp32 and int8 to a store, through the gate; give their versions."""
        self.gate(min_accuracy)
        training = self._read("train", "training.json")
        quantization = self._read("quantise", "quantization.json")
        calibration = self._read("calibrate", "calibration.json")
        found = self.evaluation()
        versions: dict[str, str] = {}
        for candidate in CANDIDATES:
            content = self._made_by("calibrate", f"{candidate}.onnx").read_bytes()
            document = manifest.build(
                name=name,
                content=content,
                image_shape=(28, 28),
                preprocess=datasets.pipeline_of(training["dataset"]["name"]),
                labels=datasets.labels_of(training["dataset"]["name"]),
                quantization=quantization if candidate == "int8" else None,
                calibration=calibration[candidate],
                evaluation=found[candidate],
                lineage=manifest.lineage({**training, "parent": versions.get("fp32")}),
            )
            versions[candidate] = store.publish(document, content).version
        return versions

    def _check_dataset(self, dataset: datasets.Dataset) -> None:
        """Another data set's held-out samples may be among those that were trained on."""
        trained_on = self._read("train", "training.json")["dataset"]
        if trained_on["sha256"] != dataset.sha256:
            raise StepError(
                f"the model was trained on {trained_on['name']}, not on {dataset.name}; "
                f"give every step --dataset {trained_on['name']}"
            )

    def _made_by(self, step: str, file: str) -> Path:
        path = self.folder / file
        if not path.exists():
            raise StepError(f"{path} is missing; run `python -m model_build {step}` first")
        return path

    def _outdate(self, step: str) -> None:
        """Remove what a step and those after it made before: it would not belong together."""
        steps = list(_MADE)
        for later in steps[steps.index(step) :]:
            for file in _MADE[later]:
                (self.folder / file).unlink(missing_ok=True)

    def _read(self, step: str, file: str) -> Any:
        return json.loads(self._made_by(step, file).read_text())

    def _write(self, file: str, document: Any) -> None:
        (self.folder / file).write_bytes(manifest.encode(document))


def contact_sheet(
    dataset: datasets.Dataset, columns: int = 20
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Picture uint8 [H, W] of training samples, one row of `columns` a class."""
    rows = [
        np.hstack(dataset.train_images[dataset.train_labels == label][:columns])
        for label in range(datasets.CLASSES)
    ]
    return np.vstack(rows)
