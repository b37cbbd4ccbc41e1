"""The steps of a build, each from files to files in one folder, so that each runs alone.

train     → model.keras, training.json
convert   → converted.onnx            parity with Keras shown
optimise  → fp32.onnx
quantise  → int8.onnx, quantization.json
evaluate  → evaluation.json           fp32 and int8, in one run
gate                                  int8 against its parent
publish   → model store               fp32, then int8, which names it as parent
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_build import data, gate, manifest
from model_build.convert import check_parity, convert
from model_build.errors import StepError
from model_build.evaluate import Evaluation, evaluate
from model_build.optimise import optimise
from model_build.quantise import CALIBRATION_SAMPLES, quantise
from model_build.serving import preprocess
from model_build.store import ModelStore

if TYPE_CHECKING:
    from model_build.train import OnEpoch

CANDIDATES = {"fp32": "optimise", "int8": "quantise"}  # and the step that makes each
_MADE = {
    "train": ("model.keras", "training.json"),
    "convert": ("converted.onnx",),
    "optimise": ("fp32.onnx",),
    "quantise": ("int8.onnx", "quantization.json"),
    "evaluate": ("evaluation.json",),
}


@dataclass(frozen=True)
class Build:
    """One folder of a build."""

    folder: Path

    def train(
        self, dataset: data.Dataset, architecture: str, profile: str, seed: int, on_epoch: "OnEpoch"
    ) -> None:
        """Train and write the Keras model, with all that is needed to do it again."""
        from model_build.train import train  # noqa: PLC0415 - TensorFlow takes seconds to load

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

    def convert(self, dataset: data.Dataset) -> float:
        """Convert to ONNX; give the largest difference to Keras on the held-out images."""
        import keras  # noqa: PLC0415 - as above

        model = keras.models.load_model(self._made_by("train", "model.keras"))
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
        optimise(converted, self.folder / "fp32.onnx")

    def quantise(self, dataset: data.Dataset) -> None:
        """Quantise to int8, calibrated on training samples, the same number of each class."""
        parent = self._made_by("optimise", "fp32.onnx")
        self._check_dataset(dataset)
        self._outdate("quantise")
        per_class = CALIBRATION_SAMPLES // data.CLASSES
        chosen = data.stratified_split(dataset.train_labels, per_class)
        quantization = quantise(parent, self.folder / "int8.onnx", dataset.train_images[chosen])
        self._write("quantization.json", quantization)

    def evaluate(self, dataset: data.Dataset) -> dict[str, Evaluation]:
        """Evaluate fp32 and int8 on the held-out samples, as the function would see them."""
        files = {
            "fp32": self._made_by("optimise", "fp32.onnx"),
            "int8": self._made_by("quantise", "int8.onnx"),
        }
        self._check_dataset(dataset)
        found = evaluate(files, dataset.test_images, dataset.test_labels)
        self._write("evaluation.json", {name: asdict(one) for name, one in found.items()})
        return found

    def evaluation(self) -> dict[str, Evaluation]:
        """What `evaluate` found."""
        found = self._read("evaluate", "evaluation.json")
        return {name: Evaluation(**one) for name, one in found.items()}

    def gate(self, min_accuracy: float | None = None) -> None:
        """Raise GateError if int8 may not be published."""
        training = self._read("train", "training.json")
        asked = gate.MIN_ACCURACY[training["architecture"], training["profile"]]
        found = self.evaluation()
        gate.check(found["int8"], found["fp32"], asked if min_accuracy is None else min_accuracy)

    def publish(
        self, store: ModelStore, name: str, min_accuracy: float | None = None
    ) -> dict[str, str]:
        """Publish fp32 and int8 to a store, through the gate; give their versions."""
        self.gate(min_accuracy)
        training = self._read("train", "training.json")
        quantization = self._read("quantise", "quantization.json")
        found = self.evaluation()
        versions: dict[str, str] = {}
        for candidate, step in CANDIDATES.items():
            content = self._made_by(step, f"{candidate}.onnx").read_bytes()
            document = manifest.build(
                name=name,
                content=content,
                image_shape=(28, 28),
                preprocess={"pipeline": "mnist", "box": preprocess.MnistPipeline.box},
                labels=list(range(data.CLASSES)),
                quantization=quantization if candidate == "int8" else None,
                evaluation=found[candidate],
                lineage=manifest.lineage({**training, "parent": versions.get("fp32")}),
            )
            store.publish(document, content)
            versions[candidate] = document["version"]
        return versions

    def _check_dataset(self, dataset: data.Dataset) -> None:
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


def contact_sheet(dataset: data.Dataset, columns: int = 20) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Picture uint8 [H, W] of training samples, one row of `columns` a class."""
    rows = [
        np.hstack(dataset.train_images[dataset.train_labels == label][:columns])
        for label in range(data.CLASSES)
    ]
    return np.vstack(rows)
