import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model_build.errors import Conflict, NotInStore, StoreError
from model_build.store import inventory
from model_build.store.backends import Entry, Objects
from model_build.store.garbage_collection import collect, plan
from model_build.store.manifest_diff import ABSENT, compare
from model_build.store.model_store import ModelStore
from model_build.store.verify import verify
from tests.support import local_s3
from tests.support.manifests import PARENT, describe

NOW = timedelta(0)


class Interrupted:
    """Objects of a real store; before the n-th call, another operation runs once."""

    def __init__(self, objects: Objects, number: int, other: Callable[[], object]) -> None:
        self._objects = objects
        self._left = number
        self._other = other
        self.happened = False

    def _use(self) -> Objects:
        self._left -= 1
        if not self._left:
            self.happened = True
            self._other()
        return self._objects

    def read(self, key: str) -> tuple[bytes, str]:
        return self._use().read(key)

    def create(self, key: str, content: bytes) -> None:
        self._use().create(key, content)

    def replace(self, key: str, content: bytes, tag: str) -> None:
        self._use().replace(key, content, tag)

    def entries(self, prefix: str) -> Iterator[Entry]:
        return iter(list(self._use().entries(prefix)))

    def delete(self, key: str) -> None:
        self._use().delete(key)


def publish(models: ModelStore, minute: int, parent: str | None = None, name: str = "mnist") -> str:
    content = f"model {minute}".encode()
    manifest = describe(content, name=name, minute=minute, parent=parent)
    models.publish(manifest, content)
    return str(manifest["version"])


def collects(models: ModelStore) -> None:
    collect(models, "mnist")


def complete(models: ModelStore) -> list[str]:
    return models.listing("mnist")["mnist"].complete


def test_an_inventory_has_versions_newest_first_with_what_names_them(url: str) -> None:
    models = ModelStore(url)
    versions = [publish(models, minute) for minute in range(3)]
    publish(models, 0, name="letters")
    for version in versions[:2]:
        models.promote("mnist", version, "production")
    models.promote("mnist", versions[1], "staging")
    models.rollback("mnist", "production")
    letters, mnist = inventory.take(models)
    assert (letters.name, mnist.name) == ("letters", "mnist")
    assert list(mnist.manifests) == versions[::-1]
    assert mnist.pointed_by(versions[0]) == ["production"]
    assert mnist.pointed_by(versions[1]) == ["staging"]
    assert mnist.remembered_by(versions[1]) == ["production"]
    assert mnist.remembered_by(versions[2]) == []
    assert [one.name for one in inventory.take(models, "letters")] == ["letters"]
    with pytest.raises(NotInStore, match="has no model 'digits'"):
        inventory.take(models, "digits")


