"""Magnitude pruning: the smallest weights become zero, more and more of them, and stay zero."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_build.engine.stage import OnEpoch, StageContext
from model_build.training import layer_chain
from model_build.training.train import Samples, Schedule, be_deterministic, fit, training

_RAMP = 0.6  # share of the batches until the sparsity asked is reached; the rest heals
_TIMES = 60  # that more weights are taken, on the way there


def build_stage(context: StageContext, *, sparsity: float, **schedule: Any) -> None:
    """Prune a trained network."""
    context.save(prune(context.network(), *training(context, **schedule), sparsity=sparsity))


def prune(
    network: keras.Model,
    samples: Samples,
    schedule: Schedule,
    seed: int,
    on_epoch: OnEpoch,
    *,
    sparsity: float,
) -> keras.Model:
    """Fine-tune a copy of a trained network while the smallest of its weights are taken away.

    In each kernel that is pruned, after t of the ramp's n batches, the share of weights that are
    zero, those of the least |w|, is

        s(t) = s_f + (s_i - s_f) · (1 - t / n)³

    from the share s_i that was zero before to s_f = sparsity: fast while many weights are of no
    use, slowly at the end. Then it is held for the rest of the schedule. Zeros never come back.

    Every dense and convolutional kernel is pruned, to the same sparsity, but for the last layer's,
    which answers, and for a convolution that comes first: they hold few weights and each counts.
    The first dense layer of an MLP holds nearly all of its weights, and is pruned. Biases and batch
    normalisation are left alone. In the plain Keras network that comes back each pruned kernel has
    round(sparsity · size) zeros, exactly (more, if it had more before).

    What it does not buy: the zeros are stored and multiplied like other numbers, so neither
    model.onnx nor its time shrinks. The file does where it is compressed, as in a deployment
    package: `gzip -9 -c model.onnx | wc -c` shows it. `structured` makes the network itself small.

    sparsity: from 0, under 1. Raises ValueError for another, or a network that is no chain.
    Source: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
    compression", 2017, equation 1.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be in [0, 1), got {sparsity}")
    be_deterministic(seed)
    pruned = layer_chain.copy(network)
    kernels = prunable(pruned)
    batches = schedule.epochs * (len(samples.images) // schedule.batch)
    with zeros_held(pruned):
        gradual = _Gradual(kernels, sparsity, max(1, round(_RAMP * batches)))
        fit(pruned, samples, schedule, seed, on_epoch, callbacks=[gradual])
    return pruned


def prunable(network: keras.Model) -> list[keras.Variable]:
    """Kernels that are pruned: all but the last, and the first if it is a convolution's."""
    kernels = layer_chain.kernels(layer_chain.layers_of(network))
    first_is_small = bool(kernels) and len(kernels[0].shape) > 2
    return kernels[1:-1] if first_is_small else kernels[:-1]


def scheduled(start: float, end: float, done: float) -> float:
    """Sparsity after the share `done` of the ramp, from `start` to `end`."""
    return end + (start - end) * (1 - min(done, 1.0)) ** 3


@contextmanager
def zeros_held(network: keras.Model) -> Iterator[None]:
    """Within it, training leaves at zero what is exactly zero in a kernel now or is made so.

    Every technique that fine-tunes does so within it: that is how what was pruned stays pruned. No
    weight of a kernel that was never pruned is exactly zero.
    """
    kernels = layer_chain.kernels(network.layers)
    before = [kernel.constraint for kernel in kernels]
    for kernel in kernels:
        kernel.constraint = _Mask(kernel)
    try:
        yield
    finally:
        for kernel, constraint in zip(kernels, before, strict=True):
            kernel.constraint = constraint


class _Mask(keras.constraints.Constraint):  # type: ignore[misc] # Keras is untyped
    """Zero where it was zero: the optimiser applies it after every step."""

    def __init__(self, kernel: keras.Variable) -> None:
        self.kept = keras.Variable(kernel.numpy() != 0, trainable=False, dtype="float32")

    def __call__(self, kernel: Any) -> Any:
        return kernel * self.kept


class _Gradual(keras.callbacks.Callback):  # type: ignore[misc] # as above
    """Take the smallest weights of kernels, whose constraint is a mask, as the schedule says."""

    def __init__(self, kernels: Sequence[keras.Variable], sparsity: float, ramp: int) -> None:
        super().__init__()
        zeros = [float(np.mean(kernel.numpy() == 0)) for kernel in kernels]
        self._wanted = [
            (one, start, max(start, sparsity)) for one, start in zip(kernels, zeros, strict=True)
        ]
        self._ramp, self._every, self._done = ramp, max(1, ramp // _TIMES), 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's own
        self._done += 1
        if self._done <= self._ramp and (self._done % self._every == 0 or self._done == self._ramp):
            for kernel, start, end in self._wanted:
                share = scheduled(start, end, self._done / self._ramp)
                kept = ~smallest(kernel.numpy(), share)
                kernel.constraint.kept.assign(kept)
                kernel.assign(kernel.numpy() * kept)


def smallest(weights: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """Mask of the round(share · size) weights of the least magnitude, in the weights' shape."""
    chosen = np.zeros(weights.size, dtype=bool)
    order = np.argsort(np.abs(weights), axis=None, kind="stable")
    chosen[order[: round(share * weights.size)]] = True
    return chosen.reshape(weights.shape)
