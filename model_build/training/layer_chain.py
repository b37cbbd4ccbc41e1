"""A network as the chain of its layers, which techniques read, copy and build anew."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

type Weighted = tuple[keras.Layer, list[NDArray[np.float32]]]

_INPUT = keras.layers.InputLayer


def layers_of(network: keras.Model) -> list[keras.Layer]:
    """Layers from input to answer, without the input layer itself.

    Raises ValueError for a network whose layers do not each take the one before's output alone.
    """
    layers = [layer for layer in network.layers if not isinstance(layer, _INPUT)]
    tensor = network.inputs[0]
    for layer in layers:
        if layer.input is not tensor:
            raise ValueError(
                f"network {network.name!r} is not a chain at layer {layer.name!r}; each layer "
                "must take the output of the one before it"
            )
        tensor = layer.output
    return layers


def copy(network: keras.Model) -> keras.Model:
    """Network of its own with the same layers and weights, untouched by what happens to either."""
    copied = type(network).from_config(network.get_config())
    copied.set_weights(network.get_weights())
    return copied


def build(like: keras.Model, layers: Sequence[Weighted]) -> keras.Model:
    """Network of these new layers in a row, each with its weights; input and name are `like`'s."""
    image = keras.Input(like.input_shape[1:], name="image")
    tensor = image
    for layer, _ in layers:
        tensor = layer(tensor)
    for layer, weights in layers:
        layer.set_weights(weights)
    return keras.Model(image, tensor, name=like.name)


def renew(layer: keras.Layer, **changes: object) -> keras.Layer:
    """Layer of the same kind, name and configuration but for the changes; it has no weights yet."""
    return type(layer).from_config({**layer.get_config(), **changes})


def kernels(layers: Iterable[keras.Layer]) -> list[keras.Variable]:
    """Kernels of the convolutions and dense layers among them, in order."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return [layer.kernel for layer in layers if isinstance(layer, weighted)]
