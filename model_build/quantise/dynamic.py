"""Dynamic quantisation: weights stored in 8 bits, activations quantised in each call."""

import tempfile
from pathlib import Path
from typing import Any

from onnxruntime.quantization import QuantType, quantize_dynamic

from model_build.engine.stage import StageContext
from model_build.graph.optimise import EXTENDED, optimise
from model_build.quantise.static import quiet


def build_stage(context: StageContext) -> dict[str, Any]:
    """Quantise the previous stage's graph."""
    return quantise(context.source_graph, context.graph)


def quantise(source: Path, target: Path) -> dict[str, Any]:
    """Write a dynamically quantised version of an fp32 classifier; return its `quantization`.

    Weights: S = (max w - min w) / 255, Z = round(-min w / S), per tensor, computed once.
    Activations: the same formula over the values of each call (DynamicQuantizeLinear), so no
    calibration is needed, but every call computes minimum and maximum first. The products are
    summed in int32 (MatMulInteger, ConvInteger), then x · w ≈ Sx · Sw · Σ (qx - Zx)(qw - Zw).

    Weights are uint8: with 8-bit int8 weights onnxruntime's kernels for CPUs without VNNI saturate.

    Source: the ONNX operators DynamicQuantizeLinear, MatMulInteger and ConvInteger; onnxruntime,
    "Quantize ONNX Models".
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        quantised = Path(folder) / "dynamic.onnx"
        quantize_dynamic(source, quantised, weight_type=QuantType.QUInt8)
        optimise(quantised, target, EXTENDED)
    return {
        "method": "dynamic",
        "format": "QOperator",
        "weights": "uint8, per tensor",
        "activations": "uint8, of each call",
    }
