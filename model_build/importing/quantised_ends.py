"""Let a graph that takes or returns quantised integers take pixels and return floats."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from model_build.importing.rewriting import Step, append, producers, rename

INTEGERS: dict[int, type[np.generic]] = {TensorProto.INT8: np.int8, TensorProto.UINT8: np.uint8}
_SHAPES = {"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_SCALES = {  # the input of an operator that is its output's scale; the zero point is the next
    "QGemm": 7,
    "QLinearConv": 6,
    "QLinearGlobalAveragePool": 3,
    "QLinearMatMul": 6,
    "QLinearSigmoid": 3,
    "QLinearSoftmax": 3,
}
_RANGES = ((0, 255), (0, 1), (-1, 1))  # of pixels, as authors scale them
_NEAR = 0.02  # of a range's width: quantisers see pictures that don't fill it


class Quantisation(NamedTuple):
    """What an integer stands for: (integer - zero) * scale."""

    scale: NDArray[np.float32]
    zero: NDArray[np.generic]


def steps_into(graph: GraphProto, image: ValueInfoProto) -> tuple[str, list[Step]] | None:
    """The dtype to take for a quantised input, and the steps from it; None if it is not quantised.

    Pixels in uint8, if the integers' range is one that authors scale pixels to; else float32, the
    numbers that the author's preprocessing makes.
    """
    quantisation = _of_input(graph, image)
    if quantisation is None:
        return None
    steps = _from_pixels(quantisation)
    if steps is None:
        return "float32", [("QuantizeLinear", {}, [*quantisation])]
    return "uint8", steps


def return_floats(graph: GraphProto, notes: list[str]) -> None:
    """Let outputs that the graph quantises be the numbers before that, or what they stand for."""
    for output in graph.output:
        if output.type.tensor_type.elem_type not in INTEGERS:
            continue
        name, made_by = output.name, producers(graph)
        shaped: list[NodeProto] = []
        node = made_by.get(name)
        while node is not None and node.op_type in _SHAPES:
            shaped.append(node)
            node = made_by.get(node.input[0])
        if node is None:
            continue
        if node.op_type == "QuantizeLinear":
            exact = _before(made_by, node)
            if shaped:
                shaped[-1].input[0] = exact
            else:
                output.name = exact
                rename(graph, exact, name)
            notes.append(f"the output {name} was rounded to integers: took the numbers before that")
        elif found := _stated(graph, node, _SCALES.get(node.op_type)):
            append(graph, name, [("DequantizeLinear", {}, [*found])])
            notes.append(f"the output {name} holds integers: appended a DequantizeLinear")
        else:
            continue
        output.type.tensor_type.elem_type = TensorProto.FLOAT


def _of_input(graph: GraphProto, image: ValueInfoProto) -> Quantisation | None:
    """How the graph's input is quantised, if DequantizeLinear or Q operators say it."""
    if image.type.tensor_type.elem_type not in INTEGERS:
        return None
    found = image.name
    while len(readers := [node for node in graph.node if found in node.input]) == 1:
        (node,) = readers
        if node.op_type not in _SHAPES:
            return _stated(graph, node, 1) if _is_quantised(node) else None
        found = node.output[0]
    return None


def _from_pixels(quantisation: Quantisation) -> list[Step] | None:
    """Steps from pixels 0 to 255 to the graph's integers, none if they are the same.

    None if the integers' range is not one that authors scale all channels of pixels to.
    """
    scale, zero = quantisation
    limits = np.iinfo(str(zero.dtype))
    least, most = ((float(one) - float(zero)) * float(scale) for one in (limits.min, limits.max))
    for low, high in _RANGES:
        near = _NEAR * (high - low)
        if abs(least - low) > near or abs(most - high) > near:
            continue
        pixels = np.arange(256, dtype=np.float32)
        factor, offset = np.float32((high - low) / 255), np.float32(low)
        same = np.rint((pixels * factor + offset) / scale) + np.float32(zero)
        if zero.dtype == np.uint8 and np.array_equal(same.clip(0, 255), pixels):
            return []
        return [
            ("Cast", {"to": TensorProto.FLOAT}, []),
            ("Mul", {}, [factor]),
            ("Add", {}, [offset]),
            ("QuantizeLinear", {}, [scale, zero]),
        ]
    return None


def _before(made_by: dict[str, NodeProto], node: NodeProto) -> str:
    """The value that QuantizeLinear takes, before earlier ones of the same."""
    inner = made_by.get(node.input[0])
    if inner is not None and inner.op_type == "DequantizeLinear":
        first = made_by.get(inner.input[0])
        if first is not None and first.op_type == "QuantizeLinear":
            return _before(made_by, first)
    return str(node.input[0])


def _is_quantised(node: NodeProto) -> bool:
    return node.op_type == "DequantizeLinear" or node.op_type in _SCALES


def _stated(graph: GraphProto, node: NodeProto, index: int | None) -> Quantisation | None:
    """Scale and zero point, one each, from two inputs of a node."""
    if index is None or len(node.input) < index + 2:
        return None
    weights = {tensor.name: tensor for tensor in graph.initializer}
    tensors = [weights.get(name) for name in node.input[index : index + 2]]
    scale, zero = (None if one is None else numpy_helper.to_array(one) for one in tensors)
    if scale is None or zero is None or scale.size != 1 or zero.dtype not in (np.int8, np.uint8):
        return None
    return Quantisation(scale.reshape(()), zero.reshape(()))
