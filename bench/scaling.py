"""Lambda's scaling, simulated from measured service times: who waits, how long, at what cost.

A request takes an idle environment, or starts one if the scaling rate and the concurrency limit
allow, or is throttled. Started environments stay warm until they have been idle for a while.
Source of the rules: the AWS Lambda Developer Guide, "Understanding Lambda function scaling".
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from bench.pricing import PRICES, Prices, billed_seconds


@dataclass(frozen=True)
class Service:
    """Measured durations in milliseconds, drawn from as they are: warm, and init and first answer.

    memory_mb: the memory size that they were measured at.
    """

    warm_ms: Sequence[float]
    cold_ms: Sequence[float]
    memory_mb: int


@dataclass(frozen=True)
class Platform:
    """Rules of the platform; the defaults are those of an account that asked for more concurrency.

    A new account has a concurrency limit of 1,000.
    """

    starts_per_10_s: int = 1000
    concurrency: int = 10_000
    idle_seconds: float = 600.0  # until an environment is taken away; AWS does not promise a figure


@dataclass(frozen=True)
class Outcome:
    """What a simulated stretch of traffic came to; times as a client of the function sees them."""

    requests: int
    throttled: int
    cold: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    environments: int
    billed_seconds: float
    provisioned_billed_seconds: float
    seconds: float

    @property
    def cold_share(self) -> float:
        """Share of the answered requests that started an environment."""
        return self.cold / max(self.requests - self.throttled, 1)

    def dollars_per_million(
        self, memory_mb: int, provisioned: int = 0, prices: Prices = PRICES
    ) -> float:
        """Cost at Lambda for a million requests of this traffic, without the gateway."""
        gigabytes = memory_mb / 1024
        total = self.requests * prices.request + gigabytes * (
            self.billed_seconds * prices.gb_second
            + self.provisioned_billed_seconds * prices.provisioned_duration_gb_second
            + provisioned * self.seconds * prices.provisioned_gb_second
        )
        return 1e6 * total / max(self.requests, 1)


def simulate(
    arrivals: Sequence[float],
    service: Service,
    *,
    platform: Platform = Platform(),
    provisioned: int = 0,
    seed: int = 0,
) -> Outcome:
    """Send requests at `arrivals` (seconds, ascending) to a function with nothing running.

    provisioned: environments that are initialised beforehand and stay.
    """
    generator = np.random.default_rng(seed)
    world = simpy.Environment()
    state = _State(world, service, platform, provisioned, generator)
    world.process(state.traffic(arrivals))
    world.run()
    answered = np.array(state.times_ms) if state.times_ms else np.array([np.nan])
    p50, p99, p999 = np.quantile(answered, (0.5, 0.99, 0.999))
    return Outcome(
        requests=len(arrivals),
        throttled=state.throttled,
        cold=state.cold,
        p50_ms=float(p50),
        p99_ms=float(p99),
        p999_ms=float(p999),
        environments=state.most,
        billed_seconds=state.billed,
        provisioned_billed_seconds=state.provisioned_billed,
        seconds=float(arrivals[-1] - arrivals[0]) if len(arrivals) else 0.0,
    )


def poisson(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Arrival times of independent requests, `rate` a second on average."""
    generator = np.random.default_rng(seed)
    count = generator.poisson(rate * seconds)
    return np.sort(generator.uniform(0, seconds, count)).tolist()  # type: ignore[no-any-return]


class _State:
    """Environments, idle and busy, and what has happened to the requests."""

    def __init__(
        self,
        world: simpy.Environment,
        service: Service,
        platform: Platform,
        provisioned: int,
        generator: np.random.Generator,
    ) -> None:
        self._world, self._platform = world, platform
        self._warm = _drawn(service.warm_ms, generator)
        self._cold = _drawn(service.cold_ms, generator)
        self._idle_provisioned = provisioned
        self._idle: deque[float] = deque()  # since when; the last is the last used
        self._running = provisioned
        self._starts: deque[float] = deque()  # of the last ten seconds
        self.most = provisioned
        self.times_ms: list[float] = []
        self.cold = self.throttled = 0
        self.billed = self.provisioned_billed = 0.0

    def traffic(self, arrivals: Sequence[float]) -> Generator[simpy.Event, Any]:
        for arrival in arrivals:
            if arrival > self._world.now:
                yield self._world.timeout(arrival - self._world.now)
            self._arrive()

    def _arrive(self) -> None:
        now = self._world.now
        while self._idle and now - self._idle[0] > self._platform.idle_seconds:
            self._idle.popleft()
            self._running -= 1
        if self._idle_provisioned:
            self._idle_provisioned -= 1
            self._world.process(self._answer(next(self._warm), provisioned=True))
        elif self._idle:
            self._idle.pop()
            self._world.process(self._answer(next(self._warm)))
        elif self._may_start(now):
            self._starts.append(now)
            self._running += 1
            self.most = max(self.most, self._running)
            self.cold += 1
            self._world.process(self._answer(next(self._cold)))
        else:
            self.throttled += 1

    def _may_start(self, now: float) -> bool:
        while self._starts and now - self._starts[0] >= 10:
            self._starts.popleft()
        within_rate = len(self._starts) < self._platform.starts_per_10_s
        return within_rate and self._running < self._platform.concurrency

    def _answer(
        self, milliseconds: float, *, provisioned: bool = False
    ) -> Generator[simpy.Event, Any]:
        yield self._world.timeout(milliseconds / 1000)
        self.times_ms.append(milliseconds)
        if provisioned:
            self.provisioned_billed += billed_seconds(milliseconds)
            self._idle_provisioned += 1
        else:
            self.billed += billed_seconds(milliseconds)
            self._idle.append(self._world.now)


def _drawn(measured: Sequence[float], generator: np.random.Generator) -> Iterator[float]:
    """Endless draws from what was measured."""
    values = np.asarray(measured, dtype=float)
    while True:
        yield from generator.choice(values, 4096).tolist()
