"""Shared by the tests: servers, small models, files, and the project's root."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
