"""Find a classifier's output among others, and make it the contract's `probabilities`."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper

from model_build.errors import ImportRefused
from model_build.graph.convert import OUTPUT_NAME
from model_build.importing.probing import PICTURES
from model_build.importing.reading import label
from model_build.importing.rewriting import Step, append, producers, rename

type OutputKind = Literal["auto", "logits", "probabilities", "sigmoid"]
type Activation = Literal["softmax", "sigmoid"]

# What may stand between the last activation and the output without changing a number's meaning.
_TRANSPARENT = {"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"} | {
    "DequantizeLinear",
    "QuantizeLinear",
    "Transpose",
}
_ACTIVATIONS = {"Softmax", "Sigmoid", "HardSigmoid", "LogSoftmax", "QLinearSoftmax"}
_ROUNDING = 0.05  # how far sums of a Softmax in float16 may be from 1


def drop_zip_maps(graph: GraphProto, notes: list[str]) -> None:
    """Remove scikit-learn's dictionaries of labels: their input is a tensor of probabilities."""
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        tensor, maps = node.input[0], node.output[0]
        graph.node.remove(node)
        for output in graph.output:
            if output.name == maps:
                output.CopyFrom(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
        rename(graph, tensor, maps)
        notes.append(f"removed {label(node)}: the output is a tensor instead of dictionaries")


def forget_shapes(graph: GraphProto) -> None:
    """Drop the shapes of outputs and inner values: they may hold a fixed batch size."""
    del graph.value_info[:]
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")


def take_output(
    graph: GraphProto,
    calls: dict[str, list[NDArray[Any]]],
    classes: int,
    name: str | None,
    notes: list[str],
) -> str:
    """Keep the output with one number per class as `probabilities`; return its own name.

    calls: each output of eight pictures of noise, call by call. The output becomes float32
    [N, classes], or [N, 1] where a single number decides between two classes.
    """
    names = [output.name for output in graph.output]
    if name is not None and name not in names:
        raise ImportRefused(f"the model has no output {name!r}; expected one of {', '.join(names)}")
    usable = [
        output
        for output in ([name] if name is not None else names)
        if _columns(calls[output], classes)
    ]
    if not usable:
        raise ImportRefused(_nothing_usable(calls, classes, name))
    chosen = usable[0] if len(usable) == 1 else _probable(graph, usable, calls)
    if len(names) > 1:
        dropped = ", ".join(output for output in names if output != chosen)
        notes.append(f"took the output {chosen}; dropped {dropped}")
    first = calls[chosen][0]
    columns = _columns(calls[chosen], classes)
    rename(graph, chosen, OUTPUT_NAME)
    for output in list(graph.output):
        if output.name != OUTPUT_NAME:
            graph.output.remove(output)
    steps: list[Step] = []
    if first.dtype != np.float32:
        steps.append(("Cast", {"to": TensorProto.FLOAT}, []))
    if first.ndim != 2 or first.shape[1] != columns:
        steps.append(("Reshape", {}, [np.array([-1, columns])]))
        notes.append(
            f"the output {chosen} is {list(first.shape)}: added a Reshape to [N, {columns}]"
        )
    if steps:
        append(graph, OUTPUT_NAME, steps)
    set_output(graph, None)
    return chosen


def set_output(graph: GraphProto, columns: int | None) -> None:
    """Declare the graph's output."""
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", columns])
    )


def normalise(
    graph: GraphProto, answers: NDArray[np.float32], output: OutputKind, notes: list[str]
) -> Activation:
    """Append what turns the output into probabilities, and return what they are.

    answers: float32 [8, columns], the outputs for noise. `softmax`: they sum to 1. `sigmoid`: each
    class has a probability of its own.
    """
    last = last_activation(graph)
    operator = last.op_type if last is not None else ""
    if answers.shape[1] == 1:
        _split(graph, _is_share(answers) and output != "logits", notes)
        return "softmax"
    positive = bool((answers >= -1e-6).all())
    sums = answers.sum(axis=1)
    sums_to_one = positive and np.allclose(sums, 1, atol=1e-3)
    if output == "auto" and "Softmax" in operator and operator != "LogSoftmax" and not sums_to_one:
        if not (positive and np.allclose(sums, 1, atol=_ROUNDING)):
            assert last is not None
            raise ImportRefused(
                f"{label(last)} does not sum to 1 over the classes (got {sums[0]:.3g}); it must be "
                "along the axis of the classes"
            )
        append(graph, OUTPUT_NAME, [("Log", {}, []), ("Softmax", {"axis": 1}, [])])
        notes.append("the probabilities only sum to about 1: appended a normalisation")
        return "softmax"
    if sums_to_one and not (operator.endswith("Sigmoid") and output == "sigmoid"):
        if output == "logits":
            raise ImportRefused(
                "the outputs are probabilities: none is negative, and they sum to 1; omit "
                "--output logits"
            )
        return "softmax"
    if output == "probabilities":
        raise ImportRefused(
            "the outputs are not probabilities: they do not sum to 1; use --output logits, or omit "
            "the option"
        )
    if output == "sigmoid" or (output == "auto" and operator.endswith("Sigmoid")):
        if not _is_share(answers):
            append(graph, OUTPUT_NAME, [("Sigmoid", {}, [])])
            notes.append("appended a Sigmoid: each class has a probability of its own")
        else:
            notes.append("the model ends in a Sigmoid: each class has a probability of its own")
        return "sigmoid"
    if output == "auto" and _is_share(answers):
        raise ImportRefused(
            "the outputs are between 0 and 1 but do not sum to 1, as after a Sigmoid; use --output "
            "sigmoid if a picture may show several classes, --output logits if it shows one"
        )
    append(graph, OUTPUT_NAME, [("Softmax", {"axis": 1}, [])])
    is_log = bool((answers <= 1e-6).all()) and np.allclose(
        np.exp(answers).sum(axis=1), 1, atol=1e-2
    )
    kind = "logarithms of probabilities" if is_log else "logits"
    notes.append(f"the model outputs {kind}: appended a Softmax")
    return "softmax"


