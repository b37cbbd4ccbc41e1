import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from classifier.errors import ModelUnavailable
from classifier.model import session
from classifier.model import store as function_store
from model_build.errors import ManifestError
from model_build.store import manifest
from model_build.store.model_store import ModelStore
from tests.support.manifests import PARENT, describe, evaluation, training

type Document = dict[str, Any]
type Edit = Callable[[Document], object]


def _required(
    schema: Document = manifest.SCHEMA, place: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    for name in schema.get("required", []):
        part = schema.get("properties", {}).get(name, {})
        yield (*place, name)
        yield from _required(part, (*place, name))


REQUIRED = list(_required())
# What the function can't do without; all else of a manifest is for people and tools.
NEEDED_TO_SERVE = [
    ("schema",),
    ("file",),
    ("file", "sha256"),
    ("input",),
    ("input", "name"),
    ("input", "shape"),
    ("input", "preprocess"),
    ("input", "preprocess", "pipeline"),
    ("output",),
    ("output", "name"),
    ("output", "labels"),
]


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest.SCHEMA)


def test_a_manifest_describes_its_file() -> None:
    content = b"a model file"
    described = describe(content, parent=PARENT)
    digest = hashlib.sha256(content).hexdigest()
    assert described["file"] == {"sha256": digest, "bytes": len(content)}
    assert described["version"] == f"20260131T120000Z-{digest[:8]}"
    assert described["created"] == "2026-01-31T12:00:00Z"
    assert described["input"]["shape"] == ["N", 28, 28]
    assert described["lineage"]["parent"] == PARENT


def test_each_number_of_an_evaluation_is_in_metrics_or_baseline_once() -> None:
    described = describe(b"a model file")
    found = evaluation()
    told = described["metrics"] | described["baseline"]
    assert told == {key: getattr(found, key) for key in vars(found) if key != "bytes"}
    assert not described["metrics"].keys() & described["baseline"].keys()


def test_an_encoded_manifest_reads_back_the_same_whatever_the_order_of_its_keys() -> None:
    described = describe(b"a model file")
    encoded = manifest.encode(described)
    assert json.loads(encoded) == described
    assert manifest.encode(dict(reversed(described.items()))) == encoded
    assert encoded.endswith(b"}\n")


@pytest.mark.parametrize("place", REQUIRED, ids=".".join)
def test_the_schema_refuses_a_manifest_without_a_required_part(place: tuple[str, ...]) -> None:
    described = describe(b"a model file")
    _remove(described, place)
    with pytest.raises(ManifestError, match=f"'{place[-1]}' is a required property"):
        manifest.check(described)


def test_the_schema_requires_all_that_the_function_needs() -> None:
    assert set(NEEDED_TO_SERVE) <= set(REQUIRED)


@pytest.mark.parametrize("place", REQUIRED, ids=".".join)
def test_the_function_serves_without_a_part_exactly_if_it_does_not_need_it(
    place: tuple[str, ...], tmp_path: Path, classifier: bytes
) -> None:
    version = _publish_then_edit(tmp_path, classifier, lambda document: _remove(document, place))
    reader = function_store.open_store(tmp_path.as_uri())
    if place in NEEDED_TO_SERVE:
        with pytest.raises(ModelUnavailable):
            session.load(reader, "mnist", version)
    else:
        assert session.load(reader, "mnist", version).version == version


