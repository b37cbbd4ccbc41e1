"""One line of JSON on standard output for each request."""

import datetime as dt
import json
import sys


def write(*, seconds: float, **fields: str | int) -> None:
    """Write a request: its fields, the time it ended, and how long it took."""
    line = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "message": "request",
        **fields,
        "duration_ms": round(seconds * 1000, 3),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
