"""Quantise, evaluate, gate and publish an adopted ONNX classifier."""

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
from model_build.evaluation import gate, rejection
from model_build.evaluation.evaluate import Evaluation, score, time_side_by_side
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.graph.optimise import optimise
from model_build.importing.preprocessing import IMAGENET
from model_build.quantise.static import CALIBRATION_SAMPLES, quantise
from model_build.store import manifest
from model_build.store.model_store import ModelStore

type OnPicture = Callable[[], None]

_LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")  # used by an import
_CHOICE_SEED = 0  # picks the calibration pictures
_TIMED = 20  # pictures that the forward pass is timed on
_SLOW_MS = 10  # slower models are timed in fewer rounds


@dataclass(frozen=True)
class Imported:
    """A model in `folder`: adopted.onnx and the files that the steps write, in this order.

    input: `input` of its manifest.
    """

    folder: Path
    labels: list[int] | list[str]
    input: Input

    @property
    def encode(self) -> encoding.Encoding:
        """Encoding from samples to the model's tensor, by the function's own code."""
        return encoding.Encoding.from_manifest(*self.input[1:])

    @property
    def pipeline(self) -> Pipeline:
        """Pipeline from pictures to samples, by the function's own code."""
        return from_manifest(self.encode.samples_shape, self.input.preprocess)

    def quantise(self, pictures: Sequence[Path], on_picture: OnPicture) -> dict[str, Any]:
        """Write fp32.onnx and int8.onnx; return int8's `quantization` for its manifest."""
        chosen = calibration_choice(pictures)
        batches = [
            self.encode(samples)
            for samples in image_folders.samples(chosen, self.pipeline, on_picture)
        ]
        optimise(self.folder / "adopted.onnx", self.folder / "fp32.onnx")
        tensors: Any = np.concatenate(batches)
        return quantise(self.folder / "fp32.onnx", self.folder / "int8.onnx", tensors)

    def evaluate(
        self, pictures: Sequence[Path], labels: NDArray[np.int64], on_picture: OnPicture
    ) -> dict[str, Evaluation]:
        """Evaluate fp32 and int8 side by side. labels: index of each picture's label."""
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
        """Publish the candidates in `quantizations`, fp32 first; return their versions.

        origin: the lineage's entries on the file and the pictures.
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
                rejection=rejection.from_histogram(evaluations[candidate].confidence_histogram),
                lineage=manifest.lineage({**origin, "parent": versions.get("fp32")}, _LIBRARIES),
            )
            versions[candidate] = store.publish(document, content).version
        return versions


def input_of(
    dtype: str, shape: list[Any], parameters: dict[str, Any], numbers: dict[str, Any]
) -> Input:
    """Return a manifest's `input`. parameters: the pipeline and its own parameters.

    numbers: those of scale, mean and std that the user set. Raises ImportRefused for what the
    function would reject.
    """
    if dtype == "uint8" and numbers:
        raise ImportRefused(
            f"the model's input is uint8, which is not scaled; omit {', '.join(numbers)}"
        )
    usual: dict[str, Any] = {}
    if dtype == "float32":
        usual = IMAGENET if parameters["pipeline"] == "imagenet" else {"mean": [0.0], "std": [1.0]}
        usual = {"scale": 1 / 255, **usual}
    else:  # a preset's numbers are in the graph
        parameters = {
            name: value
            for name, value in parameters.items()
            if name not in ("scale", "mean", "std")
        }
    _, *sides = shape
    source = Input(INPUT_NAME, dtype, tuple(sides), usual | parameters | numbers)
    try:
        encode = encoding.Encoding.from_manifest(*source[1:])
        from_manifest(encode.samples_shape, source.preprocess)
    except (ValueError, TypeError, OverflowError) as error:
        raise ImportRefused(
            f"the pipeline {parameters['pipeline']} does not fit the input {dtype} {shape}: {error}"
        ) from error
    return source


def may_publish_int8(
    evaluations: dict[str, Evaluation], min_accuracy: float, max_loss: float, *, allow_fp32: bool
) -> str | None:
    """Return None if int8 passes the gate, or why not if publishing fp32 alone is allowed.

    Raises GateError if neither may be published.
    """
    try:
        gate.check(evaluations["int8"], evaluations["fp32"], min_accuracy, max_loss)
    except GateError as error:
        if not allow_fp32:
            raise GateError(
                f"{error}; nothing was published: use more calibration pictures like those the "
                "model will see, or --allow-fp32 to publish it unquantised"
            ) from error
        gate.check(evaluations["fp32"], evaluations["fp32"], min_accuracy)
        return str(error)
    return None


def calibration_choice(pictures: Sequence[Path]) -> list[Path]:
    """Return at most 512 pictures: a random choice with a fixed seed."""
    if len(pictures) <= CALIBRATION_SAMPLES:
        return list(pictures)
    chosen = np.random.default_rng(_CHOICE_SEED).permutation(len(pictures))[:CALIBRATION_SAMPLES]
    return [pictures[index] for index in sorted(chosen)]


def _session(path: Path) -> ort.InferenceSession:
    """Session on all cores, for outputs, not timings."""
    return ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
