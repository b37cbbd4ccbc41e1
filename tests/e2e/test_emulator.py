"""MiniStack as `tools.emulator` runs it: there while needed, and gone afterwards."""

import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support import ROOT
from tools import emulator

pytestmark = pytest.mark.emulator


@pytest.fixture
def command() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`python -m tools.emulator` once it has started, and its port.

    Where the tests are a background job, Ctrl-C would be ignored by what they start.
    """
    python = ROOT / ".venv/test/bin/python"
    with subprocess.Popen(
        ["env", "--default-signal=INT", python, "-m", "tools.emulator"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            yield process, int(line.split(",")[0].rpartition(":")[2])
        finally:
            process.kill()


def test_it_answers_on_loopback_and_stops_with_the_block() -> None:
    """Inside the block its health page responds; afterwards nothing listens."""
    with emulator.running() as aws:
        with urllib.request.urlopen(f"{aws.url}/_localstack/health", timeout=10) as response:
            assert response.status == 200
        assert listening(aws.port)
        assert listening(aws.https_port)
    assert not listening(aws.port)
    assert not listening(aws.https_port)


def test_it_answers_by_tls_those_who_trust_its_certificate() -> None:
    """Clients verify the certificate and its address; without its CA they refuse to connect."""
    with emulator.running() as aws:
        page = f"{aws.https_url}/_localstack/health"
        tls = ssl.create_default_context(cafile=aws.certificate)
        with urllib.request.urlopen(page, timeout=10, context=tls) as response:
            assert response.status == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(page, timeout=10, context=ssl.create_default_context())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_command_stops_when_asked(
    command: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    """Ctrl-C, a kill and a closed terminal all shut it down cleanly."""
    process, port = command
    process.send_signal(number)
    assert process.wait(30) == 0
    assert not listening(port)


def test_it_does_not_outlive_a_parent_that_is_killed(
    command: tuple[subprocess.Popen[str], int],
) -> None:
    """MiniStack ends even if no clean-up of ours can run."""
    process, port = command
    process.kill()
    deadline = time.monotonic() + 30
    while listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
