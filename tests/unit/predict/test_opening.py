"""opening.py: what of a model file onnxruntime gets to see, and how it is told to run it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi import _pybind_state as core

from classifier.errors import ModelUnavailable
from classifier.model.session import Model, load
from classifier.model.store import FolderStore, Store, open_store
from classifier.model.threads import SMALL
from tests.support.local_s3 import upload
from tests.support.sure_models import Sure, publish

PICTURE = np.zeros((1, 28, 28), np.uint8)


@pytest.fixture
def large(tmp_path: Path) -> Sure:
    """A model that is sure of class 7, in a file that is not small."""
    sure = publish(tmp_path, "mnist", 7, 0.9, hidden=500)
    assert sure.bytes > SMALL
    return sure


def loaded(store: Path) -> Model:
    return load(FolderStore(store), "mnist", "production")


def is_sure(model: Model) -> bool:
    probabilities = model.probabilities(PICTURE)
    return bool(probabilities.argmax() == 7 and abs(probabilities.max() - 0.9) < 1e-5)


def open_files() -> list[str]:
    """This process's files that hold a model."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith("/memfd:model") or "model.onnx" in link]


@pytest.fixture(params=["a folder", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, large: Sure) -> Store:
    if request.param == "a folder":
        return FolderStore(tmp_path)
    url = request.getfixturevalue("s3_url")
    upload(tmp_path, url)
    return open_store(url)


def test_a_model_is_opened_without_copies_and_leaves_no_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime gets a path: of the store's file, or of memory that is given back."""
    seen: list[tuple[Any, ...]] = []
    original = core.InferenceSession

    def counted(options: Any, *arguments: Any) -> Any:
        seen.append((arguments[0], len(open_files())))
        return original(options, *arguments)

    monkeypatch.setattr(core, "InferenceSession", counted)
    assert is_sure(load(store, "mnist", "production"))
    ((path, files),) = seen
    assert path.startswith("/proc/self/fd/")
    assert files == 1
    assert open_files() == []


def test_a_file_that_changes_once_it_was_checked_is_refused(
    tmp_path: Path, large: Sure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if onnxruntime can open what it is now."""
    publish(tmp_path / "another", "mnist", 3, 0.9, hidden=500)
    (another,) = (tmp_path / "another").rglob("model.onnx")
    (file,) = (tmp_path / "mnist").rglob("model.onnx")
    assert another.stat().st_size == large.bytes
    original = core.InferenceSession

    def too_late(*arguments: Any) -> Any:
        with file.open("r+b") as opened:
            opened.write(another.read_bytes())
        return original(*arguments)

    monkeypatch.setattr(core, "InferenceSession", too_late)
    with pytest.raises(ModelUnavailable, match="was changed while it was opened"):
        loaded(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ModelUnavailable, match="does not match its manifest"):
        loaded(tmp_path)


def test_a_model_is_opened_where_no_path_leads_to_an_open_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _: False)
    assert is_sure(load(store, "mnist", "production"))


@pytest.mark.parametrize("why", ["there is no such call", "it is forbidden"])
def test_a_model_in_s3_is_opened_where_there_are_no_files_in_memory(
    s3_url: str, tmp_path: Path, large: Sure, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def forbidden(_: str) -> int:
        raise PermissionError

    if why == "it is forbidden":
        monkeypatch.setattr(os, "memfd_create", forbidden)
    else:
        monkeypatch.delattr(os, "memfd_create")
    upload(tmp_path, s3_url)
    assert is_sure(load(open_store(s3_url), "mnist", "production"))


def test_a_damaged_model_leaves_no_file(tmp_path: Path, large: Sure) -> None:
    (file,) = tmp_path.rglob("model.onnx")
    with file.open("r+b") as opened:
        opened.write(b"x")
    with pytest.raises(ModelUnavailable, match="does not match its manifest"):
        loaded(tmp_path)
    assert open_files() == []


@pytest.mark.parametrize(("hidden", "count"), [(1, 1), (500, 2)])
def test_a_session_has_the_threads_that_its_size_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: int, count: int
) -> None:
    """Threads that don't spin between two operators, which others would pay for."""
    monkeypatch.setenv("MODEL_THREADS", "2")
    publish(tmp_path, "mnist", 7, 0.9, hidden=hidden)
    options = loaded(tmp_path).session.session_options
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (count, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
