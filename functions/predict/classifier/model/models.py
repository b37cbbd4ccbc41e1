"""The models of this environment by name: loaded on first use, refreshed, and dropped for room.

A request keeps the Model that it got: one that leaves or is replaced lives until its requests end.
"""

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property, partial
from reprlib import repr as short  # don't echo a long name back
from typing import NamedTuple

from classifier.errors import Misconfigured, ModelUnavailable, NotFound
from classifier.model.fetch import (
    Waiting,
    channel_key,
    channel_version,
    configured_names,
    configured_store,
    configured_version,
    jittered,
)
from classifier.model.manifest import VERSION, Manifest
from classifier.model.session import LazyModel, Model, load, load_configured

_COPIES = 2  # of its file that a session holds while it is opened
_DAY = 86_400  # seconds, the longest between two looks at a channel
_BACK_OFF_SECONDS = 3_600  # between two looks, after some that failed


class Loaded(NamedTuple):
    """A model was loaded, in place of a former version if it had one."""

    model: Model
    former: str | None


class NotRefreshed(NamedTuple):
    """A model keeps its version, because the one on its channel can't be found or loaded."""

    model: Model
    reason: str


class _Entry(LazyModel):
    """A model of the set, and what the set knows about it.

    Nothing that it refers to refers to it: a session is to be freed at once when it leaves.
    """

    def __init__(
        self,
        name: str,
        early: Waiting[Model] | None,
        load: Callable[["_Entry", Waiting[Model] | None], Model],
    ) -> None:
        super().__init__(early)
        self.name = name
        self.bytes = 0  # of memory, from when its manifest is known
        self.may_leave = False  # not before it is loaded
        self.tag = ""  # of its channel, as last seen
        self.due = math.inf  # when to look at the channel again, on the monotonic clock
        self.failures = 0  # to refresh it, in a row
        self._loads = load

    def _load(self, early: Waiting[Model] | None) -> Model:
        return self._loads(self, early)


