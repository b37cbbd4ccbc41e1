"""Temperature: confidence made to agree with accuracy, inside the graph."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from model_build.data.datasets import SPLIT_SEED, Labelled
from model_build.engine.stage import StageContext
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.training.augment import Strength, augment

BOUNDS = (0.1, 10.0)  # of a temperature
_WEIGHTS_SCALE = 4  # input of QGemm


def build_stage(context: StageContext) -> dict[str, Any]:
    """Put a temperature into a graph; what is returned stands in the manifest's metrics."""
    images, labels = context.dataset.validation_images, context.dataset.validation_labels
    temperature = calibrate(context.source_graph, context.graph, images, labels)
    return {"temperature": temperature, "samples": len(labels)}


def calibrate(
    source: Path, target: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    """Write a classifier with the temperature that fits validation samples best; give it.

    images: uint8 [N, H, W] that the network was not trained on; labels: [N]. target may be source,
    and the temperature is relative to what source has already.

    It is fitted on mildly augmented views of the samples, half as strong as in training. A good
    network misreads 3 of 400 samples: fitted on halves of these, the temperature was 0.63 with a
    standard deviation of 0.29, at times the lower bound for lack of a mistake, and the other half
    was twice as unlikely as before. On views it was 0.94 with one of 0.16, and the other half as
    likely as before (docs/quantisation.md).
    """
    shown, meant = views(images, labels)
    temperature = fit(logits(source, shown), meant)
    apply(source, target, temperature)
    return temperature


def views(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Labelled:
    """4,000 mildly augmented views of images uint8 [N, H, W], the same number of each, or one."""
    copies = max(1, 4000 // len(images))
    shown, meant = np.tile(images, (copies, 1, 1)), np.tile(labels, copies)
    half = {name: value / 2 for name, value in asdict(Strength()).items()}
    mild = Strength(**half | {"style": 0.0})  # not all that is classified is a digit
    return augment(shown, meant, np.random.default_rng(SPLIT_SEED), mild), meant


def fit(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Temperature, 0.1 to 10, under which logits [N, K] give labels [N] the greatest likelihood.

    Minimises NLL(T) = mean(log Σ_k exp(z_k / T) - z_label / T). In b = 1 / T it is convex, with
    slope mean(Σ_k p_k z_k - z_label), p = softmax(b z): its only zero is found by bisection.
    Raises ValueError for no samples, or logits that are not finite.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2.
    """
    if not len(logits) or not np.isfinite(logits).all():
        raise ValueError("a temperature is fitted on one sample at least, and on finite logits")
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    of_label = shifted[np.arange(len(labels)), labels]
    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    for _ in range(50):
        middle = (low + high) / 2
        weights = np.exp(middle * shifted)
        expected = (weights * shifted).sum(axis=1) / weights.sum(axis=1)
        if (expected - of_label).mean() < 0:
            low = middle
        else:
            high = middle
    return float(2 / (low + high))


def apply(source: Path, target: Path, temperature: float) -> None:
    """Write a classifier whose logits are divided by a temperature before its last Softmax.

    p = softmax(z / T): the answer stays, the confidence changes. Where Gemm gives the logits, 1 / T
    goes into its factors alpha and beta, which cost nothing; where onnxruntime's QGemm does, into
    the scale of its weights, which is that of its bias as well (its own alpha takes 2 µs); after
    another operator a Mul does it. Works on fp32 and quantised files, optimised or not, and a
    second temperature multiplies the first. Raises ValueError for a temperature that is not
    positive, and for a graph that does not end in Softmax.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    model = onnx.load(source)
    softmax = _last_softmax(model.graph)
    given_by = next(node for node in model.graph.node if softmax.input[0] in node.output)
    is_only_use = _uses(model.graph, softmax.input[0]) == 1
    if is_only_use and _takes_factors(model.graph, given_by):
        for name in ("alpha", "beta"):
            _multiply(given_by, name, 1 / temperature)
    elif is_only_use and given_by.op_type == "QGemm" and (scale := _own(model.graph, given_by)):
        values = numpy_helper.to_array(scale)
        scaled_values = (values / np.float32(temperature)).astype(values.dtype)
        scale.CopyFrom(numpy_helper.from_array(scaled_values, scale.name))
    else:
        scaled = f"{softmax.input[0]}_calibrated"
        factor = numpy_helper.from_array(np.array(1 / temperature, np.float32), f"{scaled}_factor")
        product = helper.make_node("Mul", [softmax.input[0], factor.name], [scaled])
        softmax.input[0] = scaled
        model.graph.node.insert(list(model.graph.node).index(softmax), product)
        model.graph.initializer.append(factor)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def logits(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give what a classifier hands to its last Softmax: float32 [N, K] for uint8 [N, H, W].

    Raises ValueError for a graph that does not end in Softmax.
    """
    model = onnx.load(path)
    name = _last_softmax(model.graph).input[0]
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run([name], {INPUT_NAME: images})
    return np.asarray(found, np.float32)


def _last_softmax(graph: GraphProto) -> NodeProto:
    found: list[NodeProto] = [node for node in graph.node if OUTPUT_NAME in node.output]
    if not found or found[0].op_type != "Softmax":
        raise ValueError(f"the graph's output {OUTPUT_NAME!r} does not come from Softmax")
    return found[0]


def _takes_factors(graph: GraphProto, node: NodeProto) -> bool:
    """A Gemm on dequantised weights does not: other factors than 1 keep it from becoming QGemm."""
    stored = {one.name for one in graph.initializer}
    return node.op_type == "Gemm" and node.input[1] in stored


def _own(graph: GraphProto, node: NodeProto) -> TensorProto | None:
    """Scale of a QGemm's weights, if no other node uses it."""
    name = node.input[_WEIGHTS_SCALE]
    found = [one for one in graph.initializer if one.name == name]
    return found[0] if found and _uses(graph, name) == 1 else None


def _uses(graph: GraphProto, name: str) -> int:
    used = [used for node in graph.node for used in node.input]
    return [*used, *(one.name for one in graph.output)].count(name)


def _multiply(node: NodeProto, name: str, factor: float) -> None:
    """Multiply a float attribute, 1 if it is not there, by a factor."""
    before = 1.0
    for attribute in list(node.attribute):
        if attribute.name == name:
            before = attribute.f
            node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, before * factor))
