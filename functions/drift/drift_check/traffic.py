"""Log lines → histograms of inputs and predictions, by model version and preprocessing.

The predict function writes one line per request, in embedded metric format, with one list entry
per image.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

# Low, high and number of equal bins; values outside count in the first or the last bin.
BINS: dict[str, tuple[float, float, int]] = {
    "confidence": (0.0, 1.0, 20),
    "ink": (0.0, 0.5, 25),
    "stroke": (0.0, 6.0, 30),
    "paper": (0.0, 1.0, 20),
}
CLASSES = "classes"
STATISTICS = (CLASSES, *BINS)
FILTER = '"predictions"'  # occurs in the line of every successful request
_FIELDS = {"confidence": "Confidence"}  # statistics whose log field has another name

type Group = tuple[str, str]  # model version, preprocess: auto or none
type Histograms = dict[str, list[int]]


@dataclass
class Traffic:
    """Values read from log lines.

    values: by group and statistic, one entry per image. names: of the model of each version.
    """

    values: dict[Group, dict[str, list[Any]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    lines: int = 0
    not_json: int = 0

    def add(self, line: str) -> int:
        """Add a log line; return the number of images in it, 0 for any other line."""
        self.lines += 1
        try:
            document = json.loads(line)
        except ValueError:
            self.not_json += 1
            return 0
        if not isinstance(document, dict) or "_aws" not in document:
            return 0
        predictions, version = document.get("predictions"), document.get("model_version")
        if not isinstance(predictions, list) or not isinstance(version, str):
            return 0
        if isinstance(name := document.get("model_name"), str):
            self.names[version] = name
        # Tensors of the Open Inference Protocol are not preprocessed: they count as `none`.
        group = self.values.setdefault((version, str(document.get("preprocess", "none"))), {})
        group.setdefault(CLASSES, []).extend(predictions)
        for name in BINS:
            entries = document.get(_FIELDS.get(name, name))
            if isinstance(entries, list):
                numbers = [entry for entry in entries if isinstance(entry, int | float)]
                group.setdefault(name, []).extend(numbers)
        return len(predictions)

    def images(self, group: Group) -> int:
        """Count the images of a group."""
        return len(self.values[group][CLASSES])

    def histograms(self, group: Group, labels: Iterable[Any]) -> Histograms:
        """Histogram of each statistic of a group; classes are in the order of `labels`."""
        values = self.values[group]
        classes = Counter(map(str, values[CLASSES]))
        binned = {name: histogram(name, values[name]) for name in BINS if name in values}
        return {CLASSES: [classes[str(label)] for label in labels], **binned}


def histogram(name: str, values: Iterable[float]) -> list[int]:
    """Count a statistic's values in its bins."""
    low, high, bins = BINS[name]
    counts = [0] * bins
    for value in values:
        index = int((value - low) / (high - low) * bins)
        counts[min(max(index, 0), bins - 1)] += 1
    return counts


def baseline(recorded: Mapping[str, Any], mode: str) -> Histograms:
    """Histograms of a manifest's `baseline` for a preprocessing mode; empty if it has none.

    `auto` is compared with preprocessed pictures, `none` with samples used as is. A model that was
    published without pictures has no counts.
    """
    if mode == "auto":
        return dict(recorded.get("pictures", {}))
    evaluated = {
        CLASSES: recorded["predicted_counts"],
        "confidence": recorded["confidence_histogram"],
    }
    counted = {name: counts for name, counts in evaluated.items() if any(counts)}
    return counted | dict(recorded.get("samples", {}))


def read_logs(
    client: Any, group: str, start_ms: int, end_ms: int, limit: int, slices: int = 24
) -> Iterator[str]:
    """Yield the log lines of successful requests from CloudWatch Logs, spread over the period.

    client: boto3's client for `logs`. At most about `limit` lines are read, an equal share from
    each slice of the period, so that a busy day is sampled instead of cut off in the morning.
    """
    edges = [start_ms + (end_ms - start_ms) * number // slices for number in range(slices + 1)]
    for first, after in pairwise(edges):
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=first, endTime=after - 1, filterPattern=FILTER
        )
        lines = (event["message"] for page in pages for event in page["events"])
        yield from islice((line for line in lines if '"_aws"' in line), -(-limit // slices))
