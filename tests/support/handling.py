"""The function's handler in this process, called with batches of image files."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from events.make_events import json_event
from tests.support.local_service import STORE

type Send = Callable[[list[bytes], str], list[Any]]


@contextmanager
def handling(name: str, version: str, store: str = STORE.as_uri()) -> Iterator[Send]:
    """Serve a model of a store; send files in a preprocessing mode, return the answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_STORE_URL", store)
        patch.setenv("MODEL_NAME", name)
        patch.setenv("MODEL_VERSION", version)
        from classifier import handler
        from classifier.model.models import Models

        patch.setattr(handler, "models", Models())

        def send(files: list[bytes], preprocess: str) -> list[Any]:
            answers: list[Any] = []
            for start in range(0, len(files), 32):
                batch = [base64.b64encode(file).decode() for file in files[start : start + 32]]
                event = json_event({"images": batch}, {"preprocess": preprocess})
                response = handler.handler(event, SimpleNamespace(aws_request_id="test"))
                assert response["statusCode"] == 200, response["body"]
                answers.extend(json.loads(response["body"])["predictions"])
            return answers

        yield send
