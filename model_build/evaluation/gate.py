"""The gate: what a quantised model must achieve to be published."""

from model_build.errors import GateError
from model_build.evaluation.evaluate import Evaluation

MAX_LOSS = 0.003  # of accuracy, against the fp32 parent


def check(
    candidate: Evaluation,
    parent: Evaluation,
    min_accuracy: float,
    name: str = "int8",
) -> None:
    """Raise GateError, with every reason, for a model that lost too much; name: the candidate's."""
    reasons = []
    loss = parent.accuracy - candidate.accuracy
    if loss > MAX_LOSS + 1e-9:
        reasons.append(
            f"{name} must lose at most {MAX_LOSS:.2%} accuracy against fp32, got {loss:.2%} "
            f"({candidate.accuracy:.2%} against {parent.accuracy:.2%})"
        )
    if candidate.accuracy < min_accuracy:
        reasons.append(
            f"{name} accuracy must be at least {min_accuracy:.2%}, got {candidate.accuracy:.2%}"
        )
    if reasons:
        raise GateError("; ".join(reasons))
