"""fetch.py and early.py: the model arrives before it is needed, and a failure costs nothing."""

import contextlib
import hashlib
import importlib
import shutil
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model import session
from classifier.model.fetch import Files, Waiting, fetch, fetch_configured, jittered
from classifier.model.manifest import Manifest
from classifier.model.session import LazyModel, Model, load, load_configured
from classifier.model.store import FolderStore
from tests.support.local_s3 import serving, upload
from tests.support.manifests import describe

type Publish = Callable[..., str]
type Start = Callable[[], ModuleType]

MANIFEST = Manifest.from_document(describe(b"model"))
FILES = Files(MANIFEST.name, MANIFEST.version, MANIFEST, lambda _: BytesIO(), lambda _: BytesIO())


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Import early.py as a new environment does."""

    def import_early() -> ModuleType:
        monkeypatch.delitem(sys.modules, "classifier.model.early", raising=False)
        return importlib.import_module("classifier.model.early")

    return import_early


def test_a_call_goes_on_while_the_caller_does_something_else() -> None:
    """`result` waits for it, and gives it as often as it is asked."""
    answered = threading.Event()

    def slowly() -> Files:
        answered.wait()
        return FILES

    waiting = Waiting(slowly)
    answered.set()
    assert waiting.result() == waiting.result() == FILES
    assert not waiting.may_be_retried


@pytest.mark.parametrize("error", [ModelUnavailable("there is none"), ValueError("a bug")])
def test_a_failure_is_raised_where_it_is_waited_for(error: Exception) -> None:
    """However often, with the traceback of the call and none of those who waited before."""

    def fail() -> Files:
        raise error

    def frames() -> int:
        with pytest.raises(type(error), match=str(error)) as raised:
            waiting.result()
        return len(traceback.extract_tb(raised.tb))

    waiting = Waiting(fail)
    assert len({frames() for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("monotonic", "wall", "loads"),
    [
        (0.0, 0.0, 1),
        (0.79, 0.79, 1),
        (1.21, 1.21, 2),
        (0.0, 1.21, 2),  # the environment was frozen
        (1.21, -3600.0, 2),  # the clock was set back
    ],
)
def test_a_failed_load_is_tried_again_after_a_second(
    monkeypatch: pytest.MonkeyPatch, monotonic: float, wall: float, loads: int
) -> None:
    """Until then requests get its error, and the store is not asked."""
    asked: list[str] = []
    now = [1000.0, 2e9]

    def fail(*_: object) -> Files:
        asked.append("once")
        raise ModelUnavailable("there is none")

    def ask() -> None:
        with pytest.raises(ModelUnavailable, match="there is none"):
            model.get()

    monkeypatch.setattr(session, "fetch_configured", fail)
    monkeypatch.setattr("classifier.model.fetch._clocks", lambda: tuple(now))
    model = LazyModel()
    ask()
    now = [1000.0 + monotonic, 2e9 + wall]
    for _ in range(10):
        ask()
    assert len(asked) == loads


def test_environments_wait_for_different_times() -> None:
    waits = {jittered(10) for _ in range(100)}
    assert len(waits) > 1
    assert 8 <= min(waits) <= max(waits) <= 12 + 1e-9  # 1.2 * 10 is a little more


def test_nobody_waits_beyond_the_deadline_and_what_comes_late_is_kept() -> None:
    answered = threading.Event()

    def slowly() -> Files:
        answered.wait()
        return FILES

    waiting = Waiting(slowly, seconds=0)
    with pytest.raises(ModelUnavailable, match="not answered in time"):
        waiting.result()
    assert not waiting.is_done
    answered.set()
    waiting._done.wait()
    assert waiting.result() == FILES


@pytest.mark.parametrize("seconds", ["", "soon", "0", "-1", "nan", "21"])
def test_a_deadline_that_is_not_a_number_of_seconds_is_a_misconfiguration(
    model_store: Path, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("MODEL_LOAD_SECONDS", seconds)
    with pytest.raises(Misconfigured, match=f"MODEL_LOAD_SECONDS is '{seconds}'"):
        LazyModel().get()


def test_a_store_that_hangs_is_asked_once_by_all_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of sixteen requests gets an error at the deadline; the next ones start no other load."""
    loads: list[str] = []

    def counted(*_: object) -> Files:
        loads.append("one")
        return fetch_configured()

    monkeypatch.setattr(session, "fetch_configured", counted)
    with hanging_server() as url:
        for name, value in {
            "MODEL_STORE_URL": "s3://models/store",
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "MODEL_LOAD_SECONDS": "0.2",
        }.items():
            monkeypatch.setenv(name, value)
        model = LazyModel()
        errors: list[ModelUnavailable] = []

        def ask() -> None:
            with pytest.raises(ModelUnavailable) as raised:
                model.get()
            errors.append(raised.value)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask()
        assert len(errors) == 17
        assert len(loads) == 1


