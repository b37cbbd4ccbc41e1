"""Factorisation: the rank of the rule, the nearest matrix of that rank, and a smaller file."""

from pathlib import Path

import keras
import numpy as np
import pytest

from model_build.data.datasets import Dataset
from model_build.graph.convert import check_parity, convert
from model_build.training import factorise as module
from model_build.training import layer_chain
from model_build.training.factorise import factorise
from tests.support.networks import trained
from tests.support.techniques import answers, content, small

pytestmark = pytest.mark.keras


def with_kernel(singular_values: list[float], width: int = 40, units: int = 30) -> keras.Model:
    """Network of one dense layer whose kernel has these singular values."""
    generator = np.random.default_rng(1)
    left, right = (np.linalg.qr(generator.normal(size=(n, n)))[0] for n in (width, units))
    count = len(singular_values)
    kernel = left[:, :count] * np.array(singular_values) @ right[:count]
    image = keras.Input((width,), name="image")
    layer = keras.layers.Dense(units, activation="relu", name="dense")
    network = keras.Model(image, layer(image), name="one")
    layer.set_weights([kernel.astype(np.float32), generator.normal(size=units)])
    return network


@pytest.mark.parametrize(
    ("energy", "expected"),
    [(0.5, 1), (16 / 30, 1), (0.54, 2), (25 / 30, 2), (0.84, 3), (29 / 30, 3), (0.97, 4), (1, 4)],
)
def test_rank_is_the_least_that_keeps_the_energy(energy: float, expected: int) -> None:
    """Singular values 4, 3, 2, 1 have the squares 16, 9, 4, 1 of 30 in all."""
    assert module.rank(np.array([4.0, 3, 2, 1]), energy) == expected


def test_a_kernel_of_low_rank_is_factored_without_loss() -> None:
    """Rank 3, 40 by 30: 210 weights instead of 1,200; bias, activation and name stay."""
    network = with_kernel([5, 2, 1])
    factored = factorise(network, energy=0.999999)
    first, second = layer_chain.layers_of(factored)
    assert (first.name, second.name) == ("dense_rank", "dense")
    assert first.kernel.shape == (40, 3)
    assert not first.use_bias
    assert second.kernel.shape == (3, 30)
    assert np.array_equal(second.bias.numpy(), network.get_layer("dense").bias.numpy())
    images = np.random.default_rng(2).normal(size=(50, 40)).astype(np.float32)
    assert np.abs(factored(images).numpy() - network(images).numpy()).max() < 1e-4


def test_what_is_lost_is_what_the_dropped_singular_values_held() -> None:
    """Eckart and Young: the squared distance is the sum of their squares."""
    network = with_kernel([5, 4, 3, 2, 1])
    first, second = layer_chain.kernels(factorise(network, energy=0.9).layers)
    lost = network.get_layer("dense").kernel.numpy() - first.numpy() @ second.numpy()
    assert first.shape[1] == 3
    assert np.square(lost).sum() == pytest.approx(2**2 + 1**2, rel=1e-4)


@pytest.mark.parametrize(("rank", "layers"), [(17, 2), (18, 1)])
def test_a_layer_is_replaced_only_where_that_saves_weights(rank: int, layers: int) -> None:
    """40 · 30 = 1,200 weights; 17 · 70 is less, 18 · 70 is not."""
    factored = factorise(with_kernel([1.0] * rank), energy=1 - 1e-6)
    assert len(layer_chain.layers_of(factored)) == layers


def test_all_else_is_left_as_it_was() -> None:
    """Convolutions, normalisation, and a network in which nothing would be saved."""
    before = content(small())
    factored = factorise(small(), energy=0.9)
    for name in ("first", "norm", "second"):
        old, new = small().get_layer(name).get_weights(), factored.get_layer(name).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
    assert content(factorise(small(), energy=1)) == before
    assert content(small()) == before


def test_the_mlp_keeps_its_answers_in_a_smaller_file(tmp_path: Path, mnist: Dataset) -> None:
    """And the same file each time."""
    network = trained("mlp")
    factored = factorise(network, energy=0.8)
    for name, one in (("whole", network), ("factored", factored)):
        convert(one, tmp_path / f"{name}.onnx")
        check_parity(one, tmp_path / f"{name}.onnx", mnist.test_images)
    whole, less = ((tmp_path / f"{name}.onnx").stat().st_size for name in ("whole", "factored"))
    assert less < 0.75 * whole
    same = answers(network).argmax(axis=1) == answers(factored).argmax(axis=1)
    assert same.mean() > 0.9
    assert content(factorise(network, energy=0.8)) == content(factored)


@pytest.mark.parametrize("energy", [0.0, 1.01, float("nan")])
def test_an_energy_that_is_none_is_refused(energy: float) -> None:
    """The error says what to give."""
    with pytest.raises(ValueError, match=rf"energy must be in \(0, 1\], got {energy}"):
        factorise(small(), energy=energy)
