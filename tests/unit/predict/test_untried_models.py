"""session.py and served.py: a model that a request waits for is tried by the request itself."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from classifier.errors import ModelUnavailable
from classifier.model.fetch import Waiting, fetch_configured
from classifier.model.models import Models
from classifier.model.opening import open_session
from classifier.model.session import Model, checked_model
from classifier.served import Served
from tests.support import sure_models
from tests.unit.predict.test_session import MANIFEST_FAULTS

BLACK = np.zeros((1, 28, 28), np.uint8)
WHITE = BLACK + np.uint8(255)

type Publish = Callable[..., str]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    return tmp_path


class Counting:
    """A session that counts its passes."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.passes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        self.passes += 1
        return self._session.run(*arguments)


def loaded(*, is_urgent: bool = True) -> Model:
    files = fetch_configured()
    session = Counting(open_session(files.open_model, files.manifest.file, files.label))
    return checked_model(files, session, is_urgent=is_urgent)


def import_early(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import early.py as a new environment does."""
    monkeypatch.delitem(sys.modules, "classifier.model.early", raising=False)
    return importlib.import_module("classifier.model.early")


def served() -> Served:
    return Served(Models(Waiting(loaded)))


def fails_on(lowest: int, *, batch: str | int = "N") -> bytes:
    """A model that fails on pictures with a value of at least `lowest`."""
    constants: dict[str, np.ndarray[Any, Any]] = {
        "weights": np.zeros((784, 10), np.float32),
        "lowest": np.array([lowest], np.uint8),
        "one row": np.zeros(1, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels"], ["highest"], keepdims=0),
        helper.make_node("Cast", ["lowest"], ["limit"], to=TensorProto.FLOAT),
        helper.make_node("GreaterOrEqual", ["highest", "limit"], ["is beyond"]),
        helper.make_node("Cast", ["is beyond"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["one row", "row"], ["nothing"]),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["zeros"]),
        helper.make_node("Add", ["zeros", "nothing"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "fails",
        [value("image", TensorProto.UINT8, [batch, 28, 28])],
        [value("probabilities", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    content: bytes = model.SerializeToString()
    return content


def test_the_first_request_is_the_first_pass(store: Path) -> None:
    """Unless nobody waits for the load."""
    sure_models.publish(store, "mnist", 7, 0.9)
    model = loaded()
    assert model.session.passes == 0
    assert model.probabilities(BLACK).argmax() == 7
    assert loaded(is_urgent=False).session.passes == 1


@pytest.mark.parametrize("kind", ["snap-start", "provisioned-concurrency", "on-demand"])
def test_an_init_that_nobody_waits_for_tries_the_model(
    store: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    publish(store, content=fails_on(0))
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    loading = import_early(monkeypatch).loading
    if kind == "on-demand":
        assert loading.result().is_declared
        return
    with pytest.raises(ModelUnavailable, match="does not run with its manifest's input"):
        loading.result()


@pytest.mark.parametrize(("setting", "threads"), [(None, "1"), ("2", "2")])
def test_openblas_gets_one_thread_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, threads: str
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", setting or "")
    if not setting:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    import_early(monkeypatch)
    assert os.environ["OPENBLAS_NUM_THREADS"] == threads


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_fault_of_the_manifest_is_found_before_the_first_request(
    store: Path, publish: Publish, fault: str
) -> None:
    edit, sentence = MANIFEST_FAULTS[fault]
    publish(store, manifest=edit)
    with pytest.raises(ModelUnavailable) as caught:
        loaded()
    assert sentence in str(caught.value)


def test_a_model_that_runs_with_no_picture_is_not_kept(store: Path, publish: Publish) -> None:
    """The request is told, and the next one gets what has been published by then."""
    publish(store, content=fails_on(0))
    some = served()
    model = some.model()
    with pytest.raises(ModelUnavailable, match="does not run with its manifest's input"):
        some.classify(model, WHITE)
    assert not some.models.is_loaded
    sure_models.publish(store, "mnist", 7, 0.9)
    assert some.classify(some.model(), WHITE).predictions[0]["prediction"] == 7


def test_a_picture_that_a_model_fails_on_costs_nobody_the_model(
    store: Path, publish: Publish
) -> None:
    publish(store, content=fails_on(255))
    some = served()
    model = some.model()
    with pytest.raises(Exception, match="Gather"):
        some.classify(model, WHITE)
    assert some.models.loaded() is model
    assert len(some.classify(model, BLACK).predictions) == 1


def test_an_output_of_another_size_is_no_answer(store: Path) -> None:
    sure_models.publish(store, "mnist", 7, 0.9)
    model = loaded()._replace(labels=[*range(9)])
    with pytest.raises(ModelUnavailable, match=r"must have the shape \(2, 9\).*got \(2, 10\)"):
        model.probabilities(np.concatenate([BLACK, WHITE]))
    assert not model.is_declared


def change(member: str, value: Any) -> Callable[[Model], Model]:
    return lambda model: model._replace(encode=model.encode._replace(**{member: value}))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda model: model._replace(input_name="pixels"), id="input name"),
        pytest.param(lambda model: model._replace(output_name="logits"), id="output name"),
        pytest.param(change("dtype", "float32"), id="dtype"),
        pytest.param(change("shape", (32, 28)), id="height"),
    ],
)
def test_a_declaration_counts_if_all_of_it_fits(
    store: Path, wrong: Callable[[Model], Model]
) -> None:
    sure_models.publish(store, "mnist", 7, 0.9)
    model = loaded()
    assert model.is_declared
    assert not wrong(model).is_declared


def test_a_file_for_two_pictures_at_once_is_tried(store: Path, publish: Publish) -> None:
    """A request has one."""
    publish(store, content=fails_on(255, batch=2))
    with pytest.raises(ModelUnavailable, match="does not run with its manifest's input"):
        loaded()
