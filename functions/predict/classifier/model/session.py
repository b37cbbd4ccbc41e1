"""Tensor → probabilities: the model, loaded from the store on first use and kept.

After a load that fails, requests get its error for about a second; the next one tries again.
"""

import contextlib
import hashlib
import threading
import time
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.errors import ModelUnavailable
from classifier.model.fetch import Admit, Files, Waiting, fetch, fetch_configured
from classifier.model.manifest import File, Manifest
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
    load_ms: float
    session: ort.InferenceSession
    input_name: str
    output_name: str  # softmax float32 [N, classes]
    manifest: Manifest

    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Softmax [N, classes] of a batch from `encode`."""
        size = len(batch) if self.manifest.takes_batches else 1
        answers = [
            self.session.run([self.output_name], {self.input_name: batch[at : at + size]})[0]
            for at in range(0, len(batch), size)
        ]
        return np.asarray(answers[0] if len(answers) == 1 else np.concatenate(answers), np.float32)


class LazyModel:
    """One model: loaded once, by whichever request needs it first.

    early: the fetch of its files, if it has been started.
    """

    def __init__(self, early: Waiting[Files] | None = None) -> None:
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

    def _keep(self, early: Waiting[Files] | None) -> Model:
        model = self._load(early)
        with self._lock:
            self.model, self._loading = model, None  # which would keep it once it is replaced
        return model

    def _load(self, early: Waiting[Files] | None) -> Model:
        return load_configured(early)


class LazyFinder:
    """The network that finds digits, loaded by the first picture that needs it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._loading: Waiting[ort.InferenceSession] | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Maps [H / 2, W / 2, 3] of a picture [H, W, 3], H and W multiples of 32.

        Raises ModelUnavailable if the file is missing or corrupt.
        """
        with self._lock:
            if self._loading is None or self._loading.may_be_retried:
                self._loading = Waiting(self._load)
            loading = self._loading
        session = loading.result()
        (maps,) = session.run(["maps"], {"picture": picture[np.newaxis]})
        return np.asarray(maps[0], dtype=np.float32)

    def _load(self) -> ort.InferenceSession:
        name, version, manifest, _, read_finder = self._files
        assert manifest.finder is not None
        return _session(read_finder(), manifest.finder, f"the finder of {name} {version}")


def load_configured(
    early: Waiting[Files] | None, name: str | None = None, admit: Admit | None = None
) -> Model:
    """Load what was fetched early, or if that failed, what there is now.

    name, admit: as `fetch_configured` takes them.
    """
    started = time.perf_counter()
    files = None
    if early:
        with contextlib.suppress(ModelUnavailable):
            files = early.take()
    return _open(files or fetch_configured(name, admit), started)


def load(store: Store, name: str, version: str, admit: Admit | None = None) -> Model:
    """Load a model by its version, or by the channel that points to one.

    The file is checked against the manifest's sha256 before onnxruntime opens it.
    """
    started = time.perf_counter()
    return _open(fetch(store, name, version, admit), started)


def _open(files: Files, started: float) -> Model:
    name, version, manifest, content, _ = files
    finder = LazyFinder(files._replace(content=b"")) if manifest.finder else None
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
        session=_session(content, manifest.file, f"the model file of {name} {version}"),
        input_name=manifest.input.name,
        output_name=manifest.output.name,
        manifest=manifest,
        load_ms=(time.perf_counter() - started) * 1000,
    )
    _check(model)
    return model


def _check(model: Model) -> None:
    """Classify a blank image, to check that the file's input and output match its manifest."""
    try:
        shape = model.probabilities(model.encode.blank).shape
    except Exception as error:  # onnxruntime's own classes, as below
        raise ModelUnavailable(
            f"the model file of {model.name} {model.version} does not run with its manifest's "
            "input and output"
        ) from error
    if shape != (1, len(model.labels)):
        raise ModelUnavailable(
            f"the output of {model.name} {model.version} must have the shape "
            f"(1, {len(model.labels)}) for its labels, got {shape}"
        )
    thresholds = model.manifest.output.thresholds
    if thresholds and len(thresholds) != len(model.labels):
        raise ModelUnavailable(
            f"the manifest of {model.name} {model.version} must have a threshold for each of its "
            f"{len(model.labels)} labels, got {len(thresholds)}"
        )


def _session(content: bytes, expected: File, label: str) -> ort.InferenceSession:
    """Open a file whose content is what the manifest says; label: names it in errors."""
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise ModelUnavailable(f"{label} does not match its manifest")
    options = ort.SessionOptions()
    # A Lambda has a share of one or two cores: a second thread has the same median and 30 times the
    # p99, and the sandbox does not let onnxruntime look for cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise ModelUnavailable(f"{label} does not load") from error
    # It keeps the file to open it again with other providers, which there are not: half its memory.
    session._model_bytes = None  # noqa: SLF001 - there is no public way
    return session