def test_a_version_without_a_manifest_is_counted_and_not_listed(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    first, second = publish(models, 0), publish(models, 1)
    (tmp_path / f"mnist/versions/{second}/manifest.json").unlink()
    (one,) = inventory.take(models)
    assert list(one.manifests) == [first]
    assert one.listing.incomplete == [second]


@pytest.mark.slow
def test_a_bucket_is_listed_over_all_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 lists 1,000 keys at a time, and this one 10."""
    import boto3

    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")

    with local_s3.serving(monkeypatch) as url:
        client = boto3.client("s3")
        for number in range(25):
            key = f"store/mnist/versions/20260131T{number:06}Z-00000000/manifest.json"
            client.put_object(Bucket=local_s3.BUCKET, Key=key, Body=b"{}")
        assert client.list_objects_v2(Bucket=local_s3.BUCKET)["IsTruncated"]
        found = ModelStore(url).listing("mnist")["mnist"]
        assert len(found.complete) == 25
        assert all(files["manifest.json"].bytes == 2 for files in found.versions.values())
        monkeypatch.delenv("MOTO_S3_DEFAULT_MAX_KEYS")


def test_a_folder_that_can_not_be_listed_does_not_pass_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelStore(tmp_path.as_uri())
    models.promote("mnist", publish(models, 0), "production")
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("channels"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StoreError, match="Permission denied"):
        collect(models, "mnist")
    monkeypatch.undo()
    assert len(complete(models)) == 1


def test_manifests_are_compared_field_by_field() -> None:
    left = describe(b"one")
    right = describe(b"three", minute=1, parent=left["version"])
    right["metrics"] = right["metrics"] | {"accuracy": 0.97, "recall": 0.5}
    right["output"]["labels"] = list("abcdefghij")
    found = {(one.section, one.field): one for one in compare(left, right)}
    accuracy = found["metrics", "accuracy"]
    assert (accuracy.sign, accuracy.left, accuracy.right) == ("~", 0.99, 0.97)
    assert accuracy.change == pytest.approx(-0.02)
    assert found["metrics", "class 9"].sign == " "
    assert found["metrics", "recall"].sign == "+"
    assert found["quantization", "method"].left is ABSENT
    assert found["file", "bytes"].change == 2
    assert found["lineage", "parent"].right == left["version"]
    assert (found["output", "labels"].sign, found["output", "labels"].change) == ("~", None)
    assert found["lineage", "libraries.onnx"].sign == " "
    assert {one.sign for one in compare(left, left)} == {" "}
    assert compare(right, left)[0].section == "metrics"
    assert any(one.sign == "-" for one in compare(right, left))


def test_a_sound_store_has_no_problem(url: str) -> None:
    models = ModelStore(url)
    fp32 = publish(models, 0)
    models.promote("mnist", publish(models, 1, parent=fp32), "production")
    steps: list[tuple[int, int]] = []
    report = verify(models, step=lambda done, of: steps.append((done, of)))
    assert (report.problems, report.notes) == ([], [])
    assert (report.models, report.versions, report.channels, report.bytes) == (1, 2, 1, 14)
    assert steps == [(1, 2), (2, 2)]


def test_every_damage_is_told_and_not_only_the_first(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    versions = [publish(models, minute) for minute in range(7)]
    for version in versions:
        models.promote("mnist", version, "production")
    models.promote("mnist", versions[0], "staging")
    models.promote("mnist", versions[0], "broken")
    folder = tmp_path / "mnist/versions"
    (folder / versions[0] / "model.onnx").write_bytes(b"MODEL 0")
    (folder / versions[1] / "model.onnx").write_bytes(b"model")
    (folder / versions[2] / "model.onnx").unlink()
    (folder / versions[3] / "manifest.json").write_text("{")
    manifest = folder / versions[4] / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"file": {}}))
    renamed = f"{versions[5][:-8]}00000000"
    (folder / versions[5]).rename(folder / renamed)
    (folder / versions[6] / "manifest.json").unlink()
    (tmp_path / "mnist/channels/broken.json").write_text("[]")
    report = verify(models)
    found = "\n".join(report.problems)
    for sentence in (
        f"mnist {versions[0]}: model.onnx has sha256 ",
        f"mnist {versions[1]}: model.onnx has 5 bytes, its manifest says 7",
        f"mnist {versions[2]}: model.onnx is missing",
        f"mnist {versions[3]}: mnist/versions/{versions[3]}/manifest.json in {models.url} is corr",
        f"mnist {versions[4]}: manifest: $.file: ",
        f"mnist {renamed}: its manifest belongs to mnist {versions[5]}",
        f"mnist {renamed}: its name does not end with its sha256, {versions[5][-8:]}",
        f"mnist production: points to {versions[6]}, which is missing or incomplete",
        "mnist broken: mnist/channels/broken.json in ",
    ):
        assert sentence in found
    assert len(report.problems) == 9
    assert f"mnist {versions[6]}: no manifest" in "\n".join(report.notes)
    assert f"mnist production: its history has {versions[5]}, which is gone" in report.notes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"the finder", ""),
        (b"tHe finder", "finder.onnx has sha256 "),
        (b"a finder", "finder.onnx has 8 bytes, its manifest says 10"),
        (None, "finder.onnx is missing"),
    ],
)
def test_a_damaged_finder_is_told(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    manifest = describe(b"a model", finder=b"the finder")
    models.publish(manifest, b"a model", b"the finder")
    (path,) = tmp_path.rglob("finder.onnx")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    report = verify(models)
    assert report.notes == []
    assert report.bytes == 7 + len(content or b"")
    expected = [f"mnist {manifest['version']}: {sentence}"] if sentence else []
    assert [problem[: len(expected[0])] for problem in report.problems] == expected


def test_gc_removes_the_finder_with_its_version(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    models.publish(describe(b"old", finder=b"the finder"), b"old", b"the finder")
    models.promote("mnist", publish(models, 5), "production")
    collect(models, "mnist", min_age=NOW)
    assert len(complete(models)) == 1
    assert list(tmp_path.rglob("finder.onnx")) == []


def test_gc_keeps_what_channels_and_histories_name_and_the_parents_of_that(url: str) -> None:
    models = ModelStore(url)
    fp32 = publish(models, 0)
    int8 = publish(models, 1, parent=fp32)
    unnamed_parent = publish(models, 2)
    unnamed = publish(models, 3, parent=unnamed_parent)
    before, current, rolled_back, newest = (publish(models, minute) for minute in range(4, 8))
    for version in (before, current, rolled_back):
        models.promote("mnist", version, "production")
    models.rollback("mnist", "production")
    models.promote("mnist", int8, "staging")

    planned = plan(models, "mnist", newest=1)
    assert planned.keep == {
        before: "in the history of production",
        current: "production points to it",
        rolled_back: "in the history of production",
        newest: "one of the 1 newest",
        int8: "staging points to it",
        fp32: f"parent of {int8}",
    }
    assert set(planned.remove) == {unnamed, unnamed_parent}
    assert len(complete(models)) == 8

    assert collect(models, "mnist", newest=1).remove == planned.remove
    assert set(complete(models)) == set(planned.keep)
    assert collect(models, "mnist").remove.keys() == {newest}
    assert collect(models, "mnist").remove == {}
    assert verify(models).problems == []
    assert models.rollback("mnist", "production")[1]["version"] == before


def test_gc_removes_an_interrupted_publish_only_when_it_is_old(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    version, under_way = publish(models, 0), publish(models, 1)
    models.promote("mnist", publish(models, 2), "production")
    temporary = tmp_path / "mnist/channels/.writing-abc"
    temporary.write_bytes(b"half")
    for one in (version, under_way):
        (tmp_path / f"mnist/versions/{one}/manifest.json").unlink()
    two_days_ago = time.time() - 2 * 86400
    for path in (tmp_path / f"mnist/versions/{version}").iterdir():
        os.utime(path, (two_days_ago, two_days_ago))
    removed = collect(models, "mnist")
    assert removed.remove == {version: "an interrupted publish"}
    assert (tmp_path / f"mnist/versions/{under_way}/model.onnx").exists()
    assert temporary.exists()
    assert not (tmp_path / f"mnist/versions/{version}").exists()
    os.utime(temporary, (two_days_ago, two_days_ago))
    assert len(collect(models, "mnist").unfinished) == 1
    assert not temporary.exists()
    assert collect(models, "mnist", min_age=NOW).remove.keys() == {under_way}


def test_gc_stops_where_it_can_not_know_what_is_named(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    version = publish(models, 0)
    publish(models, 1)
    models.promote("mnist", version, "production")
    manifest = tmp_path / f"mnist/versions/{version}/manifest.json"
    kept = manifest.read_bytes()
    manifest.write_text("{}")
    with pytest.raises(StoreError, match=r"its parent is unknown; .* verify"):
        collect(models, "mnist")
    manifest.write_bytes(kept)
    (tmp_path / "mnist/channels/production.json").write_text('{"version": "x", "previous": []}')
    with pytest.raises(StoreError, match="corrupt"):
        collect(models, "mnist")
    assert len(complete(models)) == 2


def test_only_one_gc_works_and_a_dead_one_can_be_taken_over(url: str) -> None:
    models = ModelStore(url)
    version = publish(models, 0)
    mark = models.begin_removal("mnist", [version])
    with pytest.raises(Conflict, match=r"another gc of mnist .* --take-over"):
        collect(models, "mnist")
    with pytest.raises(Conflict, match=r"gc is removing mnist .* try again"):
        models.promote("mnist", version, "production")
    assert collect(models, "mnist", take_over=True).remove.keys() == {version}
    with pytest.raises(Conflict, match="took over"):
        models.remove("mnist", version, mark)
    with pytest.raises(Conflict, match="took over"):
        models.end_removal("mnist", mark)
    models.promote("mnist", publish(models, 0), "production")


@pytest.mark.parametrize("channel", ["production", "new"])
@pytest.mark.parametrize("first", ["gc", "promotion"])
def test_a_promotion_at_any_moment_of_a_gc_and_the_other_way_round_leaves_no_empty_channel(
    first: str, channel: str, tmp_path: Path
) -> None:
    """Each runs completely before each store access of the other."""
    victim = describe(b"model 1", minute=1)["version"]
    promoted: list[bool] = []

    def promotes(models: ModelStore) -> None:
        try:
            models.promote("mnist", victim, channel)
        except StoreError:
            promoted.append(False)
        else:
            promoted.append(True)

    turn, interruption = (collects, promotes) if first == "gc" else (promotes, collects)
    outcomes = set()
    for number in range(1, 1000):
        url = (tmp_path / str(number)).as_uri()
        setup, one, other = ModelStore(url), ModelStore(url), ModelStore(url)
        setup.promote("mnist", publish(setup, 0), "production")
        assert publish(setup, 1) == victim
        promoted.clear()
        one._objects = interrupted = Interrupted(one._objects, number, partial(interruption, other))
        turn(one)
        if not interrupted.happened:
            assert promoted == ([True] if first == "promotion" else [])
            break
        assert promoted == [victim in complete(setup)]
        content = setup.channel("mnist", channel)
        assert (content is not None and content["version"] == victim) is promoted[0]
        assert verify(setup).problems == []
        outcomes.add(promoted[0])
    # A gc before the last use, which is the write, makes the promotion look again.
    assert outcomes == ({True, False} if first == "gc" else {False})


@pytest.mark.parametrize("first", ["gc", "publish"])
def test_a_publish_at_any_moment_of_a_gc_and_the_other_way_round_leaves_no_half_version(
    first: str, tmp_path: Path
) -> None:
    outcomes = set()

    def publishes(models: ModelStore) -> None:
        try:
            publish(models, 1)
        except Conflict as error:
            outcomes.add(str(error).split(" mnist ")[0])
        else:
            outcomes.add("published")

    turn, interruption = (collects, publishes) if first == "gc" else (publishes, collects)
    for number in range(1, 1000):
        url = (tmp_path / str(number)).as_uri()
        one, other = ModelStore(url), ModelStore(url)
        publish(other, 1)
        one._objects = interrupted = Interrupted(one._objects, number, partial(interruption, other))
        turn(one)
        if not interrupted.happened:
            break
        report = verify(other)
        assert (report.problems, report.notes) == ([], [])
    assert outcomes == ({"published", "gc is removing"} if first == "gc" else {"published"})


def test_a_version_whose_parent_is_being_removed_is_not_published(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    parent = publish(models, 0)
    models.begin_removal("mnist", [parent])
    with pytest.raises(Conflict, match=f"gc is removing mnist {parent}"):
        publish(models, 1, parent=parent)


def test_a_missing_parent_is_a_note(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    version = publish(models, 0, parent=PARENT)
    report = verify(models, "mnist")
    assert report.problems == []
    assert report.notes == [f"mnist {version}: its parent {PARENT} is not in the store"]
