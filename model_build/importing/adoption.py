"""Convert a user's ONNX classifier into one that the function can serve, or explain why it can't.

The resulting file follows the contract: one input `image`, float32 or uint8 in its original shape,
and one output `probabilities`, float32 [N, classes].
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

# While loading, file and session are both in the function's memory.
MAX_BYTES = 256 * 2**20
MAX_SIDE = 640  # pixels; the function shrinks larger pictures to this
OPSET = 13  # the oldest with per-channel scales, which the quantiser writes
_DOMAINS = {"", "ai.onnx", "com.microsoft"}  # operators in the function's onnxruntime
_DTYPES = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32"}


@dataclass(frozen=True)
class Adopted:
    """Input of an adopted file as in its manifest, and notes on what was changed."""

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
    """Check a classifier and write it with the contract's input and output.

    encoder: maps the input's dtype and shape, as in a manifest, to its Encoding. output: what the
    model outputs; logits get a Softmax, and `auto` detects it. Raises ImportRefused.
    """
    notes: list[str] = []
    model = _read(source)
    _check_domains(model)
    model = _upgraded(model, notes)
    dtype, shape = _take_input(model.graph, notes)
    _take_output(model.graph, output_name)
    del model.graph.value_info[:]  # inner shapes may hold a fixed batch size
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # from the checker or from shape inference
        raise ImportRefused(f"{source} is not a valid ONNX model: {_first_line(error)}") from error
    answers = _forward(model, encoder(dtype, shape), classes)
    if _outputs_logits(answers, output):
        _append_softmax(model.graph)
        notes.append("the model outputs logits: appended a Softmax")
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", classes])
    )
    onnx.save(model, target)
    return Adopted(dtype, shape, notes)


def _read(source: Path) -> ModelProto:
    if not source.is_file():
        raise ImportRefused(f"{source} is not a file; expected an ONNX model")
    try:
        model = onnx.load(source)  # also loads external weight files
    except DecodeError as error:
        raise ImportRefused(f"{source} is not an ONNX file; export the model as ONNX") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ImportRefused(
            f"{source} refers to weight files that can't be read ({_first_line(error)}); put them "
            "next to it, or export the model as one file"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ImportRefused(f"{source} is not an ONNX file; export the model as ONNX")
    size = model.ByteSize()
    if size > MAX_BYTES:
        raise ImportRefused(
            f"model must be at most {MAX_BYTES // 2**20} MiB to fit into the function, got "
            f"{size / 2**20:.0f} MiB; distil or prune it first"
        )
    return model


def _check_domains(model: ModelProto) -> None:
    foreign = {node.domain for node in model.graph.node} - _DOMAINS
    if foreign or model.functions:
        domains = ", ".join(sorted(foreign)) or "custom functions"
        raise ImportRefused(
            f"the model uses operators of {domains}, which the function does not have; export it "
            "with standard operators only"
        )


def _upgraded(model: ModelProto, notes: list[str]) -> ModelProto:
    """Return the model in an opset that the quantiser and the function's onnxruntime support."""
    opset = next(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0
    )
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ImportRefused(
            f"opset must be at most {newest}, got {opset}; export the model with an older one, "
            "such as 17"
        )
    if opset >= OPSET:
        return model
    try:
        upgraded = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's exceptions share no public base class
        raise ImportRefused(
            f"opset {opset} could not be converted to {OPSET} ({_first_line(error)}); export the "
            f"model with {OPSET} or newer, such as 17"
        ) from error
    notes.append(f"converted opset {opset} to {OPSET}")
    return upgraded


def _take_input(graph: GraphProto, notes: list[str]) -> tuple[str, list[Any]]:
    """Rename the input, make its batch size dynamic, and return its dtype and shape."""
    weights = {value.name for value in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ImportRefused(
            f"the model must have one input, a picture, got {len(inputs)} ({names})"
        )
    (image,) = inputs
    tensor = image.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise ImportRefused(f"the input {image.name!r} must be FLOAT or UINT8, got {kind}")
    batch, *sides = [side.dim_value or side.dim_param or "?" for side in tensor.shape.dim] or ["?"]
    dimensions = [batch, *sides]
    if len(sides) not in (2, 3) or not all(isinstance(side, int) for side in sides):
        raise ImportRefused(
            f"the input {image.name!r} must be [N, H, W], [N, C, H, W] or [N, H, W, C] with a "
            f"fixed height and width, got {dimensions}"
        )
    if max(int(side) for side in sides) > MAX_SIDE:
        raise ImportRefused(
            f"the input {image.name!r} must be at most {MAX_SIDE} pixels per side, got {dimensions}"
        )
    if isinstance(batch, int):
        if batch != 1:
            raise ImportRefused(
                f"the model only accepts batches of {batch}; export it with a dynamic batch size"
            )
        notes.append("changed the fixed batch size of 1 to a dynamic one")
    _rename(graph, image.name, INPUT_NAME)
    del graph.input[:]
    shape = ["N", *sides]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, tensor.elem_type, shape))
    return _DTYPES[tensor.elem_type], shape


