"""Run other programs and leave none of their processes behind, however this one ends."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 10.0
TAIL_LINES = 25


class CommandFailed(Exception):
    """A command ended with an error; the message holds the end of its output."""


def run(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str], cwd: Path | None = None
) -> None:
    """Run a command to its end, with its output in the file `log`.

    Raises CommandFailed if it can't be started or exits non-zero. An exception while it runs, such
    as KeyboardInterrupt, ends the command and everything it started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    line = " ".join(str(part) for part in command)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,  # its own group, so that one signal reaches all of it
            )
        except OSError as error:
            raise CommandFailed(f"{line}\ncould not be started: {error}") from error
        try:
            status = process.wait()
        except BaseException:
            stop_group(process)
            raise
    if status:
        raise CommandFailed(f"{line}\nexited with {status}. {ending(log)}")


def stop_group(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> None:
    """End a session leader and every process in its group.

    Sends SIGTERM, then SIGKILL after `grace` seconds. A second Ctrl-C does not cut this short.
    """
    with _interrupts_ignored():
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        _signal_group(process, signal.SIGKILL)
        process.wait()


def ending(log: Path) -> str:
    """The last lines of a log under its name, for an error message."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    tail = "\n".join(f"    {line}" for line in text[-TAIL_LINES:]) or "    (empty)"
    return f"The end of {_short(log)}:\n{tail}"


def interrupt_on_termination() -> None:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that `finally` runs."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets interrupts
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
