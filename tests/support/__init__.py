"""What the tests stand on: servers, small models, files, and where the project is."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
