"""Imported first: starts fetching the model from S3 while Python imports the rest.

docs/performance.md has the gain. A folder is not worth a thread.
"""

import contextlib
import os

from classifier.errors import Misconfigured
from classifier.model.fetch import DEFAULT_STORE, Files, Waiting, fetch_configured

fetching: Waiting[Files] | None = None
if os.environ.get("MODEL_STORE_URL", DEFAULT_STORE).startswith("s3:"):
    with contextlib.suppress(Misconfigured):  # the request that loads the model says so
        fetching = Waiting(fetch_configured)
