"""Write what is made of openapi.yaml: the JSON that the function serves.

python -m tools.openapi
"""

import json
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "openapi.yaml"
SERVED = PROJECT / "functions" / "predict" / "openapi.json"


def main() -> None:
    """Write the served document."""
    SERVED.write_text(served())
    print(f"wrote {SERVED.relative_to(PROJECT)}")


def served() -> str:
    """The interface as the function answers it, one line of JSON."""
    return json.dumps(read(), separators=(",", ":")) + "\n"


def read() -> dict[str, Any]:
    """The interface as openapi.yaml states it."""
    document = yaml.safe_load(SOURCE.read_text())
    if not isinstance(document, dict):
        raise TypeError(f"{SOURCE} is no mapping")
    return document


if __name__ == "__main__":
    main()
