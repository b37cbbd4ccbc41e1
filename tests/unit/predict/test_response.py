"""answer.py: what was found, as a client reads it."""

import json

import numpy as np

from classifier.http.response import predictions


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
