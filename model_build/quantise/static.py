"""Static int8 quantisation in QDQ format, calibrated on samples."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    create_calibrator,
    quantize_static,
    save_tensors_data,
)

from model_build.data import datasets
from model_build.engine.stage import StageContext
from model_build.graph.convert import INPUT_NAME
from model_build.graph.optimise import optimise_integers

CALIBRATION_SAMPLES = 512

type Method = Literal["minmax", "entropy", "percentile"]

# Logits and probabilities stay float: eight bits would tie answers and cap confidence.
OPERATORS = ["Conv", "MatMul", "Gemm", "MaxPool", "Relu"]
_NEGLIGIBLE = 1e-6  # the range of a channel whose weights are all zero
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "minmax": {},
    "entropy": {"num_bins": 512, "num_quantized_bins": 128},
    "percentile": {"num_bins": 2048, "symmetric": False},  # values after a ReLU are one-sided
}


def build_stage(context: StageContext, **parameters: Any) -> dict[str, Any]:
    """Quantise the previous stage's graph."""
    calibration = calibration_images(context.dataset)
    return quantise(context.source_graph, context.graph, calibration, **parameters)


def calibration_images(dataset: datasets.Dataset) -> NDArray[np.uint8]:
    """Training samples uint8 [N, H, W] that set the scales, equally many per class."""
    per_class = CALIBRATION_SAMPLES // dataset.classes
    return dataset.train_images[datasets.stratified_split(dataset.train_labels, per_class)]


def quantise(
    source: Path,
    target: Path,
    calibration: NDArray[np.uint8],
    *,
    method: Method = "minmax",
    per_channel: bool = True,
    percentile: float = 99.99,
) -> dict[str, Any]:
    """Write an int8 version of an fp32 classifier; return its `quantization` for the manifest.

    calibration: images uint8 [N, H, W] whose activations set each tensor's range [min, max], from
    which S = (max - min) / 255 and Z = round(-min / S). method selects the range:

    - `minmax`: the smallest and largest value observed.
    - `percentile`: the range that holds `percentile` per cent of the values, with equal shares cut
      off at both ends; values outside saturate.
    - `entropy`: the saturating range whose quantised distribution Q is nearest to the values'
      distribution P: least Σ P log(P / Q), P in 512 bins and Q in 128. onnxruntime's default is 128
      for both, which leaves only the min-max range to choose from (#9597).

    Weights: S = max|w| / 63, Z = 0, one S per channel or, with per_channel off, per tensor. They
    are limited to 7 bits: CPUs without VNNI add pairs of products in 16 bits, which 8-bit weights
    saturate, so the same file would answer differently on two CPUs (onnxruntime recommends
    `reduce_range`). The file is optimised afterwards: a cold start then has nothing to fuse.

    Raises ValueError for another method, or a percentile outside (50, 100].

    Source: Jacob et al. 2018, section 2.1; entropy: Migacz, "8-bit Inference with TensorRT", 2017;
    percentile: Wu et al., "Integer Quantization for Deep Learning Inference", 2020, section 5.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be in (50, 100], got {percentile}")
    cuts = method == "percentile"
    with tempfile.TemporaryDirectory() as folder, quiet():
        ranges = Path(folder) / "ranges.json"
        calibrator = create_calibrator(
            source,
            OPERATORS,
            str(Path(folder) / "augmented.onnx"),
            _METHODS[method],
            extra_options=_OPTIONS[method] | ({"percentile": percentile} if cuts else {}),
        )
        calibrator.collect_data(_Batches(calibration))
        save_tensors_data(calibrator.compute_data(), ranges)
        write(source, target, ranges, _METHODS[method], per_channel=per_channel)
    calibration_record: dict[str, Any] = {"method": method, "samples": len(calibration)}
    if cuts:
        calibration_record["percentile"] = percentile
    return {
        "method": "static",
        "format": "QDQ",
        "weights": f"int8, 7 bits, per {'channel' if per_channel else 'tensor'}",
        "activations": "uint8",
        "calibration": calibration_record,
    }


def write(
    source: Path,
    target: Path,
    ranges: Path,
    method: CalibrationMethod,
    *,
    per_channel: bool = True,
    operators: Sequence[str] = OPERATORS,
    in_float: Sequence[str] = (),
    by_pairs: bool = False,
) -> None:
    """Write an int8 version of an fp32 classifier by ranges from a file.

    in_float: names of nodes that are not quantised. by_pairs: instead of 7 bits, as many of 8 as
    no pair of a channel's weights saturates with; see `pair_limits`.
    """
    limits = pair_limits(onnx.load(source)) if by_pairs else {}
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "qdq.onnx"
        quantize_static(
            source,
            quantised,
            calibration_cache_path=ranges,
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            reduce_range=not by_pairs,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            op_types_to_quantize=[*operators],
            nodes_to_exclude=[*in_float],
            extra_options={
                "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
                "TensorQuantOverrides": limits,
            },
        )
        optimise_integers(quantised, target)


def pair_limits(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Return each weight tensor's range per channel, for quantize_static's overrides.

    CPUs without VNNI add a · v + b · w in 16 bits, of activations a, b ≤ 255 and of weights v, w
    that follow each other. With S = max(|v| + |w|) / 127, rounding included, |v| + |w| is at most
    128 steps, and 255 · 128 < 2^15: no sum saturates, on any CPU. The largest pair is smaller than
    twice the largest weight, so this costs less precision than seven bits. Convolutions with one
    input channel per group have a kernel of 32 bits and keep all eight.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    limits: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        values = np.abs(numpy_helper.to_array(weights[node.input[1]]))
        if node.op_type == "Conv":
            axis = 0
            rows = np.moveaxis(values, 1, -1).reshape(len(values), -1)  # channels last
            is_exact = values.shape[1] == 1
        else:
            transposed = any(found.name == "transB" and found.i for found in node.attribute)
            axis = 0 if transposed else 1
            rows = values if transposed else values.T
            is_exact = values.ndim != 2
        if is_exact or rows.shape[1] < 2:
            continue
        highest = np.maximum((rows[:, 1:] + rows[:, :-1]).max(axis=1), _NEGLIGIBLE)
        channels = [{"rmin": np.float32(-high), "rmax": np.float32(high)} for high in highest]
        limits[node.input[1]] = [{"axis": axis} | channels[0], *channels[1:]]
    return limits


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence onnxruntime's quantiser, which prints, and advises steps already done."""
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


class _Batches(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    def __init__(self, images: NDArray[np.uint8], max_size: int = 64) -> None:
        # All of equal size: the histograms of entropy and percentile fail on a smaller last batch.
        size = max(size for size in range(1, max_size + 1) if len(images) % size == 0)
        self._batches = iter(
            [images[start : start + size] for start in range(0, len(images), size)]
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}
