"""What raises doubts about a model that was evaluated."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_build.importing.doubts import doubts

LABELS = ["cat", "dog", "fox", "owl"]


def answers(predicted: NDArray[Any], certainty: float = 0.7) -> NDArray[np.float32]:
    rows = np.full((len(predicted), len(LABELS)), (1 - certainty) / 3, np.float32)
    rows[np.arange(len(predicted)), predicted] = certainty
    return rows


def truth(labels: NDArray[Any]) -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = np.eye(len(LABELS), dtype=np.bool_)[labels]
    return rows


EVEN = np.arange(200) % 4
WRONG_IN_FIVE = np.where(np.arange(200) % 5 == 0, (EVEN + 1) % 4, EVEN)


def test_a_model_that_answers_well_raises_none() -> None:
    assert doubts(answers(WRONG_IN_FIVE), truth(EVEN), LABELS) == []


def test_many_pictures_of_one_label_are_no_reason_for_doubt() -> None:
    """Where nine in ten are cats, right answers in nine of ten are not chance."""
    mostly_cats = np.where(np.arange(200) % 10 == 0, 1, 0)
    assert doubts(answers(mostly_cats, 0.9), truth(mostly_cats), LABELS) == []


@pytest.mark.parametrize(
    "predicted",
    [
        np.random.default_rng(1).integers(0, 4, 200),
        np.zeros(200, dtype=int),
        (EVEN + 1) % 4,
    ],
    ids=["random", "constant", "shifted"],
)
def test_a_model_near_chance_raises_doubts(predicted: NDArray[Any]) -> None:
    found = doubts(answers(predicted, 0.4), truth(EVEN), LABELS)
    rights = int((predicted == EVEN).sum())
    assert found[0].startswith(f"{rights} of 200 answers are right, which may be chance (2")


def test_too_few_pictures_can_not_tell_a_model_from_chance() -> None:
    """Two right answers of two, one for each label."""
    (doubt,) = doubts(answers(np.array([0, 1])), truth(np.array([0, 1])), LABELS)
    assert doubt.startswith("2 of 2 answers are right, which may be chance (50.0%)")


def test_a_model_much_surer_than_right_raises_doubts() -> None:
    half = np.where(np.arange(200) // 4 % 2 == 0, EVEN, (EVEN + 1 + EVEN // 2) % 4)
    found = doubts(answers(half, 0.97), truth(EVEN), LABELS)
    assert any("the model is 97% sure on average, and right in" in doubt for doubt in found)


def test_labels_that_changed_places_raise_doubts() -> None:
    swapped = np.array([1, 0, 2, 3])[EVEN]
    (doubt,) = doubts(answers(swapped, 0.6), truth(EVEN), LABELS)
    assert doubt == (
        "it returns dog for 50 of 50 pictures of cat, it returns cat for 50 of 50 pictures of dog: "
        "check the order of the labels"
    )


def test_labels_that_pictures_have_beside_others_are_right_answers() -> None:
    """The model returns one of two for a picture of a cat and a dog."""
    both = truth(EVEN) | truth(np.array([1, 0, 2, 3])[EVEN])
    swapped = np.array([1, 0, 2, 3])[EVEN]
    assert doubts(answers(swapped, 0.9), both, LABELS) == []


def test_a_label_that_looks_like_another_is_no_reason_for_doubt() -> None:
    foxes_are_dogs = np.array([0, 1, 1, 3])[EVEN]
    assert doubts(answers(foxes_are_dogs, 0.7), truth(EVEN), LABELS) == []
