"""A batch → its probabilities, in passes that fit the time and the memory of this environment.

How long a picture takes depends on the model and on the environment's share of a core, so it is
measured here: a first pass holds one picture, later ones as many as take a second. A batch that is
late by the known measure is measured again by its first picture, and refused then.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classifier.errors import TooLarge
from classifier.prepare.encoding import Tensor

_PASS_SECONDS = 1.0  # of one pass: time enough to see that a batch takes too long
_RESERVE_SECONDS = 1.0  # of the time left, to write the response
_NO_MEMORY = ("Failed to allocate memory", "bad_alloc")  # what onnxruntime's errors say

type Forward = Callable[[Tensor], NDArray[np.float32]]
type Remaining = Callable[[], int]  # milliseconds until the environment stops the request


class Pace:
    """How fast one model is here, and how many pictures of it fit into memory."""

    def __init__(self) -> None:
        self._seconds: float | None = None  # per picture, in the latest pass
        self._most: int | None = None  # pictures of a pass, once more did not fit

    def run(
        self, forward: Forward, batch: Tensor, remaining: Remaining | None
    ) -> NDArray[np.float32]:
        """Probabilities [N, classes] of a batch.

        remaining: None if nothing stops a slow request. Raises TooLarge as soon as a batch can be
        seen to take longer than that, and MemoryError if not even one picture fits into memory.
        """
        done: list[NDArray[np.float32]] = []
        start = 0
        while start < len(batch):
            size = min(len(batch) - start, self._size())
            if remaining and self._seconds:
                fits = start + int((remaining() / 1000 - _RESERVE_SECONDS) / self._seconds)
                if fits < len(batch):
                    if start:
                        self._refuse(len(batch), fits)
                    size = 1  # to measure again: other work may have been in the way
            started = time.perf_counter()
            try:
                done.append(forward(batch[start : start + size]))
            except Exception as error:  # onnxruntime's classes share no public base
                if not isinstance(error, MemoryError) and not any(
                    text in str(error) for text in _NO_MEMORY
                ):
                    raise
                if size == 1:
                    raise MemoryError from error
                self._most = size // 2
                continue
            self._seconds = (time.perf_counter() - started) / size
            start += size
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _size(self) -> int:
        """Pictures of the next pass."""
        if self._seconds is None:
            return 1
        fast = max(1, int(_PASS_SECONDS / max(self._seconds, 1e-6)))
        return fast if self._most is None else min(fast, self._most)

    def _refuse(self, size: int, fits: int) -> None:
        raise TooLarge(
            f"the model takes about {self._seconds:.2g} s for a picture here, so {size} would take "
            f"longer than this request may; send at most {max(1, fits)}"
        )


_paces: dict[tuple[str, str], Pace] = {}


def of(name: str, version: str) -> Pace:
    """The pace of a version in this environment."""
    return _paces.setdefault((name, version), Pace())
