"""What a reader sees after a writer was killed at any moment."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from classifier.errors import ModelUnavailable
from classifier.model import session
from classifier.model import store as function_store
from model_build.errors import NotInStore
from model_build.store import garbage_collection
from model_build.store.model_store import ModelStore
from model_build.store.verify import verify
from tests.support import ROOT
from tests.support.manifests import describe

pytestmark = pytest.mark.slow  # a process for every point it can be killed at


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside all these processes the store can be slow, through no fault of a writer."""
    monkeypatch.setattr(
        function_store, "open_bucket", partial(function_store.open_bucket, seconds=60)
    )


@pytest.fixture
def pair(url: str, classifier: bytes) -> list[str]:
    """Two versions in the store."""
    manifests = [describe(classifier, minute=minute) for minute in range(2)]
    for manifest in manifests:
        ModelStore(url).publish(manifest, classifier)
    return [str(manifest["version"]) for manifest in manifests]


def test_a_publish_that_is_killed_shows_nothing_or_all_and_can_be_repeated(
    url: str, classifier: bytes, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(classifier)
    models = ModelStore(url)
    whole = []
    for number in _killed(url, "publish", str(tmp_path / "model")):
        manifest = describe(classifier, name=f"model-{number}")
        name, version = manifest["name"], manifest["version"]
        whole.append(_serves(url, version, name))
        found = models.listing(name).get(name)
        assert whole[-1] is bool(found and found.complete)
        models.publish(manifest, classifier)
        assert _serves(url, version, name)
    assert set(whole) == {True, False}
    assert verify(models).problems == []


def test_a_promotion_that_is_killed_happened_or_not(url: str, pair: list[str]) -> None:
    models = ModelStore(url)
    models.promote("mnist", pair[0], "production")
    moved = []
    for number in _killed(url, "promote", *pair):
        old, new = pair[1 - number % 2], pair[number % 2]
        served = session.load(function_store.open_store(url), "mnist", "production").version
        assert served in (old, new)
        moved.append(served == new)
        assert models.promote("mnist", new, "production")["previous"][0] == old
    assert set(moved) == {True, False}


def test_a_first_promotion_that_is_killed_leaves_no_channel_or_a_whole_one(
    url: str, pair: list[str]
) -> None:
    models = ModelStore(url)
    served = []
    for number in _killed(url, "promote first", pair[0]):
        served.append(_serves(url, f"channel-{number}"))
        channel = models.channel("mnist", f"channel-{number}")
        assert (channel is not None) is served[-1]
        assert models.promote("mnist", pair[1], f"channel-{number}")["version"] == pair[1]
        assert _serves(url, f"channel-{number}")
    assert set(served) == {True, False}


def test_a_gc_that_is_killed_leaves_versions_whole_or_hidden_and_can_be_taken_over(
    url: str, pair: list[str], classifier: bytes
) -> None:
    models = ModelStore(url)
    models.promote("mnist", pair[0], "production")
    whole = []
    for _ in _killed(url, "gc"):
        assert _serves(url, "production")
        whole.append(_serves(url, pair[1]))
        assert whole[-1] is (pair[1] in models.listing("mnist")["mnist"].complete)
        garbage_collection.collect(models, "mnist", min_age=timedelta(0), take_over=True)
        assert list(models.listing("mnist")["mnist"].versions) == [pair[0]]
        assert models.removal("mnist") == {}
        models.publish(describe(classifier, minute=1), classifier)
    assert set(whole) == {True, False}
    with pytest.raises(NotInStore):
        models.manifest("mnist", pair[1])


def _serves(url: str, version: str, name: str = "mnist") -> bool:
    """Whether the function finds a model; if it does, it has checked and run it."""
    try:
        return bool(session.load(function_store.open_store(url), name, version))
    except ModelUnavailable as error:
        if not re.search("has no|points to None", str(error)):  # it saw half of something
            raise
        return False


def _killed(url: str, operation: str, *arguments: str) -> Iterator[int]:
    """Number of each point at which the operation was killed."""
    command = [sys.executable, "-m", "tests.support.kill_points", url, operation, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdin
        assert runner.stdout
        for line in runner.stdout:
            if line == "done\n":
                break
            yield int(line)
            runner.stdin.write("\n")
            runner.stdin.flush()
        runner.stdin.close()
        assert runner.wait(timeout=60) == 0
