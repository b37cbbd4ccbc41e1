"""Tensor → probabilities: the model, loaded from the store on first use and kept.

After a load that fails, requests get its error for about a second; the next one tries again.
"""

import contextlib
import threading
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelUnavailable
from classifier.model.fetch import Admit, Files, Waiting, fetch, fetch_configured
from classifier.model.manifest import Manifest
from classifier.model.opening import Session, open_session
from classifier.model.store import Store
from classifier.prepare import pipeline
from classifier.prepare.encoding import Encoding, Tensor


class Model(NamedTuple):
    """One loaded version: its session, and its manifest's input and output."""

    name: str
    version: str
    labels: list[Any]
    preprocess: pipeline.Pipeline  # picture → sample
    encode: Encoding  # samples → tensor
    session: Session
    input_name: str
    output_name: str  # softmax float32 [N, classes]
    manifest: Manifest
    load_ms: float = 0.0  # for which a request waited

    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Softmax [N, classes] of a batch from `encode`.

        Raises ModelUnavailable if it has another shape.
        """
        size = len(batch) if self.manifest.takes_batches else 1
        answers = [
            self.session.run([self.output_name], {self.input_name: batch[at : at + size]}, None)[0]
            for at in range(0, len(batch), size)
        ]
        answer = np.asarray(
            answers[0] if len(answers) == 1 else np.concatenate(answers), np.float32
        )
        if answer.shape != (len(batch), len(self.labels)):
            raise ModelUnavailable(
                f"the output of {self.name} {self.version} must have the shape "
                f"({len(batch)}, {len(self.labels)}) for its labels, got {answer.shape}"
            )
        return answer

    def check(self) -> None:
        """Classify a blank image. Raises ModelUnavailable if the file doesn't fit its manifest."""
        try:
            self.probabilities(self.encode.blank)
        except ModelUnavailable:
            raise
        except Exception as error:  # onnxruntime's own classes, which share no public base
            raise ModelUnavailable(
                f"the model file of {self.name} {self.version} does not run with its manifest's "
                "input and output"
            ) from error

    @property
    def is_declared(self) -> bool:
        """Whether the file itself declares the input and output that its manifest does."""
        dtype = "float" if self.encode.dtype == "float32" else self.encode.dtype
        source, target = self.session.inputs_meta, self.session.outputs_meta
        return (
            [(each.name, each.type, each.shape[1:]) for each in source]
            == [(self.input_name, f"tensor({dtype})", list(self.encode.shape))]
            and [(each.name, each.type, each.shape[1:]) for each in target]
            == [(self.output_name, "tensor(float)", [len(self.labels)])]
            and (source[0].shape[0] == 1 or not isinstance(source[0].shape[0], int))
        )


class LazyModel:
    """One model: loaded once, by whichever request needs it first.

    early: its load, if that has been started.
    """

    def __init__(self, early: Waiting[Model] | None = None) -> None:
        self._early = early
        self._lock = threading.Lock()
        self._loading: Waiting[Model] | None = None
        self.model: Model | None = None  # once loaded

    def get(self) -> Model:
        """Return the model that the environment variables name, loading it if necessary.

        Requests that come while it loads wait for the same load. Raises ModelUnavailable if the
        store, the manifest or the model file is missing, corrupt or late, Misconfigured if one of
        the variables is wrong.
        """
        if model := self.model:
            return model
        with self._lock:
            if self.model:
                return self.model
            if self._loading is None or self._loading.may_be_retried:
                early, self._early = self._early, None
                seconds = early.seconds_left if early and not early.is_done else None
                self._loading = Waiting(lambda: self._keep(early), seconds)
            loading = self._loading
        return loading.result()

    def _keep(self, early: Waiting[Model] | None) -> Model:
        model = self._load(early)
        with self._lock:
            self.model, self._loading = model, None  # which would keep it once it is replaced
        return model

    def _load(self, early: Waiting[Model] | None) -> Model:
        return load_configured(early)


class LazyFinder:
    """The network that finds digits, loaded by the first picture that needs it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._loading: Waiting[Session] | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Maps [H / 2, W / 2, 3] of a picture [H, W, 3] of the size that the network takes.

        Raises ModelUnavailable if the file is missing or corrupt.
        """
        with self._lock:
            if self._loading is None or self._loading.may_be_retried:
                self._loading = Waiting(self._load)
            loading = self._loading
        session = loading.result()
        (maps,) = session.run(["maps"], {"picture": picture[np.newaxis]}, None)
        return np.asarray(maps[0], dtype=np.float32)

    def _load(self) -> Session:
        name, version, manifest, _, open_finder = self._files
        assert manifest.finder is not None
        return open_session(open_finder, manifest.finder, f"the finder of {name} {version}")


def load_configured(
    early: Waiting[Model] | None, name: str | None = None, admit: Admit | None = None
) -> Model:
    """Return what was loaded early, or if that failed, load what there is now.

    name, admit: as `fetch_configured` takes them.
    """
    started = time.perf_counter()
    if early:
        with contextlib.suppress(ModelUnavailable):
            return early.take()._replace(load_ms=_since(started))
    return _load(fetch_configured(name, admit), started)


def load(store: Store, name: str, version: str, admit: Admit | None = None) -> Model:
    """Load a model by its version, or by the channel that points to one."""
    started = time.perf_counter()
    return _load(fetch(store, name, version, admit), started)


def _load(files: Files, started: float) -> Model:
    session = open_session(files.open_model, files.manifest.file, files.label)
    return checked_model(files, session)._replace(load_ms=_since(started))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def checked_model(files: Files, session: Session, *, is_urgent: bool = False) -> Model:
    """Model of a version, once its session has classified a blank image.

    is_urgent: without that, if the file declares what the manifest does. Raises ModelUnavailable
    if its file and its manifest do not fit each other.
    """
    name, version, manifest, *_ = files
    finder = LazyFinder(files) if manifest.finder else None
    try:
        _, dtype, shape, parameters = manifest.input
        encode = Encoding.from_manifest(dtype, shape, parameters)
        preprocess = pipeline.from_manifest(encode.samples_shape, parameters, finder)
    except (ValueError, OverflowError) as error:
        raise ModelUnavailable(f"the manifest of {name} {version}: {error}") from error
    model = Model(
        name=name,
        version=version,
        labels=manifest.output.labels,
        preprocess=preprocess,
        encode=encode,
        session=session,
        input_name=manifest.input.name,
        output_name=manifest.output.name,
        manifest=manifest,
    )
    thresholds = manifest.output.thresholds
    if thresholds and len(thresholds) != len(model.labels):
        raise ModelUnavailable(
            f"the manifest of {name} {version} must have a threshold for each of its "
            f"{len(model.labels)} labels, got {len(thresholds)}"
        )
    if not (is_urgent and model.is_declared):
        model.check()
    return model
