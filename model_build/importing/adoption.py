"""Somebody's own ONNX classifier → one that the function serves; refused in a sentence if it can't.

The file that comes out has the ends of the contract: one input `image`, float32 or uint8 in the
shape it came with, and one output `probabilities`, float32 [N, classes].
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, version_converter

from classifier.prepare import encoding
from model_build.errors import ImportRefused
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME

type Output = Literal["auto", "logits", "probabilities"]
type Tensor = NDArray[np.uint8] | NDArray[np.float32]

MAX_BYTES = (
    256 * 2**20
)  # file and session must fit into the function's memory, twice while it loads
MAX_SIDE = 640  # pixels; the function brings larger pictures down to it
OPSET = 13  # the oldest with scales a channel, which the quantiser writes
_DOMAINS = {"", "ai.onnx", "com.microsoft"}  # what the function's onnxruntime brings along
_DTYPES = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32"}


@dataclass(frozen=True)
class Adopted:
    """What a manifest says of an adopted file, and what was done to it."""

    dtype: str
    shape: list[Any]
    notes: list[str]


def adopt(
    source: Path,
    target: Path,
    classes: int,
    encoder: Callable[[str, list[Any]], encoding.Encoding],
    *,
    output: Output = "auto",
    output_name: str | None = None,
) -> Adopted:
    """Check a classifier and write it with the ends of the contract.

    encoder: from dtype and shape of the input, as a manifest holds them, to its Encoding. output:
    what the model gives; logits get a Softmax, and `auto` tells by looking. Raises ImportRefused.
    """
    notes: list[str] = []
    model = _read(source)
    _check_domains(model)
    model = _upgraded(model, notes)
    dtype, shape = _take_input(model.graph, notes)
    _take_output(model.graph, output_name)
    del model.graph.value_info[:]  # shapes inside, of a batch that may have been fixed
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's own, and those of shape inference
        raise ImportRefused(f"{source} is no valid ONNX model: {_first_line(error)}") from error
    answers = _forward(model, encoder(dtype, shape), classes)
    if _gives_logits(answers, output):
        _append_softmax(model.graph)
        notes.append("the model gives logits: a Softmax was appended")
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", classes])
    )
    onnx.save(model, target)
    return Adopted(dtype, shape, notes)


def _read(source: Path) -> ModelProto:
    if not source.is_file():
        raise ImportRefused(f"{source} is no file; give the path of an ONNX model")
    try:
        model = onnx.load(source)  # weights in files beside it come along
    except DecodeError as error:
        raise ImportRefused(f"{source} is no ONNX file; export the model as ONNX first") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ImportRefused(
            f"{source} keeps weights in files that can't be read ({_first_line(error)}); put them "
            "beside it, or export the model as one file"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ImportRefused(f"{source} is no ONNX file; export the model as ONNX first")
    size = model.ByteSize()
    if size > MAX_BYTES:
        raise ImportRefused(
            f"the model has {size / 2**20:.0f} MiB, at most {MAX_BYTES // 2**20} fit into the "
            "function; distil or prune it first"
        )
    return model


def _check_domains(model: ModelProto) -> None:
    foreign = {node.domain for node in model.graph.node} - _DOMAINS
    if foreign or model.functions:
        named = ", ".join(sorted(foreign)) or "functions of its own"
        raise ImportRefused(
            f"the model uses operators of {named}, which the function does not have; export it "
            "with standard operators alone"
        )


def _upgraded(model: ModelProto, notes: list[str]) -> ModelProto:
    """Model in an opset that the quantiser and the function's onnxruntime take."""
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ImportRefused(
            f"the model is of opset {opset}, the newest that is taken is {newest}; export it with "
            "an older one, such as 17"
        )
    if opset >= OPSET:
        return model
    try:
        upgraded = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's own, which share no public base
        raise ImportRefused(
            f"the model is of opset {opset} and could not be brought to {OPSET} "
            f"({_first_line(error)}); export it with {OPSET} or newer, such as 17"
        ) from error
    notes.append(f"opset {opset} was brought to {OPSET}")
    return upgraded


def _take_input(graph: GraphProto, notes: list[str]) -> tuple[str, list[Any]]:
    """Give the one input the contract's name and a free batch; give its dtype and shape."""
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise ImportRefused(
            f"the model has {len(inputs)} inputs ({names}); one is taken, a picture"
        )
    (image,) = inputs
    tensor = image.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise ImportRefused(
            f"the input {image.name} is {kind}; export the model with FLOAT or UINT8"
        )
    batch, *sides = [one.dim_value or one.dim_param or "?" for one in tensor.shape.dim] or ["?"]
    shown = [batch, *sides]
    if len(sides) not in (2, 3) or not all(isinstance(side, int) for side in sides):
        raise ImportRefused(
            f"the input {image.name} has the shape {shown}; export the model with a fixed height "
            "and width, as [N, H, W], [N, C, H, W] or [N, H, W, C]"
        )
    if max(int(side) for side in sides) > MAX_SIDE:
        raise ImportRefused(
            f"the input {image.name} is {shown}; at most {MAX_SIDE} pixels are taken"
        )
    if isinstance(batch, int):
        if batch != 1:
            raise ImportRefused(
                f"the model takes batches of {batch} alone; export it with a dynamic batch"
            )
        notes.append("the batch was fixed to 1: it was made dynamic")
    _rename(graph, image.name, INPUT_NAME)
    del graph.input[:]
    shape = ["N", *sides]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, tensor.elem_type, shape))
    return _DTYPES[tensor.elem_type], shape


