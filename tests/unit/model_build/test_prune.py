"""Pruning: as many zeros as asked, the right ones, and they stay."""

import gzip
import math
from pathlib import Path

import keras
import numpy as np
import pytest

from model_build.graph.convert import convert
from model_build.training import architectures, layer_chain
from model_build.training import prune as module
from model_build.training.prune import prune
from tests.support.techniques import content, samples, schedule, silent, small, zeroed, zeros

pytestmark = pytest.mark.keras


@pytest.mark.parametrize(
    ("start", "end", "done", "expected"),
    [
        (0.0, 0.8, 0.0, 0.0),
        (0.0, 0.8, 0.5, 0.8 - 0.8 / 8),
        (0.2, 0.8, 0.5, 0.8 - 0.6 / 8),
        (0.2, 0.8, 1.0, 0.8),
        (0.2, 0.8, 7.0, 0.8),
    ],
)
def test_sparsity_grows_as_a_cubic_and_stops(
    start: float, end: float, done: float, expected: float
) -> None:
    """Equation 1 of Zhu and Gupta, and what is asked once the ramp is over."""
    assert module.scheduled(start, end, done) == pytest.approx(expected, abs=1e-12)


def test_the_smallest_weights_are_taken() -> None:
    """By magnitude, over the whole kernel; of equal ones the first."""
    weights = np.array([[0.5, -0.1], [0.1, -2.0], [0.0, 0.3]], np.float32)
    expected = np.array([[False, True], [False, False], [True, False]])
    assert np.array_equal(module.smallest(weights, 2 / 6), expected)


def test_weights_are_taken_step_by_step_as_the_schedule_says() -> None:
    """After each batch of the ramp the share of zeros is that of the formula, to the weight."""
    kernel = keras.Variable(np.random.default_rng(1).normal(size=(50, 20)), dtype="float32")
    kernel.constraint = module._Mask(kernel)
    gradual = module._Gradual([kernel], 0.9, ramp=20)
    for batch in range(1, 31):
        gradual.on_train_batch_end(batch)
        kernel.assign(kernel.constraint(kernel + 1e-3))  # as a training would move them
        expected = round(1000 * module.scheduled(0, 0.9, batch / 20))
        assert (kernel.numpy() == 0).sum() == expected


def test_a_pruned_network_has_the_sparsity_asked_to_the_weight() -> None:
    """All kernels but the first convolution's and the last; the same seed gives the same bytes."""
    network, before = small(), content(small())
    pruned, again = (
        prune(network, samples(), schedule(2), 1, silent, sparsity=0.77) for _ in range(2)
    )
    _, second, hidden, _ = (
        math.prod(kernel.shape) for kernel in layer_chain.kernels(network.layers)
    )
    assert zeros(pruned) == [0, round(0.77 * second), round(0.77 * hidden), 0]
    assert content(again) == content(pruned)
    assert content(network) == before
    assert pruned.get_config() == network.get_config(), "a plain network, as before"
    assert not any(kernel.constraint for kernel in layer_chain.kernels(pruned.layers))


def test_the_large_first_layer_of_an_mlp_is_pruned_too() -> None:
    """It holds nearly all weights; a first convolution is left whole."""
    sizes = {
        name: [math.prod(kernel.shape) for kernel in module.prunable(network)]
        for name in ("mlp", "cnn")
        for network in [architectures.build(name, (28, 28), 10)]
    }
    assert sizes == {"mlp": [784 * 128], "cnn": [9 * 16 * 32, 9 * 32 * 64, 9 * 64 * 64]}


def test_only_the_zipped_file_shrinks(tmp_path: Path) -> None:
    """Zeros are stored like other numbers, and zip well."""
    convert(small(), tmp_path / "dense.onnx")
    convert(zeroed(0.9), tmp_path / "sparse.onnx")
    dense, sparse = ((tmp_path / f"{name}.onnx").read_bytes() for name in ("dense", "sparse"))
    assert abs(len(sparse) - len(dense)) < 100
    assert len(gzip.compress(sparse)) < 0.5 * len(gzip.compress(dense))


def test_a_network_that_is_sparser_already_keeps_its_zeros_and_gets_no_more() -> None:
    """What is not zero is trained: zeros are held, and nothing else."""
    before = zeroed(0.6)
    after = prune(before, samples(), schedule(), 1, silent, sparsity=0.3)
    for old, new in zip(module.prunable(before), module.prunable(after), strict=True):
        assert np.array_equal(old.numpy() == 0, new.numpy() == 0)
        kept = old.numpy() != 0
        assert np.mean(old.numpy()[kept] != new.numpy()[kept]) > 0.9


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_a_sparsity_that_is_none_is_refused(sparsity: float) -> None:
    """All zeros would be no network."""
    with pytest.raises(ValueError, match=rf"sparsity must be in \[0, 1\), got {sparsity}"):
        prune(small(), samples(), schedule(), 1, silent, sparsity=sparsity)


def test_a_network_with_branches_is_refused_by_name() -> None:
    """Techniques know chains of layers alone."""
    image = keras.Input((28, 28, 1))
    flat = keras.layers.Flatten()(image)
    both = keras.layers.Add(name="sum")([flat, flat])
    network = keras.Model(image, keras.layers.Dense(10)(both), name="branched")
    with pytest.raises(ValueError, match="network 'branched' is not a chain at layer 'sum'"):
        prune(network, samples(), schedule(), 1, silent, sparsity=0.5)