def _set(*place: str, to: Any) -> Edit:
    def edit(document: Document) -> None:
        for name in place[:-1]:
            document = document[name]
        document[place[-1]] = to

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_set("output", "labels", to=list("abcdefghij")), id="labels that are texts"),
        pytest.param(_set("output", "labels", to=[*range(9), "none"]), id="labels of both kinds"),
        pytest.param(_set("quantization", to=None), id="fp32"),
        pytest.param(_set("quantization", to={"method": "new", "bits": 4}), id="a new method"),
        pytest.param(_set("input", "preprocess", to={"pipeline": "mnist"}), id="no parameters"),
        pytest.param(
            _set("input", "preprocess", to={"pipeline": "mnist", "box": 18, "new": 1}),
            id="a new parameter",
        ),
        pytest.param(_set("metrics", "new", to=0.5), id="a new metric"),
        pytest.param(_set("baseline", "new", to=[1]), id="a new baseline"),
        pytest.param(_set("lineage", "git_commit", to="ab" * 20 + "-dirty"), id="uncommitted"),
        pytest.param(_set("lineage", "seed", to=None), id="no seed"),
        pytest.param(_set("lineage", "recipe", to={"epochs": 3}), id="a new part of the lineage"),
    ],
)
def test_what_the_schema_accepts_the_function_serves(
    edit: Edit, tmp_path: Path, classifier: bytes
) -> None:
    described = describe(classifier, parent=PARENT)
    edit(described)
    ModelStore(tmp_path.as_uri()).publish(described, classifier)
    reader = function_store.open_store(tmp_path.as_uri())
    model = session.load(reader, "mnist", described["version"])
    assert model.labels == described["output"]["labels"]


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (_set("schema", to=2), r"\$\.schema"),
        (_set("name", to="a/b"), r"\$\.name"),
        (_set("version", to="1.0"), r"\$\.version"),
        (_set("created", to="yesterday"), r"\$\.created"),
        (_set("extra", to=1), r"\$: .*'extra' was unexpected"),
        (_set("file", "sha256", to="0f"), r"\$\.file\.sha256"),
        (_set("file", "sha256", to="0F" * 32), r"\$\.file\.sha256"),
        (_set("file", "bytes", to=0), r"\$\.file\.bytes"),
        (_set("input", "dtype", to="float64"), r"\$\.input\.dtype"),
        (_set("input", "shape", to=[1, 28, 28]), r"\$\.input\.shape\[0\]"),
        (_set("input", "shape", to=["N", 0, 28]), r"\$\.input\.shape\[1\]"),
        (_set("input", "shape", to=["N", 784]), r"\$\.input\.shape"),
        (_set("input", "shape", to=["N", 28, "W"]), r"\$\.input\.shape\[2\]"),
        (_set("output", "labels", to=[1]), r"\$\.output\.labels"),
        (_set("output", "labels", to=[1, 1]), r"\$\.output\.labels"),
        (_set("quantization", to={}), r"\$\.quantization"),
        (_set("metrics", "accuracy", to=98.5), r"\$\.metrics\.accuracy"),
        (_set("metrics", "accuracy", to=True), r"\$\.metrics\.accuracy"),
        (_set("metrics", "per_class_accuracy", to=[-0.1]), r"\$\.metrics\.per_class_accuracy\[0\]"),
        (_set("metrics", "latency_p50_ms", to=0), r"\$\.metrics\.latency_p50_ms"),
        (_set("baseline", "predicted_counts", to=[0.5]), r"\$\.baseline\.predicted_counts\[0\]"),
        (_set("lineage", "parent", to="production"), r"\$\.lineage\.parent"),
        (_set("lineage", "git_commit", to="main"), r"\$\.lineage\.git_commit"),
        (_set("lineage", "dataset", "sha256", to=""), r"\$\.lineage\.dataset\.sha256"),
        (_set("lineage", "libraries", to={"onnx": 1}), r"\$\.lineage\.libraries\.onnx"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(edit: Edit, place: str) -> None:
    described = describe(b"a model file", parent=PARENT)
    manifest.check(described)
    edit(described)
    with pytest.raises(ManifestError, match=f"^manifest: {place}"):
        manifest.check(described)


@pytest.mark.parametrize("document", [None, [], "text", 1, {}])
def test_what_is_no_manifest_at_all_is_refused(document: Any) -> None:
    with pytest.raises(ManifestError):
        manifest.check(document)


def test_the_lineage_names_the_versions_of_the_libraries_and_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifest, "_LIBRARIES", ("onnx", "numpy"))
    found = manifest.lineage({**training(), "parent": PARENT})
    assert found["libraries"] == {"onnx": installed("onnx"), "numpy": installed("numpy")}
    assert found["seed"] == training()["seed"]
    assert found["parent"] == PARENT


def test_without_git_the_lineage_has_no_commit_and_is_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(manifest, "_LIBRARIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    found = manifest.lineage({**training(), "parent": None})
    assert found["git_commit"] is None
    manifest.check(describe(b"a model file") | {"lineage": found})


def _remove(document: Document, place: tuple[str, ...]) -> None:
    for name in place[:-1]:
        document = document[name]
    del document[place[-1]]


def _publish_then_edit(root: Path, content: bytes, edit: Edit) -> str:
    described = describe(content, parent=PARENT)
    ModelStore(root.as_uri()).publish(described, content)
    edited = copy.deepcopy(described)
    edit(edited)
    file = root / "mnist/versions" / described["version"] / "manifest.json"
    file.write_bytes(manifest.encode(edited))
    return str(described["version"])
