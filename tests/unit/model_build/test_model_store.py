import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.model import session
from model_build.errors import Conflict, ManifestError, NotInStore, StoreError
from model_build.store.backends import Entry, Objects
from model_build.store.model_store import ModelStore, copy
from tests.support import ROOT, local_s3
from tests.support.manifests import PARENT, describe

CONTENT = b"a model file"


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    return (tmp_path / "model-store").as_uri()


class Watched:
    """Objects of a real store that record the order of writes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.written: list[str] = []

    def read(self, key: str) -> tuple[bytes, str]:
        return self._objects.read(key)

    def create(self, key: str, content: bytes) -> None:
        self._objects.create(key, content)
        self.written.append(key)

    def replace(self, key: str, content: bytes, tag: str) -> None:
        self._objects.replace(key, content, tag)

    def entries(self, prefix: str) -> Iterator[Entry]:
        return self._objects.entries(prefix)

    def delete(self, key: str) -> None:
        self._objects.delete(key)


def test_a_published_version_is_read_back_whole(url: str) -> None:
    manifest = describe(CONTENT)
    ModelStore(url).publish(manifest, CONTENT)
    reader = ModelStore(url)
    assert reader.model("mnist", manifest["version"]) == CONTENT
    assert reader.manifest("mnist", manifest["version"]).document == manifest


def test_publishing_the_same_version_again_writes_nothing(url: str) -> None:
    models = ModelStore(url)
    manifest = describe(CONTENT)
    models.publish(manifest, CONTENT)
    models._objects = watched = Watched(models._objects)
    models.publish(manifest, CONTENT)
    assert watched.written == []


def test_a_version_with_another_manifest_is_refused_and_keeps_its_own(url: str) -> None:
    models = ModelStore(url)
    manifest = describe(CONTENT)
    models.publish(manifest, CONTENT)
    with pytest.raises(Conflict):
        models.publish(manifest | {"quantization": {"method": "another"}}, CONTENT)
    assert models.manifest("mnist", manifest["version"]).document == manifest


def test_a_version_with_another_file_is_refused_and_keeps_its_own(url: str) -> None:
    models = ModelStore(url)
    manifest, other = describe(CONTENT), describe(b"other")
    models.publish(manifest, CONTENT)
    with pytest.raises(Conflict):
        models.publish(other | {"version": manifest["version"]}, b"other")
    assert models.model("mnist", manifest["version"]) == CONTENT


@pytest.mark.parametrize("content", [b"another file", CONTENT + b"!", CONTENT[:-1], b""])
def test_a_file_that_its_manifest_does_not_describe_is_not_written(
    content: bytes, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="does not match its manifest"):
        ModelStore(tmp_path.as_uri()).publish(describe(CONTENT), content)
    assert _files(tmp_path) == {}


FINDER = b"a finder"


def test_a_version_with_a_finder_is_read_back_whole(url: str) -> None:
    manifest = describe(CONTENT, finder=FINDER)
    ModelStore(url).publish(manifest, CONTENT, FINDER)
    reader = ModelStore(url)
    assert reader.finder("mnist", manifest["version"]) == FINDER
    assert reader.model("mnist", manifest["version"]) == CONTENT


def test_a_version_without_a_finder_has_none(folder_url: str) -> None:
    models = ModelStore(folder_url)
    (version,) = _publish(models, 1)
    assert models.finder("mnist", version) is None


def test_the_manifest_is_written_after_the_finder(folder_url: str) -> None:
    models = ModelStore(folder_url)
    models._objects = watched = Watched(models._objects)
    models.publish(describe(CONTENT, finder=FINDER), CONTENT, FINDER)
    files = [key.rpartition("/")[2] for key in watched.written]
    assert files == ["model.onnx", "finder.onnx", "card.md", "manifest.json"]


@pytest.mark.parametrize(
    ("described", "finder"), [(FINDER, None), (None, FINDER), (FINDER, b"another"), (FINDER, b"")]
)
def test_a_finder_that_its_manifest_does_not_describe_is_not_written(
    described: bytes | None, finder: bytes | None, tmp_path: Path
) -> None:
    manifest = describe(CONTENT, finder=described)
    with pytest.raises(StoreError, match=r"finder\.onnx does not match its manifest"):
        ModelStore(tmp_path.as_uri()).publish(manifest, CONTENT, finder)
    assert _files(tmp_path) == {}


def test_a_version_with_a_damaged_finder_is_not_promoted(folder_url: str, tmp_path: Path) -> None:
    models = ModelStore(folder_url)
    version = models.publish(describe(CONTENT, finder=FINDER), CONTENT, FINDER).version
    (path,) = tmp_path.rglob("finder.onnx")
    path.write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"finder\.onnx of mnist .* does not match"):
        models.promote("mnist", version, "production")
    assert models.channel("mnist", "production") is None


def test_a_copy_takes_the_finder_along(folder_url: str, tmp_path: Path) -> None:
    source, target = ModelStore(folder_url), ModelStore((tmp_path / "target").as_uri())
    version = source.publish(describe(CONTENT, finder=FINDER), CONTENT, FINDER).version
    copy(source, target, "mnist", version)
    assert target.finder("mnist", version) == FINDER


def test_a_full_disk_leaves_no_file_behind(folder_url: str, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: both fail in the middle of a write."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    content = bytes(100_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="File too large"):
            ModelStore(folder_url).publish(describe(content), content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _files(tmp_path) == {}


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    (version,) = _publish(models, 1)
    models.promote("mnist", version, "production")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert len(files) == 4


def test_a_channel_that_nothing_was_promoted_to_is_none_and_resolves_to_nothing(url: str) -> None:
    models = ModelStore(url)
    assert models.channel("mnist", "production") is None
    with pytest.raises(NotInStore, match="has no channel 'production' of 'mnist'"):
        models.resolve("mnist", "production")


def test_a_channel_remembers_what_it_pointed_to_newest_first(url: str) -> None:
    models = ModelStore(url)
    first, second, third = _publish(models, 3)
    for version in (first, second, third, first):
        promoted = models.promote("mnist", version, "production")
    assert (promoted["version"], promoted["previous"]) == (first, [third, second, first])
    assert ModelStore(url).channel("mnist", "production") == promoted


def test_a_channel_forgets_its_oldest_versions_after_fifty(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    first, second = _publish(models, 2)
    for turn in range(60):
        promoted = models.promote("mnist", (first, second)[turn % 2], "production")
    assert promoted["previous"] == [first, second] * 25


def test_promoting_the_same_version_twice_changes_nothing(url: str) -> None:
    models = ModelStore(url)
    first, second = _publish(models, 2)
    models.promote("mnist", first, "production")
    promoted = models.promote("mnist", second, "production")
    _, tag = models._objects.read("mnist/channels/production.json")
    assert models.promote("mnist", second, "production") == promoted
    assert models._objects.read("mnist/channels/production.json")[1] == tag


def test_channels_and_models_of_other_names_are_left_alone(url: str) -> None:
    models = ModelStore(url)
    first, second = _publish(models, 2)
    (other,) = _publish(models, 1, name="fashion-mnist")
    models.promote("mnist", first, "production")
    models.promote("mnist", second, "staging")
    models.promote("fashion-mnist", other, "production")
    assert models.resolve("mnist", "production") == first
    assert models.resolve("mnist", "staging") == second
    with pytest.raises(NotInStore):
        models.promote("fashion-mnist", first, "production")


def test_an_update_on_a_stale_tag_is_refused(url: str) -> None:
    objects = ModelStore(url)._objects
    objects.create("mnist/channels/production.json", b"1")
    _, tag = objects.read("mnist/channels/production.json")
    objects.replace("mnist/channels/production.json", b"2", tag)
    with pytest.raises(Conflict):
        objects.replace("mnist/channels/production.json", b"3", tag)
    assert objects.read("mnist/channels/production.json")[0] == b"2"


def test_concurrent_changes_from_processes_lose_none(folder_url: str) -> None:
    """Four promote four versions each, and roll one back: a lock holds across processes.

    A pause between looking and writing lets them meet there.
    """
    versions = _publish(ModelStore(folder_url), 16)
    script = f"""