def _take_output(graph: GraphProto, name: str | None) -> None:
    """Keep the one output that holds a number a class, under the contract's name."""
    names = [one.name for one in graph.output]
    if name is not None and name not in names:
        raise ImportRefused(f"the model has no output {name!r}; it has {', '.join(names)}")
    chosen = [one for one in graph.output if name == one.name or (name is None and _usable(one))]
    if len(chosen) != 1:
        raise ImportRefused(
            f"of the outputs {', '.join(names)} {len(chosen)} are float32 [N, classes]; "
            + ("name one with --output-name" if chosen else "export the model with such an output")
        )
    if not _usable(chosen[0]):
        raise ImportRefused(f"the output {name} is not float32 [N, classes]")
    _rename(graph, chosen[0].name, OUTPUT_NAME)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", None]))


def _usable(output: ValueInfoProto) -> bool:
    tensor = output.type.tensor_type
    rank_is_known = tensor.HasField("shape")
    return tensor.elem_type == TensorProto.FLOAT and (
        not rank_is_known or len(tensor.shape.dim) == 2
    )


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """Rename a value; one that has the new name already makes way."""
    if old != new:
        _rename_all(graph, {old: new, new: f"{new}_before"})


def _rename_all(graph: GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, end in enumerate(ends):
                ends[index] = renamed.get(end, end)
        for attribute in node.attribute:  # branches and loops see the values around them
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename_all(inner, renamed)
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed.get(value.name, value.name)


def _forward(model: ModelProto, encode: encoding.Encoding, classes: int) -> NDArray[np.float32]:
    """Answers [8, classes] to pictures of noise, one by one, after the checks on them."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise ImportRefused(
            f"onnxruntime {ort.__version__}, which serves it, does not load the model: "
            f"{_first_line(error)}"
        ) from error
    generator = np.random.default_rng(0)
    batch = encode(generator.integers(0, 256, (8, *encode.samples_shape[1:]), dtype=np.uint8))
    singles = np.concatenate([_run(session, batch[at : at + 1]) for at in range(len(batch))])
    if singles.shape != (len(batch), classes):
        raise ImportRefused(
            f"the model gives {singles.shape[-1]} classes, but there are {classes} labels; one "
            "label a line, in the order of the model's output"
        )
    if not np.isfinite(singles).all():
        raise ImportRefused("the model answers pictures of noise with NaN or infinity")
    together = _run(session, batch[:2])
    close = 1e-4 * max(1.0, float(np.abs(singles).max()))
    if together.shape != (2, classes) or np.abs(together - singles[:2]).max() > close:
        raise ImportRefused(
            "two pictures in one batch are not answered as each alone is: the batch is fixed "
            "inside the model, or it is random; export it for inference, with a dynamic batch"
        )
    return singles


def _run(session: ort.InferenceSession, batch: Tensor) -> NDArray[np.float32]:
    try:
        (answer,) = session.run([OUTPUT_NAME], {INPUT_NAME: batch})
    except Exception as error:  # as above
        raise ImportRefused(
            f"the model fails on a batch of {len(batch)} ({_first_line(error)}); export it for "
            "inference, with a dynamic batch"
        ) from error
    answer = np.asarray(answer)
    if answer.ndim != 2:
        raise ImportRefused(f"the model's output has the shape {answer.shape}, not [N, classes]")
    return answer


def _gives_logits(answers: NDArray[np.float32], output: Output) -> bool:
    """Whether a Softmax is missing. answers: [N, classes]."""
    positive = bool((answers >= -1e-6).all())
    if positive and np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        if output == "logits":
            raise ImportRefused(
                "the outputs are probabilities: none negative, and their sum is 1; leave out "
                "--output logits"
            )
        return False
    if output == "probabilities":
        raise ImportRefused(
            "the outputs are no probabilities: their sum is not 1; give --output logits, or leave "
            "it out"
        )
    if output == "auto" and positive and bool((answers <= 1).all()):
        raise ImportRefused(
            "the outputs lie between 0 and 1 but their sum is not 1, as after a Sigmoid; export "
            "what comes before it, or give --output logits to take them for logits"
        )
    return True


def _append_softmax(graph: GraphProto) -> None:
    _rename(graph, OUTPUT_NAME, "logits")
    graph.node.append(helper.make_node("Softmax", ["logits"], [OUTPUT_NAME], axis=-1))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
