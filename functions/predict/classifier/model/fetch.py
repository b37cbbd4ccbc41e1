"""Model store → the files of one version, unopened: what can be had without numpy and onnxruntime.

So the store can be asked first of all, and answers while Python is still importing the rest.
"""

import json
import os
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from classifier.errors import ModelUnavailable
from classifier.model.store import Store, open_store

DEFAULT_STORE = "file:///opt/model-store"
_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Files(NamedTuple):
    """One version of a model as the store holds it; nothing of it is checked yet."""

    name: str
    version: str
    manifest: dict[str, Any]
    content: bytes  # of model.onnx


def fetch(store: Store, name: str, version: str) -> Files:
    """Fetch a model by its version, or by the channel that points to one.

    Raises ModelUnavailable if it is not there, or a document is no JSON.
    """
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise ModelUnavailable("MODEL_NAME or MODEL_VERSION has characters that no name has")
    if not _VERSION.fullmatch(version):
        version = _channel_version(store, name, version)
    folder = f"{name}/versions/{version}"
    manifest = _read_json(store, f"{folder}/manifest.json")
    return Files(name, version, manifest, store.read(f"{folder}/model.onnx"))


def fetch_configured() -> Files:
    """Fetch the model that the environment's variables name."""
    return fetch(
        open_store(os.environ.get("MODEL_STORE_URL", DEFAULT_STORE)),
        os.environ.get("MODEL_NAME", "mnist"),
        os.environ.get("MODEL_VERSION", "production"),
    )


class Early:
    """A fetch that a thread has begun. It waits for S3 while the main thread imports."""

    def __init__(self, fetching: Callable[[], Files]) -> None:
        self._fetching = fetching
        self._files: Files | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> Files | None:
        """Give what was fetched, once; None if that failed, for the caller to try it himself."""
        self._thread.join()
        files, self._files = self._files, None
        return files

    def _run(self) -> None:
        try:
            self._files = self._fetching()
        except Exception:  # noqa: BLE001 - whatever it is, the request that tries again says it
            self._files = None


def _channel_version(store: Store, name: str, channel: str) -> str:
    document = _read_json(store, f"{name}/channels/{channel}.json")
    version = document.get("version")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ModelUnavailable(f"channel {channel} of {name} names no version")
    return version


def _read_json(store: Store, key: str) -> dict[str, Any]:
    try:
        document = json.loads(store.read(key))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{key} in the model store is no JSON") from error
    if not isinstance(document, dict):
        raise ModelUnavailable(f"{key} in the model store is no JSON object")
    return document
