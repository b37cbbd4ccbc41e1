"""Model file → onnxruntime session. The file is read and checked before onnxruntime is imported."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from classifier.errors import ModelUnavailable, PredictError
from classifier.model.fetch import Read
from classifier.model.manifest import File
from classifier.model.store import Buffer
from classifier.model.threads import SMALL, threads

type Session = Any  # `run(output_names, inputs, None)` → list of arrays


def open_session(read: Read, expected: File, label: str) -> Session:
    """Open a file whose content is what the manifest says; label: names it in errors.

    onnxruntime gets the bytes that were checked against the manifest's sha256, not the file that
    they came from. Raises ModelUnavailable if the file is missing or corrupt.
    """
    try:
        with _buffer(expected.bytes) as (buffer, path):
            read(buffer)
            _verify(buffer, expected, label)
            # The package first: a thread that imports a part of it while another imports the
            # package, which imports the part, would be in a deadlock with it.
            import onnxruntime  # noqa: F401, PLC0415 - only now

            # What onnxruntime.InferenceSession wraps, which would keep the file until it is open.
            from onnxruntime.capi import _pybind_state as core  # noqa: PLC0415 - as above

            options = core.SessionOptions()
            options.intra_op_num_threads = threads(expected.bytes)
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.log_severity_level = 3  # errors only
            session = core.InferenceSession(options, path or bytes(buffer), bool(path), False)  # noqa: FBT003
        session.initialize_session(["CPUExecutionProvider"], [{}], set())
    except PredictError:
        raise
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise ModelUnavailable(f"{label} does not load") from error
    return session


def _verify(buffer: Buffer, expected: File, label: str) -> None:
    if hashlib.sha256(buffer).hexdigest() != expected.sha256:
        raise ModelUnavailable(f"{label} does not match its manifest")


@contextlib.contextmanager
def _buffer(size: int) -> Iterator[tuple[Buffer, str]]:
    """Memory for a file, and a path that it can be opened at; none for a small file.

    Without a path, onnxruntime copies a file before it reads it. The path is this process's own,
    of memory without a name.
    """
    file = -1
    if size > SMALL:
        with contextlib.suppress(AttributeError, OSError):  # only Linux has it
            file = os.memfd_create("model")
    if file < 0:
        yield bytearray(size), ""
        return
    from mmap import mmap  # noqa: PLC0415 - a small model does not need it

    with open(file, "r+b", buffering=0):  # noqa: PTH123 - which closes it
        os.ftruncate(file, size)
        with mmap(file, size) as memory:
            yield memory, f"/proc/self/fd/{file}"
