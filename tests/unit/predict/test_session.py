"""session.py: the model is loaded once and checked, and a failure is retried."""

import json
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.capi import _pybind_state as core

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model import session
from classifier.model.fetch import Files, fetch_configured
from classifier.model.session import LazyModel, Model, load
from classifier.model.store import FolderStore
from classifier.prepare.mnist import MnistPipeline

type Document = dict[str, Any]
type Publish = Callable[..., str]

CHANNEL = Path("mnist/channels/production.json")


def version_folder(root: Path) -> Path:
    (folder,) = (root / "mnist" / "versions").iterdir()
    return folder


def test_a_channel_leads_to_its_version(model_store: Path) -> None:
    model = load(FolderStore(model_store), "mnist", "production")
    assert model.version == version_folder(model_store).name
    assert (model.name, model.labels) == ("mnist", list(range(10)))
    assert (model.input_name, model.output_name) == ("image", "probabilities")
    assert model.load_ms > 0


def test_the_model_answers_digits(model_store: Path, digits: NDArray[np.uint8]) -> None:
    model = load(FolderStore(model_store), "mnist", "production")
    probabilities = model.probabilities(digits)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(10), abs=1e-5)
    assert probabilities.argmax(axis=1).tolist() == list(range(10))


def test_a_file_for_one_picture_at_a_time_answers_batches(
    tmp_path: Path, publish: Publish, classifier: bytes, digits: NDArray[np.uint8]
) -> None:
    publish(tmp_path)
    together = load(FolderStore(tmp_path), "mnist", "production").probabilities(digits)
    single = onnx.load_from_string(classifier)
    single.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    def edit(document: Document) -> None:
        document["input"]["shape"][0] = 1

    publish(tmp_path, content=single.SerializeToString(), manifest=edit)
    model = load(FolderStore(tmp_path), "mnist", "production")
    assert not model.manifest.takes_batches
    np.testing.assert_allclose(model.probabilities(digits), together, atol=1e-6)
    assert model.probabilities(digits[:1]).shape == (1, 10)


def test_sizes_and_labels_come_from_the_manifest(tmp_path: Path, publish: Publish) -> None:
    names = [f"digit {digit}" for digit in range(10)]

    def edit(document: Document) -> None:
        document["output"]["labels"] = names
        document["input"]["preprocess"]["box"] = 18

    publish(tmp_path, manifest=edit)
    model = load(FolderStore(tmp_path), "mnist", "production")
    assert model.labels == names
    assert model.preprocess == MnistPipeline(28, 28, 18)


