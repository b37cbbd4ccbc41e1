"""Quantisation-aware training: the network learns with the rounding that it is served with."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from keras import ops
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from model_build.engine.stage import OnEpoch, StageContext
from model_build.graph.convert import INPUT_NAME, convert
from model_build.graph.optimise import optimise, optimise_integers
from model_build.training import layer_chain
from model_build.training.prune import zeros_held
from model_build.training.train import (
    Floats,
    Samples,
    Schedule,
    be_deterministic,
    fit,
    training,
)

LARGEST = 63  # of a quantised weight, to either side: seven bits
_LEVELS = 255  # of a quantised activation, above its lowest
_FIRST_RANGES = 512  # samples, or somewhat more, that set the activations' ranges before training
_KEEPS_GRID = (  # given quantised numbers, they give the same ones
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
)

_ZERO_TO_ONE = [np.array(0, np.float32), np.array(1, np.float32)]

type Scales = list[dict[str, Any]]  # onnxruntime's form: one for a tensor, or one a channel


def build_stage(context: StageContext, **schedule: Any) -> dict[str, Any]:
    """Fine-tune a trained network with its rounding, and write it as an int8 graph."""
    network = fine_tune_quantised(context.network(), *training(context, **schedule))
    return export(network, context.graph)


def fine_tune_quantised(
    network: keras.Model, samples: Samples, schedule: Schedule, seed: int, on_epoch: OnEpoch
) -> keras.Model:
    """Fine-tune a trained network with fake quantisation of weights and activations.

    Batch normalisation is first folded into the convolution or dense layer before it,

        w' = w · gamma / √(σ² + ε),    b' = beta + (b - μ) · gamma / √(σ² + ε)

    with the statistics of the trained network, which training then leaves alone: it trains w' and
    b'. In the forward pass each number is rounded to what the served integers can say:

        weights      ŵ = s · round(w / s),  s = max |w| of the channel / 63
        activations  x̂ = s · (clip(round(x / s) + z, 0, 255) - z),
                     s = (hi - lo) / 255,  z = round(-lo / s),  lo ≤ 0 ≤ hi

    Weights are int8 per channel in seven bits, -63 to 63 (docs/decisions/0001). Activations are
    uint8; their range [lo, hi] is an exponential moving average (0.99) of each batch's least and
    greatest, and begins as the range over some 512 samples. Pixels have the range 0 to 1 for good,
    so that none is changed. Biases, logits and softmax stay float. In the backward pass rounding is
    taken for the identity, and clipping has the gradient 1 inside the range and 0 outside (the
    straight-through estimator). Exact zeros of a pruned network stay zero.

    The network that comes back answers as the file that `export` writes. It can be saved and
    loaded; this module must have been imported before it is loaded.

    Raises ValueError for a network that is no chain, batch normalisation with nothing to fold into,
    or a layer that onnxruntime would not compute in the same integers.
    Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018; frozen statistics as Krishnamoorthi, "Quantizing Deep
    Convolutional Networks for Efficient Inference", 2018; Bengio, Léonard and Courville,
    "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
    """
    be_deterministic(seed)
    quantised = prepare(network)
    some = samples.images[:: max(1, len(samples.images) // _FIRST_RANGES), ..., np.newaxis]
    _set_ranges(quantised, some.astype(np.float32) / np.float32(255))
    with zeros_held(quantised):
        fit(quantised, samples, schedule, seed, on_epoch)
    return quantised


def export(network: keras.Model, target: Path) -> dict[str, Any]:
    """Write what `fine_tune_quantised` gave as int8 ONNX; give what the manifest says of it.

    The file has the ends that `convert` gives, the form that `quantise` gives (QDQ, then fused at
    level extended), and the weights and ranges that were trained: onnxruntime computes with
    integers what the network computes with fake quantisation.

    Raises ValueError for a network without quantised layers.
    """
    layers = layer_chain.layers_of(network)
    if not any(isinstance(layer, FakeQuantise) for layer in layers):
        raise ValueError(f"network {network.name!r} is not quantised; call fine_tune_quantised")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        convert(_plain(network, layers), folder / "converted.onnx")
        optimise(folder / "converted.onnx", folder / "fp32.onnx")
        graph = onnx.load(folder / "fp32.onnx").graph
        logger, level = logging.getLogger(), logging.getLogger().level
        logger.setLevel(logging.ERROR)  # it advises a pre-processing that was done
        quantize_static(
            folder / "fp32.onnx",
            folder / "qdq.onnx",
            _OneImage(network.input_shape[1:3]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul", "Gemm", "MaxPool", "Relu"],
            extra_options={
                "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
                "TensorQuantOverrides": _overrides(graph, layers),
            },
        )
        logger.setLevel(level)
        optimise_integers(folder / "qdq.onnx", target)
    return {
        "method": "quantisation-aware training",
        "format": "QDQ",
        "weights": "int8, 7 bits, per channel",
        "activations": "uint8",
        "calibration": {"method": "moving average"},
    }


@keras.saving.register_keras_serializable("model_build")
class FakeQuantise(keras.layers.Layer):  # type: ignore[misc] # Keras is untyped
    """Round activations float32 to 256 levels of a range that follows what training shows it.

    momentum: of the moving average; 1 leaves the range as it was set.
    """

    def __init__(self, momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, _: Any) -> None:
        self.low = self.add_weight(name="low", shape=(), initializer="zeros", trainable=False)
        self.high = self.add_weight(name="high", shape=(), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: FBT001 - Keras's own
        if training and self.momentum < 1:
            self._follow(self.low, ops.minimum(ops.min(inputs), 0.0))
            self._follow(self.high, ops.maximum(ops.max(inputs), 0.0))
        scale, zero = _scale(self.low, self.high)
        within = ops.clip(inputs, -zero * scale, (_LEVELS - zero) * scale)
        level = ops.clip(ops.round(inputs / scale) + zero, 0, _LEVELS)
        return straight_through(within, (level - zero) * scale)

    def _follow(self, average: keras.Variable, seen: Any) -> None:
        average.assign(self.momentum * average + (1 - self.momentum) * seen)

    def set_range(self, inputs: Any) -> None:
        """Begin with the least and greatest of these inputs, and zero."""
        self.low.assign(ops.minimum(ops.min(inputs), 0.0))
        self.high.assign(ops.maximum(ops.max(inputs), 0.0))

    @property
    def parameters(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Scale and zero point."""
        scale, zero = _scale(self.low, self.high)
        return np.asarray(scale), np.asarray(zero).astype(np.uint8)

    def get_config(self) -> dict[str, Any]:
        """Configuration that Keras saves."""
        return {**super().get_config(), "momentum": self.momentum}


