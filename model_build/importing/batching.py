"""Let a graph that was exported for a fixed number of pictures take any number."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, numpy_helper

from model_build.graph.convert import INPUT_NAME
from model_build.importing.inputs import set_batch
from model_build.importing.rewriting import free_name


def with_any_batch(model: ModelProto) -> ModelProto:
    """Return a copy for any number of pictures: Reshapes no longer state how many there are.

    That is a guess, for the caller to check: a first dimension need not be the pictures'.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {value.name: _shape(value) for value in inferred.graph.value_info}
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    set_batch(graph, "N")
    constants = _constants(graph)
    for node in _after_the_input(graph):
        if node.op_type == "Reshape" and node.input[1] in constants:
            target = _open(constants[node.input[1]], shapes.get(node.output[0], []))
            if target is not None:
                name = free_name(graph, f"{node.output[0]}_shape")
                graph.initializer.append(numpy_helper.from_array(target, name))
                node.input[1] = name
    return result


def _open(target: NDArray[Any], shape: list[int]) -> NDArray[np.int64] | None:
    """Shape of a Reshape with its first dimension left open, if that can be said."""
    if len(target) == 0 or target[0] <= 0:
        return None
    rest = shape[1:] if len(shape) == len(target) and all(shape) else target[1:]
    # A 0 copies the first dimension of what is reshaped, for where another one is computed.
    return np.array([-1 if all(side > 0 for side in rest) else 0, *rest], np.int64)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Lengths of a value, 0 where they are not known."""
    return [side.dim_value for side in value.type.tensor_type.shape.dim]


def _constants(graph: GraphProto) -> dict[str, NDArray[Any]]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == AttributeProto.TENSOR:
                found[node.output[0]] = numpy_helper.to_array(attribute.t)
            elif node.op_type == "Constant" and attribute.name == "value_ints":
                found[node.output[0]] = np.array(attribute.ints)
    return found


def _after_the_input(graph: GraphProto) -> list[NodeProto]:
    """Nodes whose result depends on the picture."""
    reached, nodes = {INPUT_NAME}, []
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            nodes.append(node)
    return nodes
