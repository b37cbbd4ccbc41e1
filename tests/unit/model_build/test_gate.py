import pytest

from model_build.errors import GateError
from model_build.evaluation import gate
from tests.support.manifests import evaluation


@pytest.mark.parametrize(
    ("int8", "fp32"),
    [
        pytest.param(0.987, 0.990, id="exactly 0.3 points lost"),
        pytest.param(0.9855, 0.9885, id="exactly 0.3 points lost, elsewhere"),
        pytest.param(0.990, 0.990, id="nothing lost"),
        pytest.param(0.991, 0.990, id="better than its parent"),
        pytest.param(0.98, 0.98, id="exactly the accuracy asked"),
    ],
)
def test_a_model_that_keeps_enough_passes(int8: float, fp32: float) -> None:
    gate.check(evaluation(int8), evaluation(fp32), 0.98)


@pytest.mark.parametrize("samples", [1_000, 10_000])
def test_a_loss_of_0_3_points_passes_at_every_accuracy_and_one_sample_more_does_not(
    samples: int,
) -> None:
    allowed = round(0.003 * samples)
    for right in range(samples // 2, samples + 1, 7):
        fp32 = evaluation(right / samples)
        gate.check(evaluation((right - allowed) / samples), fp32, 0)
        with pytest.raises(GateError):
            gate.check(evaluation((right - allowed - 1) / samples), fp32, 0)


def test_a_model_that_lost_0_31_points_is_refused_with_the_numbers() -> None:
    with pytest.raises(GateError) as refused:
        gate.check(evaluation(0.9869), evaluation(0.99), 0.98)
    assert str(refused.value) == (
        "int8 must lose at most 0.30% accuracy against fp32, got 0.31% (98.69% against 99.00%)"
    )


def test_a_model_under_the_accuracy_asked_is_refused_with_the_numbers() -> None:
    with pytest.raises(GateError) as refused:
        gate.check(evaluation(0.979), evaluation(0.979), 0.98)
    assert str(refused.value) == "int8 accuracy must be at least 98.00%, got 97.90%"


def test_every_reason_is_told() -> None:
    with pytest.raises(GateError, match=r"got 5\.00% .*; int8 accuracy .* got 90\.00%"):
        gate.check(evaluation(0.9), evaluation(0.95), 0.98)
