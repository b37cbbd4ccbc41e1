"""Imported first: a thread loads the model while Python imports the rest.

docs/performance.md has the gain.
"""

import atexit
import contextlib
import os
from typing import TYPE_CHECKING

from classifier.errors import Misconfigured
from classifier.model.fetch import Waiting, fetch_configured
from classifier.model.opening import open_session

if TYPE_CHECKING:
    from classifier.model.session import Model


def _load() -> "Model":
    files = fetch_configured()
    session = open_session(files.open_model, files.manifest.file, files.label)
    from classifier.model.session import checked_model  # noqa: PLC0415 - the session is open first

    return checked_model(files, session, is_urgent=not is_init_alone)


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would start by spinning
is_init_alone = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in (
    "provisioned-concurrency",
    "snap-start",
)
loading: "Waiting[Model] | None" = None
with contextlib.suppress(Misconfigured):  # the request that loads the model says so
    loading = Waiting(_load)
    atexit.register(loading.wait)  # Python aborts if it ends while onnxruntime opens a session

import onnxruntime  # noqa: E402, F401 - before the rest: the thread needs it as soon as it has read
