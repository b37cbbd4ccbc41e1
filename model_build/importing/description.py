"""Describe an ONNX file before it is imported: what it takes, returns and is made of."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, TensorProto, ValueInfoProto

from model_build.importing.inputs import Side, dimensions
from model_build.importing.reading import opset, quantised_format, read

# Operators that onnxruntime's CPU runs in integers, and those that only move or name values.
_INT8 = {
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid", "Softmax", "Where",
}  # fmt: skip
_MOVES = {
    "Cast", "Constant", "ConstantOfShape", "DequantizeLinear", "Dropout", "Expand", "Flatten",
    "Gather", "Identity", "Pad", "QuantizeLinear", "Range", "Reshape", "Shape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze", "ZipMap",
}  # fmt: skip


@dataclass(frozen=True)
class Port:
    """An input or output: `FLOAT`, and lengths or names of its dimensions."""

    name: str
    kind: str
    shape: list[Side]


@dataclass(frozen=True)
class Description:
    """What a file says of itself."""

    inputs: list[Port]
    layout: str  # of the picture, such as `[N, C, H, W]`; empty if the shape does not tell
    outputs: list[Port]
    opset: int
    ir_version: int
    producer: str
    parameters: int
    bytes: int  # with the files that its weights are in
    operators: dict[str, int]  # how many nodes of each, most frequent first
    without_int8: dict[str, int]  # those that stay in float in an int8 model
    quantised: str | None  # QDQ, QOperator or MatMulNBits if it already is


def describe(path: Path, size: tuple[int, int] | None = None) -> Description:
    """Describe a model's file; raises ImportRefused if it can't be read or served at all.

    size: of its pictures, for a file of another framework that leaves them open.
    """
    source = read(path, size)
    model, graph = source.model, source.model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [_port(value) for value in graph.input if value.name not in weights]
    operators = dict(Counter(node.op_type for node in graph.node).most_common())
    return Description(
        inputs=inputs,
        layout=_layout(inputs[0].shape) if len(inputs) == 1 else "",
        outputs=[_port(value) for value in graph.output],
        opset=opset(model),
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        parameters=_parameters(graph),
        bytes=sum(file.stat().st_size for file in source.files),
        operators=operators,
        without_int8={
            name: count for name, count in operators.items() if name not in _INT8 | _MOVES
        },
        quantised=quantised_format(model),
    )


def _parameters(graph: GraphProto) -> int:
    """Numbers that were learnt: weights, and the thresholds and leaves of trees."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [*graph.initializer, *(attribute.t for attribute in attributes)]
    weights = sum(math.prod(tensor.dims) for tensor in tensors if tensor.data_type)
    return int(weights) + sum(len(attribute.floats) for attribute in attributes)


def _port(value: ValueInfoProto) -> Port:
    if not value.type.HasField("tensor_type"):  # scikit-learn's sequence of dictionaries
        return Port(value.name, value.type.WhichOneof("value") or "unknown", [])
    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return Port(value.name, kind, dimensions(value))


def _layout(shape: list[Side]) -> str:
    match shape:
        case [_, _]:
            return "[N, pixels]"
        case [_, _, _]:
            return "[N, H, W]"
        case [_, 1 | 3, _, _]:
            return "[N, C, H, W]"
        case [_, _, _, 1 | 3]:
            return "[N, H, W, C]"
    return ""
