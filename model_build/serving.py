"""The function's own code, imported as it is served: evaluation runs on what answers requests."""

import sys
from pathlib import Path

FUNCTION = Path(__file__).resolve().parent.parent / "functions" / "predict"
DRIFT = FUNCTION.parent / "drift"
for folder in (FUNCTION, DRIFT):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

import batch  # noqa: E402 - found by the lines above
import encoding  # noqa: E402
import errors  # noqa: E402
import pixels  # noqa: E402
import preprocess  # noqa: E402
import session  # noqa: E402
import stability  # noqa: E402
import traffic  # noqa: E402
import traits  # noqa: E402

__all__ = [
    "FUNCTION",
    "batch",
    "encoding",
    "errors",
    "pixels",
    "preprocess",
    "session",
    "stability",
    "traffic",
    "traits",
]
