"""Model store → the files of one version, without importing numpy and onnxruntime.

So the fetch can start first, and run while Python imports the rest.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from io import BufferedIOBase
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, NamedTuple

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model.address import AddressError
from classifier.model.manifest import NAME, VERSION, InvalidManifest, Manifest
from classifier.model.store import FolderStore, S3Store, Store, open_store

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_STORE = "file:///opt/model-store"
_LARGEST_DOCUMENT = 2**20  # bytes of a channel or a manifest
_MOST_SECONDS = 20.0  # API Gateway waits 29 s
RETRY_SECONDS = 1.0  # from a failed load to the next, give or take a fifth


type Admit = Callable[[Manifest], None]  # makes room for a model before its file is read


type Open = Callable[[int], BufferedIOBase]  # a file of so many bytes; raises ModelUnavailable


class Files(NamedTuple):
    """One version of a model; its files are checked when they are opened."""

    name: str
    version: str
    manifest: Manifest
    open_model: Open  # model.onnx
    open_finder: Open  # finder.onnx, if the manifest has one

    @property
    def label(self) -> str:
        """What errors call the model file."""
        return f"the model file of {self.name} {self.version}"


def fetch(store: Store, name: str, version: str, admit: Admit | None = None) -> Files:
    """Find a model by its version, or by the channel that points to one.

    Raises ModelUnavailable if it is missing, or its channel or manifest is invalid, and
    Misconfigured for a malformed name or version.
    """
    _check_name("MODEL_NAME", name)
    _check_name("MODEL_VERSION", version)
    if not VERSION.fullmatch(version):
        version = channel_version(store, name, version)
    folder = f"{name}/versions/{version}"
    try:
        pin = os.environ.get("MANIFEST_SHA256", "")
        manifest = Manifest.from_document(_read_json(store, f"{folder}/manifest.json", pin))
    except InvalidManifest as error:
        raise ModelUnavailable(f"{name} {version}: {error}") from error
    _check_memory(manifest)
    if admit:
        admit(manifest)

    return Files(
        name,
        version,
        manifest,
        partial(store.open, f"{folder}/model.onnx"),
        partial(store.open, f"{folder}/finder.onnx"),
    )


def fetch_configured(name: str | None = None, admit: Admit | None = None) -> Files:
    """Fetch a model as the environment variables say, by default the first one they name.

    Raises as `fetch` does.
    """
    return fetch(configured_store(), name or configured_names()[0], configured_version(), admit)


def configured_store() -> FolderStore | S3Store:
    """The store at MODEL_STORE_URL. Raises Misconfigured."""
    try:
        return open_store(os.environ.get("MODEL_STORE_URL", DEFAULT_STORE))
    except AddressError as error:
        raise Misconfigured(f"MODEL_STORE_URL: {error}") from error


def configured_names() -> tuple[str, ...]:
    """The models in MODEL_NAME, separated by commas; the first is the default.

    Raises Misconfigured for a malformed or repeated name, and for several with one version.
    """
    value = os.environ.get("MODEL_NAME", "mnist")
    names = tuple(name.strip(" ") for name in value.split(","))
    for name in names:
        _check_name("MODEL_NAME", name)
    if len(set(names)) < len(names):
        raise Misconfigured(f"MODEL_NAME is {value!r}; expected each name once")
    version = configured_version()
    if len(names) > 1 and VERSION.fullmatch(version):
        raise Misconfigured(
            f"MODEL_NAME lists {value!r}, and MODEL_VERSION is {version!r}, which is a version of "
            "one model; expected a channel such as production, or one name"
        )
    return names


def configured_version() -> str:
    """The version, or the channel, in MODEL_VERSION."""
    return os.environ.get("MODEL_VERSION", "production")


class Waiting[T]:
    """A call in a thread of its own, which its callers wait for no longer than until a deadline.

    A store can hang, and a request that waits for it ends in a kill without a word. seconds: from
    now to the deadline; by default MODEL_LOAD_SECONDS, or 5.
    """

    def __init__(self, call: Callable[[], T], seconds: float | None = None) -> None:
        self._call = call
        self._deadline = time.monotonic() + (_load_seconds() if seconds is None else seconds)
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None
        self._retry_at: list[float] = []  # by each clock
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether the call has returned or raised."""
        return self._done.is_set()

    @property
    def may_be_retried(self) -> bool:
        """Whether the call has raised, and RETRY_SECONDS have passed since.

        By one of two clocks: the monotonic one can stand still while Lambda freezes the
        environment, and the other one can be set back.
        """
        return self._error is not None and any(
            now >= then for now, then in zip(_clocks(), self._retry_at, strict=True)
        )

    @property
    def seconds_left(self) -> float:
        """Time to the deadline, at least 0."""
        return max(self._deadline - time.monotonic(), 0.0)

    def result(self) -> T:
        """What the call returned; raises what it raised, and ModelUnavailable at the deadline."""
        if not self.wait():
            raise ModelUnavailable("the model store has not answered in time")
        if self._error:
            # Otherwise each raise would lengthen the traceback, whose frames keep requests alive.
            raise self._error.with_traceback(self._traceback)
        return self._value

    def wait(self) -> bool:
        """Wait for the end of the call, no longer than to the deadline; say whether it came."""
        return self._done.wait(self.seconds_left)

    def take(self) -> T:
        """Return the result for the first and only time: what it holds may be large."""
        value = self.result()
        del self._value
        return value

    def _run(self) -> None:
        try:
            self._value = self._call()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            pause = jittered(RETRY_SECONDS)
            self._retry_at = [now + pause for now in _clocks()]
            self._traceback = error.__traceback__
            self._error = error
        del self._call  # and with it what it refers to
        self._done.set()


def jittered(seconds: float) -> float:
    """The time give or take a fifth, so that environments don't act all at once.

    Not by `random`: its state is the same in all environments restored from one snapshot.
    """
    return seconds * (0.8 + 0.4 * os.urandom(1)[0] / 255)


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


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


def _check_name(variable: str, value: str) -> None:
    if not NAME.fullmatch(value):
        raise Misconfigured(
            f"{variable} is {value!r}; expected letters, digits, '.', '_' and '-', the first "
            "a letter or digit"
        )


def _check_memory(manifest: Manifest) -> None:
    """A session holds a model at least twice while it opens it."""
    memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) * 2**20
    if memory and 2 * manifest.file.bytes > memory:
        raise ModelUnavailable(
            f"{manifest.name} {manifest.version} has {manifest.file.bytes} bytes; the function has "
            f"{memory} of memory and needs twice the model"
        )


def channel_key(name: str, channel: str) -> str:
    """Where a channel is in the store."""
    return f"{name}/channels/{channel}.json"


def channel_version(store: Store, name: str, channel: str) -> str:
    """The version that a channel points to. Raises ModelUnavailable."""
    document = _read_json(store, channel_key(name, channel))
    version = document.get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ModelUnavailable(
            f"channel {channel} of {name} points to {shortened(version)}; expected a version such "
            "as 20260131T120000Z-0123abcd"
        )
    return version


def _read_json(store: Store, key: str, sha256: str = "") -> dict[str, Any]:
    """A JSON object in the store; sha256: of the only content accepted, empty for any."""
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
