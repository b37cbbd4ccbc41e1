"""An adopted ONNX classifier on its way to the store: quantise, evaluate, gate, publish."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.model.manifest import Input
from classifier.prepare import encoding
from classifier.prepare.pipeline import Pipeline, from_manifest
from model_build.data import image_folders
from model_build.errors import GateError, ImportRefused
from model_build.evaluation import gate
from model_build.evaluation.evaluate import Evaluation, score, time_side_by_side
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.graph.optimise import optimise
from model_build.quantise.static import CALIBRATION_SAMPLES, quantise
from model_build.store import manifest
from model_build.store.model_store import ModelStore

type OnPicture = Callable[[], None]

# ImageNet's, of values 0 to 1, by channel: what nearly all of its classifiers were trained with.
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")  # that an import runs
_CHOICE_SEED = 0  # of the pictures to calibrate with
_TIMED = 20  # pictures that the forward pass is timed on
_SLOW_MS = 10  # from here on fewer rounds are timed


@dataclass(frozen=True)
class Imported:
    """A model in `folder`: adopted.onnx, and what the steps make of it. Each needs those before.

    input: what its manifest is to say of it.
    """

    folder: Path
    labels: list[int] | list[str]
    input: Input

    @property
    def encode(self) -> encoding.Encoding:
        """From samples to the model's tensor, by the function's own code."""
        return encoding.Encoding.from_manifest(*self.input[1:])

    @property
    def pipeline(self) -> Pipeline:
        """From pictures to samples, by the function's own code."""
        return from_manifest(self.encode.samples_shape, self.input.preprocess)

    def quantise(self, pictures: Sequence[Path], on_picture: OnPicture) -> dict[str, Any]:
        """Write fp32.onnx and int8.onnx; give what the manifest says of the latter."""
        chosen = calibration_choice(pictures)
        batches = [
            self.encode(one) for one in image_folders.samples(chosen, self.pipeline, on_picture)
        ]
        optimise(self.folder / "adopted.onnx", self.folder / "fp32.onnx")
        tensors: Any = np.concatenate(batches)
        return quantise(self.folder / "fp32.onnx", self.folder / "int8.onnx", tensors)

    def evaluate(
        self, pictures: Sequence[Path], labels: NDArray[np.int64], on_picture: OnPicture
    ) -> dict[str, Evaluation]:
        """Evaluate fp32 and int8 side by side on pictures and the index of each one's label."""
        files = {name: self.folder / f"{name}.onnx" for name in ("fp32", "int8")}
        sessions = {name: _session(path) for name, path in files.items()}
        answers: dict[str, list[NDArray[np.float32]]] = {name: [] for name in files}
        first: Any = None
        for samples in image_folders.samples(pictures, self.pipeline, on_picture):
            batch = self.encode(samples)
            first = batch[:_TIMED] if first is None else first
            for name, session in sessions.items():
                answers[name].append(session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0])
        once = time_side_by_side(files, first, rounds=1)
        is_slow = float(np.median(once["fp32"].run_ms)) > _SLOW_MS
        timings = once if is_slow else time_side_by_side(files, first)
        return {
            name: score(np.concatenate(answers[name]), labels, path, timings[name])
            for name, path in files.items()
        }

    def publish(
        self,
        store: ModelStore,
        name: str,
        evaluations: dict[str, Evaluation],
        quantizations: dict[str, dict[str, Any] | None],
        origin: dict[str, Any],
    ) -> dict[str, str]:
        """Publish the candidates that `quantizations` names, fp32 first; give their versions.

        origin: what the lineage says of the file and of the pictures.
        """
        versions: dict[str, str] = {}
        for candidate, quantization in quantizations.items():
            content = (self.folder / f"{candidate}.onnx").read_bytes()
            document = manifest.build(
                name=name,
                content=content,
                image_shape=self.encode.shape,
                dtype=self.input.dtype,
                preprocess=self.input.preprocess,
                labels=self.labels,
                quantization=quantization,
                evaluation=evaluations[candidate],
                lineage=manifest.lineage({**origin, "parent": versions.get("fp32")}, _LIBRARIES),
            )
            versions[candidate] = store.publish(document, content).version
        return versions


def input_of(dtype: str, shape: list[Any], named: dict[str, Any], numbers: dict[str, Any]) -> Input:
    """Give a manifest's `input`. named: the pipeline and its own parameters.

    numbers: scale, mean and std, as far as somebody gave them. Raises ImportRefused for what the
    function would refuse.
    """
    if dtype == "uint8" and numbers:
        raise ImportRefused(
            f"the model takes uint8, which is not scaled: leave out {', '.join(numbers)}"
        )
    if dtype == "float32":
        usual = IMAGENET if named["pipeline"] == "imagenet" else {"mean": [0.0], "std": [1.0]}
        numbers = {"scale": 1 / 255, **usual, **numbers}
    _, *sides = shape
    source = Input(INPUT_NAME, dtype, tuple(sides), named | numbers)
    try:
        encode = encoding.Encoding.from_manifest(*source[1:])
        from_manifest(encode.samples_shape, source.preprocess)
    except (ValueError, TypeError, OverflowError) as error:
        raise ImportRefused(
            f"the pipeline {named['pipeline']} does not fit an input {dtype} {shape}: {error}"
        ) from error
    return source


def may_publish_int8(
    found: dict[str, Evaluation], min_accuracy: float, max_loss: float, *, allow_fp32: bool
) -> str | None:
    """Give None if int8 passes the gate; else, if fp32 alone is allowed and passes, the reason.

    Raises GateError otherwise.
    """
    try:
        gate.check(found["int8"], found["fp32"], min_accuracy, max_loss)
    except GateError as error:
        if not allow_fp32:
            raise GateError(
                f"{error}; nothing was published: give more calibration pictures like those it "
                "will see, or --allow-fp32 to publish the model unquantised"
            ) from error
        gate.check(found["fp32"], found["fp32"], min_accuracy)
        return str(error)
    return None


def calibration_choice(pictures: Sequence[Path]) -> list[Path]:
    """At most 512 pictures, drawn by chance but the same each time."""
    if len(pictures) <= CALIBRATION_SAMPLES:
        return list(pictures)
    chosen = np.random.default_rng(_CHOICE_SEED).permutation(len(pictures))[:CALIBRATION_SAMPLES]
    return [pictures[index] for index in sorted(chosen)]


def _session(path: Path) -> ort.InferenceSession:
    """On all cores: what is asked for is answers, not times."""
    return ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
