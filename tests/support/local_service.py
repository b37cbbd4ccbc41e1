"""The function as a separate HTTP server, without Docker: `python -m tools.serve`."""

import contextlib
import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.commands import environment_without_account, run

STORE = ROOT / "build" / "model-store"
CLOCK_TICKS = 100  # a second, in /proc on every Linux


@dataclass(frozen=True)
class LocalService:
    """The running function: its address, with a trailing slash, and its worker's process."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Its processor time so far, in user and kernel mode."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        _state, *numbers = stat.rpartition(")")[2].split()
        return (int(numbers[10]) + int(numbers[11])) / CLOCK_TICKS

    def forget_peak_memory(self) -> None:
        """Reset `peak_memory` to the process's current memory."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """The process's peak memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no VmHWM in /proc")


@contextlib.contextmanager
def serving(log: Path, *arguments: str, **variables: str) -> Iterator[LocalService]:
    """Serve the production model of the local store on a free port; its log goes to a file.

    variables: of the function's environment, such as MODEL_NAME.
    """
    environment = {
        name: value
        for name, value in environment_without_account().items()
        if name not in {"MODEL_STORE_URL", "MODEL_NAME", "MODEL_VERSION"}
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "tools.serve", "--port", "0", "--no-access-log", *arguments],
            cwd=ROOT,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            if not url:
                pytest.fail(f"tools.serve did not start\n{log.read_text()}", pytrace=False)
            yield LocalService(url, _worker_of(server.pid))
        finally:
            server.terminate()


def _worker_of(pid: int) -> int:
    """The process in which the server with one worker runs the function."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (worker,) = map(int, children)
    return worker


@pytest.fixture(scope="session")
def model_version() -> str:
    """Version in production in the local store: the one that ships, if no other was built."""
    channel = STORE / "mnist" / "channels" / "production.json"
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / ".model.lock").open("w") as lock:  # other workers wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not channel.exists():
            run("make", str(channel.relative_to(ROOT)))
    version: str = json.loads(channel.read_text())["version"]
    return version


@pytest.fixture(scope="session")
def service(model_version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """The function over HTTP on this machine, open to all."""
    with serving(tmp_path_factory.mktemp("service") / "log") as running:
        yield running
