"""Log lines → histograms of what was asked and answered, by model version and preprocessing.

The lines are those that the predict function writes in embedded metric format, one a request,
with a list entry for each image.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

# Equal bins from low to high; what lies outside is counted in the first or the last.
BINS: dict[str, tuple[float, float, int]] = {
    "confidence": (0.0, 1.0, 20),
    "ink": (0.0, 0.5, 25),
    "stroke": (0.0, 6.0, 30),
    "paper": (0.0, 1.0, 20),
}
CLASSES = "classes"
STATISTICS = (CLASSES, *BINS)
FILTER = '"predictions"'  # a term that all lines of answered requests hold
_FIELDS = {"confidence": "Confidence"}  # where a statistic is not the field's own name

type Group = tuple[str, str]  # model version, preprocess: auto or none
type Histograms = dict[str, list[int]]


@dataclass
class Traffic:
    """What was found in log lines. values: of each group and statistic, an entry an image."""

    values: dict[Group, dict[str, list[Any]]] = field(default_factory=dict)
    lines: int = 0
    not_json: int = 0

    def add(self, line: str) -> int:
        """Take a log line; give the number of images in it, 0 for a line that is about none."""
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
        # A tensor of the Open Inference Protocol has no picture: it is taken as it is, as `none`.
        group = self.values.setdefault((version, str(document.get("preprocess", "none"))), {})
        group.setdefault(CLASSES, []).extend(predictions)
        for name in BINS:
            found = document.get(_FIELDS.get(name, name))
            if isinstance(found, list):
                numbers = [one for one in found if isinstance(one, int | float)]
                group.setdefault(name, []).extend(numbers)
        return len(predictions)

    def images(self, group: Group) -> int:
        """Images of a group."""
        return len(self.values[group][CLASSES])

    def histograms(self, group: Group, labels: Iterable[Any]) -> Histograms:
        """Counts of each statistic of a group; the classes in the order of a model's labels."""
        values = self.values[group]
        classes = Counter(map(str, values[CLASSES]))
        found = {name: histogram(name, values[name]) for name in BINS if name in values}
        return {CLASSES: [classes[str(label)] for label in labels], **found}


def histogram(name: str, values: Iterable[float]) -> list[int]:
    """Counts of a statistic's values in its bins."""
    low, high, bins = BINS[name]
    counts = [0] * bins
    for value in values:
        place = int((value - low) / (high - low) * bins)
        counts[min(max(place, 0), bins - 1)] += 1
    return counts


def baseline(held: Mapping[str, Any], mode: str) -> Histograms:
    """Histograms of a manifest's `baseline` for a way of preprocessing; empty if it has none.

    `auto` is compared with pictures, `none` with samples as they are.
    """
    if mode == "auto":
        return dict(held.get("pictures", {}))
    found = {CLASSES: held["predicted_counts"], "confidence": held["confidence_histogram"]}
    return found | dict(held.get("samples", {}))


def read_logs(
    client: Any, group: str, start_ms: int, end_ms: int, limit: int, slices: int = 24
) -> Iterator[str]:
    """Log lines of answered requests from CloudWatch Logs, spread over the time asked for.

    client: boto3's for `logs`. At most `limit` requests are read, a share from each slice of the
    time: a busy day is sampled, not cut off at its morning.
    """
    edges = [start_ms + (end_ms - start_ms) * number // slices for number in range(slices + 1)]
    for first, after in pairwise(edges):
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=first, endTime=after - 1, filterPattern=FILTER
        )
        lines = (event["message"] for page in pages for event in page["events"])
        yield from islice((line for line in lines if '"_aws"' in line), -(-limit // slices))
