"""`classifier-on-lambda serve` as a process of its own, on free ports."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support import ROOT
from tests.support.commands import environment_without_account


@dataclass(frozen=True)
class OwnServer:
    """A running server. log: the file with its standard output, lines of JSON."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    log: Path

    def connection(self) -> HTTPConnection:
        """A new connection; close it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET on a connection of its own."""
        return self.send("GET", path)

    def send(
        self, method: str, path: str, body: bytes = b"", content_type: str = ""
    ) -> tuple[int, str]:
        """Status and body of a request on a connection of its own."""
        with contextlib.closing(self.connection()) as connection:
            headers = {"Content-Type": content_type} if content_type else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def logged(self, request_id: str) -> dict[str, Any]:
        """The access log's line of a request, once it is written."""
        return wait_for(
            lambda: next(
                (line for line in self._lines() if line.get("request_id") == request_id), None
            )
        )

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children]


def wait_for[T](probe: Callable[[], T | None], seconds: float = 30) -> T:
    """The probe's first true result; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := probe():
            return result
        time.sleep(0.02)
    raise TimeoutError(f"still {result!r} after {seconds} seconds")


@contextlib.contextmanager
def own_server(store: Path, folder: Path, *arguments: str, **variables: str) -> Iterator[OwnServer]:
    """Serve a model store; stop the server with SIGTERM.

    folder: for its log. variables: of its environment.
    """
    log = folder / "stdout"
    command = [sys.executable, "-m", "serving", "serve", "--port", "0", "--grpc-port", "0"]
    with (
        log.open("wb") as output,
        (folder / "stderr").open("wb") as errors,
        subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=environment_without_account() | {"MODEL_STORE_URL": store.as_uri()} | variables,
            stdout=output,
            stderr=errors,
        ) as process,
    ):
        try:
            wait_for(lambda: '"listening"' in log.read_text() or process.poll() is not None)
            lines = [line for line in log.read_text().splitlines() if '"listening"' in line]
            assert lines, (folder / "stderr").read_text()
            listening = json.loads(lines[0])
            port = int(listening["url"].rstrip("/").rpartition(":")[2])
            yield OwnServer(process, port, listening["grpc_port"], log)
        finally:
            process.terminate()
