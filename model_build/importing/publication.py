"""Calibrate, quantise, evaluate and publish an adopted ONNX classifier."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.model.manifest import Input
from classifier.prepare import encoding
from classifier.prepare.pipeline import Pipeline, from_manifest
from drift_check import traffic
from model_build.data import image_folders
from model_build.errors import ImportRefused
from model_build.evaluation import gate, multi_label, rejection
from model_build.evaluation.evaluate import (
    Evaluation,
    Measurement,
    measure,
    score,
    time_side_by_side,
)
from model_build.graph import temperature
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.importing import probing
from model_build.importing.adoption import Adopted
from model_build.importing.pictures import Pictures
from model_build.store import manifest
from model_build.store.model_store import ModelStore

type OnPicture = Callable[[], None]
type Samples = NDArray[np.uint8]  # [N, H, W] or [N, H, W, 3]
type Rows = NDArray[np.float32]

FP32 = "fp32"  # the candidate that is not compressed
_LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")  # used by an import
_BATCH = 16  # pictures per run: 32 of a ViT at 384 pixels take gigabytes
_TIMED = 20  # pictures that the forward pass is timed on
_SLOW_MS = 10  # slower models are timed in fewer rounds
_LEAST_PICTURES, _LEAST_MISTAKES = 100, 10  # a temperature of fewer is chance
_MANY_LABELS, _BEST = 20, 5  # of more labels, answers hold the best only
_SIGNIFICANT = 1.645  # standard deviations: one in twenty, on one side


@dataclass(frozen=True)
class Imported:
    """A model in `folder`: adopted.onnx, and the candidates that are made of it.

    input: `input` of its manifest.
    """

    folder: Path
    labels: list[int] | list[str]
    adopted: Adopted
    input: Input

    @property
    def encode(self) -> encoding.Encoding:
        """Encoding from samples to the model's tensor, by the function's own code."""
        return encoding.Encoding.from_manifest(*self.input[1:])

    @property
    def pipeline(self) -> Pipeline:
        """Pipeline from pictures to samples, by the function's own code."""
        return from_manifest(self.encode.samples_shape, self.input.preprocess)

    @property
    def is_multi_label(self) -> bool:
        """Whether each label is true or false of a picture by itself."""
        return self.adopted.activation == "sigmoid"

    def samples(
        self,
        files: Sequence[Path],
        on_picture: OnPicture,
        broken: image_folders.Broken | None = None,
    ) -> Iterator[Samples]:
        """Yield samples [N, …] of pictures, up to 256 at a time, prepared as the function does.

        broken: where pictures that can't be read are put; without it, ImportRefused lists them.
        """
        return image_folders.samples(files, self.pipeline, on_picture, broken)

    def answers(self, models: Mapping[str, Path], samples: Iterable[Samples]) -> dict[str, Rows]:
        """Probabilities [N, classes] of model files for the same samples."""
        sessions = {name: _session(path) for name, path in models.items()}
        rows: dict[str, list[Rows]] = {
            name: [np.zeros((0, len(self.labels)), np.float32)] for name in models
        }
        for batch in samples:
            for at in range(0, len(batch), self._at_a_time):
                tensor = self.encode(batch[at : at + self._at_a_time])
                for name, session in sessions.items():
                    rows[name].append(session.run([OUTPUT_NAME], {INPUT_NAME: tensor})[0])
        return {name: np.concatenate(parts) for name, parts in rows.items()}

    def calibrate(self, path: Path, probabilities: Rows, pictures: Pictures) -> dict[str, Any]:
        """Put the temperature that fits labelled pictures best into a model file.

        probabilities: of the file for the pictures, [N, classes]. Returns `calibration` of the
        manifest's metrics. Raises ImportRefused if there are too few pictures or wrong answers, or
        the graph does not end in a Softmax.
        """
        count = len(pictures.files)
        mistakes = int((probabilities.argmax(axis=1) != pictures.labels).sum())
        if count < _LEAST_PICTURES or mistakes < _LEAST_MISTAKES:
            raise ImportRefused(
                f"expected {_LEAST_PICTURES} pictures with {_LEAST_MISTAKES} wrong answers, got "
                f"{count} with {mistakes}"
            )
        value = temperature.fit(logarithms(probabilities), pictures.labels)
        try:
            temperature.apply(path, path, value)
        except ValueError as error:
            raise ImportRefused(str(error)) from error
        return {"temperature": value, "samples": count}

    def measure(
        self,
        models: dict[str, Path],
        probabilities: dict[str, Rows],
        pictures: Pictures,
        thresholds: list[float],
    ) -> dict[str, Measurement]:
        """Measure model files side by side; with labelled pictures, evaluate them too.

        probabilities: of each file for the pictures, [N, classes].
        """
        first = next(self.samples(pictures.files[:_TIMED], lambda: None), None)
        tensors: Any = probing.noise(self.encode) if first is None else self.encode(first)
        once = time_side_by_side(models, tensors, rounds=1)
        is_slow = float(np.median(next(iter(once.values())).run_ms)) > _SLOW_MS
        timings = once if is_slow else time_side_by_side(models, tensors)
        measured: dict[str, Measurement] = {}
        for name, path in models.items():
            rows, timing = probabilities[name], timings[name]
            if pictures.truth is None:
                figures = measure(rows, path, timing)
            elif self.is_multi_label:
                figures = multi_label.score(rows, pictures.truth, thresholds, path, timing)
            else:
                figures = score(rows, pictures.labels, path, timing)
            measured[name] = replace(figures, pictures=_baseline(figures))
        return measured

    def output(self, thresholds: list[float]) -> dict[str, Any]:
        """Return `output` of the manifest, without name and labels. thresholds: of multi-label."""
        best = {"top_k": _BEST} if len(self.labels) > _MANY_LABELS else {}
        if not self.is_multi_label:
            return best
        return best | {"activation": "sigmoid", "thresholds": thresholds}

    def publish(
        self,
        store: ModelStore,
        name: str,
        models: dict[str, Path],
        measured: dict[str, Measurement],
        quantizations: dict[str, dict[str, Any] | None],
        calibrated: dict[str, dict[str, Any]],
        origin: dict[str, Any],
        **parts: Any,
    ) -> dict[str, str]:
        """Publish model files, fp32 first; return their versions.

        models, measured, quantizations, calibrated: by candidate. origin: the lineage's entries on
        the file and the pictures. parts: of every manifest.
        """
        versions: dict[str, str] = {}
        for candidate, path in models.items():
            content, figures = path.read_bytes(), measured[candidate]
            is_known = isinstance(figures, Evaluation) and not self.is_multi_label
            counts = figures.confidence_histogram if is_known else []
            document = manifest.build(
                name=name,
                content=content,
                image_shape=self.encode.shape,
                batch=self.adopted.shape[0],
                dtype=self.input.dtype,
                preprocess=self.input.preprocess,
                labels=self.labels,
                quantization=quantizations[candidate],
                calibration=calibrated.get(candidate),
                evaluation=figures,
                rejection=rejection.from_histogram(counts),
                lineage=manifest.lineage({**origin, "parent": versions.get(FP32)}, _LIBRARIES),
                **parts,
            )
            versions[candidate] = store.publish(document, content).version
        return versions

    @property
    def _at_a_time(self) -> int:
        """Pictures per run: a graph may take a single one, and large batches take memory."""
        return _BATCH if self.adopted.shape[0] == "N" else 1


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
    own = dict(parameters)
    if dtype == "uint8":
        own = {key: value for key, value in own.items() if key not in ("scale", "mean", "std")}
    else:
        numbers = {"scale": 1 / 255, "mean": [0.0], "std": [1.0], **own, **numbers}
    _, *sides = shape
    source = Input(INPUT_NAME, dtype, tuple(sides), own | numbers)
    try:
        encode = encoding.Encoding.from_manifest(*source[1:])
        from_manifest(encode.samples_shape, source.preprocess)
    except (ValueError, TypeError, OverflowError) as error:
        raise ImportRefused(
            f"the pipeline {parameters['pipeline']} does not fit the input {dtype} {shape}: {error}"
        ) from error
    return source


