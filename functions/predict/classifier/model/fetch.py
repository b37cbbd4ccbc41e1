"""Model store → the files of one version, without importing numpy and onnxruntime.

So the fetch can start first, and run while Python imports the rest.
"""

import json
import os
import threading
from collections.abc import Callable
from reprlib import repr as shortened
from typing import Any, NamedTuple

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model.address import AddressError
from classifier.model.manifest import NAME, VERSION, InvalidManifest, Manifest
from classifier.model.store import Store, open_store

DEFAULT_STORE = "file:///opt/model-store"


class Files(NamedTuple):
    """One version of a model, as stored."""

    name: str
    version: str
    manifest: Manifest
    content: bytes  # of model.onnx; not yet checked
    read_finder: Callable[[], bytes]  # content of finder.onnx, if the manifest has one


def fetch(store: Store, name: str, version: str) -> Files:
    """Fetch a model by its version, or by the channel that points to one.

    Raises ModelUnavailable if it is missing, or its channel or manifest is invalid, and
    Misconfigured for a malformed name or version.
    """
    for variable, value in (("MODEL_NAME", name), ("MODEL_VERSION", version)):
        if not NAME.fullmatch(value):
            raise Misconfigured(
                f"{variable} is {value!r}; expected letters, digits, '.', '_' and '-', the first "
                "a letter or digit"
            )
    if not VERSION.fullmatch(version):
        version = _channel_version(store, name, version)
    folder = f"{name}/versions/{version}"
    try:
        manifest = Manifest.from_document(_read_json(store, f"{folder}/manifest.json"))
    except InvalidManifest as error:
        raise ModelUnavailable(f"{name} {version}: {error}") from error
    return Files(
        name,
        version,
        manifest,
        store.read(f"{folder}/model.onnx"),
        lambda: store.read(f"{folder}/finder.onnx"),
    )


def fetch_configured() -> Files:
    """Fetch the model that the environment variables name; raises as `fetch` does."""
    try:
        store = open_store(os.environ.get("MODEL_STORE_URL", DEFAULT_STORE))
    except AddressError as error:
        raise Misconfigured(f"MODEL_STORE_URL: {error}") from error
    return fetch(
        store,
        os.environ.get("MODEL_NAME", "mnist"),
        os.environ.get("MODEL_VERSION", "production"),
    )


class Early:
    """A fetch in a thread of its own, which waits for S3 while the main thread imports."""

    def __init__(self, fetching: Callable[[], Files]) -> None:
        self._fetching = fetching
        self._files: Files | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> Files | None:
        """Return the files, once; None if the fetch failed, so that the caller tries again."""
        self._thread.join()
        files, self._files = self._files, None
        return files

    def _run(self) -> None:
        try:
            self._files = self._fetching()
        except Exception:  # noqa: BLE001 - the request that tries again reports it
            self._files = None


def _channel_version(store: Store, name: str, channel: str) -> str:
    document = _read_json(store, f"{name}/channels/{channel}.json")
    version = document.get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ModelUnavailable(
            f"channel {channel} of {name} points to {shortened(version)}; expected a version such "
            "as 20260131T120000Z-0123abcd"
        )
    return version


def _read_json(store: Store, key: str) -> dict[str, Any]:
    try:
        document = json.loads(store.read(key))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{key} in the model store is not valid JSON") from error
    if not isinstance(document, dict):
        raise ModelUnavailable(f"{key} in the model store is not a JSON object")
    return document
