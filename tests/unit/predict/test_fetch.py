"""fetch.py and early.py: the model arrives before it is needed, and a failure costs nothing."""

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from classifier.errors import ModelUnavailable
from classifier.model.fetch import Early, Files, fetch_configured
from classifier.model.manifest import Manifest
from classifier.model.session import LazyModel
from tests.support.local_s3 import serving, upload
from tests.support.manifests import describe

type Start = Callable[[], ModuleType]

MANIFEST = Manifest.from_document(describe(b"model"))
FILES = Files(MANIFEST.name, MANIFEST.version, MANIFEST, b"model", lambda: b"finder")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Import early.py as a new environment does."""

    def import_early() -> ModuleType:
        monkeypatch.delitem(sys.modules, "classifier.model.early", raising=False)
        return importlib.import_module("classifier.model.early")

    return import_early


def test_a_fetch_goes_on_while_the_caller_does_something_else() -> None:
    """`take` waits for it."""
    answered = threading.Event()

    def slowly() -> Files:
        answered.wait()
        return FILES

    early = Early(slowly)
    answered.set()
    assert early.take() == FILES


def test_what_was_fetched_is_given_once() -> None:
    """If loading it fails, the next load reads the store again."""
    early = Early(lambda: FILES)
    assert early.take() == FILES
    assert early.take() is None


@pytest.mark.parametrize("error", [ModelUnavailable("there is none"), ValueError("a bug")])
def test_a_failure_is_left_to_the_request_that_tries_again(error: Exception) -> None:
    """Nothing is raised, neither in the thread nor by `take`."""

    def fail() -> Files:
        raise error

    assert Early(fail).take() is None


def test_a_failed_early_fetch_costs_no_answer(model_store: Path) -> None:
    """The request that needs the model fetches it."""

    def fail() -> Files:
        raise ModelUnavailable("there is none yet")

    assert LazyModel(Early(fail)).get().version.startswith("2026")


def test_a_model_is_opened_from_what_was_fetched_early(model_store: Path) -> None:
    """The store is not read again."""
    early = Early(fetch_configured)
    model = LazyModel(early)
    early._thread.join()
    for file in model_store.rglob("model.onnx"):
        file.unlink()
    assert model.get().labels == list(range(10))


def test_a_folder_is_not_read_before_it_is_asked(start: Start, model_store: Path) -> None:
    """No thread is started."""
    assert start().fetching is None


def test_a_model_in_s3_is_fetched_from_the_first_import_on(
    start: Start, model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channel, manifest and file."""
    with serving(monkeypatch) as url:
        upload(model_store, url)
        monkeypatch.setenv("MODEL_STORE_URL", url)
        files = start().fetching.take()
    assert files.name == "mnist"
    assert files.content == next(model_store.rglob("model.onnx")).read_bytes()
