"""Counts and times of a model in this environment, as Triton's statistics extension has them.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from classifier.errors import PredictError

_PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


class Statistics:
    """Of one version; the times are in nanoseconds."""

    def __init__(self) -> None:
        self._last = 0  # milliseconds since 1970
        self._inferences = 0  # pictures
        self._counts: Counter[Any] = Counter()
        self._times: Counter[Any] = Counter()

    def add_batch(self, size: int, duration: int) -> None:
        """Add an execution of the model on a batch."""
        self._last = time.time_ns() // 10**6
        self._inferences += size
        self.add("compute_infer", duration)
        self.add(size, duration)

    def add(self, part: str | int, duration: int) -> None:
        """Add the duration of a part of a request."""
        self._counts[part] += 1
        self._times[part] += duration

    @contextmanager
    def request(self) -> Iterator[None]:
        """Add the duration of a request, as a success or, after a PredictError, a failure."""
        started = time.perf_counter_ns()
        try:
            yield
        except PredictError:
            self.add("fail", time.perf_counter_ns() - started)
            raise
        self.add("success", time.perf_counter_ns() - started)

    def document(self, name: str, version: str) -> dict[str, Any]:
        """All of it, as the extension has it."""
        sizes = sorted(part for part in self._counts if isinstance(part, int))
        return {
            "name": name,
            "version": version,
            "last_inference": self._last,
            "inference_count": self._inferences,
            "execution_count": self._counts["compute_infer"],
            "inference_stats": {part: self._duration(part) for part in _PARTS},
            "batch_stats": [
                {"batch_size": size, "compute_infer": self._duration(size)} for size in sizes
            ],
        }

    def _duration(self, part: str | int) -> dict[str, int]:
        return {"count": self._counts[part], "ns": self._times[part]}


_models: dict[tuple[str, str], Statistics] = {}


def of(name: str, version: str) -> Statistics:
    """The statistics of a version, since this environment started."""
    return _models.setdefault((name, version), Statistics())
