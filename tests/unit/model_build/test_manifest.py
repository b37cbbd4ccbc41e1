import hashlib
import json
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from classifier.model.manifest import InvalidManifest, Manifest
from model_build.errors import ManifestError
from model_build.store import manifest
from model_build.store.model_store import ModelStore
from tests.support.manifests import PARENT, describe, evaluation, training

type Document = dict[str, Any]
type Edit = Callable[[Document], object]


# Values of every kind, and such as are nearly right.
WRONG: list[Any] = [None, True, 0, 1, -1, 2, 28.0, 0.5, 1e300, "", "x", "N", "a b", "x\n", "a" * 64]
WRONG += ["٢" * 8 + "T000000Z-00000000", [], [0], ["x"], ["N", 1.0, 2], [1, 1.0], [1] * 5]
WRONG += [{}, {"x": 1}]


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


def whole() -> Document:
    """A manifest with every part that the schema defines."""
    document = describe(b"a model file", parent=PARENT)
    document["input"]["preprocess"] |= {"background": "dark", "pad": True, "crop": 0.5}
    document["input"]["preprocess"] |= {"scale": 0.5, "mean": [0.5], "std": [0.5]}
    document["metrics"]["calibration"] = {"temperature": 1.5, "samples": 10}
    document["metrics"]["per_class_accuracy"] = [None, 0.5]
    document["doubts"] = ["2 of 10 answers are right"]
    document["finder"] = {"sha256": "0" * 64, "bytes": 1}
    document["output"] |= {"activation": "sigmoid", "thresholds": [0.5] * 10, "top_k": 5}
    document["rejection"] = {"threshold": 0.5, "slope": 1.5, "offset": -0.5}
    counts = {"predicted_counts": [1], "confidence_histogram": [1]}
    document["baseline"] = counts | {"samples": {"ink": [1]}, "pictures": {"ink": [1]}}
    return document


def variants(part: Any) -> Iterator[Any]:
    """The document with one part missing, unknown or changed, for each part."""
    yield from WRONG
    if isinstance(part, dict):
        yield part | {"new": 1}
        for name, member in part.items():
            yield {key: value for key, value in part.items() if key != name}
            yield from (part | {name: other} for other in variants(member))
    elif isinstance(part, list) and part:
        yield part[:-1]
        yield [*part, part[0]]
        yield from ([*part[:-1], other] for other in variants(part[-1]))


def test_the_function_accepts_exactly_what_the_schema_does() -> None:
    """Each of a thousand documents, most of them wrong."""
    validator = jsonschema.Draft202012Validator(manifest.SCHEMA)
    verdicts = [(accepts(one), validator.is_valid(one), one) for one in variants(whole())]
    assert [document for function, schema, document in verdicts if function != schema] == []
    assert sum(function for function, _, _ in verdicts) > 100
    assert sum(not function for function, _, _ in verdicts) > 900


def accepts(document: Any) -> bool:
    try:
        Manifest.from_document(document)
    except InvalidManifest:
        return False
    return True


def test_a_version_published_without_pictures_has_no_accuracy() -> None:
    document = describe(b"a model file")
    for member in ("accuracy", "per_class_accuracy", "expected_calibration_error"):
        del document["metrics"][member]
    metrics = manifest.parse(document).metrics
    assert (metrics.accuracy, metrics.per_class_accuracy) == (None, None)
    assert metrics.expected_calibration_error is None
    assert metrics.latency_p50_ms == 0.1


@pytest.mark.parametrize(
    ("counts", "guess"),
    [
        ([0] * 19 + [1000], 0.6),  # a model of digits, sure of nearly all
        ([0] * 11 + [100, 0, 0, 0, 0, 0, 0, 0, 900], 0.6),
        ([0, 0, 0, 0, 50, 50, 200, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500], 0.3),
        ([0, 0, 101, *[0] * 16, 899], 0.1),
        ([0] * 20, 0.6),  # nothing is known
    ],
)
def test_what_counts_as_a_guess_is_known_from_the_evaluation(
    counts: list[int], guess: float
) -> None:
    document = whole()
    document["baseline"]["confidence_histogram"] = counts
    assert Manifest.from_document(document).guess == pytest.approx(guess)


