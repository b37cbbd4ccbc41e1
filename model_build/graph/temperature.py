"""Temperature scaling inside the graph, so that confidence agrees with accuracy."""

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
from model_build.evaluation import rejection
from model_build.evaluation.evaluate import probabilities
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.training.augment import Strength, augment

BOUNDS = (0.1, 10.0)  # of a temperature
_WEIGHTS_SCALE = 4  # input of QGemm


def build_stage(context: StageContext) -> dict[str, Any]:
    """Put a temperature into a graph; returns the `calibration` of the manifest's metrics.

    And its `rejection`, if the recipe draws samples that are no digits.
    """
    images, labels = views(context.dataset.validation_images, context.dataset.validation_labels)
    drawn = context.drawn_samples()
    is_digit = drawn.get("validation_labels", np.empty(0)) >= 0
    if drawn:
        images = np.concatenate([images, drawn["validation_images"][is_digit]])
        labels = np.concatenate([labels, drawn["validation_labels"][is_digit]])
    temperature = fit(logits(context.source_graph, images), labels)
    if drawn:  # people's pictures differ from these, so that it should not be surer than it was
        temperature = max(temperature, 1.0)
    apply(context.source_graph, context.graph, temperature)
    count = len(context.dataset.validation_labels) + int(is_digit.sum())
    result: dict[str, Any] = {"temperature": temperature, "samples": count}
    if drawn:
        # Where the finder has no say, it is of no use for the weight of its score.
        is_scored = np.isfinite(drawn["validation_scores"])
        shown = drawn["validation_images"][is_scored]
        result["rejection"] = rejection.fit(
            probabilities(context.graph, shown),
            drawn["validation_scores"][is_scored],
            is_digit[is_scored],
        )
    return result


def calibrate(
    source: Path, target: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    """Write a classifier with the temperature that fits validation samples best; return it.

    images: uint8 [N, H, W] that the network was not trained on; labels: [N]. target may be source,
    and the temperature is relative to the one that source already has.

    It is fitted on mildly augmented views of the samples, half as strong as in training. A good
    network misreads 3 of 400 samples: fitted on half of these, the temperature was 0.63 ± 0.29, at
    times the lower bound for lack of a mistake, and the loss on the other half doubled. Fitted on
    views it was 0.94 ± 0.16, and that loss stayed the same (docs/quantisation.md).
    """
    view_images, view_labels = views(images, labels)
    temperature = fit(logits(source, view_images), view_labels)
    apply(source, target, temperature)
    return temperature


def views(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Labelled:
    """About 4,000 mildly augmented views of images uint8 [N, H, W], equally many of each."""
    copies = max(1, 4000 // len(images))
    repeated, view_labels = np.tile(images, (copies, 1, 1)), np.tile(labels, copies)
    half = {name: value / 2 for name, value in asdict(Strength()).items()}
    mild = Strength(**half | {"style": 0.0})  # the images need not be digits
    generator = np.random.default_rng(SPLIT_SEED)
    return augment(repeated, view_labels, generator, mild), view_labels


def fit(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Temperature, 0.1 to 10, that maximises the likelihood of labels [N] under logits [N, K].

    Minimises NLL(T) = mean(log Σ_k exp(z_k / T) - z_label / T). In b = 1 / T it is convex, with
    slope mean(Σ_k p_k z_k - z_label), p = softmax(b z): its only zero is found by bisection.
    Raises ValueError without samples, or if logits are not finite.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2.
    """
    if not len(logits) or not np.isfinite(logits).all():
        raise ValueError(
            f"expected at least one sample and finite logits, got {len(logits)} samples"
            + ("" if np.isfinite(logits).all() else " with NaN or infinity")
        )
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

    p = softmax(z / T): the prediction stays, the confidence changes. If Gemm computes the logits,
    1 / T goes into its factors alpha and beta, at no cost; for onnxruntime's QGemm, into the scale
    of its weights, which its bias shares (alpha would cost 2 µs); after any other operator, into a
    Mul. Works on fp32 and quantised files, optimised or not; a second temperature multiplies the
    first. Raises ValueError for a temperature that is not positive and finite, and for a graph that
    does not end in Softmax.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    model = onnx.load(source)
    softmax = _last_softmax(model.graph)
    producer = next(node for node in model.graph.node if softmax.input[0] in node.output)
    is_only_use = _uses(model.graph, softmax.input[0]) == 1
    if is_only_use and _supports_factors(model.graph, producer):
        for name in ("alpha", "beta"):
            _multiply(producer, name, 1 / temperature)
    elif (
        is_only_use and producer.op_type == "QGemm" and (scale := _own_scale(model.graph, producer))
    ):
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
    """Input of a classifier's last Softmax: float32 [N, K] for images uint8 [N, H, W].

    Raises ValueError for a graph that does not end in Softmax.
    """
    model = onnx.load(path)
    name = _last_softmax(model.graph).input[0]
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run([name], {INPUT_NAME: images})
    return np.asarray(values, np.float32)


def _last_softmax(graph: GraphProto) -> NodeProto:
    producers: list[NodeProto] = [node for node in graph.node if OUTPUT_NAME in node.output]
    if not producers or producers[0].op_type != "Softmax":
        raise ValueError(f"the graph's output {OUTPUT_NAME!r} does not come from Softmax")
    return producers[0]


def _supports_factors(graph: GraphProto, node: NodeProto) -> bool:
    """Whether 1 / T may go into a Gemm: on dequantised weights it would prevent a QGemm."""
    stored = {tensor.name for tensor in graph.initializer}
    return node.op_type == "Gemm" and node.input[1] in stored


def _own_scale(graph: GraphProto, node: NodeProto) -> TensorProto | None:
    """Scale of a QGemm's weights, if no other node uses it."""
    name = node.input[_WEIGHTS_SCALE]
    scales = [tensor for tensor in graph.initializer if tensor.name == name]
    return scales[0] if scales and _uses(graph, name) == 1 else None


def _uses(graph: GraphProto, name: str) -> int:
    inputs = [value for node in graph.node for value in node.input]
    return [*inputs, *(output.name for output in graph.output)].count(name)


def _multiply(node: NodeProto, name: str, factor: float) -> None:
    """Multiply a float attribute, 1 by default, by a factor."""
    before = 1.0
    for attribute in list(node.attribute):
        if attribute.name == name:
            before = attribute.f
            node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, before * factor))
