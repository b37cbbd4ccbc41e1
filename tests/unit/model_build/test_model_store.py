import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.errors import ModelUnavailable
from classifier.model import session
from classifier.model import store as function_store
from model_build.errors import Conflict, ManifestError, NotInStore, StoreError
from model_build.store.backends import Entry, Objects
from model_build.store.model_store import ModelStore, copy
from tests.support import ROOT, local_s3
from tests.support.manifests import PARENT, describe

CONTENT = b"a model file"


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    return (tmp_path / "model-store").as_uri()


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with local_s3.serving(monkeypatch) as url:
        yield url


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


class Watched:
    """Objects of a real store that tell in which order they are written, and can be cut off."""

    def __init__(self, objects: Objects, *, writes: int = 100) -> None:
        self._objects = objects
        self._left = writes
        self.written: list[str] = []

    def read(self, key: str) -> tuple[bytes, str]:
        return self._objects.read(key)

    def create(self, key: str, content: bytes) -> None:
        if not self._left:
            raise ConnectionAbortedError("the process ends here")
        self._left -= 1
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
    assert reader.manifest("mnist", manifest["version"]) == manifest


def test_the_model_is_written_first_and_its_manifest_last(url: str) -> None:
    models = ModelStore(url)
    models._objects = watched = Watched(models._objects)
    manifest = describe(CONTENT)
    models.publish(manifest, CONTENT)
    folder = f"mnist/versions/{manifest['version']}"
    assert watched.written == [f"{folder}/model.onnx", f"{folder}/manifest.json"]


