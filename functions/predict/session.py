"""Tensor → probabilities: the model, loaded from the store on first use and kept.

A load that fails is not remembered: the next request tries again.
"""

import hashlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from errors import ModelUnavailable
from preprocess import PIPELINES, MnistPipeline
from store import Store, open_store

DEFAULT_STORE = "file:///opt/model-store"
_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCHEMA = 1


@dataclass(frozen=True)
class Model:
    """One loaded version: its session, and what its manifest says of input and output."""

    name: str
    version: str
    labels: list[Any]
    preprocess: MnistPipeline
    load_ms: float
    session: ort.InferenceSession
    manifest: dict[str, Any]

    @property
    def input_name(self) -> str:
        """Name of the one input, uint8 [N, H, W]."""
        return str(self.manifest["input"]["name"])

    @property
    def input_shape(self) -> list[int]:
        """Height and width of the input."""
        return [self.preprocess.height, self.preprocess.width]

    @property
    def output_name(self) -> str:
        """Name of the one output, softmax float32 [N, classes]."""
        return str(self.manifest["output"]["name"])

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Softmax [N, classes] of a batch uint8 [N, H, W]."""
        (answer,) = self.session.run([self.output_name], {self.input_name: batch})
        return np.asarray(answer, dtype=np.float32)


class LazyModel:
    """The function's one model: loaded once, by whichever request needs it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Model | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether a request would be answered without a load."""
        return self._model is not None

    def get(self) -> Model:
        """Give the model; load it if need be, as the environment's variables say.

        Raises ModelUnavailable if the store, the manifest or the model file is missing or corrupt.
        """
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = load(
                        open_store(os.environ.get("MODEL_STORE_URL", DEFAULT_STORE)),
                        os.environ.get("MODEL_NAME", "mnist"),
                        os.environ.get("MODEL_VERSION", "production"),
                    )
        return self._model


def load(store: Store, name: str, version: str) -> Model:
    """Load a model by its version, or by the channel that points to one.

    The file is checked against the manifest's sha256 before onnxruntime sees a byte of it.
    """
    started = time.perf_counter()
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise ModelUnavailable("MODEL_NAME or MODEL_VERSION has characters that no name has")
    if not _VERSION.fullmatch(version):
        version = _channel_version(store, name, version)
    folder = f"{name}/versions/{version}"
    manifest = _read_json(store, f"{folder}/manifest.json")
    try:
        if manifest["schema"] != _SCHEMA:
            raise ModelUnavailable(f"manifest schema {manifest['schema']} is not {_SCHEMA}")
        expected = manifest["file"]["sha256"]
        source = manifest["input"]
        preprocess = PIPELINES[source["preprocess"]["pipeline"]].from_manifest(
            source["shape"], source["preprocess"]
        )
        labels = list(manifest["output"]["labels"])
        _ = source["name"], manifest["output"]["name"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelUnavailable(f"the manifest of {name} {version} is incomplete") from error
    content = store.read(f"{folder}/model.onnx")
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelUnavailable(f"the model file of {name} {version} is not what its manifest says")
    model = Model(
        name=name,
        version=version,
        labels=labels,
        preprocess=preprocess,
        session=_session(content, name, version),
        manifest=manifest,
        load_ms=(time.perf_counter() - started) * 1000,
    )
    _check(model)
    return model


def _check(model: Model) -> None:
    """Answer an empty image: the file takes and gives what its manifest says."""
    try:
        blank = np.zeros((1, model.preprocess.height, model.preprocess.width), dtype=np.uint8)
        shape = model.probabilities(blank).shape
    except Exception as error:  # onnxruntime's own classes, as below
        raise ModelUnavailable(
            f"the model file of {model.name} {model.version} does not take its manifest's input"
        ) from error
    if shape != (1, len(model.labels)):
        raise ModelUnavailable(
            f"the model file of {model.name} {model.version} gives {shape} for "
            f"{len(model.labels)} labels"
        )


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


def _session(content: bytes, name: str, version: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A Lambda has a share of one or two cores: a second thread gives the same median and 30 times
    # the p99, and probing for cores is denied in the sandbox.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise ModelUnavailable(f"the model file of {name} {version} does not load") from error
