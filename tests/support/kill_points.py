"""Run an operation on a model store repeatedly, killing it a little later each time.

For n = 1, 2, … a child process does the operation and is ended by SIGKILL at its n-th point: before
a use of the file system, or amid a write to a socket and after it, before the answer. The number is
printed after each, a line on the input lets the next one begin, and `done` is printed once a child
came to its end.
"""

import itertools
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from model_build.store import garbage_collection, model_store
from tests.support.manifests import describe


class Points:
    """Counts points, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def passed(self) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_files(self) -> None:
        sync = os.fsync

        def fsync(number: Any) -> None:
            self.passed()
            sync(number)
            self.passed()

        def hook(event: str, arguments: object) -> None:
            if event == "open" or event.startswith(("os.", "fcntl.")):
                self.passed()

        os.fsync = fsync  # type: ignore[assignment] # a narrower type is enough here
        sys.addaudithook(hook)

    def on_sockets(self) -> None:
        send = socket.socket.sendall

        def sendall(self_: socket.socket, content: Any, *flags: int) -> None:
            half = len(content) // 2
            send(self_, content[:half], *flags)
            self.passed()
            send(self_, content[half:], *flags)
            self.passed()

        socket.socket.sendall = sendall  # type: ignore[method-assign, assignment]


def main(url: str, operation: str, *arguments: str) -> None:
    """Kill `operation` at every point, one after the other."""
    models = model_store.ModelStore(url)
    stride = {"gc": 17, "publish": 3}.get(operation, 1)  # of some two hundred, and fifty, points
    for number in itertools.count(1, stride):
        child = os.fork()
        if not child:
            points = Points(number)
            points.on_sockets() if url.startswith("s3") else points.on_files()
            _run(models, operation, number, *arguments)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended == 0:
            _say("done")
            return
        if ended != -signal.SIGKILL:
            raise SystemExit(f"{operation} failed at point {number}")
        _say(str(number))
        sys.stdin.readline()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(models: model_store.ModelStore, operation: str, number: int, *arguments: str) -> None:
    if operation == "publish":
        content = Path(arguments[0]).read_bytes()
        models.publish(describe(content, name=f"model-{number}"), content)
    elif operation == "promote":
        models.promote("mnist", arguments[number % 2], "production")
    elif operation == "promote first":
        models.promote("mnist", arguments[0], f"channel-{number}")
    else:
        garbage_collection.collect(models, "mnist")


if __name__ == "__main__":
    main(*sys.argv[1:])
