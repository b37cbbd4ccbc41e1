from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_build.data.datasets import Dataset
from model_build.evaluation.evaluate import (
    Evaluation,
    evaluate,
    expected_calibration_error,
    worst,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, classifier: bytes) -> Path:
    path = tmp_path_factory.mktemp("evaluate") / "classifier.onnx"
    path.write_bytes(classifier)
    return path


@pytest.fixture(scope="module")
def answers(file: Path, mnist: Dataset) -> NDArray[np.float32]:
    (probabilities,) = ort.InferenceSession(file).run(None, {"image": mnist.test_images})
    return np.asarray(probabilities)


@pytest.fixture(scope="module")
def found(file: Path, mnist: Dataset) -> Evaluation:
    return evaluate({"one": file}, mnist.test_images, mnist.test_labels)["one"]


def test_accuracy_is_the_share_of_right_answers(
    found: Evaluation, answers: NDArray[np.float32], mnist: Dataset
) -> None:
    right = [
        int(row.argmax()) == int(label)
        for row, label in zip(answers, mnist.test_labels, strict=True)
    ]
    assert found.accuracy == sum(right) / len(right)
    assert 0.5 < found.accuracy < 1


def test_per_class_accuracy_is_each_label_s_own(
    found: Evaluation, answers: NDArray[np.float32], mnist: Dataset
) -> None:
    assert len(found.per_class_accuracy) == 10
    for label in range(10):
        own = answers[mnist.test_labels == label].argmax(axis=1)
        assert found.per_class_accuracy[label] == pytest.approx(float((own == label).mean()))


def test_the_baseline_counts_every_sample_once(
    found: Evaluation, answers: NDArray[np.float32], mnist: Dataset
) -> None:
    predicted = answers.argmax(axis=1).tolist()
    assert found.predicted_counts == [predicted.count(label) for label in range(10)]
    assert sum(found.confidence_histogram) == len(mnist.test_labels)
    confidence = answers.max(axis=1)
    surest = int(((confidence >= 0.95) & (confidence <= 1)).sum())
    assert found.confidence_histogram[-1] == surest
    assert len(found.confidence_histogram) == 20


def test_size_and_times_are_told(found: Evaluation, classifier: bytes) -> None:
    assert found.bytes == len(classifier)
    assert 0 < found.latency_p50_ms <= found.latency_p99_ms
    assert found.load_ms > 0


def test_several_candidates_are_told_apart(file: Path, tmp_path: Path, mnist: Dataset) -> None:
    import onnx

    broken = onnx.load(file)
    (bias,) = [one for one in broken.graph.initializer if one.name == "bias"]
    values = np.zeros(10, dtype=np.float32)
    values[3] = 1000
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "bias"))
    onnx.save(broken, tmp_path / "broken.onnx")
    candidates = {"good": file, "broken": tmp_path / "broken.onnx"}
    both = evaluate(candidates, mnist.test_images, mnist.test_labels)
    assert both["broken"].accuracy == 0.1
    assert both["broken"].predicted_counts == [0, 0, 0, 1000, 0, 0, 0, 0, 0, 0]
    assert both["good"].accuracy > 0.5


def test_a_class_without_a_sample_has_no_accuracy(file: Path, mnist: Dataset) -> None:
    zeros = mnist.test_labels == 0
    one = evaluate({"one": file}, mnist.test_images[zeros], mnist.test_labels[zeros])["one"]
    assert one.per_class_accuracy == [one.accuracy] + [None] * 9
    assert worst(one.per_class_accuracy, "abcdefghij") == f"{one.accuracy:.1%} (a)"


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_the_calibration_error_is_that_of_its_definition(
    samples: list[tuple[float, bool]], bins: int
) -> None:
    """Guo et al. 2017, equation 3: the sum over bins of |B| / n · |acc(B) - conf(B)|."""
    confidence = np.array([one for one, _ in samples], dtype=np.float32)
    correct = np.array([one for _, one in samples])
    members: dict[int, list[int]] = {}
    for index, one in enumerate(confidence):
        members.setdefault(min(int(one * bins), bins - 1), []).append(index)
    expected = sum(
        len(inside)
        / len(samples)
        * abs(float(np.mean(correct[inside])) - float(np.mean(confidence[inside], dtype=float)))
        for inside in members.values()
    )
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize(
    ("confidence", "correct", "error"),
    [
        pytest.param([1.0, 1.0], [True, True], 0.0, id="sure and right"),
        pytest.param([1.0, 1.0], [False, False], 1.0, id="sure and wrong"),
        pytest.param([0.75] * 4, [True, True, True, False], 0.0, id="as sure as it is right"),
        pytest.param([0.75] * 4, [True] * 4, 0.25, id="too modest"),
        pytest.param([0.1, 0.9], [True, False], 0.9, id="errors of two bins do not cancel"),
    ],
)
def test_the_calibration_error_of_plain_cases(
    confidence: list[float], correct: list[bool], error: float
) -> None:
    found = expected_calibration_error(np.array(confidence, dtype=np.float32), np.array(correct))
    assert found == pytest.approx(error, abs=1e-6)
