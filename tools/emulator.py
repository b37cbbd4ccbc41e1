"""Run MiniStack, a local AWS, for the length of a `with` block or until Ctrl-C.

    with emulator.running() as aws:
        subprocess.run(["sam", "deploy", ...], env=aws.environment())

    python -m tools.emulator            # until Ctrl-C
    python -m tools.emulator --docker   # functions in containers, for the container image

Listens on loopback, and with --docker also on Docker's bridge, where containers reach the host.
Each run starts empty. Logs and files are in build/emulator/<port>/.
"""

import argparse
import contextlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import processes

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = PROJECT / ".venv/emulator/bin/python"
FOLDER = PROJECT / "build/emulator"
USUAL_PORT = 4566
START_SECONDS = 60.0
LOOPBACK = "127.0.0.1"


class EmulatorFailed(Exception):
    """MiniStack did not start; the message says why and what to do."""


@dataclass(frozen=True)
class Emulator:
    """A running MiniStack."""

    port: int
    https_port: int
    certificate: Path
    log: Path

    @property
    def url(self) -> str:
        """Endpoint of all services."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def https_url(self) -> str:
        """The same over TLS, for clients that trust `certificate`."""
        return f"https://{LOOPBACK}:{self.https_port}"

    def environment(self) -> dict[str, str]:
        """Environment for a program that should use this AWS, and no real account."""
        return without_aws(os.environ) | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The user's profile must not lead anything to their account.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": f"{LOOPBACK},localhost",
            "no_proxy": f"{LOOPBACK},localhost",
        }


@contextlib.contextmanager
def running(*, docker: bool = False, port: int | None = None) -> Iterator[Emulator]:
    """Start MiniStack, yield it once it responds, and stop it and its functions at the end.

    docker: run functions in containers, as functions packaged as images need.
    port: by default 4566, or any free port if that is in use.
    Raises EmulatorFailed if MiniStack does not start.
    """
    if not PYTHON.exists():
        raise EmulatorFailed("MiniStack is not installed: run make .venv/emulator/.installed")
    hosts = [LOOPBACK, *docker_bridge()] if docker else [LOOPBACK]
    if port is None:
        port = free_port(hosts)
    elif not all(_bindable(host, port) for host in hosts):
        raise EmulatorFailed(f"port {port} is in use: stop what listens there, or leave out --port")
    folder = FOLDER / str(port)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    log, certificate, https_port = folder / "ministack.log", folder / "tls.pem", any_port(LOOPBACK)
    addresses = [f"{LOOPBACK}:{https_port}", *(f"{host}:{port}" for host in hosts)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, "-P", PROJECT / "tools/ministack.py", certificate, *addresses],
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_settings(port, folder, docker=docker),
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, port, log)
        yield Emulator(port, https_port, certificate, log)
    finally:
        processes.stop_group(process, grace=30.0 if docker else 5.0)  # it removes its containers
        if process.stdin:
            process.stdin.close()
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        certificate.unlink(missing_ok=True)


def free_port(hosts: list[str]) -> int:
    """4566 if it is free on all the hosts, else any free port."""
    if all(_bindable(host, USUAL_PORT) for host in hosts):
        return USUAL_PORT
    return any_port(hosts[-1])


def any_port(host: str) -> int:
    """A port that is free on a host."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def docker_bridge() -> list[str]:
    """Addresses at which containers reach this machine; empty where loopback works (macOS).

    Raises EmulatorFailed if no Docker engine answers.
    """
    command = ["docker", "network", "inspect", "bridge", "-f", "{{json .IPAM.Config}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmulatorFailed(
            "no Docker engine responds: start Docker, or use the zip packaging, which needs none"
        ) from error
    return [host for host in gateways(json.loads(done.stdout)) if _bindable(host, 0)]


def gateways(configuration: list[dict[str, str]]) -> list[str]:
    """IPv4 addresses of the host in a Docker network.

    Where the engine names no gateway, it uses the subnet's first address.
    """
    addresses = []
    for part in configuration:
        subnet = ipaddress.ip_network(part["Subnet"])
        if subnet.version == 4:
            addresses.append(part.get("Gateway") or str(subnet[1]))
    return addresses


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that AWS tools read (credentials, profile, endpoints).

    Keeps AWS_CA_BUNDLE: where a proxy re-signs TLS, nothing can be downloaded without it.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("AWS_") or name == "AWS_CA_BUNDLE"
    }


def forget_account() -> None:
    """Remove everything that leads to a real AWS account from this process's environment."""
    for name in os.environ.keys() - without_aws(os.environ).keys():
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def _settings(port: int, folder: Path, *, docker: bool) -> dict[str, str]:
    settings = without_aws(os.environ) | {
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # opens a port of its own otherwise
        "LAMBDA_EXECUTOR": "docker" if docker else "local",
        "TMPDIR": str(folder / "tmp"),
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
        "PYTHONUNBUFFERED": "1",
    }
    # Functions run on MiniStack's own Python and must not see ours.
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        settings.pop(name, None)
    if not docker:
        # It removes containers that look like its own at start and end: hide Docker from it.
        settings["DOCKER_HOST"] = f"unix://{folder}/no-docker.sock"
    return settings


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmulatorFailed(
                f"MiniStack exited with {process.returncode} while starting on port {port}. "
                + processes.ending(log)
            )
        with (
            contextlib.suppress(OSError),
            direct.open(f"http://{LOOPBACK}:{port}/_localstack/health", timeout=2),
        ):
            return
        time.sleep(0.1)
    raise EmulatorFailed(
        f"MiniStack did not respond on port {port} within {START_SECONDS:.0f} s. "
        + processes.ending(log)
    )


def _bindable(host: str, port: int) -> bool:
    with socket.socket() as probe:
        if port and probe.connect_ex((host, port)) == 0:
            return False  # macOS allows binding next to a server on all addresses
    with socket.socket() as probe:
        # As the server does: a port with connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def main() -> int:
    """Run MiniStack until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tools.emulator", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--docker", action="store_true", help="run functions in containers")
    parser.add_argument("--port", type=int, help=f"default: {USUAL_PORT}, or any free port")
    arguments = parser.parse_args()
    processes.interrupt_on_termination()
    try:
        with running(docker=arguments.docker, port=arguments.port) as aws:
            print(f"MiniStack: {aws.url}, log in {aws.log}. Ctrl-C stops it.", flush=True)
            print(f"  export AWS_ENDPOINT_URL={aws.url} AWS_DEFAULT_REGION=us-east-1", flush=True)
            print("  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except EmulatorFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
