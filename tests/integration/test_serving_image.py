"""The serving image: built and called in the article's way, locked down as a cluster would."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput  # type: ignore[import-untyped]

from tests.support import ROOT
from tests.support.commands import run
from tests.support.own_server import wait_for

PICTURE = ROOT / "functions/pre_traffic/golden/mnist/7-a.png"
NAME = "mnist-serving"


@pytest.fixture(scope="module")
def serving_image(base_image: str, model_version: str) -> str:
    """`docker build -t mnist-serving .`, but for the base image."""
    run("docker", "build", "--build-arg", f"BASE={base_image}", "-t", NAME, ".", timeout=1200)
    return NAME


@pytest.fixture(scope="module")
def container(serving_image: str) -> Iterator[str]:
    """A container without a writable file system, a capability or a right to gain one."""
    locked = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    ports = ("--publish=127.0.0.1::5000", "--publish=127.0.0.1::9000")
    options = ("--workers", "2", "--grpc-port", "9000")
    identifier = run("docker", "run", "-d", *locked, *ports, serving_image, *options).strip()
    try:
        wait_for(lambda: '"listening"' in run("docker", "logs", identifier))
        yield identifier
    finally:
        run("docker", "rm", "--force", identifier)


def address(container: str, port: int) -> str:
    """Where a port of the container is published."""
    return run("docker", "port", container, f"{port}/tcp").strip()


@pytest.mark.curl
def test_a_posted_form_is_answered(container: str, model_version: str) -> None:
    """By the article's own command."""
    url = f"http://{address(container, 5000)}/predict"
    answer = json.loads(run("curl", "-s", "-F", f"image=@{PICTURE}", url))
    assert answer["prediction"] == 7
    assert answer["model"] == {"name": "mnist", "version": model_version}


def test_the_page_is_served(container: str) -> None:
    connection = HTTPConnection(address(container, 5000), timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.getheader("Content-Type", "").startswith("text/html")
    assert b"<html" in response.read()
    connection.close()


def test_grpc_is_served(container: str) -> None:
    with InferenceServerClient(address(container, 9000)) as client:
        tensor = InferInput("image", [2, 28, 28], "UINT8")
        tensor.set_data_from_numpy(np.zeros((2, 28, 28), np.uint8))
        assert client.infer("mnist", [tensor]).as_numpy("probabilities").shape == (2, 10)


def test_it_runs_as_no_user_of_the_machine(container: str) -> None:
    """By number, as Kubernetes checks it."""
    assert run("docker", "exec", container, "id", "-u").strip() == "1000"


def test_docker_sees_that_it_is_healthy(container: str) -> None:
    def health() -> str | None:
        state = run("docker", "inspect", "--format", "{{.State.Health.Status}}", container)
        return None if state.strip() == "starting" else state.strip()

    assert wait_for(health, seconds=90) == "healthy"


def test_it_stops_when_it_is_told(serving_image: str) -> None:
    """As the first process of its container, whose signals the kernel does not handle."""
    identifier = run("docker", "run", "-d", serving_image).strip()
    try:
        wait_for(lambda: '"listening"' in run("docker", "logs", identifier))
        run("docker", "stop", "--time", "60", identifier)
        assert run("docker", "wait", identifier).strip() == "0"
    finally:
        run("docker", "rm", "--force", identifier)
