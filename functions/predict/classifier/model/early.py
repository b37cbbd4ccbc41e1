"""Imported first: starts fetching the model from S3 while Python imports the rest.

docs/performance.md has the gain. A folder is not worth a thread.
"""

import os

from classifier.model.fetch import DEFAULT_STORE, Early, fetch_configured

fetching = (
    Early(fetch_configured)
    if os.environ.get("MODEL_STORE_URL", DEFAULT_STORE).startswith("s3:")
    else None
)
