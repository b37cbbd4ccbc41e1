"""models.py: several models in one environment, and new versions of those that are loaded."""

import gc
import itertools
import json
import threading
import time
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.errors import Misconfigured, ModelUnavailable, NotFound
from classifier.model.fetch import Waiting, configured_names
from classifier.model.models import Loaded, Models, NotRefreshed
from classifier.model.session import Model, load_configured
from classifier.model.store import FolderStore, S3Store
from classifier.model.threads import SMALL
from tests.support.own_server import wait_for
from tests.support.sure_models import Sure, point, publish

NAMES = "mnist,clothes,letters"
PICTURE = np.zeros((1, 28, 28), np.uint8)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the environment names as the store."""
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    monkeypatch.setenv("MODEL_NAME", "mnist")
    return tmp_path


@pytest.fixture
def three(store: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Sure]:
    """Three models of one size, with memory for two."""
    monkeypatch.setenv("MODEL_NAME", NAMES)
    published = {
        name: publish(store, name, winner, 0.5 + winner / 10)
        for winner, name in enumerate(NAMES.split(","))
    }
    budget(monkeypatch, published.values(), 2.5)
    return published


def budget(monkeypatch: pytest.MonkeyPatch, versions: Any, count: float) -> None:
    """Leave memory for so many models of one size."""
    (size,) = {version.bytes for version in versions}
    monkeypatch.setenv("MODEL_MEMORY_MB", str(count * 2 * size / 2**20))


def loaded(models: Models) -> list[str]:
    return [name for name in models.names if models.loaded(name)]


def probability(model: Model) -> float:
    """Of the class that the model is sure of."""
    return round(float(model.probabilities(PICTURE).max()), 3)


def test_the_bytes_of_a_file_are_not_kept_once_it_is_open(store: Path) -> None:
    """Neither by onnxruntime nor by the early thread, which lives as long as the environment."""
    size = publish(store, "mnist", 7, 0.9, hidden=200).bytes
    assert size < SMALL  # a larger one is in no memory of Python's
    tracemalloc.start()
    early = Waiting(lambda: load_configured(None))
    Models(early).get()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert early.is_done
    assert held < size / 2


@pytest.mark.parametrize("first", ["load", "unload"])
def test_what_was_loaded_early_is_not_served_where_a_load_is_asked_for(
    store: Path, first: str
) -> None:
    publish(store, "mnist", 1, 0.9)
    early = Waiting(lambda: load_configured(None))
    early.result()
    newer = publish(store, "mnist", 2, 0.9)
    models = Models(early)
    getattr(models, first)("mnist")
    assert models.get().version == newer.version


def test_the_first_name_is_the_default(three: dict[str, Sure]) -> None:
    models = Models()
    assert models.get().name == "mnist"
    assert models.get("letters").version == three["letters"].version
    assert loaded(models) == ["mnist", "letters"]


def test_an_unknown_name_is_not_found_and_the_others_are_listed(three: dict[str, Sure]) -> None:
    with pytest.raises(NotFound) as caught:
        Models().get("pets")
    assert str(caught.value) == (
        "there is no model 'pets'; this function serves 'mnist', 'clothes', 'letters'"
    )


def test_names_may_have_spaces_after_their_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_NAME", "mnist, clothes")
    assert configured_names() == ("mnist", "clothes")


@pytest.mark.parametrize(
    ("names", "version", "sentence"),
    [
        ("mnist,", "production", "MODEL_NAME is ''; expected letters"),
        ("mnist,a/b", "production", "MODEL_NAME is 'a/b'; expected letters"),
        ("mnist,mnist", "production", "MODEL_NAME is 'mnist,mnist'; expected each name once"),
        (
            "mnist,clothes",
            "20260131T120000Z-0123abcd",
            "MODEL_NAME lists 'mnist,clothes', and MODEL_VERSION is '20260131T120000Z-0123abcd'",
        ),
    ],
)
def test_a_list_that_can_not_be_served_is_a_misconfiguration(
    store: Path, monkeypatch: pytest.MonkeyPatch, names: str, version: str, sentence: str
) -> None:
    monkeypatch.setenv("MODEL_NAME", names)
    monkeypatch.setenv("MODEL_VERSION", version)
    models = Models()
    with pytest.raises(Misconfigured, match=sentence):
        models.get()
    assert not models.is_loaded


@pytest.mark.parametrize("variable", ["MODEL_MEMORY_MB", "MODEL_REFRESH_SECONDS"])
@pytest.mark.parametrize("value", ["-1", "nan", "soon", "1e9"])
def test_a_setting_that_is_no_number_is_a_misconfiguration(
    store: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    publish(store, "mnist", 1, 0.9)
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured, match=f"{variable} is '{value}'; expected a number from 0"):
        Models().get()


def test_the_least_recently_used_model_leaves(three: dict[str, Sure]) -> None:
    models = Models()
    for name in ("mnist", "clothes", "mnist", "letters"):
        models.get(name)
    assert loaded(models) == ["mnist", "letters"]
    models.get("clothes")
    assert loaded(models) == ["clothes", "letters"]


def test_half_of_the_functions_memory_is_for_models(
    three: dict[str, Sure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes as the manifests state them; a model alone may be larger than that."""
    monkeypatch.delenv("MODEL_MEMORY_MB")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
    monkeypatch.setattr("classifier.model.models._COPIES", 0.7 * 2**28 / three["mnist"].bytes)
    models = Models()
    for name in three:
        models.get(name)
    assert loaded(models) == ["clothes", "letters"]
    monkeypatch.setattr("classifier.model.models._COPIES", 2**31)
    models.get("mnist")
    assert loaded(models) == ["mnist"]