def last_activation(graph: GraphProto) -> NodeProto | None:
    """Return the node that made the output's numbers what they are, if it is an activation."""
    made_by = producers(graph)
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type in _TRANSPARENT:
        node = made_by.get(node.input[0])
    return node if node is not None and node.op_type in _ACTIVATIONS else None


def _split(graph: GraphProto, is_probability: bool, notes: list[str]) -> None:  # noqa: FBT001 - a private step
    """Make two classes of one number: p becomes (1 - p, p), a logit x becomes softmax(0, x)."""
    steps: list[Step] = []
    if is_probability:
        steps.append(("MatMul", {}, [np.array([[-1, 1]], np.float32)]))
        steps.append(("Add", {}, [np.array([1, 0], np.float32)]))
    else:
        steps.append(("MatMul", {}, [np.array([[0, 1]], np.float32)]))
        steps.append(("Softmax", {"axis": 1}, []))
    append(graph, OUTPUT_NAME, steps)
    kind = "probability" if is_probability else "logit"
    notes.append(f"the model outputs one {kind}: taken as that of the second label")


def _is_share(answers: NDArray[np.float32]) -> bool:
    return bool(((answers >= -1e-6) & (answers <= 1 + 1e-6)).all())


def _columns(outputs: Sequence[NDArray[Any]], classes: int) -> int:
    """Numbers per picture of an output that could be the answer, else 0."""
    total = sum(output.size for output in outputs if isinstance(output, np.ndarray))
    if not total or outputs[0].dtype.kind != "f" or total % PICTURES:
        return 0
    columns = total // PICTURES
    # The classes must lie along one axis, or 8 x 8 features could pass for 64 classes.
    lengths = [side for side in outputs[0].shape if side > 1]
    batch = PICTURES // len(outputs)
    if sorted(lengths) != sorted(side for side in (batch, columns) if side > 1):
        return 0
    return columns if columns == classes or (columns == 1 and classes == 2) else 0


def _probable(graph: GraphProto, names: list[str], calls: dict[str, list[NDArray[Any]]]) -> str:
    """Choose between outputs that all have one number per class."""
    if len({np.concatenate([*map(np.ravel, calls[name])]).tobytes() for name in names}) == 1:
        return names[0]
    made_by = producers(graph)
    ends = [name for name in names if made_by[name].op_type in _ACTIVATIONS]
    named = [name for name in names if "prob" in name.lower()]
    for unambiguous in (ends, named):
        if len(unambiguous) == 1:
            return unambiguous[0]
    probable = (ends or names)[0]
    raise ImportRefused(
        f"{len(names)} outputs have one number per class: {', '.join(names)}; choose one with "
        f"--output-name, probably {probable}"
    )


def _nothing_usable(calls: dict[str, list[NDArray[Any]]], classes: int, name: str | None) -> str:
    found = {
        output: list(np.shape(values[0]))
        for output, values in calls.items()
        if name in (None, output)
    }
    floats = {
        output: shape[-1]
        for output, shape in found.items()
        if len(shape) == 2 and np.asarray(calls[output][0]).dtype.kind == "f"
    }
    if len(floats) == 1:
        (columns,) = floats.values()
        return (
            f"the model has {columns} classes, but the labels file has {classes} labels; write one "
            "label per line, in the order of the model's output"
        )
    for output, shape in found.items():
        dtype = np.asarray(calls[output][0]).dtype
        if shape[-1:] == [classes] and dtype.kind in "iu":
            return (
                f"the output {output} has one number for each of the {classes} labels, but in "
                f"{dtype}, and the graph does not say what they stand for; export the model with "
                "a float32 output"
            )
    shapes = ", ".join(f"{output} {shape}" for output, shape in found.items())
    return (
        f"no output has one number for each of the {classes} labels, got {shapes}; export the "
        "model with its classification head, or correct the labels"
    )