def test_publishing_the_same_version_again_is_no_error_and_changes_nothing(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    manifest = describe(CONTENT)
    models.publish(manifest, CONTENT)
    before = _files(tmp_path)
    models.publish(manifest, CONTENT)
    assert _files(tmp_path) == before


def test_publishing_the_same_version_to_s3_again_writes_nothing(s3_url: str) -> None:
    models = ModelStore(s3_url)
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
    assert models.manifest("mnist", manifest["version"]) == manifest


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
    with pytest.raises(StoreError, match="not the one that the manifest describes"):
        ModelStore(tmp_path.as_uri()).publish(describe(CONTENT), content)
    assert _files(tmp_path) == {}


def test_a_manifest_that_does_not_follow_the_schema_is_not_written(tmp_path: Path) -> None:
    manifest = describe(CONTENT)
    del manifest["metrics"]
    with pytest.raises(ManifestError, match=r"\$: 'metrics' is a required property"):
        ModelStore(tmp_path.as_uri()).publish(manifest, CONTENT)
    assert _files(tmp_path) == {}


def test_a_publish_cut_off_between_file_and_manifest_shows_no_version(
    url: str, classifier: bytes
) -> None:
    models = ModelStore(url)
    models._objects = Watched(models._objects, writes=1)
    manifest = describe(classifier)
    version = manifest["version"]
    with pytest.raises(ConnectionAbortedError):
        models.publish(manifest, classifier)

    reader = ModelStore(url)
    for read in (reader.manifest, reader.model):
        with pytest.raises(NotInStore):
            read("mnist", version)
    with pytest.raises(NotInStore):
        reader.promote("mnist", version, "production")
    assert reader.channel("mnist", "production") is None
    with pytest.raises(ModelUnavailable):
        session.load(function_store.open_store(url), "mnist", version)

    reader.publish(manifest, classifier)
    assert session.load(function_store.open_store(url), "mnist", version).version == version


# Ends the process the hard way at the n-th call of a function of `os`, before it does its work.
KILLED_AT = """
import os, signal, sys
name, left = sys.argv[1], int(sys.argv[2])
original = getattr(os, name)
def last_act(*arguments, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(os, name, last_act)
"""


@pytest.mark.parametrize(
    ("call", "number", "kept"),
    [
        pytest.param("fsync", 1, [], id="the file is not on disk yet"),
        pytest.param("link", 1, [], id="the file has no name yet"),
        pytest.param("fsync", 2, ["model.onnx"], id="the manifest is not on disk yet"),
        pytest.param("link", 2, ["model.onnx"], id="the manifest has no name yet"),
    ],
)
def test_a_publish_that_is_killed_leaves_only_whole_files_and_can_be_repeated(
    call: str, number: int, kept: list[str], tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "content").write_bytes(content)
    url = (tmp_path / "store").as_uri()
    _end_with_kill(
        call,
        number,
        f"""
from pathlib import Path
from model_build.store.model_store import ModelStore
from tests.support.manifests import describe
content = Path({str(tmp_path / "content")!r}).read_bytes()
ModelStore({url!r}).publish(describe(content), content)
""",
    )
    manifest = describe(content)
    found = _files(tmp_path / "store")
    folder = f"mnist/versions/{manifest['version']}"
    assert [key for key in found if "/.writing-" not in key] == [f"{folder}/{k}" for k in kept]
    for key in kept:
        assert found[f"{folder}/{key}"] == content
    models = ModelStore(url)
    with pytest.raises(NotInStore):
        models.manifest("mnist", manifest["version"])
    models.publish(manifest, content)
    assert models.model("mnist", manifest["version"]) == content


@pytest.mark.parametrize(
    ("call", "pointed"),
    [
        pytest.param("fsync", 0, id="the channel is not on disk yet"),
        pytest.param("replace", 0, id="the lock is held"),
        pytest.param("unlink", 1, id="the channel is changed"),
    ],
)
def test_a_promotion_that_is_killed_happened_or_not_and_the_next_one_works(
    call: str, pointed: int, tmp_path: Path
) -> None:
    models = ModelStore(tmp_path.as_uri())
    versions = _publish(models, 3)
    models.promote("mnist", versions[0], "production")
    _end_with_kill(
        call,
        1,
        f"""
from model_build.store.model_store import ModelStore
ModelStore({tmp_path.as_uri()!r}).promote("mnist", {versions[1]!r}, "production")
""",
    )
    assert models.resolve("mnist", "production") == versions[pointed]
    document = models.promote("mnist", versions[2], "production")
    assert document["version"] == versions[2]
    assert document["previous"][0] == versions[pointed]


def test_a_full_disk_leaves_no_file_behind(tmp_path: Path) -> None:
    """A limit on the size of a file stands in for the disk; both fail in the middle of a write."""
    script = f"""
import resource
from model_build.store.model_store import ModelStore
from tests.support.manifests import describe
content = bytes(100_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    ModelStore({tmp_path.as_uri()!r}).publish(describe(content), content)
except OSError as error:
    print(error)
"""
    assert "File too large" in _python(script).stdout
    assert _files(tmp_path) == {}


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    (version,) = _publish(models, 1)
    models.promote("mnist", version, "production")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert len(files) == 3


def test_a_file_that_was_changed_in_the_store_is_refused(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    (version,) = _publish(models, 1)
    (tmp_path / "mnist/versions" / version / "model.onnx").write_bytes(b"another model")
    with pytest.raises(StoreError, match="not what its manifest says"):
        models.model("mnist", version)


def test_a_channel_that_nothing_was_promoted_to_is_none_and_resolves_to_nothing(url: str) -> None:
    models = ModelStore(url)
    assert models.channel("mnist", "production") is None
    with pytest.raises(NotInStore, match="has no channel 'production' of 'mnist'"):
        models.resolve("mnist", "production")


def test_a_version_resolves_to_itself(url: str) -> None:
    assert ModelStore(url).resolve("mnist", PARENT) == PARENT


def test_a_version_that_is_not_complete_is_not_promoted(url: str) -> None:
    models = ModelStore(url)
    with pytest.raises(NotInStore):
        models.promote("mnist", PARENT, "production")
    assert models.channel("mnist", "production") is None


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


def test_concurrent_promotions_from_threads_lose_none(url: str) -> None:
    versions = _publish(ModelStore(url), 12)
    stores = [ModelStore(url) for _ in range(4)]

    def promote(writer: int) -> None:
        for version in versions[writer::4]:
            stores[writer].promote("mnist", version, "production")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(promote, range(4)))
    channel = ModelStore(url).channel("mnist", "production")
    assert channel
    assert sorted([channel["version"], *channel["previous"]]) == sorted(versions)


def test_concurrent_promotions_from_processes_lose_none(url: str) -> None:
    """Each is in the history once."""
    versions = _publish(ModelStore(url), 40 if url.startswith("file") else 20)
    _at_once(
        f"""
from model_build.store.model_store import ModelStore
models = ModelStore({url!r})
ready()
for version in sys.argv[1:]:
    models.promote("mnist", version, "production")
""",
        [versions[writer::5] for writer in range(5)],
    )
    channel = ModelStore(url).channel("mnist", "production")
    assert channel
    assert sorted([channel["version"], *channel["previous"]]) == sorted(versions)


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
    with pytest.raises(StoreError, match="has nothing to go back to; `promote VERSION`"):
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
    """S3 did the write, the client asked again, and got 412 for its own write."""

    class Deaf(Watched):
        def replace(self, key: str, content: bytes, tag: str) -> None:
            super().replace(key, content, tag)
            raise Conflict("written by somebody else")

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


def test_a_channel_written_before_changes_had_marks_is_read_and_changed(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    first, second = _publish(models, 2)
    path = tmp_path / "mnist/channels/production.json"
    path.parent.mkdir()
    path.write_text(f'{{"version": "{first}", "previous": [], "updated": "2026-01-31T12:00:00Z"}}')
    assert models.promote("mnist", second, "production")["previous"] == [first]
    assert models.rollback("mnist", "production")[1]["version"] == first


def test_concurrent_rollbacks_from_processes_go_back_one_each(url: str) -> None:
    models = ModelStore(url)
    versions = _publish(models, 7)
    for version in versions:
        models.promote("mnist", version, "production")
    _at_once(
        f"""
from model_build.store.model_store import ModelStore
models = ModelStore({url!r})
ready()
for _ in range(2):
    models.rollback("mnist", "production")
""",
        [[]] * 3,
    )
    channel = ModelStore(url).channel("mnist", "production")
    assert channel
    assert (channel["version"], channel["previous"]) == (versions[0], [])
    assert sorted(channel["rolled_back"]) == sorted(versions[1:])


def test_the_same_version_published_by_many_at_once_is_published(url: str) -> None:
    manifest = describe(CONTENT)
    stores = [ModelStore(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda models: models.publish(manifest, CONTENT), stores))
    assert ModelStore(url).model("mnist", manifest["version"]) == CONTENT


def test_a_writer_that_never_gets_through_says_so(tmp_path: Path) -> None:
    class Busy(Watched):
        def replace(self, key: str, content: bytes, tag: str) -> None:
            raise Conflict("somebody was faster")

    models = ModelStore(tmp_path.as_uri())
    first, second = _publish(models, 2)
    models.promote("mnist", first, "production")
    models._objects = Busy(models._objects)
    with pytest.raises(Conflict, match="changed all the time; try again"):
        models.promote("mnist", second, "production")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models",
        "/models",
        "file:models",
        "file://models/a",
        "file://",
        "s3://",
        "s3:models",
        "https://models.s3.amazonaws.com/a",
        "gs://models/a",
    ],
)
def test_an_address_that_is_no_store_is_refused_with_the_forms_to_write(url: str) -> None:
    with pytest.raises(StoreError, match="write s3://bucket/prefix or file:///folder"):
        ModelStore(url)


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
    with pytest.raises(ManifestError if name != "mnist\n" else StoreError):
        models.publish(describe(CONTENT) | {"name": name}, CONTENT)


