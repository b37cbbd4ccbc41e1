"""Dynamic quantisation: weights are stored in 8 bits, activations are quantised at each call."""

import tempfile
from pathlib import Path
from typing import Any

from onnxruntime.quantization import QuantType, quantize_dynamic

from model_build.engine.stage import StageContext
from model_build.graph.optimise import EXTENDED, optimise
from model_build.quantise.static import quiet


def build_stage(context: StageContext) -> dict[str, Any]:
    """Quantise the graph of the stage before."""
    return quantise(context.source_graph, context.graph)


def quantise(source: Path, target: Path) -> dict[str, Any]:
    """Write a dynamically quantised version of an fp32 classifier; give what its manifest says.

    Weights: S = (max w - min w) / 255, Z = round(-min w / S), per tensor, computed once.
    Activations: the same formula over the values of the very call (DynamicQuantizeLinear), so no
    calibration is needed, and every call looks for minimum and maximum first. The products are
    summed in int32 (MatMulInteger, ConvInteger), then x · w ≈ Sx · Sw · Σ (qx - Zx)(qw - Zw).

    Weights are uint8: onnxruntime's kernels for CPUs without VNNI saturate with int8 weights of
    8 bits and do not with uint8.

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
