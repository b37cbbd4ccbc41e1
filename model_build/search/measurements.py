"""What a search measured of each candidate: the records, their JSON, and Wilson's interval."""

import json
import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

type Interval = tuple[float, float]

CONFIDENCE = 0.95  # of every interval


@dataclass(frozen=True)
class Measured:
    """One candidate. Shares are 0 to 1; times are in ms, batch 1, one thread.

    What is named neither validation nor pictures is of the held-out samples.

    stages: of each its technique, parameters, seconds it took when it ran, and whether it was
    cached. operators: count of each type in the served graph.
    validation_views_right: of each validation sample, the share of its augmented views that were
    read right; candidates are compared on it sample by sample.
    latency_ratio, load_ratio: to the reference candidate, in the same rounds.
    confusion: counts [K, K], a row a true class.
    reliability: of each bin of confidence its mean confidence, accuracy and count.
    misread: of each wrong answer its index, label, predicted, confidence and image [H][W].
    """

    recipe: str
    description: str
    stages: list[dict[str, Any]]
    techniques: list[str]
    file: str
    sha256: str
    bytes: int
    gzip_bytes: int
    parameters: int
    operators: dict[str, int]
    validation_accuracy: float
    validation_views_accuracy: float
    validation_views_right: list[float]
    accuracy: float
    accuracy_interval: Interval
    pictures_accuracy: float
    pictures_interval: Interval
    expected_calibration_error: float
    temperature: float | None
    per_class_accuracy: list[float]
    confusion: list[list[int]]
    reliability: list[dict[str, Any]]
    latency_p50_ms: float
    latency_p99_ms: float
    latency_ratio: float
    latency_ratio_interval: Interval
    load_ms: float
    load_ratio: float
    misread: list[dict[str, Any]]

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Record of what `dataclasses.asdict` gave, after a way through JSON."""
        intervals = ("accuracy_interval", "pictures_interval", "latency_ratio_interval")
        return cls(**document | {name: tuple(document[name]) for name in intervals})


@dataclass(frozen=True)
class Search:
    """One run, in which every candidate was measured.

    machine: cpu, cores, flags (such as avx512_vnni: they decide int8's speed), python, onnxruntime.
    dataset: name, sha256, and how many: train, validation, views (of each validation sample),
    held_out, pictures. timing: rounds, and runs a round. failed: recipe and error.
    """

    created: str
    profile: str
    seed: int
    machine: dict[str, Any]
    dataset: dict[str, Any]
    timing: dict[str, int]
    reference: str
    candidates: list[Measured]
    failed: list[dict[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Document for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Search of what `to_dict` gave, after a way through JSON."""
        candidates = [Measured.from_dict(one) for one in document["candidates"]]
        return cls(**document | {"candidates": candidates})


def to_json(document: Any) -> str:
    """JSON text. Raises ValueError for a figure that is not a number."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False)


def wilson_interval(correct: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a share, both ends in 0 to 1; it holds near 0 and 1 and for few samples.

    Raises ValueError unless 0 <= correct <= total and total > 0.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927;
    recommended by Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001.
    """
    if not 0 <= correct <= total or not total:
        raise ValueError(
            f"correct must be 0 to total and total at least 1, got {correct} of {total}"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    center = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + (z / total) ** 2 / 4)
    # With none or all right the interval touches 0 or 1, which rounding would miss.
    low = 0.0 if correct == 0 else center - half
    high = 1.0 if correct == total else center + half
    return low, high