class Models:
    """The models that MODEL_NAME lists.

    When they need more memory than there is for them, the least recently used ones leave. With
    MODEL_REFRESH_SECONDS, a request that gets a model starts a look at its channel if one is due,
    in another thread; a new version is loaded beside the old one and takes its place.
    early: the load of the first one, if it has been started.
    """

    def __init__(self, early: Waiting[Model] | None = None) -> None:
        self._early = early
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}  # the most recently used last
        self._unloaded: set[str] = set()
        self._events: deque[Loaded | NotRefreshed] = deque()
        self._refreshing: Waiting[None] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The models' names, the default first. Raises Misconfigured."""
        return configured_names()

    def resolve(self, name: str | None = None) -> str:
        """A model's name, by default the first. Raises NotFound, and Misconfigured as `names`."""
        if name is None:
            return self.names[0]
        if name not in self.names:
            served = ", ".join(map(repr, self.names))
            raise NotFound(f"there is no model {short(name)}; this function serves {served}")
        return name

    def get(self, name: str | None = None) -> Model:
        """Return a model, loading it if necessary. Raises as `resolve` and LazyModel.get do."""
        name = self.resolve(name)
        with self._lock:
            entry = self._entries.pop(name, None) or self._new(name)
            self._entries[name] = entry
            self._unloaded.discard(name)
        model = entry.get()
        if time.monotonic() >= entry.due:
            with self._lock, contextlib.suppress(RuntimeError):  # no memory for a thread
                if not self._refreshing or self._refreshing.is_done:
                    self._refreshing = Waiting(partial(self._try_to_refresh, entry))
        return model

    @property
    def is_loaded(self) -> bool:
        """Whether the default model is loaded."""
        try:
            return self.loaded() is not None
        except Misconfigured:
            return False

    def loaded(self, name: str | None = None) -> Model | None:
        """A model, if it is loaded. Raises as `resolve` does."""
        entry = self._entries.get(self.resolve(name))
        return entry.model if entry else None

    def all_loaded(self) -> list[Model]:
        """The models that are loaded."""
        return [model for name in self.names if (model := self.loaded(name))]

    def load(self, name: str) -> Model:
        """Load a model; if it is loaded, load what its channel points to now.

        Raises as `get` does, and ModelUnavailable if another refresh takes too long.
        """
        entry = self._entries.get(self.resolve(name))
        if not entry:
            self._forget_early()
        if not entry or not entry.may_leave or _is_pinned():
            return self.get(name)
        if self._refreshing:
            self._refreshing.result()
        Waiting(partial(self._refresh, entry)).result()
        return self.get(name)

    def unload(self, name: str) -> None:
        """Drop a model; the next request for it loads it again. Raises as `resolve` does."""
        name = self.resolve(name)
        self._forget_early()
        with self._lock:
            self._entries.pop(name, None)
            self._unloaded.add(name)

    def is_unloaded(self, name: str) -> bool:
        """Whether a model was unloaded and no request has asked for it since."""
        return name in self._unloaded

    def events(self) -> list[Loaded | NotRefreshed]:
        """What happened since the last call; the request that asks logs it."""
        events = []
        while self._events:
            with contextlib.suppress(IndexError):  # another request was quicker
                events.append(self._events.popleft())
        return events

    def _forget_early(self) -> None:
        """Load the first model anew: its channel may have moved since the process began."""
        self._early = None

    def _new(self, name: str) -> _Entry:
        early = None
        if name == self.names[0]:
            early, self._early = self._early, None
        return _Entry(name, early, self._load)

    def _load(self, entry: _Entry, early: Waiting[Model] | None) -> Model:
        try:
            model = load_configured(early, entry.name, partial(self._make_room, entry))
            self._schedule(entry)
        except Exception:
            entry.bytes = 0
            raise
        with self._lock:
            entry.bytes = _bytes(model)
            entry.may_leave = True
            self._let_leave(entry)  # again: others may have been loaded meanwhile
        self._events.append(Loaded(model, None))
        return model

    def _make_room(self, entry: _Entry, manifest: Manifest) -> None:
        """Let models leave for one that is about to be loaded."""
        with self._lock:
            entry.bytes = _bytes(manifest)
            self._let_leave(entry)

    def _make_room_beside(self, entry: _Entry, manifest: Manifest) -> None:
        """Let models leave for a new version beside the old one, but not the one in use.

        Raises ModelUnavailable if that is not enough.
        """
        with self._lock:
            entry.bytes += _bytes(manifest)
            used = next(reversed(self._entries.values()), entry)
            staying = [
                other
                for other in self._entries.values()
                if other in (entry, used) or not other.may_leave
            ]
            if sum(other.bytes for other in staying) > self._budget:
                raise ModelUnavailable(
                    f"there is no memory for {manifest.name} {manifest.version}, "
                    f"{manifest.file.bytes} bytes, beside the version that is served; new "
                    "environments load it"
                )
            self._let_leave(*staying)

    def _let_leave(self, *staying: _Entry) -> None:
        """Drop the least recently used models until the others fit."""
        excess = sum(entry.bytes for entry in self._entries.values()) - self._budget
        for name, entry in list(self._entries.items()):
            if excess > 0 and entry.may_leave and entry not in staying:
                del self._entries[name]
                excess -= entry.bytes

    def _try_to_refresh(self, entry: _Entry) -> None:
        with contextlib.suppress(Exception):  # which is among the events
            self._refresh(entry)

    def _refresh(self, entry: _Entry) -> None:
        """Load the version that a model's channel points to, unless it is the one that is served.

        Raises ModelUnavailable, and whatever else fails; the former version stays.
        """
        former = entry.model
        assert former
        try:
            model = self._newest(entry, former)
            entry.failures = 0
        except Exception as error:
            entry.failures += 1
            self._events.append(NotRefreshed(former, f"{type(error).__name__}: {error}"))
            raise
        else:
            if model is not former:
                entry.model = model
                self._events.append(Loaded(model, former.version))
        finally:
            with self._lock:
                entry.bytes = _bytes(entry.model or former)
            self._schedule(entry)

    def _newest(self, entry: _Entry, former: Model) -> Model:
        store, channel = configured_store(), configured_version()
        tag = store.tag(channel_key(entry.name, channel))
        if tag == entry.tag:
            return former
        version = channel_version(store, entry.name, channel)
        model = former
        if version != former.version:
            model = load(store, entry.name, version, partial(self._make_room_beside, entry))
        entry.tag = tag
        return model

    def _schedule(self, entry: _Entry) -> None:
        """Plan the next look at a model's channel; environments spread theirs."""
        seconds = self._refresh_seconds * 2 ** min(entry.failures, 10)
        seconds = min(seconds, max(self._refresh_seconds, _BACK_OFF_SECONDS))
        entry.due = time.monotonic() + jittered(seconds)

    @cached_property
    def _budget(self) -> float:
        """Bytes of memory for models: MODEL_MEMORY_MB, or half of the function's."""
        memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))
        return 2**20 * (_number("MODEL_MEMORY_MB", 2**20) or memory / 2 or math.inf)

    @cached_property
    def _refresh_seconds(self) -> float:
        """Time between two looks at a channel; endless if there is no channel."""
        seconds = _number("MODEL_REFRESH_SECONDS", _DAY)
        return seconds if seconds and not _is_pinned() else math.inf


def _bytes(version: Model | Manifest) -> int:
    """Memory that a loaded version takes."""
    manifest = version.manifest if isinstance(version, Model) else version
    files = (manifest.file, manifest.finder)
    return _COPIES * sum(file.bytes for file in files if file)


def _is_pinned() -> bool:
    return bool(VERSION.fullmatch(configured_version()))


def _number(variable: str, most: int) -> float:
    """Value of a variable, 0 if it is not set. Raises Misconfigured."""
    value = os.environ.get(variable) or "0"
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise Misconfigured(f"{variable} is {value!r}; expected a number from 0 to {most}")
    return number