@pytest.mark.parametrize("bad", ["../mnist", "..", "", "a/b", "mnist\n", "a b", "é"])
@pytest.mark.parametrize("variable", ["MODEL_NAME", "MODEL_VERSION"])
def test_a_name_that_can_not_be_one_is_a_misconfiguration(
    model_store: Path, monkeypatch: pytest.MonkeyPatch, variable: str, bad: str
) -> None:
    monkeypatch.setenv(variable, bad)
    with pytest.raises(Misconfigured) as caught:
        LazyModel().get()
    assert str(caught.value).startswith(f"{variable} is {bad!r}; expected letters, digits, ")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("other", "production"),
        ("mnist", "staging"),
        ("mnist", "20260131T120000Z-00000000"),
        ("mnist", "20260131T120000Z"),
    ],
)
def test_a_model_or_version_that_is_not_there_is_unavailable(
    model_store: Path, name: str, version: str
) -> None:
    with pytest.raises(ModelUnavailable, match="the model store has no"):
        load(FolderStore(model_store), name, version)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff\xfe\xfd", b"[" * 200_000, b"{}"])
@pytest.mark.parametrize("document", ["channel", "manifest"])
def test_a_document_that_is_not_the_right_json_is_unavailable(
    model_store: Path, document: str, content: bytes
) -> None:
    folder = version_folder(model_store)
    file = model_store / CHANNEL if document == "channel" else folder / "manifest.json"
    file.write_bytes(content)
    with pytest.raises(ModelUnavailable):
        load(FolderStore(model_store), "mnist", "production")


@pytest.mark.parametrize(
    "version", [None, "../../other", "production", "20260131T120000Z-01234567/..", ["x"]]
)
def test_a_channel_that_names_no_version_is_unavailable(
    tmp_path: Path, publish: Publish, version: Any
) -> None:
    publish(tmp_path, channel=lambda document: document.update(version=version))
    with pytest.raises(ModelUnavailable, match="expected a version such as") as caught:
        load(FolderStore(tmp_path), "mnist", "production")
    assert f"points to {version!r}" in str(caught.value)


# Manifests that the schema allows, but that do not fit the file. test_manifest.py has the others.
MANIFEST_FAULTS: dict[str, tuple[Callable[[Document], object], str]] = {
    "another sha256": (lambda m: m["file"].update(sha256="0" * 64), "does not match its manifest"),
    "another input name": (lambda m: m["input"].update(name="pixels"), "does not run"),
    "another height": (lambda m: m["input"].update(shape=["N", 32, 28]), "does not run"),
    "five channels": (lambda m: m["input"].update(shape=["N", 28, 28, 5]), "got [28, 28, 5]"),
    "two means": (lambda m: m["input"]["preprocess"].update(mean=[0, 0]), "mean must have 1 value"),
    "a deviation of 0": (lambda m: m["input"]["preprocess"].update(std=[0]), "std must not be 0"),
    "an endless scale": (
        lambda m: m["input"]["preprocess"].update(scale=10**400),
        "too large to convert",
    ),
    "box over the frame": (lambda m: m["input"]["preprocess"].update(box=40), "box"),
    "another output name": (lambda m: m["output"].update(name="logits"), "does not run"),
    "too few labels": (lambda m: m["output"].update(labels=[*range(9)]), "(1, 9)"),
    "too many labels": (lambda m: m["output"].update(labels=[*range(11)]), "(1, 11)"),
    "a wrong value": (lambda m: m["input"].update(dtype="int8"), "manifest.input.dtype: expected"),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_manifest_with_a_fault_is_unavailable(
    tmp_path: Path, publish: Publish, fault: str
) -> None:
    edit, sentence = MANIFEST_FAULTS[fault]
    publish(tmp_path, manifest=edit)
    with pytest.raises(ModelUnavailable, match=re.escape(sentence)):
        load(FolderStore(tmp_path), "mnist", "production")


@pytest.mark.parametrize("damage", ["missing", "truncated", "a bit", "a folder"])
def test_a_model_file_that_is_not_the_published_one_is_unavailable(
    model_store: Path, damage: str
) -> None:
    file = version_folder(model_store) / "model.onnx"
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage == "truncated":
        file.write_bytes(content[:-1])
    elif damage == "a bit":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(ModelUnavailable):
        load(FolderStore(model_store), "mnist", "production")


def test_onnxruntime_sees_no_byte_of_a_file_with_another_sha256(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    monkeypatch.setattr(core, "InferenceSession", lambda _, content, *__: seen.append(content))
    file = version_folder(model_store) / "model.onnx"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(ModelUnavailable, match="does not match its manifest"):
        load(FolderStore(model_store), "mnist", "production")
    assert seen == []


@pytest.mark.parametrize("content", [b"", b"no onnx file"])
def test_a_published_file_that_is_no_model_is_unavailable(
    tmp_path: Path, publish: Publish, content: bytes
) -> None:
    publish(tmp_path, content=content)
    with pytest.raises(ModelUnavailable):
        load(FolderStore(tmp_path), "mnist", "production")


def test_nothing_is_loaded_before_the_first_request_for_it(model_store: Path) -> None:
    model = LazyModel()
    assert model.model is None
    first = model.get()
    assert model.model is not None
    shutil.rmtree(model_store)
    assert model.get() is first


def test_the_environment_says_which_model(
    model_store: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = version_folder(model_store).name
    new = publish(model_store, created="20260201T120000Z")
    assert LazyModel().get().version == new
    monkeypatch.setenv("MODEL_VERSION", old)
    assert LazyModel().get().version == old
    monkeypatch.setenv("MODEL_NAME", "other")
    with pytest.raises(ModelUnavailable):
        LazyModel().get()


def test_a_failed_load_is_forgotten_and_the_next_good_state_is_served(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    root = tmp_path / "model-store"
    monkeypatch.setenv("MODEL_STORE_URL", root.as_uri())
    model = LazyModel()

    def fails() -> None:
        with pytest.raises(ModelUnavailable):
            model.get()
        assert model.model is None

    fails()  # no store
    root.mkdir()
    fails()  # an empty one
    version = publish(root)
    manifest = root / "mnist" / "versions" / version / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(good) | {"file": {"sha256": "0" * 64}}))
    fails()  # a corrupt one
    manifest.write_text(good)
    assert model.get().version == version


def test_sixteen_threads_at_once_load_one_model_once(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Files] = []
    together = threading.Barrier(16)
    model = LazyModel()

    def counted(*_: object) -> Files:
        loads.append(fetch_configured())
        return loads[-1]

    def request(_: int) -> Model:
        together.wait()
        return model.get()

    monkeypatch.setattr(session, "fetch_configured", counted)
    with ThreadPoolExecutor(16) as pool:
        models = list(pool.map(request, range(16)))
    assert len(loads) == 1
    assert all(found is models[0] for found in models)
