"""Handler that does nothing: what the emulator, the runtime client and Python take alone."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer without looking."""
    return {"statusCode": 200, "body": "{}"}
