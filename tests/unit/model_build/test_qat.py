"""Quantisation-aware training: the rounding to the formula, and a file that answers as trained."""

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tensorflow as tf
from onnx import numpy_helper

from model_build.data.datasets import Dataset
from model_build.training import distil, factorise, filter_pruning, layer_chain, prune, qat
from tests.support.techniques import (
    answers,
    content,
    samples,
    schedule,
    silent,
    small,
    untrained,
    zeroed,
    zeros,
)

pytestmark = pytest.mark.keras

IN_FLOAT = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "MatMulIntegerToFloat", "Relu"}
# Share of equal answers. These networks are trained so shortly that of 1,000 samples some are
# undecided: between probabilities 0.00005 apart, the file's rounding decides otherwise. Which
# samples these are differs from processor to processor, as the trained weights do.
ALIKE = 0.995


@pytest.fixture(scope="module")
def quantised() -> keras.Model:
    """A pruned network after an epoch with fake quantisation."""
    return qat.fine_tune_quantised(zeroed(), samples(), schedule(), 1, silent)


@pytest.fixture(scope="module")
def exported(quantised: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("qat") / "int8.onnx"
    qat.export(quantised, target)
    return target


def test_weights_are_rounded_to_seven_bits_a_channel() -> None:
    """The largest of a channel is 63 steps, and a channel of zeros stays one."""
    kernel = np.random.default_rng(1).normal(size=(3, 3, 5, 4)).astype(np.float32)
    kernel[..., 2], kernel[..., 3] = 0, kernel[..., 3] * 1000
    scale = np.asarray(qat.kernel_scale(tf.constant(kernel)))
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    assert np.allclose(scale, [largest[0] / 63, largest[1] / 63, 1, largest[3] / 63])
    rounded = np.asarray(qat.fake_quantise_kernel(tf.constant(kernel)))
    assert np.allclose(rounded, np.round(kernel / scale) * scale, rtol=1e-5)
    assert np.abs(rounded / scale).max() == pytest.approx(63, rel=1e-5)
    assert np.abs(rounded / scale - np.round(rounded / scale)).max() < 1e-4


def test_the_gradient_of_weights_passes_straight_through() -> None:
    """Bengio 2013: rounding is taken for the identity."""
    kernel = tf.Variable(np.random.default_rng(1).normal(size=(6, 4)), dtype=tf.float32)
    factors = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(qat.fake_quantise_kernel(kernel) * factors)
    assert np.allclose(tape.gradient(total, kernel), factors)


def test_activations_are_rounded_to_256_levels_that_hold_zero() -> None:
    """From -1 to 3 a level is 4/255 and zero is level 64; the gradient is 1 inside, 0 outside."""
    layer = qat.FakeQuantise()
    values = tf.Variable([-5.0, -1.0, -0.3, 0.0, 0.01, 1.2345, 2.99, 9.0])
    layer(values)
    layer.set_range(tf.constant([-1.0, 3.0]))
    scale, zero = layer.parameters
    assert float(scale) == pytest.approx(4 / 255)
    assert int(zero) == 64
    with tf.GradientTape() as tape:
        rounded = layer(values)
    level = np.clip(np.round(values.numpy() / scale) + 64, 0, 255)
    assert np.allclose(rounded, (level - 64) * scale, atol=1e-6)
    assert float(rounded[3]) == 0.0
    assert np.array_equal(tape.gradient(rounded, values), [0, 1, 1, 1, 1, 1, 1, 0])


def test_a_range_follows_training_and_nothing_else() -> None:
    """One part in a hundred of each batch's least and greatest; zero is always inside."""
    layer = qat.FakeQuantise()
    layer(tf.zeros(3))
    layer.set_range(tf.constant([0.0, 2.0]))
    layer(tf.constant([1.0, 4.0]), training=True)
    assert float(layer.high.numpy()) == pytest.approx(2 * 0.99 + 4 * 0.01)
    assert float(layer.low.numpy()) == 0
    layer(tf.constant([1.0, 99.0]), training=False)
    assert float(layer.high.numpy()) == pytest.approx(2.02)


def test_no_pixel_is_changed(quantised: keras.Model) -> None:
    """The input's range is fixed: its levels are the bytes."""
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    rounded = quantised.get_layer("pixels")(pixels, training=True)
    assert np.allclose(rounded, pixels, rtol=0, atol=1e-7)


def test_normalisation_is_folded_and_answers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rounding and clipping, the prepared network answers as the one it was made from."""
    monkeypatch.setattr(qat, "straight_through", lambda value, rounded: value)
    prepared = qat.prepare(small())
    for layer in prepared.layers:
        assert not isinstance(layer, keras.layers.BatchNormalization)
        if isinstance(layer, qat.FakeQuantise):
            layer.set_range(tf.constant([-1e4, 1e4]))
    assert np.abs(answers(prepared) - answers(small())).max() < 1e-5


def test_the_file_answers_as_the_network_that_was_trained(
    quantised: keras.Model, exported: Path, mnist: Dataset
) -> None:
    """Probabilities differ by a rounding or two, and of two that are as likely either may win."""
    (found,) = ort.InferenceSession(exported).run(None, {"image": mnist.test_images})
    expected = answers(quantised)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= ALIKE
    assert np.abs(found - expected).max() < 0.03
    assert np.abs(found - expected).mean() < 1e-3
    assert np.unique(found.max(axis=1)).size > 256, "probabilities are not quantised"


def test_the_file_computes_in_integers_with_the_ends_of_the_contract(exported: Path) -> None:
    """Nothing that multiplies is left in float, and weights keep to seven bits."""
    model = onnx.load(exported)
    operators = [node.op_type for node in model.graph.node]
    assert not IN_FLOAT.intersection(operators)
    assert operators.count("QLinearConv") == operators.count("QGemm") == 2
    weights = [numpy_helper.to_array(one) for one in model.graph.initializer]
    large = [one for one in weights if one.size > 100]
    assert [one.dtype for one in large] == [np.int8] * 4
    assert max(int(np.abs(one).max()) for one in large) == 63
    session = ort.InferenceSession(exported)
    (source,), (sink,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("image", "tensor(uint8)", ["N", 28, 28])
    assert (sink.name, sink.type, sink.shape) == ("probabilities", "tensor(float)", ["N", 10])


def test_zeros_of_a_pruned_network_stay_zero(quantised: keras.Model, exported: Path) -> None:
    """Training with rounding brings none of them back; in the file there are as many or more."""
    before = zeros(zeroed())
    assert zeros(quantised) == before
    initialisers = onnx.load(exported).graph.initializer
    large = [numpy_helper.to_array(one) for one in initialisers if np.prod(one.dims) > 100]
    sizes = [kernel.numpy().size for kernel in layer_chain.kernels(quantised.layers)]
    for size, count in zip(sizes, before, strict=True):
        (kernel,) = [one for one in large if one.size == size]
        assert (kernel == 0).sum() >= count


def numbers(path: Path) -> list[bytes]:
    """All weights and scales. Names of nodes are counted through a process by Keras."""
    initialisers = onnx.load(path).graph.initializer
    return sorted(numpy_helper.to_array(one).tobytes() for one in initialisers)


def test_the_same_seed_gives_the_same_numbers(exported: Path, tmp_path: Path) -> None:
    """And the argument stays as it was."""
    network = zeroed()
    before = content(network)
    again = qat.fine_tune_quantised(network, samples(), schedule(), 1, silent)
    quantization = qat.export(again, tmp_path / "again.onnx")
    assert numbers(tmp_path / "again.onnx") == numbers(exported)
    assert content(network) == before
    assert quantization["method"] == "quantisation-aware training"


def test_a_saved_network_keeps_its_rounding(quantised: keras.Model, tmp_path: Path) -> None:
    """Loaded again, it answers the same to the bit."""
    quantised.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False)
    assert np.array_equal(answers(loaded), answers(quantised))
    kinds = [type(layer) for layer in loaded.layers]
    assert kinds.count(qat.FakeQuantise) == 4
    assert kinds.count(qat.QuantisedConv2D) == kinds.count(qat.QuantisedDense) == 2


def test_techniques_compose_to_a_small_integer_file(tmp_path: Path, mnist: Dataset) -> None:
    """Distil, remove filters, factorise, prune, quantise: each on what the one before gave."""
    student = untrained()
    training = (samples(), schedule(learning_rate=3e-3), 1, silent)
    taught = distil.distil(student, [small()], *training, temperature=3.0, mix=0.8)
    slim = filter_pruning.remove_filters(taught, *training, keep=0.5)
    factored = factorise.factorise(slim, energy=0.5)
    pruned = prune.prune(factored, *training, sparsity=0.5)
    quantised = qat.fine_tune_quantised(pruned, *training)
    qat.export(quantised, tmp_path / "int8.onnx")
    assert len(factored.layers) > len(slim.layers)
    assert factored.count_params() < slim.count_params() < taught.count_params()
    assert zeros(quantised) == zeros(pruned)
    assert sum(zeros(pruned)) > 200
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert not IN_FLOAT.intersection(node.op_type for node in graph.node)
    (found,) = ort.InferenceSession(tmp_path / "int8.onnx").run(None, {"image": mnist.test_images})
    expected = answers(quantised)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= ALIKE
    assert np.abs(found - expected).max() < 0.03


def test_a_network_that_was_not_trained_so_is_not_exported(tmp_path: Path) -> None:
    """The error says what to call first."""
    with pytest.raises(ValueError, match="'small' is not quantised; call fine_tune_quantised"):
        qat.export(small(), tmp_path / "int8.onnx")


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([keras.layers.BatchNormalization(name="odd")], "'odd' does not follow a convolution"),
        (
            [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization()],
            "does not follow a convolution or dense layer without activation",
        ),
        ([keras.layers.Conv2D(4, 3, activation="tanh", name="odd")], "layer 'odd', a Conv2D"),
        ([keras.layers.UnitNormalization(name="odd")], "layer 'odd', a UnitNormalization"),
    ],
)
def test_a_layer_that_cannot_be_quantised_is_refused_by_name(
    layers: list[keras.layers.Layer], sentence: str
) -> None:
    """Rather than trained in another arithmetic than is served."""
    image = keras.Input((28, 28, 1))
    tensor = image
    for layer in [*layers, keras.layers.Flatten(), keras.layers.Dense(10)]:
        tensor = layer(tensor)
    with pytest.raises(ValueError, match=sentence):
        qat.prepare(keras.Model(image, tensor))