def _take_output(graph: GraphProto, name: str | None) -> None:
    """Keep only the output with one number per class, under the contract's name."""
    names = [value.name for value in graph.output]
    if name is not None and name not in names:
        raise ImportRefused(f"the model has no output {name!r}; expected one of {', '.join(names)}")
    chosen = [
        value for value in graph.output if name == value.name or (name is None and _usable(value))
    ]
    if len(chosen) != 1:
        raise ImportRefused(
            f"expected one output float32 [N, classes], got {len(chosen)} among {', '.join(names)}"
            + ("; choose one with --output-name" if chosen else "")
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
    """Rename a value; another value that already has the new name is renamed as well."""
    if old != new:
        _rename_all(graph, {old: new, new: f"{new}_before"})


def _rename_all(graph: GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                values[index] = renamed.get(value, value)
        for attribute in node.attribute:  # subgraphs of branches and loops see outer values
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename_all(inner, renamed)
    for entry in (*graph.initializer, *graph.input, *graph.output):
        entry.name = renamed.get(entry.name, entry.name)


def _forward(model: ModelProto, encode: encoding.Encoding, classes: int) -> NDArray[np.float32]:
    """Check the model on pictures of noise; return its outputs [8, classes], one by one."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise ImportRefused(
            f"onnxruntime {ort.__version__}, which the function uses, can't load the model: "
            f"{_first_line(error)}"
        ) from error
    generator = np.random.default_rng(0)
    batch = encode(generator.integers(0, 256, (8, *encode.samples_shape[1:]), dtype=np.uint8))
    singles = np.concatenate(
        [_run(session, batch[index : index + 1]) for index in range(len(batch))]
    )
    if singles.shape != (len(batch), classes):
        raise ImportRefused(
            f"the model has {singles.shape[-1]} classes, but the labels file has {classes} labels; "
            "write one label per line, in the order of the model's output"
        )
    if not np.isfinite(singles).all():
        raise ImportRefused("the model returns NaN or infinity for pictures of noise")
    together = _run(session, batch[:2])
    tolerance = 1e-4 * max(1.0, float(np.abs(singles).max()))
    if together.shape != (2, classes) or np.abs(together - singles[:2]).max() > tolerance:
        raise ImportRefused(
            "two pictures in one batch get other results than each alone: the model is random or "
            "has a fixed batch size inside; export it for inference, with a dynamic batch size"
        )
    return singles


def _run(session: ort.InferenceSession, batch: Tensor) -> NDArray[np.float32]:
    try:
        (answer,) = session.run([OUTPUT_NAME], {INPUT_NAME: batch})
    except Exception as error:  # see above
        raise ImportRefused(
            f"the model fails on a batch of {len(batch)} ({_first_line(error)}); export it for "
            "inference, with a dynamic batch size"
        ) from error
    answer = np.asarray(answer)
    if answer.ndim != 2:
        raise ImportRefused(
            f"the model's output must be [N, classes], got the shape {answer.shape}"
        )
    return answer


def _outputs_logits(answers: NDArray[np.float32], output: Output) -> bool:
    """Return whether a Softmax is missing. answers: [N, classes]."""
    positive = bool((answers >= -1e-6).all())
    if positive and np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        if output == "logits":
            raise ImportRefused(
                "the outputs are probabilities: none is negative, and they sum to 1; omit "
                "--output logits"
            )
        return False
    if output == "probabilities":
        raise ImportRefused(
            "the outputs are not probabilities: they do not sum to 1; use --output logits, or omit "
            "the option"
        )
    if output == "auto" and positive and bool((answers <= 1).all()):
        raise ImportRefused(
            "the outputs are between 0 and 1 but do not sum to 1, as after a Sigmoid; export "
            "the model without it, or use --output logits to treat them as logits"
        )
    return True


def _append_softmax(graph: GraphProto) -> None:
    _rename(graph, OUTPUT_NAME, "logits")
    graph.node.append(helper.make_node("Softmax", ["logits"], [OUTPUT_NAME], axis=-1))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