def test_each_keyword_of_the_schema_is_one_that_the_function_checks() -> None:
    """A new keyword must be added to both."""

    def keywords(schema: Any) -> Iterator[str]:
        for name, value in schema.items() if isinstance(schema, dict) else ():
            yield name
            inner = value.values() if name in ("properties", "$defs") else [value]
            yield from (word for member in inner for word in keywords(member))

    notes = {"$schema", "title", "description", "$defs"}
    checked = {"$ref", "type", "const", "enum", "pattern", "required", "properties", "items"}
    checked |= {"additionalProperties", "prefixItems", "uniqueItems", "minItems", "maxItems"}
    checked |= {"minimum", "maximum", "exclusiveMinimum"}
    assert set(keywords(manifest.SCHEMA)) == notes | checked


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda m: m.update(schema=2), "manifest.schema: expected 1, got 2"),
        (lambda m: m["input"]["shape"].append(0), "manifest.input.shape[3]: expected at least 1,"),
        (lambda m: m["input"].update(dtype="int8"), "expected 'uint8' or 'float32', got 'int8'"),
        (lambda m: m["file"].pop("sha256"), "manifest.file: 'sha256' is missing"),
        (lambda m: m["file"].update(md5=""), "manifest.file: 'md5' is unknown"),
        (lambda m: m["output"].update(labels=[1]), "expected at least 2 members, got [1]"),
        (lambda m: m["output"].update(labels=[1, 1]), "expected each member once, got [1, 1]"),
        (lambda m: m["metrics"].update(accuracy=98.5), "expected at most 1, got 98.5"),
        (lambda m: m["metrics"].update(load_ms=0), "expected more than 0, got 0"),
        (lambda m: m["lineage"].update(seed="7"), "expected integer or null, got '7'"),
        (lambda m: m.update(name="a/b"), "manifest.name: expected a match of ^[A-Za-z0-9]"),
    ],
)
def test_a_wrong_value_is_quoted_with_its_place_and_what_was_expected(
    edit: Edit, sentence: str
) -> None:
    document = whole()
    edit(document)
    with pytest.raises(InvalidManifest, match=re.escape(sentence)):
        Manifest.from_document(document)


def test_a_manifest_is_one_object_of_typed_parts() -> None:
    """Whole numbers are integers, however they are written in JSON."""
    document = whole()
    document["input"]["shape"] = ["N", 28.0, 28]
    document["output"]["labels"] = [0.0, "one"]
    read = Manifest.from_document(document)
    assert (read.name, read.version, read.file.bytes) == ("mnist", document["version"], 12)
    assert (repr(read.input.shape), read.input.dtype) == ("(28, 28)", "uint8")
    assert repr(read.output.labels) == "[0, 'one']"
    assert (read.finder, read.rejection) == (("0" * 64, 1), (0.5, -0.5, 1.5, 0, 0))
    assert (read.metrics.accuracy, read.quantization) == (0.99, {"method": "static"})
    assert (read.lineage.parent, read.lineage.dataset.name) == (PARENT, "mnist-5k")


def test_a_model_without_a_finder_or_a_threshold_has_neither() -> None:
    read = Manifest.from_document(describe(b"a model file"))
    assert (read.finder, read.rejection) == (None, None)


def test_a_manifest_describes_the_finder_and_the_threshold_it_is_given() -> None:
    threshold = {"threshold": 0.5, "slope": 1.5, "offset": -0.5, "finder": 3.0}
    described = describe(b"a model file", finder=b"a finder", rejection=threshold)
    sha256 = hashlib.sha256(b"a finder").hexdigest()
    assert described["finder"] == {"sha256": sha256, "bytes": 8}
    assert described["rejection"] == threshold
    manifest.parse(described)


def test_numbers_that_json_does_not_know_are_never_published(tmp_path: Path) -> None:
    """The schema alone accepts them: NaN is not less than anything."""
    for part, value in (("accuracy", float("nan")), ("load_ms", float("inf"))):
        document = describe(b"a model file")
        document["metrics"][part] = value
        with pytest.raises(ManifestError, match=rf"metrics.{part}.*{value}"):
            ModelStore(tmp_path.as_uri()).publish(document, b"a model file")
    assert list(tmp_path.iterdir()) == []


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
    manifest.parse(describe(b"a model file") | {"lineage": found})
