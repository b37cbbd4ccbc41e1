"""answer.py: what was found, as a client reads it."""

import json

import numpy as np
import pytest

from classifier.http.response import best_labels, box_in_pixels, judged, predictions
from classifier.image.pixels import Part
from classifier.model.manifest import Rejection


def test_each_row_becomes_a_prediction_with_its_label() -> None:
    found = predictions(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), ["cat", "dog"])
    assert found == [
        {"prediction": "dog", "confidence": 0.75, "probabilities": [0.25, 0.75]},
        {"prediction": "cat", "confidence": 0.5, "probabilities": [0.5, 0.5]},
    ]


def test_probabilities_have_six_decimals_and_no_more() -> None:
    """float32 would be written with the digits that it takes as a double."""
    probabilities = np.array([[0.1, 0.2, 0.7], [0.1234564, 0.1234566, 0.753087]], np.float32)
    first, second = (one["probabilities"] for one in predictions(probabilities, [0, 1, 2]))
    assert json.dumps(first) == "[0.1, 0.2, 0.7]"
    assert json.dumps(second) == "[0.123456, 0.123457, 0.753087]"


def test_the_larger_of_two_that_look_the_same_is_the_answer() -> None:
    """Rounded to six decimals both are 0.5."""
    (found,) = predictions(np.array([[0.4999998, 0.5000002]], np.float32), [0, 1])
    assert found["prediction"] == 1


def test_a_multi_label_model_answers_with_the_labels_that_reach_their_thresholds() -> None:
    """The most probable first; the prediction is that label, even if none reaches its own."""
    rows = np.array([[0.5, 0.75, 0.875], [0.25, 0.125, 0]], np.float32)
    several, none = predictions(rows, ["cat", "dog", "fox"], [0.5, 0.875, 0.5])
    assert (several["prediction"], several["labels"]) == ("fox", ["fox", "cat"])
    assert (none["prediction"], none["labels"]) == ("cat", [])


def test_the_best_labels_stand_for_all_probabilities() -> None:
    """The most probable first; of equal ones, the first of the labels."""
    (found,) = predictions(np.array([[0.25, 0.125, 0.5, 0.125]], np.float32), list("abcd"))
    expected = [
        {"label": "c", "probability": 0.5},
        {"label": "a", "probability": 0.25},
        {"label": "b", "probability": 0.125},
    ]
    assert best_labels(found, list("abcd"), 3) == {
        "prediction": "c",
        "confidence": 0.5,
        "top": expected,
    }
    assert len(best_labels(found, list("abcd"), 1000)["top"]) == 4


SCORE = "digit_probability"
SURE = {"prediction": 7, "confidence": 0.9, "probabilities": [0.1, 0.9]}
UNSURE = {"prediction": 7, "confidence": 0.6, "probabilities": [0.4, 0.6]}
AS_CONFIDENT = Rejection(threshold=0.75, slope=1, offset=0)  # the probability is the confidence


def test_without_a_threshold_a_prediction_stays_as_it_is() -> None:
    assert judged(UNSURE, None, SCORE) == UNSURE


def test_below_the_threshold_there_is_no_prediction_but_a_reason() -> None:
    assert judged(dict(SURE), AS_CONFIDENT, SCORE) == SURE | {"digit_probability": 0.9}
    answer = judged(dict(UNSURE), AS_CONFIDENT, SCORE)
    assert answer.pop("reason").endswith("add reject=off to be told the nearest")
    assert answer == UNSURE | {"prediction": None, "digit_probability": 0.6}


def test_a_client_can_be_told_the_nearest_class_anyway() -> None:
    assert judged(dict(UNSURE), AS_CONFIDENT, SCORE, reject=False) == UNSURE | {
        "digit_probability": 0.6
    }
    assert judged(dict(SURE), None, SCORE, 0.0, reject=False) == SURE


@pytest.mark.parametrize("rejection", [None, AS_CONFIDENT])
def test_where_no_digit_was_found_there_is_no_prediction(rejection: Rejection | None) -> None:
    answer = judged(dict(SURE), rejection, SCORE, 0.0)
    assert answer["prediction"] is None
    assert answer.get("digit_probability") == (0 if rejection else None)


@pytest.mark.parametrize(("confidence", "probability"), [(0.5, 0.731059), (1.0, 1), (0.0, 0)])
def test_the_probability_is_a_logistic_function_of_the_confidence(
    confidence: float, probability: float
) -> None:
    rejection = Rejection(threshold=0, slope=2, offset=1)
    row = [confidence, 1 - confidence] if confidence else [0.0, 0.0]
    answer = judged({"prediction": 7, "probabilities": row}, rejection, SCORE)
    assert answer["digit_probability"] == pytest.approx(probability, abs=1e-6)


def test_the_probability_rises_with_the_distance_from_equal_shares() -> None:
    rejection = Rejection(threshold=0, spread=2, offset=-2 * np.log(4))
    for row, probability in (
        ([0.25] * 4, 0.5),
        ([0.97, 0.01, 0.01, 0.01], 0.984486),
        ([1, 0, 0, 0], 1),
    ):
        answer = judged({"prediction": 7, "probabilities": row}, rejection, SCORE)
        assert answer["digit_probability"] == pytest.approx(probability, abs=1e-6)


def test_a_digit_that_the_finder_is_less_sure_of_is_less_probable() -> None:
    rejection = AS_CONFIDENT._replace(finder=2.0)
    assert judged(dict(SURE), rejection, SCORE)["digit_probability"] == 0.9
    answer = judged(dict(SURE), rejection, SCORE, 0.5)
    assert answer["digit_probability"] == pytest.approx(9 / (9 + np.e), abs=1e-6)
    assert answer["prediction"] == 7
    assert judged(dict(SURE), rejection, SCORE, 0.1)["prediction"] is None


def test_a_box_is_left_top_right_and_bottom_in_pixels() -> None:
    assert box_in_pixels(Part(0.1, 0.52, 0.25, 1), (100, 200)) == [50, 10, 200, 52]


@pytest.mark.parametrize("edges", [(0.131, 0.133), (0.0, 0.0), (1.0, 1.0), (0.999, 1.0)])
def test_a_box_is_never_empty(edges: tuple[float, float]) -> None:
    left, top, right, bottom = box_in_pixels(Part(*edges, *edges), (30, 20))
    assert 0 <= left < right <= 20
    assert 0 <= top < bottom <= 30
