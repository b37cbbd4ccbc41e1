"""Convert a user's ONNX classifier into one that the function can serve, or explain why it can't.

The resulting file follows the contract: one input `image`, float32 or uint8, and one output
`probabilities`, float32 [N, classes]. Its batch size is open, or 1 if the graph takes one picture
at a time: then the function runs it picture by picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper, version_converter

from classifier.prepare import encoding
from model_build.errors import ImportRefused
from model_build.graph.convert import OUTPUT_NAME
from model_build.importing import batching, probing, quantised_ends, widening
from model_build.importing.description import Description, describe
from model_build.importing.inputs import set_batch, take_input
from model_build.importing.outputs import (
    Activation,
    OutputKind,
    drop_zip_maps,
    forget_shapes,
    normalise,
    set_output,
    take_output,
)
from model_build.importing.probing import DoesNotRun, Probe, Tensor
from model_build.importing.reading import first_line, opset, quantised_format, read

__all__ = ["Adopted", "Description", "adopt", "describe"]

OPSET = 13  # the oldest with per-channel scales, which the quantiser writes
_OLDEST = 7  # that onnxruntime runs
_TINY = 1e-30
_HALF_ROUNDING = 0.05  # in a probability, that float16 may explain


@dataclass(frozen=True)
class Adopted:
    """Input and output of an adopted file as in its manifest, and notes on what was changed."""

    dtype: str
    shape: list[Any]  # "N", or 1 if the graph takes one picture at a time; then one picture's
    activation: Activation
    notes: list[str]
    quantised: str | None = None  # QDQ, QOperator or MatMulNBits if the file came so
    lineage: list[dict[str, str]] = field(default_factory=list)  # name and sha256 of each file


def adopt(
    source: Path,
    target: Path,
    classes: int,
    encoder: Callable[[str, list[Any]], encoding.Encoding],
    *,
    output: OutputKind = "auto",
    output_name: str | None = None,
    size: tuple[int, int] | None = None,
) -> Adopted:
    """Check a classifier and write it with the contract's input and output.

    encoder: maps the input's dtype and shape, as in a manifest, to its Encoding. output: what the
    model outputs; logits get a Softmax, and `auto` detects it. size: height and width, for a file
    that leaves them open or takes rows of pixels. Raises ImportRefused.
    """
    notes: list[str] = []
    read_source = read(source, size)
    model = read_source.model
    if read_source.note:
        notes.append(read_source.note)
    quantised = quantised_format(model)
    if opset(model) == 0:
        model.opset_import.append(helper.make_opsetid("", OPSET))
    newest = onnx.defs.onnx_opset_version()
    if opset(model) > newest:
        raise ImportRefused(
            f"opset must be at most {newest}, got {opset(model)}; export the model with an older "
            "one, such as 17"
        )
    if opset(model) < _OLDEST:
        model = _upgraded(model)
        notes.append(f"converted opset {opset(read_source.model)} to {OPSET}")
    model.ir_version = max(model.ir_version, 4)  # older ones list weights among the inputs
    drop_zip_maps(model.graph, notes)
    quantised_ends.return_floats(model.graph, notes)
    _drop_tiny_weights(model.graph, notes)
    taken = take_input(model, size, notes)
    forget_shapes(model.graph)
    pictures = probing.noise(encoder(taken.dtype, ["N", *taken.sides]))
    calls = _first_calls(model, source, pictures, taken.batch)
    take_output(model.graph, calls, classes, output_name, notes)
    activation = normalise(model.graph, _answers(model, pictures, taken.batch), output, notes)
    set_output(model.graph, classes)
    answers = _answers(model, pictures, taken.batch)
    if widening.is_narrow(model) and quantised is None:
        model, answers = _widened(model, pictures, answers, taken.batch, notes)
    model = _modernised(model, pictures, answers, taken.batch, notes)
    model, batch = _batched(model, pictures, answers, taken.batch, notes)
    onnx.save(model, target)
    return Adopted(
        taken.dtype, [batch, *taken.sides], activation, notes, quantised, read_source.lineage
    )


def _drop_tiny_weights(graph: GraphProto, notes: list[str]) -> None:
    """Set weights to zero whose products are too small for a processor's normal numbers.

    It computes with such numbers many times more slowly, and nothing can depend on them.
    """
    count = 0
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:  # not a constant
            continue
        weights = numpy_helper.to_array(tensor)
        is_tiny = (weights != 0) & (np.abs(weights) < _TINY)
        if is_tiny.any():
            kept = np.where(is_tiny, np.float32(0), weights)
            tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))
            count += int(is_tiny.sum())
    if count:
        notes.append(f"set {count:,} weights below {_TINY} to zero: they only made it slow")


def _first_calls(
    model: ModelProto, source: Path, pictures: Tensor, batch: int | None
) -> dict[str, list[NDArray[Any]]]:
    """All outputs of the graph for noise."""
    try:
        calls = Probe(model).one_by_one(pictures, _at_a_time(batch))
    except DoesNotRun:
        probing.check(read(source).model, str(source))  # says more about a broken graph
        raise
    return calls


def _answers(model: ModelProto, pictures: Tensor, batch: int | None) -> NDArray[np.float32]:
    """Outputs float32 [8, columns] for noise, twice the same and all finite."""
    probe = Probe(model)
    first, again = (
        np.concatenate(probe.one_by_one(pictures, _at_a_time(batch))[OUTPUT_NAME]) for _ in range(2)
    )
    if not np.isfinite(first).all():
        raise ImportRefused("the model returns NaN or infinity for pictures of noise")
    if not _agree(first, again):
        raise ImportRefused(
            "the same picture gets other results in a second call: the model is random; export it "
            "for inference"
        )
    return first


def _at_a_time(batch: int | None) -> int:
    if batch is not None and probing.PICTURES % batch:
        raise ImportRefused(
            f"the model only accepts batches of {batch}; export it with a dynamic batch size"
        )
    return batch or 1


def _agree(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    if first.shape != second.shape:
        return False
    tolerance = 1e-4 * max(1.0, float(np.abs(first).max()))
    return bool(np.abs(first - second).max() <= tolerance)


def _upgraded(model: ModelProto) -> ModelProto:
    """Return the model in an opset that the quantiser supports."""
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's exceptions share no public base class
        raise ImportRefused(
            f"opset {opset(model)} could not be converted to {OPSET} ({first_line(error)}); export "
            f"the model with {OPSET} or newer, such as 17"
        ) from error


def _widened(
    model: ModelProto,
    pictures: Tensor,
    answers: NDArray[np.float32],
    batch: int | None,
    notes: list[str],
) -> tuple[ModelProto, NDArray[np.float32]]:
    """Return the model in float32, and its answers, if they are those in float16 but rounding."""
    wide = widening.widened(model)
    try:
        found = _answers(wide, pictures, batch)
    except ImportRefused:
        return model, answers
    difference = float(np.abs(found - answers).max())
    if difference > _HALF_ROUNDING:
        return model, answers
    notes.append(
        f"changed float16 to float32, which is faster on a CPU: probabilities move by at most "
        f"{difference:.1e}"
    )
    return wide, found


def _modernised(
    model: ModelProto,
    pictures: Tensor,
    answers: NDArray[np.float32],
    batch: int | None,
    notes: list[str],
) -> ModelProto:
    """Return the model in a newer opset if it is old and then still answers the same."""
    old = opset(model)
    if old >= OPSET:
        return model
    try:
        upgraded = _upgraded(model)
        is_same = _agree(_answers(upgraded, pictures, batch), answers)
    except ImportRefused as error:
        notes.append(f"kept opset {old}, which int8 may not support: {error}")
        return model
    if not is_same:
        notes.append(f"kept opset {old}: converted to {OPSET}, the model answers differently")
        return model
    notes.append(f"converted opset {old} to {OPSET}")
    return upgraded


def _batched(
    model: ModelProto,
    pictures: Tensor,
    answers: NDArray[np.float32],
    batch: int | None,
    notes: list[str],
) -> tuple[ModelProto, int | str]:
    """Return the model for any number of pictures, or for one; and its batch in a manifest."""
    named = ModelProto()
    named.CopyFrom(model)
    set_batch(named.graph, "N")
    reason = _fault(named, pictures, answers)
    if reason is None:
        if batch is not None:
            notes.append(f"changed the fixed batch size of {batch} to a dynamic one")
        return named, "N"
    single = ModelProto()
    single.CopyFrom(model)
    set_batch(single.graph, batch or 1)
    opened = batching.with_any_batch(single)
    if _fault(opened, pictures, answers) is None:
        notes.append(f"changed the fixed batch size of {batch or 1} inside to a dynamic one")
        return opened, "N"
    if batch not in (None, 1):
        raise ImportRefused(
            f"the model only accepts batches of {batch} ({reason}); export it with a dynamic batch "
            "size"
        )
    notes.append(f"takes one picture at a time, so batches run picture by picture: {reason}")
    return single, 1


def _fault(model: ModelProto, pictures: Tensor, answers: NDArray[np.float32]) -> str | None:
    """Say how the answers for several pictures together differ from those for each alone."""
    try:
        probe = Probe(model)
        for count in (1, 3, len(pictures)):
            together = np.asarray(probe.run(pictures[:count])[OUTPUT_NAME])
            if not _agree(answers[:count], together):
                return f"{count} pictures in one batch get other results than each alone"
    except DoesNotRun as error:
        return str(error)
    return None
