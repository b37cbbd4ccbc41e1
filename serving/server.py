"""The server's processes: a main one that keeps workers running, and stops them in good order."""

import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from classifier.model.threads import cpus
from serving.options import Options

_KILL_SECONDS = 30  # for requests in progress when the server stops
_START_SECONDS = 60.0
_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POWERTOOLS_SERVICE_NAME": "predict",
    "POWERTOOLS_LOG_LEVEL": "WARNING",
    "POWERTOOLS_METRICS_DISABLED": "true",  # /metrics has them
}

type Asgi = Callable[[Any, Any, Any], Awaitable[None]]
type Build = Callable[[Options], Asgi]  # called in each worker
type Announce = Callable[[Options], None]


class CannotServe(Exception):
    """The server can't start; the message says what to change."""


def build(options: Options) -> Asgi:
    """The application of one worker."""
    from serving.worker import build as application  # noqa: PLC0415 - in the worker alone

    return application(options)


def announce(options: Options) -> None:
    """Print where the server listens, as a line of JSON."""
    grpc = {} if options.grpc_port is None else {"grpc_port": options.grpc_port}
    print(json.dumps({"message": "listening", "url": options.url, **grpc}), flush=True)  # noqa: T201


def serve(options: Options, build: Build = build, announce: Announce = announce) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is in progress and return.

    announce: called once the server accepts connections, with the ports that were chosen for 0.
    Raises CannotServe if a port is taken.
    """
    for name, value in _environment(options.workers).items():
        os.environ.setdefault(name, value)
    shipped = Path(str(resources.files("classifier"))) / "shipped"
    if shipped.is_dir() and not os.environ.get("MODEL_STORE_URL"):
        os.environ["MODEL_STORE_URL"] = shipped.as_uri()
    options = replace(options, port=_port(options.host, options.port))
    if options.grpc_port is not None:
        options = replace(options, grpc_port=_port(options.host, options.grpc_port))
    with _shared_metrics(options.workers):
        server = Granian(
            "serving.worker",
            address=options.host,
            port=options.port,
            interface=Interfaces.ASGI,
            workers=options.workers,
            respawn_failed_workers=True,
            workers_kill_timeout=_KILL_SECONDS,
            websockets=False,
            http1_settings=HTTP1Settings(max_buffer_size=64 * 1024),
            ssl_cert=options.tls_cert,
            ssl_key=options.tls_key,
            log_level=LogLevels.warning,
        )
        server.on_startup(lambda: _announce_once_up(options, announce))
        server.serve(target_loader=lambda: _build(options, build), wrap_loader=False)


def _environment(workers: int) -> dict[str, str]:
    """Variables of each worker, unless they are set: the workers share the CPUs."""
    return _ENVIRONMENT | {"MODEL_THREADS": str(max(1, cpus() // workers))}


def _build(options: Options, build: Build) -> Asgi:
    """Build the application in a new worker, which ends at once if it is told to stop by then.

    It was forked with the main process's handlers, which would only note the signal.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    return build(options)


def _port(host: str, port: int) -> int:
    """The port itself if it is free, or a free one for 0.

    Workers share their port, so that another server on it would go unnoticed.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as probe:
            chosen: int = probe.getsockname()[1]
    except OSError as error:
        raise CannotServe(f"can't listen on {host} port {port}: {error.strerror}") from error
    return chosen


@contextlib.contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Let several workers report one sum: a folder for prometheus_client, in memory if possible."""
    if workers == 1:
        yield
        return
    memory = "/dev/shm"  # noqa: S108 - mkdtemp makes a private folder in it
    folder = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce_once_up(options: Options, announce: Announce) -> None:
    """Announce from a thread, as soon as a worker accepts connections."""

    def wait() -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection((options.host, options.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                announce(options)
                return

    threading.Thread(target=wait, daemon=True).start()
