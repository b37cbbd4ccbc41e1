"""pace.py: a batch in passes that fit the time and the memory that there is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.errors import TooLarge
from classifier.model import pace
from classifier.model.pace import Pace

BATCH = np.arange(32, dtype=np.float32).reshape(32, 1)


class Clock:
    """A model on a clock of its own: each picture takes `seconds`."""

    def __init__(self, seconds: float, *, fits: int = 32, error: str = "") -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self.seconds = seconds
        self._fits = fits
        self._error = error

    def perf_counter(self) -> float:
        return self.now

    def __call__(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        if len(batch) > self._fits:
            raise RuntimeError(self._error)
        self.now += self.seconds * len(batch)
        return np.asarray(2 * batch, np.float32)

    def remaining(self, seconds: float) -> Callable[[], int]:
        """Milliseconds left of so many seconds."""
        return lambda: int(1000 * (seconds - self.now))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    def make(seconds: float, **options: Any) -> Clock:
        clock = Clock(seconds, **options)
        monkeypatch.setattr(pace, "time", clock)
        return clock

    return make


def test_the_first_picture_is_measured_and_the_rest_of_a_fast_model_is_one_pass(
    start: Callable[..., Clock],
) -> None:
    clock, passes = start(0.002), Pace()
    for _ in range(2):
        assert (passes.run(clock, BATCH, clock.remaining(28)) == 2 * BATCH).all()
    assert clock.sizes == [1, 31, 32]


def test_a_slow_model_gets_as_many_pictures_as_take_a_second(start: Callable[..., Clock]) -> None:
    clock = start(0.3)
    assert (Pace().run(clock, BATCH, None) == 2 * BATCH).all()
    assert clock.sizes == [1, *[3] * 10, 1]


def test_a_batch_that_would_outlive_the_time_out_is_refused_at_once(
    start: Callable[..., Clock],
) -> None:
    """As VGG16 on a small Lambda: 32 pictures in 39 s. What it says fits, does."""
    clock, passes = start(1.22), Pace()
    with pytest.raises(TooLarge, match=r"about 1\.2 s for a picture here, so 32 .* at most 22$"):
        passes.run(clock, BATCH, clock.remaining(28))
    assert clock.sizes == [1]
    clock.now = 0
    passes.run(clock, BATCH[:22], clock.remaining(28))
    assert clock.now < 27
    clock.now, clock.sizes = 0, []
    with pytest.raises(TooLarge):
        passes.run(clock, BATCH, clock.remaining(28))
    assert clock.sizes == [1], "to measure again"


def test_a_model_that_was_slow_once_is_measured_again(start: Callable[..., Clock]) -> None:
    """The first picture came while something else took the core."""
    clock, passes = start(5), Pace()
    passes.run(clock, BATCH[:1], clock.remaining(28))
    clock.seconds, clock.now = 0.1, 0
    assert len(passes.run(clock, BATCH, clock.remaining(28))) == 32


def test_one_picture_is_always_tried(start: Callable[..., Clock]) -> None:
    """There is no smaller batch to ask for."""
    clock, passes = start(40), Pace()
    for _ in range(2):
        passes.run(clock, BATCH[:1], clock.remaining(28))
    assert clock.sizes == [1, 1]


@pytest.mark.parametrize("error", ["Failed to allocate memory for a buffer", "std::bad_alloc"])
def test_a_pass_that_does_not_fit_into_memory_is_halved(
    start: Callable[..., Clock], error: str
) -> None:
    clock, passes = start(0.001, fits=9, error=error), Pace()
    assert (passes.run(clock, BATCH, None) == 2 * BATCH).all()
    assert clock.sizes == [1, 31, 15, 7, 7, 7, 7, 3]
    clock.sizes = []
    passes.run(clock, BATCH, None)
    assert max(clock.sizes) == 7, "it is remembered"


def test_a_picture_that_does_not_fit_is_an_error_of_memory(start: Callable[..., Clock]) -> None:
    with pytest.raises(MemoryError):
        Pace().run(start(1, fits=0, error="Failed to allocate memory"), BATCH, None)


def test_another_failure_is_not_tried_again(start: Callable[..., Clock]) -> None:
    clock = start(1, fits=0, error="an operator failed")
    with pytest.raises(RuntimeError, match="an operator failed"):
        Pace().run(clock, BATCH, None)
    assert clock.sizes == [1]
