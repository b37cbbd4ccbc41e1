"""Keras → ONNX: raw uint8 pixels in, probabilities out, and a check that both agree."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_build.engine.stage import StageContext
from model_build.errors import ParityError

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"
_NUMBERED = re.compile(r"__\d+(?=$|:)")
PARITY = 1e-5  # largest difference in a probability that conversion may cause


def build_stage(context: StageContext) -> dict[str, Any]:
    """Convert a network, and check on held-out images that its output stays the same."""
    network = context.network()
    convert(network, context.graph)
    images = context.dataset.test_images[:1000]
    return {"largest_difference": check_parity(network, context.graph, images)}


def convert(model: Any, target: Path) -> onnx.ModelProto:
    """Write a Keras classifier as ONNX with input `image` uint8 [N, H, W], scaled inside.

    model: maps float32 [N, H, W, 1], 0 to 1, to softmax [N, classes].
    """
    import keras  # noqa: PLC0415 - TensorFlow takes seconds; the other steps don't need it

    height, width = model.input_shape[1:3]
    image = keras.Input((height, width), dtype="uint8", name=INPUT_NAME)
    scaled = keras.ops.expand_dims(keras.ops.cast(image, "float32") / 255.0, -1)
    serving = keras.Model(image, model(scaled), name="serving")
    serving(np.zeros((1, height, width), dtype=np.uint8))  # Keras exports only called models
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras itself uses np.object
        serving.export(target, format="onnx", verbose=False)
    graph = onnx.load(target)
    classes = model.output_shape[1]
    name_input_and_output(
        graph,
        helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["N", height, width]),
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", classes]),
    )
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, target)
    return graph


def name_input_and_output(
    model: onnx.ModelProto, input_: onnx.ValueInfoProto, output: onnx.ValueInfoProto
) -> None:
    """Give input and output of a converted network the names and shapes of the contract."""
    graph = model.graph
    (source,), (sink,) = graph.input, graph.output
    renamed = {source.name: input_.name, sink.name: output.name}
    names = [part.name for part in (*graph.initializer, *graph.node)]
    renamed |= _renumbered([*names, *(value for node in graph.node for value in node.output)])
    for part in (*graph.initializer, *graph.node):
        part.name = renamed.get(part.name, part.name)
    for node in graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                values[index] = renamed.get(value, value)
    source.CopyFrom(input_)
    sink.CopyFrom(output)
    del graph.value_info[:]
    graph.name, graph.doc_string = "classifier", ""  # these held a running number too
    model.producer_name, model.producer_version = "tf2onnx", ""


def _renumbered(names: list[str]) -> dict[str, str]:
    """Renumber names from 1: the converter's running number continues within a process."""
    numbered = dict.fromkeys(name for name in names if _NUMBERED.search(name))
    return {name: _NUMBERED.sub(f"__{number}", name) for number, name in enumerate(numbered, 1)}


def check_parity(model: Any, converted: Path, images: NDArray[np.uint8]) -> float:
    """Largest difference between Keras and ONNX over images uint8 [N, H, W].

    Raises ParityError if it is over 1e-5.
    """
    keras_answer = np.asarray(model.predict(images[..., np.newaxis] / np.float32(255), verbose=0))
    session = ort.InferenceSession(converted, providers=["CPUExecutionProvider"])
    (onnx_answer,) = session.run([OUTPUT_NAME], {INPUT_NAME: images})
    difference = float(np.abs(keras_answer - onnx_answer).max())
    if not difference <= PARITY:
        raise ParityError(
            f"Keras and ONNX must differ by at most {PARITY:.0e}, got {difference:.2e} over "
            f"{len(images)} images; the conversion changed the model"
        )
    return difference
