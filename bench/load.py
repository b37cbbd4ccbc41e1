"""Load on `serve` and its peers, by wrk, in one run: python -m bench.load prints a table.

Run it with .venv/bench/bin/python (`make .venv/bench/.installed`) and Debian's package `wrk`. Each
server has two processes, and shares the machine with wrk. Servers take turns, round by round.
"""

import argparse
import base64
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench import ROOT

STORE = ROOT / "build" / "model-store"
PEERS = ROOT / "bench" / "peers"
SAMPLE = ROOT / "functions/pre_traffic/golden/mnist/7-a.png"  # 28 x 28
PROCESSES = "2"
CONNECTIONS = 8
SECONDS = re.compile(r"^\s*99%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

BIN = Path(sys.executable).parent
OWN = [sys.executable, "-m", "serving", "serve", "--workers", PROCESSES, "--port"]
GRANIAN = [str(BIN / "granian"), "--interface", "asginl", "--workers", PROCESSES]
GUNICORN = [str(BIN / "gunicorn"), "--workers", PROCESSES]
SERVERS = {  # name → command whose last argument is the port, path
    "a bare ONNX server on Granian": ([*GRANIAN, "bare_server:app", "--port"], "/predict"),
    "the article's Flask app behind gunicorn": ([*GUNICORN, "flask_app:app", "--bind"], "/predict"),
    "`serve`, `preprocess=none`": (OWN, "/predict?preprocess=none"),
    "`serve`, any picture": (OWN, "/predict"),
}


def main() -> int:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="per server and round")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("there is no `wrk` command: install the package of that name")
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(lua(SAMPLE.read_bytes()))
        for _ in range(arguments.rounds):
            for name, (command, path) in SERVERS.items():
                with running(command) as port:
                    url = f"http://127.0.0.1:{port}{path}"
                    wrk(url, script, 2)  # until all processes are warm
                    figures[name].append(wrk(url, script, arguments.seconds))
    lines = ["| server | requests per second | p99, ms |", "| --- | --- | --- |"]
    for name, rounds in figures.items():
        rate, p99 = (statistics.median(values) for values in zip(*rounds, strict=True))
        lines.append(f"| {name} | {rate:,.0f} | {p99:.1f} |")
    sys.stdout.write("\n".join(lines) + f"\n\nload average {os.getloadavg()[0]:.1f}\n")
    return 0


def lua(picture: bytes) -> str:
    """A script for wrk that posts a picture in JSON, which all servers take."""
    body = json.dumps({"image": base64.b64encode(picture).decode()})
    return (
        f"wrk.method = 'POST'\nwrk.body = '{body}'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )


def model_file() -> Path:
    """The ONNX file in production."""
    mnist = STORE / "mnist"
    version: str = json.loads((mnist / "channels/production.json").read_text())["version"]
    return mnist / "versions" / version / "model.onnx"


@contextmanager
def running(command: list[str]) -> Iterator[int]:
    """Run a server on a free port while the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "functions/predict", PEERS))),
        "MODEL_FILE": str(model_file()),
        "MODEL_STORE_URL": STORE.as_uri(),
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        [*command, address], env=environment, stdout=nowhere, stderr=nowhere
    ) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    """Return once a process of the server has answered, whatever its status."""
    deadline = time.monotonic() + 60
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/health")
            connection.getresponse()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def wrk(url: str, script: Path, seconds: int) -> tuple[float, float]:
    """Requests per second and 99th percentile in milliseconds. Raises if any answer failed."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    printed = subprocess.check_output(command, text=True)
    if "Non-2xx" in printed or (latency := SECONDS.search(printed)) is None:
        raise RuntimeError(f"{url} did not answer all requests:\n{printed}")
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", printed)
    return float(rate), float(latency[1]) * UNITS[latency[2]]


if __name__ == "__main__":
    sys.exit(main())
