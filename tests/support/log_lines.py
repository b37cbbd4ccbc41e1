"""What a Powertools logger writes, as CloudWatch Logs would receive it."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger


@contextmanager
def logged(logger: Logger) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that holds the lines once the block ends."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    lines: list[dict[str, Any]] = []
    stream = io.StringIO()
    former = handler.setStream(stream)
    try:
        yield lines
    finally:
        handler.setStream(former)
        lines += map(json.loads, stream.getvalue().splitlines())
