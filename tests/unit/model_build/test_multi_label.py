"""Thresholds and figures of models whose labels are each true or false of a picture."""

from pathlib import Path

import numpy as np
import pytest

from model_build.evaluation import multi_label
from model_build.evaluation.evaluate import Timing


def test_a_threshold_has_the_highest_f1_score_of_all() -> None:
    generator = np.random.default_rng(4)
    truth = generator.random((60, 3)) < 0.3
    scores = (0.3 * truth + 0.7 * generator.random((60, 3))).astype(np.float32)
    thresholds = multi_label.fit_thresholds(scores, truth)
    for label, threshold in enumerate(thresholds):

        def f1(limit: float, label: int = label) -> float:
            found, own = scores[:, label] >= limit, truth[:, label]
            return float(2 * (found & own).sum() / (found.sum() + own.sum()))

        assert f1(threshold) == max(f1(limit) for limit in np.linspace(0, 1, 2000))
        assert 0 < threshold < 1


def test_a_label_with_few_pictures_with_or_without_it_keeps_one_half() -> None:
    truth = np.zeros((20, 3), np.bool_)
    truth[:4, 0] = truth[:16, 1] = truth[:5, 2] = True
    scores = np.where(truth, 0.2, 0.1).astype(np.float32)
    assert multi_label.fit_thresholds(scores, truth) == [0.5, 0.5, pytest.approx(0.15)]


def test_a_picture_is_right_if_all_its_labels_are(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    truth = np.array([[True, False, False], [True, True, False], [False, False, False]])
    scores = np.array([[0.6, 0.2, 0.1], [0.6, 0.2, 0.1], [0.1, 0.1, 0.1]], np.float32)
    timing = Timing(np.ones(1), np.ones((1, 1)))
    found = multi_label.score(scores, truth, [0.5, 0.5, 0.5], tmp_path / "model.onnx", timing)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.per_class_accuracy == [1, 0, None]
    assert found.predicted_counts == [3, 0, 0]
    # Bins: 0.6 is right twice of two, 0.2 once of two, 0.1 never of five.
    assert found.expected_calibration_error == pytest.approx((0.8 + 0.6 + 0.5) / 9)
    assert (found.bytes, found.latency_p50_ms) == (5, 1)
