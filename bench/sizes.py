"""Memory sizes measured in Docker, and what each costs: docs/scaling.md.

    python -m bench.sizes            measure, then write the page
    python -m bench.sizes --again    write the page from what was measured before

Lambda gives CPU in proportion to memory, one whole vCPU at 1,769 MB. `docker run --cpus` gives the
same share of this machine's core, by the same means: a quota of each scheduling period.
"""

import argparse
import base64
import http.client
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bench import ROOT
from bench.pricing import PRICES, per_million
from events.make_events import encode_png, json_event
from model_build.data.datasets import load_mnist_5k

MEASURED = ROOT / "build" / "bench" / "sizes.json"
PAGE = ROOT / "docs" / "scaling.md"
PICTURE = ROOT / "docs" / "images" / "scaling-memory.png"
IMAGE = "predictfunction:latest"
SIZES = (128, 256, 512, 1024, 1769, 3008)
FULL_CPU_MB = 1769  # AWS Lambda Developer Guide, "Configure Lambda function memory"
ROUNDS = 9  # a cold start of each size in every one
WARM_REQUESTS = 180
_INVOKE = "/2015-03-31/functions/function/invocations"


@dataclass(frozen=True)
class Size:
    """What was measured at one memory size, in milliseconds; empty where it did not answer."""

    memory_mb: int
    cpus: float
    cold_ms: list[float]
    warm_ms: list[float]
    failure: str = ""

    @property
    def cold(self) -> float:
        """Median of the cold starts."""
        return float(np.median(self.cold_ms))

    @property
    def warm(self) -> float:
        """Median of the warm answers."""
        return float(np.median(self.warm_ms))

    @property
    def warm_p95(self) -> float:
        """What 95 % of the warm answers stay under."""
        return float(np.quantile(self.warm_ms, 0.95))

    @property
    def cost(self) -> float:
        """Dollars for a million requests, one in a hundred cold."""
        return per_million(self.memory_mb, self.warm, self.cold, 0.01)


def measure(event: bytes) -> list[Size]:
    """Ask containers of each size in turn, cold and then warm: a busy moment meets them all."""
    sizes = [Size(memory, memory / FULL_CPU_MB, [], []) for memory in SIZES]
    for number in range(1, ROUNDS + 1):
        for index, size in enumerate(sizes):
            if size.failure:
                continue
            with container(size.memory_mb, size.cpus) as port:
                try:
                    size.cold_ms.append(ask(port, event))
                    size.warm_ms.extend(ask(port, event) for _ in range(WARM_REQUESTS // ROUNDS))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    failure = f"{type(error).__name__}: {error}"[:200]
                    sizes[index] = Size(size.memory_mb, size.cpus, [], [], failure)
        print(f"round {number} of {ROUNDS}")  # noqa: T201
    return sizes


@contextmanager
def container(memory_mb: int, cpus: float) -> Iterator[int]:
    """Yield the port of a container whose function has had no request yet."""
    started = subprocess.run(
        [
            *("docker", "run", "--detach", "--rm", "--publish", "127.0.0.1::8080"),
            *("--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"),
            *("--cpus", f"{cpus:.4f}", IMAGE),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    name = started.stdout.strip()
    try:
        mapping = subprocess.run(
            ["docker", "port", name, "8080"], capture_output=True, text=True, check=True
        )
        port = int(mapping.stdout.splitlines()[0].rpartition(":")[2])
        _wait_for_emulator(port)
        yield port
    finally:
        subprocess.run(["docker", "kill", name], capture_output=True, check=False)


def ask(port: int, event: bytes) -> float:
    """Milliseconds of one invocation; the emulator starts the function at the first.

    Raises ValueError unless the answer is a prediction.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", _INVOKE, event)
    answer = connection.getresponse().read()
    spent = (time.perf_counter() - began) * 1000
    connection.close()
    document = json.loads(answer)
    if document.get("statusCode") != 200:
        raise ValueError(answer.decode(errors="replace"))
    return spent


def _wait_for_emulator(port: int) -> None:
    """Wait until the emulator listens; it answers a GET of nothing without a start."""
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the emulator in the container does not listen")


def recommended(sizes: list[Size]) -> Size:
    """Return the smallest size that is as good as the fastest of those that cost hardly more.

    Hardly more is at most 5 % above the cheapest, gateway included; as good is a cold start at most
    10 % longer: two runs on one machine differ by as much.
    """
    able = [size for size in sizes if size.warm_ms]
    gateway = 1e6 * PRICES.rest_api_request
    cheapest = min(size.cost for size in able) + gateway
    affordable = [size for size in able if size.cost + gateway <= 1.05 * cheapest]
    shortest = min(size.cold for size in affordable)
    return min(
        (size for size in affordable if size.cold <= 1.1 * shortest),
        key=lambda size: size.memory_mb,
    )


def page(sizes: list[Size], machine: dict[str, Any]) -> str:
    """Text of docs/scaling.md."""
    folder = Path(__file__).parent
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=False,
        keep_trailing_newline=True,
    )
    best = recommended(sizes)
    return templates.get_template("scaling.md.j2").render(
        machine=machine, prices=PRICES, sizes=sizes, best=best
    )


def draw(sizes: list[Size], target: Path) -> None:
    """Plot cold start, warm answer and cost against memory."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    able = [size for size in sizes if size.warm_ms]
    memory = [size.memory_mb for size in able]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    series = (
        ("cold start, ms", [size.cold for size in able]),
        ("warm answer, ms", [size.warm for size in able]),
        ("$ for a million requests, 1 % cold", [size.cost for size in able]),
    )
    for ax, (title, values) in zip(axes, series, strict=True):
        ax.plot(memory, values, "o-", color="#0072B2")
        ax.set(title=title, xscale="log", ylim=(0, None))
        ax.set_xticks(memory, [f"{size:,}" for size in memory], rotation=45)
        ax.minorticks_off()
        ax.set_xlabel("MB")
        ax.grid(visible=True, alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure, or read what was measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--again", action="store_true", help="write the page from the last measurements"
    )
    if not parser.parse_args().again:
        seven = load_mnist_5k().test_images[700]
        image = base64.b64encode(encode_png(seven)).decode()
        event = json.dumps(json_event({"image": image})).encode()
        machine = {"cpu": _cpu(), "date": f"{datetime.now(UTC):%d %B %Y}"}
        MEASURED.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": machine, "sizes": [asdict(size) for size in measure(event)]}
        MEASURED.write_text(json.dumps(document))
    if not MEASURED.exists():
        sys.exit(f"{MEASURED} does not exist; run without --again first")
    document = json.loads(MEASURED.read_text())
    sizes = [Size(**size) for size in document["sizes"]]
    draw(sizes, PICTURE)
    PAGE.write_text(page(sizes, document["machine"]))


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
