"""Integer graph → the same integers in fewer steps: what is worth doing once pixels stay bytes.

Each rewrite is exact, the answers are the same bit by bit; docs/performance.md has the gains.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from model_build.graph.optimise import ALL, optimise

# Operators that, with the right parameters, only hand bytes on.
_SCALERS = ("Cast", "Mul", "QuantizeLinear")
_CARRIERS = (*_SCALERS, "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_CELL = 4  # columns that become channels: so many bytes are multiplied at a time
_UNDER = 3  # cells under a kernel: that in which it begins a step, and its neighbours
_WEIGHTS, _OF_FILTERS = 3, (4, 5, 8)  # inputs of QLinearConv; these are scales, zero points, bias
_UNNAMED = {
    "auto_pad": b"NOTSET",
    "channels_last": 0,
    "dilations": [1, 1],
    "group": 1,
    "pads": [0, 0, 0, 0],
    "strides": [1, 1],
}

type Stored = dict[str, NDArray[Any]]


def optimise_integers(source: Path, target: Path) -> None:
    """Write a QDQ graph as onnxruntime's integer operators, with no idle ones between them.

    Convolutions take channels last, as the kernels for bytes want it; onnxruntime would rewrite
    them so at every load. Its highest level does that, but for one of its parts: blocks of
    channels for float, which are as wide as one kind of CPU wants them, are left to load time.
    """
    with tempfile.TemporaryDirectory() as folder:
        fused = Path(folder) / "fused.onnx"
        optimise(source, fused, ALL, without=["NchwcTransformer"])
        model = onnx.load(fused)
    carry_bytes(model)
    fold_columns(model.graph)
    carry_bytes(model)  # what was folded again
    _drop_unused(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def carry_bytes(model: ModelProto) -> None:
    """Put one Reshape in place of each chain of operators that only hands its bytes on.

    The input's own quantisation is such a chain where S = 1/255 and Z = 0: Cast, Mul and
    QuantizeLinear make of each byte the same byte. Whether a chain is one is not read off its
    parameters but tried, with every value at every position.
    """
    chains = list(_chains(model.graph))
    blank = _on_blank(model, [name for chain in chains for name in _ends(chain)])
    for chain in chains:
        start, end = _ends(chain)
        if _hands_on(model, chain, blank[start], blank[end]):
            place = list(model.graph.node).index(chain[0])
            for node in chain:
                model.graph.node.remove(node)
            _insert_reshape(model.graph, place, (start, end), [-1, *blank[end].shape[1:]])


def fold_columns(graph: GraphProto) -> None:
    """Make channels of the columns of a grey image, for a first convolution of stride 2.

    Four channels of bytes are multiplied at a time, and an image of one leaves three of them empty.
    But [N, H, W, 1] is in memory also [N, H, W/4, 4], cells of four columns. The weights
    [M, 1, k, l] become [2M, 4, k, 3]: for either step of the kernel in a cell the same weights,
    shifted, with zeros in the rest of the cell and of its neighbours. The answer [N, H', W/4, 2M]
    is in memory what it was, [N, H', W/2, M]. Any other graph stays as it is.
    """
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    first = next((node for node in graph.node if node.op_type == "QLinearConv"), None)
    constant = first is not None and stored.keys() >= set(first.input[1:])
    size = _image_size(graph, first, stored) if first and constant else None
    if first is None or size is None or not _is_foldable(first, size, stored):
        return
    rows, columns = size
    given = _attributes(first)
    weights = stored[first.input[_WEIGHTS]]
    filters, _, height, width = weights.shape
    top, left, bottom, _ = given["pads"]
    shifted = np.zeros((2, filters, height, _UNDER * _CELL), weights.dtype)
    for step in range(2):
        column = _CELL + 2 * step - left
        shifted[step, ..., column : column + width] = weights[:, 0]
    cells = shifted.reshape(2 * filters, height, _UNDER, _CELL).transpose(0, 3, 1, 2)
    folded = {first.input[_WEIGHTS]: np.ascontiguousarray(cells)}
    folded |= {name: np.tile(stored[name], 2) for name in _by_filter(first, stored)}
    for name, values in folded.items():
        graph.initializer.append(numpy_helper.from_array(values, f"{name}_folded"))
    image, answer = first.input[0], first.output[0]
    inputs = [image, *first.input[1:]]
    wide = helper.make_node(
        first.op_type,
        [f"{name}_folded" if name in {image, *folded} else name for name in inputs],
        [f"{answer}_folded"],
        first.name,
        domain=first.domain,
        **given
        | {
            "strides": [given["strides"][0], 1],
            "pads": [top, 1, bottom, 1],
            "kernel_shape": [height, _UNDER],
        },
    )
    place = list(graph.node).index(first)
    graph.node.remove(first)
    _insert_reshape(graph, place, (image, wide.input[0]), [-1, rows, columns // _CELL, _CELL])
    graph.node.insert(place + 1, wide)
    below = (rows + top + bottom - height) // given["strides"][0] + 1
    _insert_reshape(graph, place + 2, (wide.output[0], answer), [-1, below, columns // 2, filters])


def _is_foldable(first: NodeProto, size: tuple[int, int], stored: Stored) -> bool:
    given, weights = _attributes(first), stored[first.input[_WEIGHTS]]
    _, left, _, right = given["pads"]
    width, columns = weights.shape[3], size[1]
    return (
        given["channels_last"] == 1
        and given["auto_pad"] == b"NOTSET"
        and given["group"] == 1
        and given["dilations"] == [1, 1]
        and given["strides"][1] == 2
        and columns % _CELL == 0
        and (columns + left + right - width) // 2 + 1 == columns // 2
        and left <= _CELL
        and _CELL + 2 - left + width <= _UNDER * _CELL
        and not stored[first.input[5]].any()  # a weight of 0 must mean nothing
    )


def _image_size(graph: GraphProto, first: NodeProto, stored: Stored) -> tuple[int, int] | None:
    """Rows and columns of the one-channel image that a node takes from a Reshape; else None."""
    made = [node for node in graph.node if node.output[0] == first.input[0]]
    if not made or made[0].op_type != "Reshape" or made[0].input[1] not in stored:
        return None
    match stored[made[0].input[1]].tolist():
        case [-1, rows, columns, 1]:
            return rows, columns
    return None


def _by_filter(node: NodeProto, stored: Stored) -> Iterator[str]:
    """Inputs of a QLinearConv that have a value for each filter: scales, zero points, biases."""
    return (
        node.input[at] for at in _OF_FILTERS if at < len(node.input) and stored[node.input[at]].ndim
    )


def _chains(graph: GraphProto) -> Iterator[list[NodeProto]]:
    """Carriers in a row, each the one user of what the one before it made; not a Reshape alone."""
    stored = {one.name for one in graph.initializer}
    users = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    made = [name for node in graph.node if node.op_type not in _CARRIERS for name in node.output]
    for start in [_input(graph).name, *made]:
        chain: list[NodeProto] = []
        name = start
        while len(users[name]) == 1:
            (user,) = users[name]
            is_carrier = user.op_type in _CARRIERS and user.input[0] == name
            if not is_carrier or not stored.issuperset(user.input[1:]):
                break
            chain.append(user)
            name = user.output[0]
        if chain and [node.op_type for node in chain] != ["Reshape"]:
            yield chain


def _ends(chain: Sequence[NodeProto]) -> tuple[str, str]:
    return chain[0].input[0], chain[-1].output[0]


def _hands_on(
    model: ModelProto, chain: Sequence[NodeProto], start: NDArray[Any], end: NDArray[Any]
) -> bool:
    """Whether a chain gives the bytes [N, …] that it takes, in the same order.

    start, end: a blank image's, for their form. Two of a batch go in at a time. Over 256 rounds
    each position takes every value, and no two positions take the same values in all rounds.
    """
    if start.dtype != np.uint8 or end.dtype != np.uint8 or start.size != end.size:
        return False
    source, sink = _ends(chain)
    used = {name for node in chain for name in node.input[1:]}
    part = helper.make_graph(
        chain,
        "chain",
        [helper.make_tensor_value_info(source, TensorProto.UINT8, start.shape)],
        [helper.make_tensor_value_info(sink, TensorProto.UINT8, end.shape)],
        [one for one in model.graph.initializer if one.name in used],
    )
    session = _session(_like(model, part))
    places = np.arange(start.size).reshape(start.shape)
    digits = 1 if start.size <= 256 else 2 if start.size <= 256**2 else 3
    for digit in range(digits):
        for turn in range(256):
            image = ((places // 256**digit + turn) % 256).astype(np.uint8)
            (given,) = session.run(None, {source: image})
            if given.tobytes() != image.tobytes():
                return False
    return True


def _on_blank(model: ModelProto, names: Sequence[str]) -> Stored:
    """Tensors of these names for two blank images."""
    source = _input(model.graph)
    tensor = source.type.tensor_type
    shape = [2, *(one.dim_value for one in tensor.shape.dim[1:])]
    blank = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    open_ = onnx.ModelProto()
    open_.CopyFrom(model)
    inner = sorted(set(names) - {source.name, *(one.name for one in model.graph.output)})
    open_.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    found = _session(open_).run(inner, {source.name: blank}) if inner else []
    return {source.name: blank, **dict(zip(inner, found, strict=True))}


def _input(graph: GraphProto) -> onnx.ValueInfoProto:
    """The one input; older files list their weights among the inputs as well."""
    stored = {one.name for one in graph.initializer}
    found: list[onnx.ValueInfoProto] = [one for one in graph.input if one.name not in stored]
    (image,) = found
    return image


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns of initializers that nothing uses
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _like(model: ModelProto, graph: GraphProto) -> ModelProto:
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes of a convolution, with the standard's values for those it does not name."""
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return _UNNAMED | given


def _insert_reshape(
    graph: GraphProto, place: int, ends: tuple[str, str], shape: Sequence[int]
) -> None:
    start, end = ends
    target = numpy_helper.from_array(np.array(shape, np.int64), f"{end}_shape")
    for former in [one for one in graph.initializer if one.name == target.name]:
        graph.initializer.remove(former)
    graph.initializer.append(target)
    reshape = helper.make_node("Reshape", [start, target.name], [end], name=f"{end}_reshape")
    graph.node.insert(place, reshape)


def _drop_unused(graph: GraphProto) -> None:
    """Remove nodes and stored tensors that nothing uses."""
    ends = {one.name for one in graph.output}
    while True:
        used = {name for node in graph.node for name in node.input} | ends
        idle = [node for node in graph.node if not used.intersection(node.output)]
        for node in idle:
            graph.node.remove(node)
        if not idle:
            break
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