import pathlib, sys, time
from model_build.store.model_store import ModelStore
rename = pathlib.Path.replace
def slowly(path, target):
    time.sleep(0.02)
    rename(path, target)
pathlib.Path.replace = slowly
models = ModelStore({folder_url!r})
print("ready", flush=True)
sys.stdin.read()
for version in sys.argv[1:]:
    models.promote("mnist", version, "production")
models.rollback("mnist", "production")
"""
    with ExitStack() as stack:
        writers = []
        for number in range(4):
            command = [sys.executable, "-c", script, *versions[number::4]]
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            writers.append(stack.enter_context(process))
        for process in writers:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        for process in writers:
            assert process.stdin
            process.stdin.close()
        assert [process.wait(120) for process in writers] == [0] * 4
    _all_are_named(ModelStore(folder_url), versions)


def test_concurrent_changes_of_a_bucket_lose_none(s3_url: str) -> None:
    """By S3's conditional writes alone, to which processes and threads are the same."""
    versions = _publish(ModelStore(s3_url), 8)
    stores = [ModelStore(s3_url) for _ in range(4)]

    def change(writer: int) -> None:
        for version in versions[writer::4]:
            stores[writer].promote("mnist", version, "production")
        stores[writer].rollback("mnist", "production")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(change, range(4)))
    _all_are_named(ModelStore(s3_url), versions)


