"""Removing filters: the weakest, everywhere they are used, and the file shrinks."""

from pathlib import Path

import keras
import numpy as np
import pytest

from model_build.data.datasets import Dataset
from model_build.graph.convert import check_parity, convert
from model_build.training import architectures, filter_pruning, layer_chain
from model_build.training.filter_pruning import remove_filters
from tests.support.techniques import (
    answers,
    content,
    samples,
    schedule,
    silent,
    small,
    zeroed,
    zeros,
)

pytestmark = pytest.mark.keras


def test_channels_that_say_nothing_are_removed_and_no_answer_changes() -> None:
    """With half of all filters and neurons silenced, the half-size network answers the same."""
    network = layer_chain.copy(small())
    generator = np.random.default_rng(1)
    for name in ("first", "second", "hidden"):
        layer = network.get_layer(name)
        kernel, *bias = layer.get_weights()
        silent_ones = generator.permutation(kernel.shape[-1])[: kernel.shape[-1] // 2]
        kernel[..., silent_ones] = 0
        for one in bias:
            one[silent_ones] = 0
        layer.set_weights([kernel, *bias])
        if name == "first":
            gamma, beta, mean, variance = network.get_layer("norm").get_weights()
            beta[silent_ones] = mean[silent_ones] = 0
            network.get_layer("norm").set_weights([gamma, beta, mean, variance])
    slim = filter_pruning.narrow(network, 0.5)
    assert [kernel.shape[-1] for kernel in layer_chain.kernels(slim.layers)] == [4, 6, 12, 10]
    assert np.abs(answers(slim) - answers(network)).max() < 1e-5


def test_the_filters_removed_are_those_of_the_least_norm() -> None:
    """Before batch normalisation it is the norm of the folded filter that counts."""
    network = layer_chain.copy(small())
    gamma, beta, mean, variance = network.get_layer("norm").get_weights()
    gamma[[1, 4]], variance[6] = 1e-3, 1e4  # three filters that normalisation makes faint
    network.get_layer("norm").set_weights([gamma, beta, mean, variance])
    slim = filter_pruning.narrow(network, 5 / 8)
    kernel = network.get_layer("first").kernel.numpy()
    kept = [0, 2, 3, 5, 7]
    assert np.array_equal(slim.get_layer("first").kernel.numpy(), kernel[..., kept])
    assert np.array_equal(slim.get_layer("norm").gamma.numpy(), gamma[kept])
    second = network.get_layer("second").get_weights()
    strong = np.sort(np.argsort(-np.abs(second[0]).sum(axis=(0, 1, 2)))[: round(12 * 5 / 8)])
    found = slim.get_layer("second").get_weights()
    assert np.array_equal(found[0], second[0][:, :, kept][..., strong])
    assert np.array_equal(found[1], second[1][strong])


@pytest.mark.parametrize("name", ["mlp", "cnn", "teacher"])
def test_every_network_of_the_project_becomes_narrower(name: str) -> None:
    """Each layer but the last by half; with keep 1 by nothing at all."""
    network = architectures.build(name, (28, 28), 10)
    widths = [kernel.shape[-1] for kernel in layer_chain.kernels(network.layers)]
    slim = filter_pruning.narrow(network, 0.5)
    halves = [width // 2 for width in widths[:-1]]
    assert [kernel.shape[-1] for kernel in layer_chain.kernels(slim.layers)] == [
        *halves,
        widths[-1],
    ]
    assert slim.count_params() < 0.55 * network.count_params()
    assert content(filter_pruning.narrow(network, 1.0)) == content(network)


def test_one_filter_is_left_at_least() -> None:
    """However little is kept, the network still answers."""
    slim = filter_pruning.narrow(small(), 0.01)
    assert [kernel.shape[-1] for kernel in layer_chain.kernels(slim.layers)] == [1, 1, 1, 10]
    assert answers(slim).shape == (1000, 10)


def test_the_smaller_network_is_trained_and_keeps_its_zeros(mnist: Dataset) -> None:
    """It learns again what it lost, and the argument stays."""
    network = zeroed(0.6)
    before = content(network)
    learning = schedule(4, learning_rate=3e-3)
    slim = remove_filters(network, samples(8), learning, 1, silent, keep=0.5)
    assert content(network) == before
    narrow = filter_pruning.narrow(network, 0.5)
    assert zeros(slim) == zeros(narrow)
    assert sum(zeros(slim)) > 1000

    def accuracy(network: keras.Model) -> float:
        return float((answers(network).argmax(axis=1) == mnist.test_labels).mean())

    assert accuracy(slim) > accuracy(narrow) + 0.1


def test_the_file_shrinks(tmp_path: Path, mnist: Dataset) -> None:
    """With half of all widths, most weights have both fewer inputs and fewer outputs."""
    slim = filter_pruning.narrow(small(), 0.5)
    for name, network in (("whole", small()), ("slim", slim)):
        convert(network, tmp_path / f"{name}.onnx")
        check_parity(network, tmp_path / f"{name}.onnx", mnist.test_images)
    whole, less = ((tmp_path / f"{name}.onnx").stat().st_size for name in ("whole", "slim"))
    assert less < 0.5 * whole


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (keras.layers.LayerNormalization(name="odd"), "LayerNormalization"),
        (keras.layers.Conv2D(4, 3, groups=2, name="odd"), "Conv2D"),
    ],
)
def test_a_layer_that_cannot_be_made_narrower_is_refused_by_name(
    layer: keras.layers.Layer, kind: str
) -> None:
    """Wherever it stands."""
    image = keras.Input((28, 28, 1))
    tensor = layer(keras.layers.Conv2D(4, 3)(image))
    answer = keras.layers.Dense(10)(keras.layers.Flatten()(tensor))
    with pytest.raises(ValueError, match=f"layer 'odd' is a {kind}, which can't be made narrower"):
        filter_pruning.narrow(keras.Model(image, answer), 0.5)


@pytest.mark.parametrize("keep", [0.0, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(keep: float) -> None:
    """The error says what to give."""
    with pytest.raises(ValueError, match=rf"keep must be in \(0, 1\], got {keep}"):
        remove_filters(small(), samples(), schedule(), 1, silent, keep=keep)
