"""Low-rank factorisation: a dense layer becomes two thin ones, by singular value decomposition."""

import keras
import numpy as np
from numpy.typing import NDArray

from model_build.engine.stage import StageContext
from model_build.training import layer_chain


def build_stage(context: StageContext, *, energy: float) -> None:
    """Factorise the dense layers of a trained network."""
    context.save(factorise(context.network(), energy=energy))


def factorise(network: keras.Model, *, energy: float) -> keras.Model:
    """Give the network with two thin layers in place of each dense one where that is smaller.

    A kernel W [m, n] with the singular values s is U · diag(s) · Vᵀ. Of all matrices of rank r, the
    first r terms are the nearest to W (Eckart and Young 1936). r is the least rank that keeps

        Σ_{i ≤ r} s_i²  ≥  energy · Σ_i s_i²

    The layer becomes [m, r] without bias or activation, U_r · diag(√s_r), and then [r, n] with the
    old bias and activation, diag(√s_r) · V_rᵀ: r (m + n) weights instead of m · n. It stays whole
    unless that is fewer. The second layer keeps its name, the first has `_rank` behind it.

    Nothing is trained; fine-tuning afterwards wins back a part of what was lost. The zeros of a
    pruned kernel are not kept: factorise before pruning.

    energy: over 0, up to 1. Raises ValueError for another, or a network that is no chain.
    Source: Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient
    Evaluation", 2014; for dense layers Xue, Li and Gong, "Restructuring of Deep Neural Network
    Acoustic Models with Singular Value Decomposition", 2013.
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy must be in (0, 1], got {energy}")
    layers: list[layer_chain.Weighted] = []
    for layer in layer_chain.layers_of(network):
        factors = _factors(layer, energy) if type(layer) is keras.layers.Dense else None
        weights = layer.get_weights()
        if factors is not None:
            first, second = factors
            thin = keras.layers.Dense(first.shape[1], use_bias=False, name=f"{layer.name}_rank")
            layers.append((thin, [first]))
            weights = [second, *weights[1:]]
        layers.append((layer_chain.renew(layer), weights))
    return layer_chain.build(network, layers)


def rank(singular_values: NDArray[np.float64], energy: float) -> int:
    """Least number of singular values, largest first, that hold the share `energy` of squares."""
    kept = np.cumsum(np.square(singular_values))
    return int(np.argmax(kept >= energy * kept[-1])) + 1


def _factors(
    layer: keras.Layer, energy: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    kernel = layer.kernel.numpy().astype(np.float64)
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    kept = rank(values, energy)
    if kept * sum(kernel.shape) >= kernel.size:
        return None
    root = np.sqrt(values[:kept])
    first, second = left[:, :kept] * root, root[:, np.newaxis] * right[:kept]
    return first.astype(np.float32), second.astype(np.float32)
