"""What a quantised model must keep before anybody may publish it."""

from model_build.errors import GateError
from model_build.evaluation.evaluate import Evaluation

MAX_LOSS = 0.003  # of accuracy, against the fp32 parent


def check(
    candidate: Evaluation,
    parent: Evaluation,
    min_accuracy: float,
    max_loss: float = MAX_LOSS,
    name: str = "int8",
) -> None:
    """Raise GateError, with every reason, for a model that lost too much; name: what it is."""
    reasons = []
    loss = parent.accuracy - candidate.accuracy
    if loss > max_loss + 1e-9:
        reasons.append(
            f"{name} loses {loss:.2%} of accuracy against fp32 ({candidate.accuracy:.2%} against "
            f"{parent.accuracy:.2%}), at most {max_loss:.2%} is allowed"
        )
    if candidate.accuracy < min_accuracy:
        reasons.append(
            f"{name} accuracy {candidate.accuracy:.2%} is under the {min_accuracy:.2%} asked"
        )
    if reasons:
        raise GateError("; ".join(reasons))