def test_a_model_that_can_not_be_loaded_costs_the_others_no_room(
    three: dict[str, Sure], store: Path, no_pause: None
) -> None:
    models = Models()
    models.get("mnist")
    next(store.glob("clothes/versions/*/model.onnx")).write_bytes(b"damaged")
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            models.get("clothes")
    models.get("letters")
    assert loaded(models) == ["mnist", "letters"]


def test_more_models_than_fit_answer_under_load(
    three: dict[str, Sure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads: every answer is the model's own, and never more than two are loaded."""
    models = Models()
    loads: Counter[str] = Counter()
    load = load_configured

    def counted(early: Any, name: str, admit: Any) -> Model:
        loads[name] += 1
        return load(early, name, admit)

    monkeypatch.setattr("classifier.model.models.load_configured", counted)

    def ask(seed: int) -> int:
        order = np.random.default_rng(seed).choice(list(three), 150)
        for name in order:
            model = models.get(str(name))
            assert (model.name, model.version) == three[name][:2]
            assert probability(model) == three[name].probability
            assert len(loaded(models)) <= 2
        return len(order)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 8 * 150
    assert sum(loads.values()) > 10
    assert loads.keys() == three.keys()


def test_the_memory_of_a_model_that_left_is_free_at_once(
    three: dict[str, Sure], store: Path
) -> None:
    """Not when Python looks for cycles next: another model is being loaded into it."""
    models = Models()
    gc.collect()
    gc.disable()
    try:
        left = weakref.ref(models.get("mnist").session)
        models.get("clothes")
        replaced = weakref.ref(models.get("clothes").session)
        models.events()  # as each request does
        assert left()
        models.get("letters")
        wait_for(lambda: left() is None)
        models.unload("letters")
        publish(store, "clothes", 9, 0.95)
        models.load("clothes")
        models.events()
        wait_for(lambda: replaced() is None)
    finally:
        gc.enable()


def test_an_unloaded_model_is_loaded_by_the_next_request(three: dict[str, Sure]) -> None:
    models = Models()
    models.get()
    models.unload("mnist")
    assert not models.is_loaded
    assert models.is_unloaded("mnist")
    assert models.get().name == "mnist"
    assert not models.is_unloaded("mnist")
    with pytest.raises(NotFound):
        models.unload("pets")


# New versions


@pytest.fixture
def refreshing(store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Models]:
    """Models that look at their channel again after a millisecond."""
    monkeypatch.setenv("MODEL_REFRESH_SECONDS", "0.001")
    return Models


def seen(models: Models, kind: type[Any], seconds: float = 10) -> Any:
    """The first event of a kind, after requests that go on until there is one."""

    def look() -> Any:
        models.get()
        return next((event for event in models.events() if isinstance(event, kind)), None)

    return wait_for(look, seconds)


def refreshed(models: Models) -> Loaded:
    """The next event of a model that took another's place."""
    while not (event := seen(models, Loaded)).former:
        pass
    assert isinstance(event, Loaded)
    return event


def test_a_promoted_version_takes_the_place_of_the_loaded_one(
    store: Path, refreshing: Callable[[], Models]
) -> None:
    old = publish(store, "mnist", 1, 0.6)
    models = refreshing()
    kept = models.get()
    new = publish(store, "mnist", 2, 0.7)
    assert refreshed(models) == (models.get(), old.version)
    assert (models.get().version, probability(models.get())) == (new.version, 0.7)
    assert (kept.version, probability(kept)) == (old.version, 0.6), "as its requests got it"


def test_versions_that_change_under_load_answer_for_themselves(
    store: Path, refreshing: Callable[[], Models]
) -> None:
    """Four threads ask while six versions are promoted; each answer is its version's own."""
    versions = [publish(store, "mnist", 1, 0.6)]
    models = refreshing()
    done = threading.Event()
    probabilities = {versions[0].version: 0.6}
    wrong: list[tuple[str, float]] = []

    def ask() -> set[str]:
        answered = set()
        while not done.is_set():
            model = models.get()
            answered.add(model.version)
            if probability(model) != probabilities[model.version]:
                wrong.append((model.version, probability(model)))
        return answered

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask) for _ in range(4)]
        try:
            for step in range(2, 8):
                p = round(0.6 + step / 100, 3)
                sure = publish(store.with_name("other"), "mnist", step, p)
                probabilities[sure.version] = p
                versions.append(publish(store, "mnist", step, p))
                wait_for(lambda: models.get().version == versions[-1].version)
        finally:
            done.set()
    assert wrong == []
    answered = set().union(*(answer.result() for answer in answers))
    assert answered == {sure.version for sure in versions}


