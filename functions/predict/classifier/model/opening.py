"""Model file → onnxruntime session. The file is checked before onnxruntime is imported."""

import contextlib
import hashlib
import os
from io import BufferedIOBase
from typing import Any

from classifier.errors import ModelUnavailable, PredictError
from classifier.model.fetch import Open
from classifier.model.manifest import File
from classifier.model.threads import threads

type Session = Any  # `run(output_names, inputs, None)` → list of arrays

_CHUNK = 2**22  # bytes; smaller ones change threads more often


def open_session(open_file: Open, expected: File, label: str) -> Session:
    """Open a file whose content is what the manifest says; label: names it in errors.

    Raises ModelUnavailable if the file is missing or corrupt, or changes while it is opened.
    """
    try:
        with open_file(expected.bytes) as file:
            changed = _changed(file)
            _verify(file, expected, label)
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
            session = core.InferenceSession(options, *_source(file), False)  # noqa: FBT003
            is_same = _changed(file) == changed
        session.initialize_session(["CPUExecutionProvider"], [{}], set())
    except PredictError:
        raise
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise ModelUnavailable(f"{label} does not load") from error
    if not is_same:
        raise ModelUnavailable(f"{label} was changed while it was opened")
    return session


def _verify(file: BufferedIOBase, expected: File, label: str) -> None:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(min(expected.bytes, _CHUNK)))
    while size := file.readinto(buffer):
        digest.update(buffer[:size])
    if digest.hexdigest() != expected.sha256:
        raise ModelUnavailable(f"{label} does not match its manifest")


def _source(file: BufferedIOBase) -> tuple[str | bytes, bool]:
    """A path, which onnxruntime reads without another copy, or the content; and which it is."""
    with contextlib.suppress(OSError):  # it is in Python's memory
        path = f"/proc/self/fd/{file.fileno()}"
        if os.path.exists(path):  # noqa: PTH110 - as in store.py
            return path, True
    file.seek(0)
    return file.read(), False


def _changed(file: BufferedIOBase) -> int:
    """When a file was last changed; 0 for one in Python's memory."""
    with contextlib.suppress(OSError):
        return os.fstat(file.fileno()).st_ctime_ns
    return 0
