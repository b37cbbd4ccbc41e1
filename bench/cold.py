"""Time cold starts from outside: python cold.py SPEC prints the samples as JSON.

Each candidate's process is started, sent one request, and killed, in an order shuffled each
round. The clock runs from the start of the process to the first answer; CPU time is the kernel's
own accounting of the processes behind the emulator, which a busy machine distorts far less.

Uses only the standard library: it runs in the container of the base image as well as on the host.
"""

import ctypes
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

TIMEOUT = 120.0  # seconds for a first answer: TensorFlow's on a busy machine
_BECOME_SUBREAPER = 36  # prctl: what the emulator leaves behind becomes this process's child

# Search paths come from the container, or the host.
HERE = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}

type Sample = dict[str, float]


def main(spec: dict[str, Any]) -> dict[str, list[Sample]]:
    """Measure all candidates of a spec next to an S3 server; a list of samples per candidate."""
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    s3 = subprocess.Popen(
        spec["s3"]["command"],
        env=HERE | spec["s3"]["env"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        return measure(spec, s3.stdout.readline().decode().strip() if s3.stdout else "")
    finally:
        s3.communicate()  # closes its input, which stops it


def measure(spec: dict[str, Any], endpoint: str) -> dict[str, list[Sample]]:
    """Rounds of all candidates, with S3 at an endpoint."""
    samples: dict[str, list[Sample]] = {name: [] for name in spec["candidates"]}
    order = random.Random(0)
    for number in range(-1, spec["rounds"]):  # the first warms the page cache, uncounted
        names = list(spec["candidates"])
        order.shuffle(names)
        for name in names:
            candidate = spec["candidates"][name]
            candidate["env"]["AWS_ENDPOINT_URL"] = endpoint
            if number >= candidate.get("rounds", spec["rounds"]):
                continue
            sample = start(candidate, candidate.get("request", spec["request"]))
            if number >= 0:
                samples[name].append(sample)
        print(f"round {number + 1} of {spec['rounds']}", file=sys.stderr)  # noqa: T201
    return samples


def start(candidate: dict[str, Any], request: str) -> Sample:
    """One cold start of a candidate: seconds, CPU seconds, bytes read, peak memory.

    Raises RuntimeError if it does not answer 200.
    """
    ports = [str(port) for port in free_ports(2)]
    command = [part.format(*ports) for part in candidate["command"]]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=HERE | candidate["env"],
        cwd=candidate["cwd"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        answer = first_answer(int(ports[0]), candidate["path"], request)
        seconds = time.perf_counter() - began
        read = sum(map(bytes_read, descendants(process.pid)))
    finally:
        usages = end(process)
    if candidate["emulated"]:
        del usages[0]  # the emulator: it is Lambda's, not part of the function
    if candidate["expects"] not in answer:
        raise RuntimeError(
            f"{' '.join(command)} must answer with {candidate['expects']!r}, got {answer[:500]!r}"
        )
    return {
        "seconds": seconds,
        "cpu": sum(usage.ru_utime + usage.ru_stime for usage in usages),
        "peak_mb": max(usage.ru_maxrss for usage in usages) / 1024,
        "read_mb": read / 1e6,
    }


def end(process: subprocess.Popen[bytes]) -> list[resource.struct_rusage]:
    """Kill a process and its descendants; the resource usage of each, its own first."""
    family = descendants(process.pid)
    usages = []
    for pid in (process.pid, *family):  # top down: orphans become children of this process
        os.kill(pid, signal.SIGKILL)
        _, _, usage = os.wait4(pid, 0)
        usages.append(usage)
    process.returncode = -signal.SIGKILL  # it has been waited for
    return usages


def free_ports(count: int) -> list[int]:
    """Free ports on loopback."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def first_answer(port: int, path: str, body: str) -> str:
    """Send a request as soon as something listens; return the body of the response."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            return connection.getresponse().read().decode()
        except (ConnectionError, HTTPException):
            time.sleep(0.001)
        finally:
            connection.close()
    raise RuntimeError(f"nothing answered on port {port} within {TIMEOUT:.0f} s")


def descendants(parent: int) -> list[int]:
    """Processes under a process, children before grandchildren."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    pids = list(children.get(parent, []))
    for pid in pids:
        pids += children.get(pid, [])
    return pids


def bytes_read(pid: int) -> int:
    """Bytes that a process read from files: by read(), and by touching mapped pages."""
    process = Path(f"/proc/{pid}")
    read = int((process / "io").read_text().split("rchar:")[1].split()[0])
    mapped = 0
    from_file = False
    for line in (process / "smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0]:
            from_file = len(fields) > 5 and fields[5].startswith("/")
        elif from_file and fields[0] == "Rss:":
            mapped += int(fields[1]) * 1024
    return read + mapped


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))  # noqa: T201
