from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_build.data.datasets import Dataset
from model_build.engine.stage import SAMPLES, StageContext
from model_build.evaluation.evaluate import expected_calibration_error
from model_build.graph import temperature
from model_build.graph.optimise import EXTENDED, optimise
from model_build.quantise import dynamic, static, weight_only
from tests.support.graphs import CONTRACT, answers, convolutional, ends, operators

type Kind = Literal["written", "fp32", "static", "dynamic", "weight-only"]
KINDS: list[Kind] = ["written", "fp32", "static", "dynamic", "weight-only"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mnist: Dataset, classifier: bytes) -> Path:
    """One file per kind of graph, without a temperature; `written` ends in MatMul and Add."""
    folder = tmp_path_factory.mktemp("graphs")
    (folder / "written.onnx").write_bytes(classifier)
    (folder / "parent.onnx").write_bytes(convolutional())
    optimise(folder / "parent.onnx", folder / "fp32.onnx", EXTENDED)
    static.quantise(folder / "parent.onnx", folder / "static.onnx", mnist.train_images[::36])
    dynamic.quantise(folder / "parent.onnx", folder / "dynamic.onnx")
    weight_only.quantise(folder / "parent.onnx", folder / "weight-only.onnx")
    return folder


@pytest.mark.parametrize("has_pages", [True, False])
def test_a_reader_of_pages_is_not_made_surer(
    mnist: Dataset, classifier: bytes, tmp_path: Path, *, has_pages: bool
) -> None:
    """However sure it may be of the data set's samples, which are easier."""
    for name in ("source", "samples", "target"):
        (tmp_path / name).mkdir()
    graph = tmp_path / "source/model.onnx"
    graph.write_bytes(classifier)
    temperature.calibrate(graph, graph, mnist.validation_images, mnist.validation_labels)
    temperature.apply(graph, graph, 2.0)
    others = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    np.savez(
        tmp_path / "samples" / SAMPLES,
        validation_images=np.concatenate([mnist.validation_images, others]),
        validation_labels=np.concatenate([mnist.validation_labels, np.full(200, -1)]),
        validation_scores=np.full(len(mnist.validation_images) + 200, 0.9, np.float32),
    )
    context = StageContext(
        mnist,
        0,
        lambda *_: None,
        tmp_path / "source",
        (),
        tmp_path / "target",
        tmp_path / "samples" if has_pages else None,
    )
    result = temperature.build_stage(context)
    assert result["temperature"] == pytest.approx(1.0 if has_pages else 0.5, rel=0.02)
    assert ("rejection" in result) == has_pages


@settings(max_examples=15)
@given(st.floats(0.3, 3), st.integers(0, 5))
def test_the_temperature_that_labels_were_drawn_by_is_found(truth: float, seed: int) -> None:
    logits, labels = _sampled(truth, seed)
    assert temperature.fit(logits, labels) == pytest.approx(truth, rel=0.12)


@settings(max_examples=5)
@given(st.floats(0.3, 3))
def test_no_other_temperature_is_likelier(truth: float) -> None:
    logits, labels = _sampled(truth, 1)
    fitted = temperature.fit(logits, labels)
    for other in (*np.geomspace(0.1, 10, 41), fitted * 1.001, fitted / 1.001):
        assert _loss(logits, labels, fitted) <= _loss(logits, labels, float(other)) + 1e-12


def test_a_temperature_keeps_to_its_bounds_and_takes_logits_of_any_size() -> None:
    logits = np.array([[0, 5, 30], [30, 0, 5]], np.float32)
    assert temperature.fit(logits, np.array([2, 0])) == pytest.approx(0.1), "all right"
    assert temperature.fit(logits, np.array([0, 1])) == pytest.approx(10), "all wrong"
    assert temperature.fit(logits * 1e30, np.array([0, 1])) == pytest.approx(10)


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        temperature.fit(np.zeros((0, 10), np.float32), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="finite logits"):
        temperature.fit(np.full((1, 2), np.nan, np.float32), np.zeros(1, np.int64))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_what_the_probabilities_come_from(
    kind: Kind, folder: Path, mnist: Dataset
) -> None:
    path, images = folder / f"{kind}.onnx", mnist.test_images[::4]
    logits = temperature.logits(path, images)
    assert np.allclose(_softmax(logits), answers(path, images), atol=1e-6)
    assert ends(path) == CONTRACT, "the file is as it was"


