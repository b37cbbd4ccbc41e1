"""Ranges of a graph's activations, collected in a stream: memory stays within a budget.

onnxruntime's calibrators keep the activations of every picture, or those of one large batch: a
vision transformer of 384 pixels then takes 23 GB. Here a pass returns as many tensors of as few
pictures as the budget holds, and only their smallest and largest values and histograms are kept.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import (
    CalibraterBase,
    HistogramCollector,
    TensorsData,
    save_tensors_data,
)

from model_build.graph.convert import INPUT_NAME

type Method = Literal["minmax", "entropy", "percentile"]
type Tensor = NDArray[np.uint8] | NDArray[np.float32]
type Batches = Callable[[], Iterator[Tensor]]
type Range = tuple[np.float32, np.float32]

_BINS = {"percentile": 2048, "entropy": 512}
_QUANTISED_BINS = 128
_MOST_AT_ONCE = 16  # pictures; more are no quicker on a CPU


class Ranges:
    """Smallest and largest value, and a histogram, of each tensor of a graph.

    batches: yields the model's input, [N, …], in batches of any size; it is called twice.
    budget: bytes that the activations of one pass may take.
    """

    def __init__(
        self, source: Path, operators: Sequence[str], batches: Batches, budget: int
    ) -> None:
        self._passes = _Passes(source, operators, budget)
        self._batches = batches
        self._limits: dict[str, Range] = {}
        for name, values in self._passes.run(batches):
            low, high = self._limits.get(name, (np.float32(np.inf), np.float32(-np.inf)))
            self._limits[name] = (
                np.minimum(low, np.nanmin(values)),
                np.maximum(high, np.nanmax(values)),
            )

    @functools.cached_property
    def _histograms(self) -> dict[str, NDArray[np.int64]]:
        """Counts of each tensor's values, in bins of equal width around zero."""
        counts: dict[str, NDArray[np.int64]] = {}
        for name, values in self._passes.run(self._batches):
            found, _ = np.histogram(values, _BINS["percentile"], range=_span(*self._limits[name]))
            counts[name] = counts.get(name, 0) + found
        return counts

    def save(self, target: Path, method: Method, percentile: float = 99.99) -> None:
        """Write the ranges that a method selects, for `quantize_static`."""
        limits = self._limits if method == "minmax" else self._selected(method, percentile)
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, limits), target)

    def _selected(self, method: Literal["entropy", "percentile"], percentile: float) -> Any:
        collector = HistogramCollector(
            method=method,
            symmetric=False,
            num_bins=_BINS[method],
            num_quantized_bins=_QUANTISED_BINS,
            percentile=percentile,
            scenario="same",
        )
        for name, counts in self._histograms.items():
            low, high = self._limits[name]
            span = _span(low, high)
            edges = np.linspace(*span, _BINS[method] + 1, dtype=np.float32)
            merged = counts.reshape(_BINS[method], -1).sum(axis=1)
            collector.histogram_dict[name] = (merged, edges, low, high, np.float32(span[1]))
        results = collector.compute_collection_result()
        return {name: tuple(map(np.float32, result[:2])) for name, result in results.items()}


class _Passes:
    """Forward passes that return some tensors of some pictures."""

    def __init__(self, source: Path, operators: Sequence[str], budget: int) -> None:
        calibrator = CalibraterBase(source, list(operators))
        self._model = calibrator.model
        names, infos = calibrator.select_tensors_to_calibrate(self._model)
        inner = sorted(names - {INPUT_NAME})
        self._kinds = {name: infos[name].type.tensor_type.elem_type for name in inner}
        self._budget = budget
        self._takes_one = self._model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
        self._groups: list[list[str]] | None = None
        self._at_once = 1

    def run(self, batches: Batches) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield each tensor's values, part by part."""
        for index in range(len(self._grouped(batches))):
            session = self._session(self._grouped(batches)[index])
            names = [output.name for output in session.get_outputs()]
            for batch in batches():
                for at in range(0, len(batch), self._at_once):
                    part = batch[at : at + self._at_once]
                    if index == 0 and part.dtype == np.float32:
                        yield INPUT_NAME, np.asarray(part, np.float32)
                    for name, values in zip(
                        names, session.run(names, {INPUT_NAME: part}), strict=True
                    ):
                        if values.size:
                            yield name, np.asarray(values, np.float32)
            del session

    def _grouped(self, batches: Batches) -> list[list[str]]:
        """Tensors that one pass returns: as many as the budget holds."""
        if self._groups is None:
            sizes = self._sizes(next(batches())[:1])
            total = sum(sizes.values())
            most = 1 if self._takes_one else _MOST_AT_ONCE
            self._at_once = int(np.clip(self._budget // max(total, 1), 1, most))
            groups: list[list[str]] = [[]]
            filled = 0
            for name, size in sizes.items():
                if groups[-1] and (filled + size) * self._at_once > self._budget:
                    groups.append([])
                    filled = 0
                groups[-1].append(name)
                filled += size
            self._groups = groups
        return self._groups

    def _sizes(self, picture: Tensor) -> dict[str, int]:
        """Bytes of each tensor for one picture, counted inside the graph."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        for index, name in enumerate(self._kinds):
            model.graph.node.append(helper.make_node("Size", [name], [f"size_of_{index}"]))
            model.graph.output.append(
                helper.make_tensor_value_info(f"size_of_{index}", TensorProto.INT64, [])
            )
        counts = self._open(model).run(None, {INPUT_NAME: picture})
        return {name: 4 * int(count) for name, count in zip(self._kinds, counts, strict=True)}

    def _session(self, names: Sequence[str]) -> ort.InferenceSession:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        model.graph.output.extend(
            helper.make_tensor_value_info(name, self._kinds[name], None) for name in names
        )
        return self._open(model)

    @staticmethod
    def _open(model: onnx.ModelProto) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False  # an arena keeps what the largest pass took
        options.log_severity_level = 3
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def _span(low: np.float32, high: np.float32) -> tuple[float, float]:
    """Range of a histogram around zero; never empty."""
    widest = float(max(abs(low), abs(high))) or 1.0
    return -widest, widest
