"""Weight-only quantisation: weights stored in 8 or 4 bits, activations in float."""

from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper, version_converter

from model_build.engine.stage import StageContext
from model_build.quantise.arithmetic import symmetric

BLOCK = 32  # weights of a matrix that share a scale; onnxruntime supports powers of 2 from 16
# 8-bit products inside MatMulNBits: without it onnxruntime 1.32 unpacks the whole 8-bit matrix in
# every call, ten times slower (docs/quantisation.md).
_ACCURACY_LEVEL = 4
_OPSET = {8: 15, 4: 21}  # the first in which Cast supports the type


def build_stage(context: StageContext, **parameters: Any) -> dict[str, Any]:
    """Quantise the previous stage's graph."""
    return quantise(context.source_graph, context.graph, **parameters)


def quantise(source: Path, target: Path, *, bits: Literal[8, 4] = 8) -> dict[str, Any]:
    """Write an fp32 classifier with its weights in int8 or int4; return its `quantization`.

    Weights: S = max|w| / (2^(bits-1) - 1), q = round(w / S), Z = 0.

    - Conv: one S per channel. onnxruntime has no kernel for such weights: a Cast and a Mul unpack
      them once, when a session opens (constant folding), so the file is small, but memory and
      latency are those of fp32. A DequantizeLinear would stay in the graph and run in every call.
    - MatMul and Gemm with a constant matrix: one S per block of 32 along K, by onnxruntime's
      MatMulNBits, which keeps the matrix packed. Its kernel quantises a block's activations to int8
      on the fly (accuracy_level 4). A Gemm that transposes its input or scales stays float.

    The file is not optimised: that would unpack the weights on disk. source: a graph of standard
    operators, as `optimise` leaves it at level BASIC. Raises ValueError for other bits.

    Source: onnxruntime, "Contrib operators", MatMulNBits; block-wise scales: Dettmers et al.,
    "LLM.int8()", 2022, and Frantar et al., "GPTQ", 2023, whose baseline is round to nearest.
    """
    if bits not in _OPSET:
        raise ValueError(f"bits must be 8 or 4, got {bits}")
    model = onnx.load(source)
    if max(entry.version for entry in model.opset_import if not entry.domain) < _OPSET[bits]:
        model = version_converter.convert_version(model, _OPSET[bits])
        model.ir_version = max(model.ir_version, 10)  # the first with int4
    if not any(entry.domain == "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    added: list[TensorProto] = []
    for node in graph.node:
        weight = weights.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type == "Conv" and weight is not None:
            changed, tensors = _unpacked_at_load(node, weight, bits)
        elif _is_matrix_product(node) and weight is not None and weight.ndim == 2:
            changed, tensors = _packed(node, weight, bits)
        else:
            changed, tensors = [node], []
        nodes += changed
        added += tensors
    used = {name for node in nodes for name in node.input}
    used_tensors = {
        tensor.name: tensor for tensor in [*graph.initializer, *added] if tensor.name in used
    }
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(used_tensors.values())
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return {
        "method": "weight-only",
        "format": "MatMulNBits",
        "weights": f"int{bits}, per block of {BLOCK}; convolutions per channel, unfolded at load",
        "activations": "float32; int8 per block inside MatMulNBits",
    }


def _is_matrix_product(node: NodeProto) -> bool:
    attributes = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
    }
    plain = not attributes.get("transA") and attributes.get("alpha", 1) == 1
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm" and plain and attributes.get("beta", 1) == 1
    )


def _unpacked_at_load(
    node: NodeProto, weight: NDArray[np.float32], bits: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Conv whose weights [O, I, H, W] a Cast and a Mul unpack."""
    name = node.input[1]
    quantised, scale = symmetric(weight, bits, axis=0)
    stored = quantised if bits == 8 else quantised.astype(ml_dtypes.int4)
    scales = scale.reshape(-1, *[1] * (weight.ndim - 1))
    tensors = [
        numpy_helper.from_array(stored, f"{name}_quantized"),
        numpy_helper.from_array(scales, f"{name}_scale"),
    ]
    changed = NodeProto()
    changed.CopyFrom(node)
    changed.input[1] = f"{name}_unfolded"
    unfold = [
        helper.make_node("Cast", [tensors[0].name], [f"{name}_steps"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_steps", tensors[1].name], [f"{name}_unfolded"]),
    ]
    return [*unfold, changed], tensors


def _packed(
    node: NodeProto, weight: NDArray[np.float32], bits: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    """MatMulNBits instead of a product with a matrix [K, N], or [N, K] if Gemm transposes it."""
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    rows = weight if transposed else weight.T
    columns, depth = rows.shape  # N, K
    blocks = -(-depth // BLOCK)
    padded = np.pad(rows, ((0, 0), (0, blocks * BLOCK - depth))).reshape(-1, BLOCK)
    quantised, scale = symmetric(padded, bits, axis=0)
    steps = (quantised.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8)  # its zero point
    if bits == 4:
        steps = steps[:, 0::2] | steps[:, 1::2] << 4  # two per byte, the first in the low half
    name = node.input[1]
    tensors = [
        numpy_helper.from_array(steps.reshape(columns, blocks, -1), f"{name}_quantized"),
        numpy_helper.from_array(scale.reshape(columns, blocks), f"{name}_scale"),
    ]
    bias = ["", "", node.input[2]] if len(node.input) > 2 else []
    product = helper.make_node(
        "MatMulNBits",
        [node.input[0], tensors[0].name, tensors[1].name, *bias],
        list(node.output),
        domain="com.microsoft",
        K=depth,
        N=columns,
        bits=bits,
        block_size=BLOCK,
        accuracy_level=_ACCURACY_LEVEL,
    )
    return [product], tensors
