"""The performance report: this function and its peers, measured side by side in one run."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
