"""Fixtures for the container image: Docker, the built image, `sam local`, Lambda's sandbox."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.commands import SAM, environment_without_account, run


@pytest.fixture(scope="session")
def docker() -> None:
    """Mark its users as needing a Docker engine: tests.support.needs."""


@pytest.fixture(scope="session")
def base_image(docker: None) -> str:
    """Ensure that a base image exists, AWS's or the stand-in, and return its name."""
    return run(ROOT / ".ci" / "base-image" / "build", timeout=1200).strip()


@pytest.fixture(scope="session")
def image(base_image: str, model_version: str) -> str:
    """Build the function as a user does, except for its base, and return its image's name."""
    run(SAM, "build", "--parameter-overrides", f"BaseImage={base_image}", timeout=1200)
    return "predictfunction:latest"  # named after the logical id


@pytest.fixture(scope="session")
def sam_local_invoke(image: str) -> Callable[[Path], dict[str, Any]]:
    """Return a function that sends an event file through `sam local invoke`, one container each."""

    def invoke(event: Path) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(run(SAM, "local", "invoke", "-e", event))
        return answer

    return invoke


@pytest.fixture(scope="session")
def api(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the stack's API with `sam local start-api`, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("start-api") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [SAM, "local", "start-api", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=environment_without_account(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with server:
        try:
            wait_for_port(port, server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)  # so that it removes its containers
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()
                pytest.fail(f"`sam local start-api` did not stop on SIGTERM\n{log.read_text()}")


def wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once something listens on the port; fail if the server ends or takes a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"Nothing answers on port {port}\n{log.read_text()}", pytrace=False)


@pytest.fixture
def lambda_container(image: str) -> Iterator[Callable[..., str]]:
    """Yield a function that starts the image as Lambda does, and returns the URL to invoke.

    Lambda runs it as a user without rights, on a file system that is read-only but for /tmp.
    The function takes options of `docker run`, and environment variables.
    """
    started: list[str] = []

    def start(*options: str, **environment: str) -> str:
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        sandbox = ("--user=1000:1000", "--read-only", "--tmpfs=/tmp", "--publish=127.0.0.1::8080")
        container = run("docker", "run", "--detach", *sandbox, *options, *variables, image).strip()
        started.append(container)
        address = run("docker", "port", container, "8080/tcp").strip()
        return f"http://{address}/2015-03-31/functions/function/invocations"

    yield start
    for container in started:
        run("docker", "rm", "--force", container)