def test_at_most_one_thread_looks_and_no_request_waits_for_it(
    store: Path, refreshing: Callable[[], Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store hangs; a hundred requests get the version that there is."""
    old = publish(store, "mnist", 1, 0.6)
    models = refreshing()
    models.get()
    hanging, looks = threading.Event(), []

    def hang(self: FolderStore, key: str) -> str:
        looks.append(key)
        hanging.wait(30)
        return ""

    monkeypatch.setattr(FolderStore, "tag", hang)
    try:
        wait_for(lambda: models.get() and looks)
        assert {models.get().version for _ in range(100)} == {old.version}
        assert looks == ["mnist/channels/production.json"]
    finally:
        hanging.set()


@pytest.mark.parametrize("fault", ["no channel", "no version", "damaged", "too few labels"])
def test_a_refresh_that_fails_keeps_the_old_version(
    store: Path, refreshing: Callable[[], Models], fault: str
) -> None:
    """And the next one that can be loaded is served."""
    old = publish(store, "mnist", 1, 0.6)
    models = refreshing()
    models.get()
    channel = store / "mnist/channels/production.json"
    if fault == "no channel":
        channel.rename(store / "away")
    elif fault == "no version":
        point(store, "mnist", "20260131T120000Z-0123abcd")
    else:
        other = store.with_name(f"{store.name}-new")
        new = publish(other, "mnist", 2, 0.7).version
        if fault == "damaged":
            (other / "mnist/versions" / new / "model.onnx").write_bytes(b"damaged")
        else:
            manifest = other / "mnist/versions" / new / "manifest.json"
            document = json.loads(manifest.read_text())
            document["output"]["labels"].pop()
            manifest.write_text(json.dumps(document))
        (other / "mnist/versions" / new).rename(store / "mnist/versions" / new)
        point(store, "mnist", new)
    event = seen(models, NotRefreshed)
    assert event.model.version == old.version
    assert event.reason.startswith("ModelUnavailable: ")
    assert (models.get().version, probability(models.get())) == (old.version, 0.6)
    if fault == "no channel":
        (store / "away").rename(channel)
    good = publish(store, "mnist", 3, 0.8)
    assert refreshed(models).model.version == good.version


def test_looks_that_fail_become_rarer(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to an hour apart; a good one starts over."""
    publish(store, "mnist", 1, 0.6)
    monkeypatch.setenv("MODEL_REFRESH_SECONDS", "60")
    monkeypatch.setattr("classifier.model.models.jittered", lambda seconds: 1.2 * seconds)
    moment = itertools.repeat(1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(moment))
    models = Models()
    models.get()
    (entry,) = models._entries.values()
    assert entry.due == 1000 + 1.2 * 60
    channel = store / "mnist/channels/production.json"
    channel.rename(store / "away")
    waits = []
    for _ in range(8):
        with pytest.raises(ModelUnavailable):
            models.load("mnist")
        waits.append((entry.due - 1000) / 1.2)
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    (store / "away").rename(channel)
    models.load("mnist")
    assert entry.due == 1000 + 1.2 * 60


def test_a_channel_that_did_not_change_is_not_read(
    store: Path, refreshing: Callable[[], Models], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first look, which has nothing to compare with; nor is a model loaded."""
    publish(store, "mnist", 1, 0.6)
    reads: list[str] = []
    tags: list[str] = []
    read, tag = FolderStore.read, FolderStore.tag

    def reading(self: FolderStore, key: str, most: int) -> bytes:
        reads.append(key)
        return read(self, key, most)

    def tagging(self: FolderStore, key: str) -> str:
        tags.append(key)
        return tag(self, key)

    monkeypatch.setattr(FolderStore, "read", reading)
    monkeypatch.setattr(FolderStore, "tag", tagging)
    models = refreshing()
    first = models.get()
    wait_for(lambda: models.get() is first and len(tags) > 20)
    channel, _, again = (key.rpartition("/")[2] for key in reads)
    assert channel == again == "production.json"


def test_an_object_in_s3_has_a_tag_that_changes_with_it(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a promoted version is found by it."""
    from model_build.store.model_store import ModelStore
    from tests.support.local_s3 import upload

    old, new = publish(tmp_path, "mnist", 1, 0.6), publish(tmp_path, "mnist", 2, 0.7)
    point(tmp_path, "mnist", old.version)
    upload(tmp_path, s3_url)
    monkeypatch.setenv("MODEL_STORE_URL", s3_url)
    monkeypatch.setenv("MODEL_NAME", "mnist")
    monkeypatch.setenv("MODEL_REFRESH_SECONDS", "0.001")
    key = "mnist/channels/production.json"
    bucket = S3Store("models", "store")
    before = bucket.tag(key)
    assert bucket.tag(key) == before
    with pytest.raises(ModelUnavailable, match="has no mnist/nothing"):
        bucket.tag("mnist/nothing")
    models = Models()
    assert models.get().version == old.version
    ModelStore(s3_url).promote("mnist", new.version, "production")
    assert bucket.tag(key) != before
    assert refreshed(models).model.version == new.version


@pytest.mark.parametrize("setting", ["off", "pinned"])
def test_a_pinned_version_and_by_default_a_channel_are_not_looked_at_again(
    store: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    old = publish(store, "mnist", 1, 0.6)
    if setting == "pinned":
        monkeypatch.setenv("MODEL_REFRESH_SECONDS", "0.001")
        monkeypatch.setenv("MODEL_VERSION", old.version)
    models = Models()
    models.get()
    assert models._entries["mnist"].due == float("inf")
    publish(store, "mnist", 2, 0.7)
    if setting == "pinned":
        assert models.load("mnist").version == old.version


def test_a_new_version_is_loaded_beside_the_old_one_only_if_there_is_memory(
    three: dict[str, Sure], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used model leaves for it, but not the one in use."""
    models = Models()
    for name in ("clothes", "mnist"):
        models.get(name)
    new = publish(store, "mnist", 7, 0.9)
    assert models.load("mnist").version == new.version
    assert loaded(models) == ["mnist"], "old and new beside each other left no room"

    models.get("clothes")
    publish(store, "mnist", 8, 0.95)
    with pytest.raises(ModelUnavailable, match=r"no memory for mnist .* beside the version"):
        models.load("mnist")
    assert loaded(models) == ["mnist", "clothes"], "clothes was used last"
    assert models.get("mnist").version == new.version
    models.get("letters")
    assert loaded(models) == ["mnist", "letters"], "what was not loaded takes no room"


def test_loading_a_loaded_model_looks_at_its_channel_at_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish(store, "mnist", 1, 0.6)
    models = Models()
    assert models.load("mnist").version == old.version
    new = publish(store, "mnist", 2, 0.7)
    assert models.load("mnist").version == new.version
    assert [event.former for event in models.events() if isinstance(event, Loaded)] == [
        None,
        old.version,
    ]
    point(store, "mnist", "20260131T120000Z-0123abcd")
    with pytest.raises(ModelUnavailable):
        models.load("mnist")
    assert models.get().version == new.version
