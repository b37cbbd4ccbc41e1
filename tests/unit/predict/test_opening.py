"""opening.py: what of a model file onnxruntime gets to see, and how it is told to run it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi import _pybind_state as core

from classifier.errors import ModelUnavailable
from classifier.model.session import Model, load
from classifier.model.store import FolderStore
from classifier.model.threads import SMALL
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


def open_memory() -> list[str]:
    """This process's files in memory."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith("/memfd:model")]


def test_a_large_model_is_opened_without_copies_and_leaves_no_file(
    tmp_path: Path, large: Sure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime gets a path, to memory that is given back."""
    seen: list[tuple[Any, ...]] = []
    original = core.InferenceSession

    def counted(options: Any, *arguments: Any) -> Any:
        seen.append((arguments[0], len(open_memory())))
        return original(options, *arguments)

    monkeypatch.setattr(core, "InferenceSession", counted)
    assert is_sure(loaded(tmp_path))
    ((path, files),) = seen
    assert path.startswith("/proc/self/fd/")
    assert files
    assert open_memory() == []


def test_a_file_that_changes_once_it_was_checked_changes_nothing(
    tmp_path: Path, large: Sure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session has the bytes that were checked, not the file."""
    original = core.InferenceSession
    (file,) = tmp_path.rglob("model.onnx")

    def too_late(*arguments: Any) -> Any:
        with file.open("r+b") as opened:
            opened.write(bytes(large.bytes))
        return original(*arguments)

    monkeypatch.setattr(core, "InferenceSession", too_late)
    assert is_sure(loaded(tmp_path))
    with pytest.raises(ModelUnavailable, match="does not match its manifest"):
        loaded(tmp_path)


@pytest.mark.parametrize("why", ["there is no such call", "it is forbidden"])
def test_a_large_model_is_opened_where_there_are_no_files_in_memory(
    tmp_path: Path, large: Sure, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def forbidden(_: str) -> int:
        raise PermissionError

    if why == "it is forbidden":
        monkeypatch.setattr(os, "memfd_create", forbidden)
    else:
        monkeypatch.delattr(os, "memfd_create")
    assert is_sure(loaded(tmp_path))


def test_a_damaged_large_model_leaves_no_file(tmp_path: Path, large: Sure) -> None:
    (file,) = tmp_path.rglob("model.onnx")
    with file.open("r+b") as opened:
        opened.write(b"x")
    with pytest.raises(ModelUnavailable, match="does not match its manifest"):
        loaded(tmp_path)
    assert open_memory() == []


def test_a_size_beyond_all_memory_is_unavailable(tmp_path: Path, large: Sure) -> None:
    """A manifest that says so is refused like one whose file is missing."""
    (manifest,) = tmp_path.rglob("manifest.json")
    text = manifest.read_text()
    manifest.write_text(text.replace(f'"bytes": {large.bytes}', f'"bytes": {2**62}'))
    assert manifest.read_text() != text
    with pytest.raises(ModelUnavailable, match="does not load"):
        loaded(tmp_path)


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
