"""The parts of the demonstration that don't need AWS: drawing, addresses, processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tools import deployment, emulator, processes, terminal
from tools.emulator import Emulator

AWS = Emulator(4566, https_port=4567, certificate=Path("tls.pem"), log=Path("ministack.log"))


def test_digit_is_drawn_two_rows_of_pixels_a_line() -> None:
    """Each character shows an upper and a lower pixel; faint ink counts as paper."""
    image = np.array([[255, 255, 0, 0], [255, 0, 255, 95]], np.uint8)
    assert terminal.draw(image) == ["█▀▄ "]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "    "), (1.0, "████"), (0.5, "██  "), (1 / 32, "▏   "), (0.999, "████")],
)
def test_bar_is_exact_to_an_eighth_of_a_character(share: float, expected: str) -> None:
    """All bars have the same width."""
    assert terminal.bar(share, 4) == expected


def test_steps_are_lines_in_a_log(tmp_path: Path) -> None:
    """Without a terminal a step reports its start, and its duration or failure."""
    with (tmp_path / "log").open("w+") as file:
        step = terminal.Steps(Console(file=file, width=40))
        with step("first"):
            pass
        with pytest.raises(ValueError, match="boom"), step("[second]"):
            raise ValueError("boom")
        file.seek(0)
        said = re.sub(r"\d+\.\d s", "0.0 s", file.read())
        assert said.splitlines() == [
            "... first",
            "  0.0 s  first",
            "... [second]",
            " FAILED  [second]",
        ]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With NO_COLOR no line is coloured, even on a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    with (tmp_path / "log").open("w+") as file:
        terminal.Steps(Console(file=file, force_terminal=True)).say("done", "green")
        file.seek(0)
        assert file.read() == "done\n"


def test_cloud_url_becomes_one_of_the_emulator() -> None:
    """The API's id moves from the host name, which not every system resolves, into the path."""
    url = "https://ab12.execute-api.us-east-1.amazonaws.com/dev/predict"
    local = "https://127.0.0.1:4567/_aws/execute-api/ab12/dev/predict"
    assert deployment.local_url(url, AWS) == local


def test_children_see_the_emulator_and_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes get no credentials, profile or endpoints of the user, but a CA bundle."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "users")
    environment = AWS.environment()
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["AWS_CONFIG_FILE"] == os.devnull
    assert [name for name, value in environment.items() if value == "users"] == ["AWS_CA_BUNDLE"]


@pytest.mark.slow
@pytest.mark.emulator
def test_port_in_use_is_left_alone() -> None:
    """If 4566 is in use, another port is chosen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(emulator.EmulatorFailed, match=f"port {port} is in use"):
            emulator.running(port=port).__enter__()


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}], ["172.17.0.9"]),
        ([{"Subnet": "172.17.0.0/16"}], ["172.17.0.1"]),
        ([{"Subnet": "fd00::/64", "Gateway": "fd00::1"}], []),
        ([], []),
    ],
)
def test_bridge_address_is_found_even_where_the_engine_does_not_name_it(
    configuration: list[dict[str, str]], expected: list[str]
) -> None:
    """Docker 20.10 reports only the default bridge's subnet."""
    assert emulator.gateways(configuration) == expected


def test_failed_command_shows_the_end_of_its_output(tmp_path: Path) -> None:
    """The message has the command, its status, the log's name and its last lines."""
    script = "print('first'); print('last'); raise SystemExit(3)"
    log = tmp_path / "command.log"
    with pytest.raises(processes.CommandFailed) as failure:
        processes.run([sys.executable, "-c", script], log=log, env=os.environ)
    message = str(failure.value)
    assert "exited with 3" in message
    assert str(log) in message
    assert message.endswith("    first\n    last")


def test_command_that_is_missing_is_named(tmp_path: Path) -> None:
    """A missing program is reported in a sentence too."""
    with pytest.raises(processes.CommandFailed, match="no-such-program\ncould not be started"):
        processes.run(["no-such-program"], log=tmp_path / "log", env=os.environ)


def test_interrupt_ends_the_command_and_its_children(tmp_path: Path) -> None:
    """Ctrl-C while a command runs leaves neither it nor what it started."""
    pids = tmp_path / "pids"
    grandchild = f"import os,time; open({str(pids)!r},'w').write(str(os.getpid())); time.sleep(60)"
    child = f"import subprocess,sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    main = (
        "import os,sys; from pathlib import Path; from tools import processes;"
        "processes.interrupt_on_termination();"
        f"processes.run([sys.executable,'-c',{child!r}],log=Path({str(tmp_path)!r})/'log',"
        "env=os.environ)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", main], cwd=emulator.PROJECT, stderr=subprocess.DEVNULL
    ) as process:
        _wait_for(lambda: pids.exists() and pids.read_text() != "")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) != 0
    _wait_for(lambda: not _alive(int(pids.read_text())))


def test_docker_settings_hold_a_login_for_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With that login SAM does not try to log in to the real registry."""
    monkeypatch.setattr(deployment, "FOLDER", tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    monkeypatch.setenv("PATH", "")
    environment = deployment.docker_environment()
    settings = json.loads(Path(environment["DOCKER_CONFIG"], "config.json").read_text())
    assert list(settings["auths"]) == ["000000000000.dkr.ecr.us-east-1.amazonaws.com"]
    assert environment["DOCKER_HOST"] == "unix:///run/docker.sock"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
