"""What a search measured for each candidate: records, their JSON, and Wilson's interval."""

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

    Figures named neither validation nor pictures are for the held-out samples.

    stages: technique, parameters, seconds when it was built, and whether it was cached.
    operators: count of each type in the served graph.
    validation_views_right: for each validation sample, the share of its augmented views that were
    read correctly; candidates are compared on it, paired by sample.
    latency_ratio, load_ratio: to the reference candidate, in the same rounds.
    confusion: counts [K, K], one row per true class.
    reliability: mean confidence, accuracy and count of each confidence bin.
    misread: index, label, predicted, confidence and image [H][W] of each wrong answer.
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
    per_class_accuracy: list[float | None]
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
        """Record from the output of `dataclasses.asdict`, decoded from JSON."""
        intervals = ("accuracy_interval", "pictures_interval", "latency_ratio_interval")
        return cls(**document | {name: tuple(document[name]) for name in intervals})


@dataclass(frozen=True)
class Search:
    """One run, in which every candidate was measured.

    machine: cpu, cores, flags (such as avx512_vnni: they decide int8's speed), python, onnxruntime.
    dataset: name, sha256, and counts: train, validation, views (per validation sample), held_out,
    pictures. timing: rounds, and runs per round. failed: recipe and error.
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
        """Search as a JSON document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Search from the output of `to_dict`, decoded from JSON."""
        candidates = [Measured.from_dict(candidate) for candidate in document["candidates"]]
        return cls(**document | {"candidates": candidates})


def to_json(document: Any) -> str:
    """JSON text. Raises ValueError for NaN and infinity."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False)


def wilson_interval(correct: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a share, within 0 to 1; valid near 0 and 1 and for few samples too.

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
    # At 0 or total correct the interval ends at exactly 0 or 1, which rounding would miss.
    low = 0.0 if correct == 0 else center - half
    high = 1.0 if correct == total else center + half
    return low, high