def lost_too_much(compressed: NDArray[np.bool_], fp32: NDArray[np.bool_]) -> str | None:
    """Say how much accuracy a model lost, if that is more than allowed and than chance.

    compressed, fp32: which answers are right, [N]. Source: McNemar, "Note on the sampling error of
    the
    difference between correlated proportions or percentages", 1947.
    """
    lost, won = int((fp32 & ~compressed).sum()), int((compressed & ~fp32).sum())
    loss = float(fp32.mean() - compressed.mean())
    if loss <= gate.MAX_LOSS or (lost - won) / np.sqrt(lost + won) < _SIGNIFICANT:
        return None
    return (
        f"it loses {loss:.2%} accuracy against fp32 ({compressed.mean():.2%} against "
        f"{fp32.mean():.2%}), more than {gate.MAX_LOSS:.2%}"
    )


def logarithms(probabilities: Rows) -> Rows:
    """Logits of a softmax's probabilities, up to a constant for each picture."""
    rows: Rows = np.log(np.maximum(probabilities, np.float32(1e-30)))
    return rows


def _baseline(figures: Measurement) -> dict[str, list[int]]:
    """Baseline of pictures through `auto`, which these were; empty without pictures."""
    if not any(figures.predicted_counts):
        return {}
    return {traffic.CLASSES: figures.predicted_counts, "confidence": figures.confidence_histogram}


def _session(path: Path) -> ort.InferenceSession:
    """Session on all cores, for outputs, not timings."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