@pytest.mark.parametrize("kind", KINDS)
def test_applied_it_divides_the_logits_and_keeps_the_answers_and_the_ends(
    kind: Kind, folder: Path, mnist: Dataset, tmp_path: Path
) -> None:
    source, target = folder / f"{kind}.onnx", tmp_path / "calibrated.onnx"
    images = mnist.test_images[::4]
    temperature.apply(source, target, 1.7)
    before = temperature.logits(source, images)
    assert np.allclose(temperature.logits(target, images) * 1.7, before, rtol=1e-4, atol=1e-4)
    found = answers(target, images)
    assert np.allclose(found, _softmax(before / np.float32(1.7)), atol=1e-5)
    assert np.array_equal(found.argmax(axis=1), before.argmax(axis=1))
    assert ends(target) == CONTRACT


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_temperature_multiplies_the_first(
    kind: Kind, folder: Path, mnist: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "calibrated.onnx"
    temperature.apply(folder / f"{kind}.onnx", target, 2.0)
    temperature.apply(target, target, 0.5)
    images = mnist.test_images[::20]
    assert np.allclose(answers(target, images), answers(folder / f"{kind}.onnx", images), atol=1e-5)


@pytest.mark.parametrize("kind", ["fp32", "static"])
def test_what_ends_in_a_product_gets_no_further_node(
    kind: Kind, folder: Path, tmp_path: Path
) -> None:
    """A Mul would cost the MLP a tenth of its latency."""
    temperature.apply(folder / f"{kind}.onnx", tmp_path / "calibrated.onnx", 1.7)
    before, after = operators(folder / f"{kind}.onnx"), operators(tmp_path / "calibrated.onnx")
    assert before == after
    assert {"fp32": "Gemm", "static": "QGemm"}[kind] in after


def test_a_scale_that_others_use_too_is_left_alone(
    folder: Path, mnist: Dataset, tmp_path: Path
) -> None:
    model = onnx.load(folder / "static.onnx")
    (product,) = (node for node in model.graph.node if node.op_type == "QGemm")
    name = product.input[4]
    (shape,) = (list(one.dims) for one in model.graph.initializer if one.name == name)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.save(model, tmp_path / "two.onnx")
    temperature.apply(tmp_path / "two.onnx", tmp_path / "calibrated.onnx", 1.7)
    assert operators(tmp_path / "calibrated.onnx")[-2:] == ["Mul", "Softmax"]
    temperature.apply(folder / "static.onnx", tmp_path / "own.onnx", 1.7)
    found, expected = (
        answers(tmp_path / f"{name}.onnx", mnist.test_images[:50]) for name in ("calibrated", "own")
    )
    assert np.allclose(found, expected, atol=1e-6)


def test_a_product_of_dequantised_weights_keeps_its_factors(tmp_path: Path, mnist: Dataset) -> None:
    """onnxruntime turns it into a QGemm only if they are 1."""
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static, "optimise_integers", lambda source, target: source.rename(target))
        static.quantise(tmp_path / "fp32.onnx", tmp_path / "qdq.onnx", mnist.train_images[:64])
    temperature.apply(tmp_path / "qdq.onnx", tmp_path / "calibrated.onnx", 1.7)
    optimise(tmp_path / "calibrated.onnx", tmp_path / "opened.onnx", EXTENDED)
    assert operators(tmp_path / "calibrated.onnx")[-2:] == ["Mul", "Softmax"]
    assert "QGemm" in operators(tmp_path / "opened.onnx")


def test_logits_that_others_use_too_are_left_alone(tmp_path: Path, mnist: Dataset) -> None:
    model = onnx.load_from_string(convolutional())
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    model.graph.output.append(logits)
    onnx.save(model, tmp_path / "two.onnx")
    temperature.apply(tmp_path / "two.onnx", tmp_path / "calibrated.onnx", 1.7)
    before, after = (
        ort.InferenceSession(tmp_path / f"{name}.onnx").run(
            ["logits"], {"image": mnist.test_images[:9]}
        )[0]
        for name in ("two", "calibrated")
    )
    assert np.array_equal(before, after)


@pytest.mark.parametrize("kind", ["fp32", "static"])
def test_calibrated_confidence_agrees_better_with_accuracy(
    kind: Kind, folder: Path, mnist: Dataset, tmp_path: Path
) -> None:
    temperature.apply(folder / f"{kind}.onnx", tmp_path / "unsure.onnx", 4.0)
    fitted = temperature.calibrate(
        tmp_path / "unsure.onnx",
        tmp_path / "calibrated.onnx",
        mnist.validation_images,
        mnist.validation_labels,
    )
    assert fitted < 1
    before, after = (
        _calibration_error(tmp_path / f"{name}.onnx", mnist) for name in ("unsure", "calibrated")
    )
    assert after < before / 2


def test_views_are_of_the_samples_in_equal_numbers_and_the_same_every_time(mnist: Dataset) -> None:
    images, labels = mnist.validation_images, mnist.validation_labels
    shown, meant = temperature.views(images, labels)
    assert shown.shape == (4000, 28, 28)
    assert shown.dtype == np.uint8
    assert np.array_equal(meant, np.tile(labels, 10))
    assert np.array_equal(shown, temperature.views(images, labels)[0])
    assert len(np.unique(shown[::400], axis=0)) == 10, "no two of one sample are the same"
    many, _ = temperature.views(np.repeat(images[:5], 1000, axis=0), np.repeat(labels[:5], 1000))
    assert len(many) == 5000, "many samples are shown once each"


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_what_is_no_temperature_is_refused(wrong: float, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        temperature.apply(folder / "fp32.onnx", tmp_path / "calibrated.onnx", wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_does_not_end_in_softmax_is_refused(tmp_path: Path, mnist: Dataset) -> None:
    model = onnx.load_from_string(convolutional())
    model.graph.node[-1].op_type = "LogSoftmax"
    onnx.save(model, tmp_path / "log.onnx")
    with pytest.raises(ValueError, match="'probabilities' does not come from Softmax"):
        temperature.apply(tmp_path / "log.onnx", tmp_path / "calibrated.onnx", 1.7)
    with pytest.raises(ValueError, match="does not come from Softmax"):
        temperature.logits(tmp_path / "log.onnx", mnist.test_images[:1])


def _sampled(truth: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits [N, 10], and labels [N] drawn by softmax(logits / truth)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (4_000, 10)).astype(np.float32)
    noise = generator.gumbel(0, 1, logits.shape)
    return logits, (logits / truth + noise).argmax(axis=1)


def _loss(logits: NDArray[np.float32], labels: NDArray[np.int64], fitted: float) -> float:
    scaled = logits.astype(np.float64) / fitted
    chosen = scaled[np.arange(len(labels)), labels]
    return float((np.log(np.exp(scaled).sum(axis=1)) - chosen).mean())


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _calibration_error(path: Path, mnist: Dataset) -> float:
    found = answers(path, mnist.test_images)
    return expected_calibration_error(found.max(axis=1), found.argmax(axis=1) == mnist.test_labels)