@keras.saving.register_keras_serializable("model_build")
class QuantisedConv2D(keras.layers.Conv2D):  # type: ignore[misc] # as above
    """Convolution whose kernel is rounded in the forward pass."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, fake_quantise_kernel(kernel))


@keras.saving.register_keras_serializable("model_build")
class QuantisedDense(keras.layers.Dense):  # type: ignore[misc] # as above
    """Dense layer whose kernel is rounded in the forward pass."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002, FBT001 - Keras's own
        answers = ops.matmul(inputs, fake_quantise_kernel(self.kernel))
        return self.activation(answers if self.bias is None else answers + self.bias)


def straight_through(value: Any, rounded: Any) -> Any:
    """`rounded` in the forward pass, with the gradient of `value`."""
    return value + ops.stop_gradient(rounded - value)


def fake_quantise_kernel(kernel: Any) -> Any:
    """Kernel […, channels] rounded per channel; the gradient passes straight through."""
    scale = ops.stop_gradient(kernel_scale(kernel))
    return straight_through(kernel, ops.round(kernel / scale) * scale)


def kernel_scale(kernel: Any) -> Any:
    """Scale of each output channel [channels] of a kernel […, channels]; 1 where all is zero."""
    largest = ops.max(ops.abs(kernel), axis=tuple(range(len(kernel.shape) - 1)))
    return ops.where(largest > 0, largest / LARGEST, 1.0)


def prepare(network: keras.Model) -> keras.Model:
    """Give the network with normalisation folded and fake quantisation put in, not yet trained."""
    folded = _fold(layer_chain.layers_of(network))
    layers: list[layer_chain.Weighted] = [(FakeQuantise(momentum=1.0, name="pixels"), _ZERO_TO_ONE)]
    on_grid = True  # what comes from the last layer is quantised
    convolved = ""  # name of the convolution whose answer is not yet

    def round_here(name: str) -> None:
        layers.append((FakeQuantise(name=name), _ZERO_TO_ONE))

    for layer, weights in folded:
        if convolved and not _is_relu(layer):
            round_here(f"{convolved}_output")
            convolved, on_grid = "", True
        if type(layer) in _QUANTISED:
            if not on_grid:
                round_here(f"{layer.name}_input")
            layers.append((_QUANTISED[type(layer)].from_config(layer.get_config()), weights))
            on_grid = False
            convolved = layer.name if type(layer) is keras.layers.Conv2D else ""
        else:
            layers.append((layer_chain.renew(layer), weights))
            on_grid = on_grid and isinstance(layer, _KEEPS_GRID)
    if convolved:
        round_here(f"{convolved}_output")
    return layer_chain.build(network, layers)


