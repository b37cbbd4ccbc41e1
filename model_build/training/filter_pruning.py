"""Structured pruning: whole filters and neurons are removed, so that file and time shrink."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_build.engine.stage import OnEpoch, StageContext
from model_build.training import layer_chain
from model_build.training.prune import zeros_held
from model_build.training.train import Samples, Schedule, be_deterministic, fit, training

type Kept = NDArray[np.bool_]  # of the channels that go from one layer to the next

_CHANNELWISE = (  # what they do to one channel does not depend on another
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
)


def build_stage(context: StageContext, *, keep: float, **schedule: Any) -> None:
    """Remove the weakest filters of a trained network."""
    context.save(remove_filters(context.network(), *training(context, **schedule), keep=keep))


def remove_filters(
    network: keras.Model,
    samples: Samples,
    schedule: Schedule,
    seed: int,
    on_epoch: OnEpoch,
    *,
    keep: float,
) -> keras.Model:
    """Give a smaller network, without the weakest filters and hidden neurons, fine-tuned.

    Each convolution and each hidden dense layer keeps max(1, round(keep · n)) of its n filters or
    neurons, those of the largest norm

        L1(f) = Σ |w|, over the filter's weights

    A filter goes with its bias, its entries of the batch normalisation and the weights of the next
    layer that read its channel. Before batch normalisation a filter's scale means nothing, so the
    norm is that of the filter with the normalisation folded in: L1(f) · |gamma| / √(σ² + ε). The
    last layer, which answers, keeps its neurons. Exact zeros of a pruned network stay zero.

    keep: over 0, up to 1. Raises ValueError for another, a network that is no chain, or a layer of
    a kind that this does not know how to make narrower.
    Source: Li et al., "Pruning Filters for Efficient ConvNets", 2017; the folded norm as in Liu et
    al., "Learning Efficient Convolutional Networks through Network Slimming", 2017, which ranks by
    gamma alone.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], got {keep}")
    be_deterministic(seed)
    slim = narrow(network, keep)
    with zeros_held(slim):
        fit(slim, samples, schedule, seed, on_epoch)
    return slim


def narrow(network: keras.Model, keep: float) -> keras.Model:
    """Build the smaller network of `remove_filters`, not yet fine-tuned."""
    old = layer_chain.layers_of(network)
    last = max(index for index, layer in enumerate(old) if _is_known(layer) and _weighted(layer))
    kept: Kept = np.ones(network.input_shape[-1], dtype=bool)
    layers: list[layer_chain.Weighted] = []
    for index, layer in enumerate(old):
        weights = layer.get_weights()
        if _weighted(layer):
            kernel, *bias = weights
            strong = np.ones(kernel.shape[-1], dtype=bool)
            if index != last:
                strong = strongest(norms(layer, old[index + 1]), keep)
            size = "filters" if type(layer) is keras.layers.Conv2D else "units"
            slim = layer_chain.renew(layer, **{size: int(strong.sum())})
            layers.append((slim, [kernel[..., kept, :][..., strong], *(b[strong] for b in bias)]))
            kept = strong
            continue
        if type(layer) is keras.layers.BatchNormalization:
            weights = [one[kept] for one in weights]
        elif type(layer) is keras.layers.Flatten:  # channels come last: their pattern repeats
            kept = np.tile(kept, layer.output.shape[-1] // kept.size)
        layers.append((layer_chain.renew(layer), weights))
    return layer_chain.build(network, layers)


def norms(layer: keras.Layer, following: keras.Layer) -> NDArray[np.float32]:
    """L1 norm of each filter or neuron, with batch normalisation that follows folded in."""
    kernel = layer.kernel.numpy()
    found = np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)))
    if type(following) is keras.layers.BatchNormalization:
        deviation = np.sqrt(following.moving_variance.numpy() + following.epsilon)
        gamma = following.gamma.numpy() if following.scale else np.float32(1)
        found = found * np.abs(gamma) / deviation
    return np.asarray(found, dtype=np.float32)


def strongest(found: NDArray[np.float32], keep: float) -> Kept:
    """Mask of the max(1, round(keep · n)) largest of n norms; of equal ones, the first."""
    mask = np.zeros(found.size, dtype=bool)
    mask[np.argsort(-found, kind="stable")[: max(1, round(keep * found.size))]] = True
    return mask


def _weighted(layer: keras.Layer) -> bool:
    return type(layer) in {keras.layers.Conv2D, keras.layers.Dense}


def _is_known(layer: keras.Layer) -> bool:
    others = (keras.layers.BatchNormalization, keras.layers.Flatten, *_CHANNELWISE)
    if (type(layer) in others or _weighted(layer)) and getattr(layer, "groups", 1) == 1:
        return True
    raise ValueError(
        f"layer {layer.name!r} is a {type(layer).__name__}, which can't be made narrower here; "
        "remove filters before it comes in, or leave this technique out"
    )