@contextlib.contextmanager
def hanging_server() -> Iterator[str]:
    """URL of a server that accepts connections and never answers."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(listening.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def test_documents_and_files_are_not_larger_than_they_should_be(
    model_store: Path, publish: Publish
) -> None:
    """What is larger is not read."""
    store = FolderStore(model_store)
    (model,) = model_store.rglob("model.onnx")
    size = model.stat().st_size
    with model.open("ab") as file:
        file.truncate(2**40)
    message = rf"model\.onnx .* has 1099511627776 bytes; its manifest says {size}"
    with pytest.raises(ModelUnavailable, match=message):
        load(store, "mnist", "production")
    manifest = model.with_name("manifest.json")
    with manifest.open("ab") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(ModelUnavailable, match=r"manifest\.json .* at most 1048576"):
        fetch(store, "mnist", "production")


def test_a_pinned_manifest_is_the_only_one_that_is_taken(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a changed one nor that of another version, which a moved channel points to."""
    store = FolderStore(model_store)
    (manifest,) = model_store.rglob("manifest.json")
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    monkeypatch.setenv("MANIFEST_SHA256", digest)
    assert fetch(store, "mnist", "production").name == "mnist"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(ModelUnavailable, match=f"not the one that MANIFEST_SHA256 names, {digest}"):
        fetch(store, "mnist", "production")
    monkeypatch.setenv("MANIFEST_SHA256", "")
    assert fetch(store, "mnist", "production").name == "mnist"


def test_a_model_for_which_the_function_has_no_memory_is_not_read(
    model_store: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    assert fetch(FolderStore(model_store), "mnist", "production").name == "mnist"
    publish(model_store, manifest=lambda document: document["file"].update(bytes=2**28 + 1))
    next(iter(model_store.rglob("model.onnx"))).unlink()
    with pytest.raises(ModelUnavailable, match="needs twice the model"):
        fetch(FolderStore(model_store), "mnist", "production")


def test_a_failed_early_load_costs_no_answer(model_store: Path) -> None:
    """The request that needs the model loads it."""

    def fail() -> Model:
        raise ModelUnavailable("there is none yet")

    assert LazyModel(Waiting(fail)).get().version.startswith("2026")


def test_a_model_that_was_loaded_early_is_not_read_again(model_store: Path) -> None:
    early = Waiting(lambda: load_configured(None))
    model = LazyModel(early)
    early.result()
    shutil.rmtree(model_store)
    assert model.get().labels == list(range(10))


def test_a_model_in_a_folder_is_loaded_from_the_first_import_on(
    start: Start, model_store: Path
) -> None:
    assert start().loading.result().labels == list(range(10))


def test_a_model_in_s3_is_loaded_from_the_first_import_on(
    start: Start, model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channel, manifest and file."""
    with serving(monkeypatch) as url:
        upload(model_store, url)
        monkeypatch.setenv("MODEL_STORE_URL", url)
        assert start().loading.result().labels == list(range(10))


def test_a_file_in_s3_of_another_size_is_unavailable(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = next(model_store.rglob("model.onnx"))
    size = file.stat().st_size
    file.write_bytes(file.read_bytes() + b"more")
    with serving(monkeypatch) as url:
        upload(model_store, url)
        monkeypatch.setenv("MODEL_STORE_URL", url)
        with pytest.raises(ModelUnavailable, match=f"has {size + 4} bytes; its manifest says"):
            LazyModel().get()


def test_a_setting_that_makes_no_sense_is_told_to_the_request(
    start: Start, model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not keep the function from starting."""
    monkeypatch.setenv("MODEL_LOAD_SECONDS", "soon")
    assert start().loading is None