def _all_are_named(models: ModelStore, versions: list[str]) -> None:
    channel = models.channel("mnist", "production")
    assert channel
    named = {channel["version"], *channel["previous"], *channel["rolled_back"]}
    assert named == set(versions)


def test_a_rollback_goes_back_and_a_second_one_goes_one_further(url: str) -> None:
    models = ModelStore(url)
    first, second, third = _publish(models, 3)
    for version in (first, second, third):
        models.promote("mnist", version, "production")
    before, after = models.rollback("mnist", "production")
    assert (before["version"], after["version"], after["previous"]) == (third, second, [first])
    before, after = models.rollback("mnist", "production")
    assert (before["version"], after["version"], after["previous"]) == (second, first, [])
    assert after["rolled_back"] == [second, third]
    assert ModelStore(url).channel("mnist", "production") == after
    with pytest.raises(StoreError, match="has no previous version; `promote VERSION`"):
        models.rollback("mnist", "production")
    promoted = models.promote("mnist", third, "production")
    assert (promoted["previous"], promoted["rolled_back"]) == ([first], [second])


def test_a_rollback_can_name_a_version_of_the_history(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    first, second, third, stranger = _publish(models, 4)
    for version in (first, second, third):
        models.promote("mnist", version, "production")
    with pytest.raises(StoreError, match=f"{stranger} is not in the history.* `promote {stranger}"):
        models.rollback("mnist", "production", stranger)
    with pytest.raises(StoreError, match=f"{third} is not in the history"):
        models.rollback("mnist", "production", third)
    _, after = models.rollback("mnist", "production", first)
    assert (after["version"], after["previous"]) == (first, [])
    assert after["rolled_back"] == [third, second]


def test_a_channel_that_is_not_there_is_not_rolled_back_nor_made(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    _publish(models, 1)
    with pytest.raises(NotInStore, match="has no channel 'production'"):
        models.rollback("mnist", "production")
    assert not (tmp_path / "mnist/channels").exists()


@pytest.mark.parametrize("damage", ["changed", "model.onnx", "manifest.json"])
def test_a_channel_is_never_pointed_to_a_damaged_version(damage: str, tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    first, second = _publish(models, 2)
    models.promote("mnist", first, "production")
    promoted = models.promote("mnist", second, "production")
    folder = tmp_path / "mnist/versions" / first
    if damage == "changed":
        (folder / "model.onnx").write_bytes(b"another model")
    else:
        (folder / damage).unlink()
    for change in (
        lambda: models.promote("mnist", first, "production"),
        lambda: models.promote("mnist", first, "staging"),
        lambda: models.rollback("mnist", "production"),
    ):
        with pytest.raises(StoreError):
            change()
    assert models.channel("mnist", "production") == promoted
    assert models.channel("mnist", "staging") is None


@pytest.mark.parametrize("change", ["promote", "rollback"])
def test_a_change_whose_answer_was_lost_is_not_made_twice(change: str, url: str) -> None:
    """S3 wrote the object, the client retried, and got 412 for its own write."""

    class Deaf(Watched):
        def replace(self, key: str, content: bytes, tag: str) -> None:
            super().replace(key, content, tag)
            raise Conflict("written by someone else")

    models = ModelStore(url)
    first, second, third = _publish(models, 3)
    for version in (first, second):
        models.promote("mnist", version, "production")
    models._objects = Deaf(models._objects)
    if change == "promote":
        models.promote("mnist", third, "production")
        expected = third, [second, first]
    else:
        before, after = models.rollback("mnist", "production")
        assert (before["version"], after["version"]) == (second, first)
        expected = first, []
    channel = ModelStore(url).channel("mnist", "production")
    assert channel
    assert (channel["version"], channel["previous"]) == expected


def test_a_writer_that_never_gets_through_says_so(tmp_path: Path) -> None:
    class Busy(Watched):
        def replace(self, key: str, content: bytes, tag: str) -> None:
            raise Conflict("someone was faster")

    models = ModelStore(tmp_path.as_uri())
    first, second = _publish(models, 2)
    models.promote("mnist", first, "production")
    models._objects = Busy(models._objects)
    with pytest.raises(Conflict, match="keeps changing; try again"):
        models.promote("mnist", second, "production")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../mnist", "-a", "a b", "mnist\n", "ä"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    models = ModelStore((tmp_path / "store").as_uri())
    (version,) = _publish(models, 1)
    with pytest.raises(StoreError):
        models.manifest(name, version)
    with pytest.raises(StoreError):
        models.channel(name, "production")
    with pytest.raises(StoreError):
        models.promote("mnist", version, name)
    with pytest.raises(ManifestError):
        models.publish(describe(CONTENT) | {"name": name}, CONTENT)


def test_a_channel_can_not_be_named_like_a_version(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    (version,) = _publish(models, 1)
    with pytest.raises(StoreError, match="is not a channel name"):
        models.promote("mnist", version, version)


def test_a_missing_bucket_is_named(s3_url: str) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/store/mnist.*NoSuchBucket"):
        ModelStore("s3://no-such-bucket/store").promote("mnist", PARENT, "production")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    local_s3.leave_accounts_alone(monkeypatch)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(StoreError, match=r"s3://models/mnist.*[Cc]redentials"):
        ModelStore("s3://models").resolve("mnist", "production")


@pytest.mark.parametrize("way", ["folder to s3", "s3 to folder"])
def test_a_copy_takes_the_version_a_channel_points_to_with_its_parents(
    way: str, folder_url: str, s3_url: str
) -> None:
    here, there = (folder_url, s3_url) if way == "folder to s3" else (s3_url, folder_url)
    source, target = ModelStore(here), ModelStore(there)
    fp32 = describe(b"fp32")
    int8 = describe(b"int8", minute=1, parent=fp32["version"])
    unrelated = describe(b"other", minute=2)
    for manifest, content in ((fp32, b"fp32"), (int8, b"int8"), (unrelated, b"other")):
        source.publish(manifest, content)
    source.promote("mnist", int8["version"], "production")

    assert copy(source, target, "mnist", "production") == int8["version"]
    assert target.model("mnist", int8["version"]) == b"int8"
    assert target.manifest("mnist", int8["version"]).document == int8
    assert target.model("mnist", fp32["version"]) == b"fp32"
    with pytest.raises(NotInStore):
        target.manifest("mnist", unrelated["version"])
    assert target.channel("mnist", "production") is None
    copy(source, target, "mnist", "production")


def test_a_version_without_its_parent_can_be_copied(folder_url: str, tmp_path: Path) -> None:
    int8 = describe(b"int8", parent=describe(b"fp32", minute=1)["version"])
    source, target = ModelStore(folder_url), ModelStore((tmp_path / "target").as_uri())
    source.publish(int8, b"int8")
    assert copy(source, target, "mnist", int8["version"]) == int8["version"]
    assert target.model("mnist", int8["version"]) == b"int8"


def test_a_copy_brings_the_parent_first(folder_url: str, tmp_path: Path) -> None:
    source = ModelStore(folder_url)
    fp32 = describe(b"fp32")
    int8 = describe(b"int8", minute=1, parent=fp32["version"])
    source.publish(fp32, b"fp32")
    source.publish(int8, b"int8")
    target = ModelStore((tmp_path / "target").as_uri())
    target._objects = watched = Watched(target._objects)
    copy(source, target, "mnist", int8["version"])
    assert [key.split("/")[2] for key in watched.written] == [fp32["version"]] * 3 + [
        int8["version"]
    ] * 3


def test_the_function_serves_what_was_published_and_promoted(
    url: str, classifier: bytes, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelStore(url)
    manifest = describe(classifier)
    models.publish(manifest, classifier)
    models.promote("mnist", manifest["version"], "production")
    monkeypatch.setenv("MODEL_STORE_URL", url)
    monkeypatch.delenv("MODEL_NAME", raising=False)
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    model = session.LazyModel().get()
    assert (model.name, model.version) == ("mnist", manifest["version"])
    probabilities = model.probabilities(digits)
    assert probabilities.argmax(axis=1).tolist() == model.labels
    assert np.allclose(probabilities.sum(axis=1), 1)


def _publish(models: ModelStore, count: int, *, name: str = "mnist") -> list[str]:
    versions = []
    for number in range(count):
        content = f"model {number} of {name}".encode()
        manifest = describe(content, name=name, minute=number)
        models.publish(manifest, content)
        versions.append(str(manifest["version"]))
    return versions


def _files(root: Path) -> dict[str, bytes]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
