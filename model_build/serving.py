"""The function's own code, imported as it is served: evaluation runs on what answers requests."""

import sys
from pathlib import Path

FUNCTION = Path(__file__).resolve().parent.parent / "functions" / "predict"
if str(FUNCTION) not in sys.path:
    sys.path.append(str(FUNCTION))

import pixels  # noqa: E402 - found by the line above
import preprocess  # noqa: E402

__all__ = ["FUNCTION", "pixels", "preprocess"]
