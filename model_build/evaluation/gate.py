"""What a quantised model must keep before anybody may publish it."""

from model_build.errors import GateError
from model_build.evaluation.evaluate import Evaluation

MAX_LOSS = 0.003  # of accuracy, against the fp32 parent
# A quick build trains for seconds: it proves the path and is no model to be proud of.
MIN_ACCURACY = {
    ("cnn", "full"): 0.98,
    ("cnn", "quick"): 0.95,
    ("mlp", "full"): 0.92,
    ("mlp", "quick"): 0.88,
}
# Clothes are harder to tell apart than digits: three people by majority get 83.5 % (its README).
_MIN_ACCURACY_OF = {
    "fashion-mnist": {("cnn-dense", "full"): 0.91, ("cnn-dense", "quick"): 0.8},
}


def least_accuracy(dataset: str, architecture: str, profile: str) -> float:
    """Held-out accuracy that int8 must have, if nobody asks for another."""
    return _MIN_ACCURACY_OF.get(dataset, MIN_ACCURACY)[architecture, profile]


def check(
    int8: Evaluation, parent: Evaluation, min_accuracy: float, max_loss: float = MAX_LOSS
) -> None:
    """Raise GateError, with every reason, for an int8 model that lost too much."""
    reasons = []
    loss = parent.accuracy - int8.accuracy
    if loss > max_loss + 1e-9:
        reasons.append(
            f"int8 loses {loss:.2%} of accuracy against fp32 ({int8.accuracy:.2%} against "
            f"{parent.accuracy:.2%}), at most {max_loss:.2%} is allowed"
        )
    if int8.accuracy < min_accuracy:
        reasons.append(f"int8 accuracy {int8.accuracy:.2%} is under the {min_accuracy:.2%} asked")
    if reasons:
        raise GateError("; ".join(reasons))
