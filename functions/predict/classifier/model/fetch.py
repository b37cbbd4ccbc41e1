"""Model store → the files of one version, without importing numpy and onnxruntime.

So the fetch can start first, and run while Python imports the rest.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from reprlib import repr as shortened
from typing import Any, NamedTuple

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model.address import AddressError
from classifier.model.manifest import NAME, VERSION, InvalidManifest, Manifest
from classifier.model.store import Store, open_store

DEFAULT_STORE = "file:///opt/model-store"
_LARGEST_DOCUMENT = 2**20  # bytes of a channel or a manifest
_MOST_SECONDS = 20.0  # API Gateway waits 29 s


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
        pin = os.environ.get("MANIFEST_SHA256", "")
        manifest = Manifest.from_document(_read_json(store, f"{folder}/manifest.json", pin))
    except InvalidManifest as error:
        raise ModelUnavailable(f"{name} {version}: {error}") from error
    _check_memory(manifest)

    def read_finder() -> bytes:
        assert manifest.finder is not None
        return store.read(f"{folder}/finder.onnx", manifest.finder.bytes)

    content = store.read(f"{folder}/model.onnx", manifest.file.bytes)
    return Files(name, version, manifest, content, read_finder)


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


class Waiting[T]:
    """A call in a thread of its own, which its callers wait for no longer than until a deadline.

    A store can hang, and a request that waits for it ends in a kill without a word. seconds: from
    now to the deadline; by default MODEL_LOAD_SECONDS, or 5.
    """

    def __init__(self, call: Callable[[], T], seconds: float | None = None) -> None:
        self._call = call
        self._deadline = time.monotonic() + (_load_seconds() if seconds is None else seconds)
        self._error: Exception | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether the call has returned or raised."""
        return self._done.is_set()

    @property
    def has_failed(self) -> bool:
        """Whether the call has raised."""
        return self._error is not None

    @property
    def seconds_left(self) -> float:
        """Time to the deadline, at least 0."""
        return max(self._deadline - time.monotonic(), 0.0)

    def result(self) -> T:
        """What the call returned; raises what it raised, and ModelUnavailable at the deadline."""
        if not self._done.wait(self.seconds_left):
            raise ModelUnavailable("the model store has not answered in time")
        if self._error:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._call()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        self._done.set()


def _load_seconds() -> float:
    value = os.environ.get("MODEL_LOAD_SECONDS", "5")
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MOST_SECONDS:
        raise Misconfigured(
            f"MODEL_LOAD_SECONDS is {value!r}; expected a number above 0, and at most "
            f"{_MOST_SECONDS}"
        )
    return seconds


def _check_memory(manifest: Manifest) -> None:
    """A session holds a model at least twice while it opens it."""
    memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) * 2**20
    if memory and 2 * manifest.file.bytes > memory:
        raise ModelUnavailable(
            f"{manifest.name} {manifest.version} has {manifest.file.bytes} bytes; the function has "
            f"{memory} of memory and needs twice the model"
        )


def _channel_version(store: Store, name: str, channel: str) -> str:
    document = _read_json(store, f"{name}/channels/{channel}.json")
    version = document.get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ModelUnavailable(
            f"channel {channel} of {name} points to {shortened(version)}; expected a version such "
            "as 20260131T120000Z-0123abcd"
        )
    return version


def _read_json(store: Store, key: str, sha256: str = "") -> dict[str, Any]:
    """A JSON object in the store; sha256: of the only content that is taken, empty for any."""
    content = store.read(key, _LARGEST_DOCUMENT)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelUnavailable(
            f"{key} in the model store is not the one that MANIFEST_SHA256 names, {sha256}; "
            "restore it, or deploy the version that is meant"
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{key} in the model store is not valid JSON") from error
    if not isinstance(document, dict):
        raise ModelUnavailable(f"{key} in the model store is not a JSON object")
    return document