_QUANTISED: dict[type, Any] = {
    keras.layers.Conv2D: QuantisedConv2D,
    keras.layers.Dense: QuantisedDense,
}
_FLOAT: dict[type, Any] = {quantised: layer for layer, quantised in _QUANTISED.items()}


def _fold(layers: list[keras.Layer]) -> list[layer_chain.Weighted]:
    """Layers and their weights with each batch normalisation folded into the layer before it."""
    folded: list[layer_chain.Weighted] = []
    for layer in layers:
        if type(layer) is keras.layers.BatchNormalization:
            before, (kernel, *bias) = folded.pop() if folded else (layer, layer.get_weights())
            if type(before) not in _QUANTISED or before.activation is not keras.activations.linear:
                raise ValueError(
                    f"batch normalisation {layer.name!r} does not follow a convolution or dense "
                    "layer without activation; put it right behind one"
                )
            slope = layer.gamma.numpy() if layer.scale else np.float32(1)
            slope = slope / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
            shift = layer.beta.numpy() if layer.center else np.float32(0)
            offset = (bias[0] if bias else np.float32(0)) - layer.moving_mean.numpy()
            weights = [kernel * slope, shift + offset * slope]
            folded.append((layer_chain.renew(before, use_bias=True), weights))
        elif type(layer) in _KNOWN and _is_quantisable(layer):
            folded.append((layer, layer.get_weights()))
        else:
            raise ValueError(
                f"layer {layer.name!r}, a {type(layer).__name__}, can't be trained quantised here; "
                "quantise the network after training instead"
            )
    return folded


_KNOWN = (
    *_QUANTISED,
    *_KEEPS_GRID,
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.ReLU,
)


def _is_quantisable(layer: keras.Layer) -> bool:
    """A convolution's answer is rounded after its activation, which must be one that fuses."""
    if type(layer) is not keras.layers.Conv2D:
        return True
    return layer.activation in {keras.activations.linear, keras.activations.relu}


def _is_relu(layer: keras.Layer) -> bool:
    if type(layer) is keras.layers.ReLU:
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return type(layer) is keras.layers.Activation and layer.activation is keras.activations.relu


def _set_ranges(network: keras.Model, images: Floats) -> None:
    tensor: Any = images
    for layer in layer_chain.layers_of(network):
        if isinstance(layer, FakeQuantise) and layer.momentum < 1:
            layer.set_range(tensor)
        tensor = layer(tensor)


def _scale(low: Any, high: Any) -> tuple[Any, Any]:
    """Scale and zero point of a range that holds zero."""
    scale = ops.maximum(high - low, 1e-6) / _LEVELS
    return scale, ops.round(-low / scale)


def _plain(network: keras.Model, layers: list[keras.Layer]) -> keras.Model:
    """Float network with the rounded weights, without fake quantisation."""
    plain: list[layer_chain.Weighted] = []
    for layer in layers:
        weights = layer.get_weights()
        if type(layer) in _FLOAT:
            rounded = np.asarray(fake_quantise_kernel(weights[0]))
            float_layer = _FLOAT[type(layer)].from_config(layer.get_config())
            plain.append((float_layer, [rounded, *weights[1:]]))
        elif not isinstance(layer, FakeQuantise):
            plain.append((layer_chain.renew(layer), weights))
    return layer_chain.build(network, plain)


def _overrides(graph: onnx.GraphProto, layers: list[keras.Layer]) -> dict[str, Scales]:
    """Trained scales by name of tensor; the graph's weighted nodes are the layers', in order."""
    nodes = [node for node in graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    readers = {name: node for node in graph.node for name in node.input}
    found: dict[str, Scales] = {}
    latest: Scales = []
    waiting: list[str] = []  # tensors that the next range is for
    remaining = iter(nodes)
    for layer in layers:
        if isinstance(layer, FakeQuantise):
            scale, zero = layer.parameters
            latest = [{"scale": scale, "zero_point": zero}]
            found.update(dict.fromkeys(waiting, latest))
            waiting = []
        elif type(layer) in _FLOAT:
            node = next(remaining)
            found[node.input[0]] = latest
            found[node.input[1]] = _kernel_scales(node, layer)
            if node.op_type == "Conv":
                waiting = [node.output[0]]
                reader = readers[node.output[0]]
                waiting += [reader.output[0]] * (reader.op_type == "Relu")
    return found


def _kernel_scales(node: onnx.NodeProto, layer: keras.Layer) -> Scales:
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    axis = 0 if node.op_type == "Conv" or transposed else 1
    scales = np.asarray(kernel_scale(layer.kernel))
    return [{"scale": one, "zero_point": np.array(0, np.int8), "axis": axis} for one in scales]


class _OneImage(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """What the quantiser asks for, though every range is known."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._images = iter([np.zeros((1, *shape), dtype=np.uint8)])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT_NAME: image}