def test_a_channel_can_not_be_named_like_a_version(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    (version,) = _publish(models, 1)
    with pytest.raises(StoreError, match="is not a channel name"):
        models.promote("mnist", version, version)


@pytest.mark.parametrize("version", ["", "production", "20260131T120000Z", f"{PARENT}/../x"])
def test_what_is_no_version_is_not_looked_for(version: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no model name and version"):
        ModelStore(tmp_path.as_uri()).manifest("mnist", version)


def test_a_folder_with_signs_that_addresses_escape_is_that_folder(
    tmp_path: Path, classifier: bytes
) -> None:
    root = tmp_path / "a b#c%20d?e ü"
    manifest = describe(classifier)
    ModelStore(root.as_uri()).publish(manifest, classifier)
    assert (root / "mnist/versions" / manifest["version"] / "model.onnx").exists()
    read = session.load(function_store.open_store(root.as_uri()), "mnist", manifest["version"])
    assert read.version == manifest["version"]


def test_a_bucket_without_prefix_holds_the_store_at_its_root(s3_url: str) -> None:
    bucket = f"s3://{local_s3.BUCKET}"
    (version,) = _publish(ModelStore(bucket), 1)
    assert ModelStore(f"{bucket}/").manifest("mnist", version)
    with pytest.raises(NotInStore):
        ModelStore(s3_url).manifest("mnist", version)


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
    assert target.manifest("mnist", int8["version"]) == int8
    assert target.model("mnist", fp32["version"]) == b"fp32"
    with pytest.raises(NotInStore):
        target.manifest("mnist", unrelated["version"])
    assert target.channel("mnist", "production") is None
    copy(source, target, "mnist", "production")


def test_a_copy_brings_the_parent_first(folder_url: str, tmp_path: Path) -> None:
    source = ModelStore(folder_url)
    fp32 = describe(b"fp32")
    int8 = describe(b"int8", minute=1, parent=fp32["version"])
    source.publish(fp32, b"fp32")
    source.publish(int8, b"int8")
    target = ModelStore((tmp_path / "target").as_uri())
    target._objects = watched = Watched(target._objects)
    copy(source, target, "mnist", int8["version"])
    assert [key.split("/")[2] for key in watched.written] == [fp32["version"]] * 2 + [
        int8["version"]
    ] * 2


def test_a_corrupt_file_is_not_copied(tmp_path: Path) -> None:
    source = ModelStore((tmp_path / "source").as_uri())
    (version,) = _publish(source, 1)
    (tmp_path / "source/mnist/versions" / version / "model.onnx").write_bytes(b"corrupt")
    target = ModelStore((tmp_path / "target").as_uri())
    with pytest.raises(StoreError, match="not what its manifest says"):
        copy(source, target, "mnist", version)
    assert _files(tmp_path / "target") == {}


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


def test_the_function_follows_a_promotion_and_a_version_stays_what_it_was(
    url: str, classifier: bytes
) -> None:
    models = ModelStore(url)
    first = describe(classifier)
    second = describe(classifier, minute=5)
    for manifest in (first, second):
        models.publish(manifest, classifier)
        models.promote("mnist", manifest["version"], "staging")
    reader = function_store.open_store(url)
    assert session.load(reader, "mnist", "staging").version == second["version"]
    assert session.load(reader, "mnist", first["version"]).version == first["version"]


def test_the_function_refuses_a_file_that_was_changed_in_s3(s3_url: str, classifier: bytes) -> None:
    import boto3

    manifest = describe(classifier)
    ModelStore(s3_url).publish(manifest, classifier)
    key = f"store/mnist/versions/{manifest['version']}/model.onnx"
    client = boto3.client("s3")
    client.put_object(Bucket=local_s3.BUCKET, Key=key, Body=classifier[:-1])
    with pytest.raises(ModelUnavailable, match="not what its manifest says"):
        session.load(function_store.open_store(s3_url), "mnist", manifest["version"])


def test_the_function_has_no_model_in_an_empty_store(url: str) -> None:
    with pytest.raises(ModelUnavailable):
        session.load(function_store.open_store(url), "mnist", "production")


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


def _python(script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


def _at_once(script: str, arguments: list[list[str]]) -> None:
    """Run a script in as many processes, all let go once each has called `ready()`."""
    ready = """
import sys
def ready():
    print("ready", flush=True)
    sys.stdin.readline()
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ready + script, *own],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own in arguments
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
    assert {writer.returncode for writer in writers} == {0}


def _end_with_kill(call: str, number: int, script: str) -> None:
    ended = _python(KILLED_AT + script, call, str(number), check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
