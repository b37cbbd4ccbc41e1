"""A handler that does nothing: the cost of the emulator, the runtime client and Python."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer without reading the event."""
    return {"statusCode": 200, "body": "{}"}
