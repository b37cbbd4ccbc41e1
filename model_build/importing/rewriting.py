"""Rename values of an ONNX graph and add nodes at its ends."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

type Step = tuple[str, dict[str, Any], Sequence[Any]]  # operator, attributes, constants after input


def rename(graph: GraphProto, old: str, new: str) -> None:
    """Rename a value; another value that already has the new name is renamed as well."""
    if old != new:
        _rename_all(graph, {old: new, new: free_name(graph, f"{new}_before")})


def prepend(graph: GraphProto, name: str, steps: Sequence[Step]) -> None:
    """Let nodes compute the graph's input `name` from itself; what uses it uses their result."""
    inner = free_name(graph, f"{name}_converted")
    _rename_all(graph, {name: inner})
    next(value for value in graph.input if value.name == inner).name = name
    nodes = list(_chain(graph, name, inner, steps))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def append(graph: GraphProto, name: str, steps: Sequence[Step]) -> None:
    """Let nodes change the graph's output `name`."""
    inner = free_name(graph, f"{name}_raw")
    _rename_all(graph, {name: inner})
    for value in graph.output:
        value.name = name if value.name == inner else value.name
    graph.node.extend(_chain(graph, inner, name, steps))


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """Map each value to the node that computes it."""
    return {value: node for node in graph.node for value in node.output}


def free_name(graph: GraphProto, name: str) -> str:
    """Return a name that no value of the graph has, like `name`."""
    taken = {value.name for value in (*graph.input, *graph.initializer)}
    taken |= {value for node in graph.node for value in node.output}
    while name in taken:
        name += "_"
    return name


def _chain(
    graph: GraphProto, source: str, target: str, steps: Sequence[Step]
) -> Iterator[NodeProto]:
    """Yield nodes from one value to another, each after the one before."""
    for index, (operator, attributes, constants) in enumerate(steps, 1):
        inputs = [source]
        for constant in constants:
            inputs.append(free_name(graph, f"{target}_{operator.lower()}"))
            graph.initializer.append(numpy_helper.from_array(np.asarray(constant), inputs[-1]))
        result = target if index == len(steps) else free_name(graph, f"{target}_step{index}")
        yield helper.make_node(operator, inputs, [result], **attributes)
        source = result


def _rename_all(graph: GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                values[index] = renamed.get(value, value)
        for attribute in node.attribute:  # subgraphs of branches and loops see outer values
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename_all(inner, renamed)
    for entry in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        entry.name = renamed.get(entry.name, entry.name)
