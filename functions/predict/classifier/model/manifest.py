"""The manifest of a model version as one typed object: the contract between build and function.

manifest.schema.json is the only definition of its format, and this the only reader, for both
halves. Importing jsonschema would double a cold start, so the few keywords that the schema uses are
checked here; model_build also validates with jsonschema, and its tests show that both agree.
"""

import json
import math
import re
from collections.abc import Sequence
from os.path import dirname
from reprlib import repr as shortened
from typing import Any, NamedTuple, Self

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
VERSION = re.compile("[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
LEAST = 1e-6  # a smaller probability counts as this: answers are rounded to it
_GUESS = 0.6  # confidence, of a model of a few classes
_GUESSES = 0.1  # share of an evaluation's answers
_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}

type Document = dict[str, Any]


class InvalidManifest(ValueError):
    """A manifest violates its schema; the message has the place, the expectation and the value."""


class File(NamedTuple):
    """The model file."""

    sha256: str
    bytes: int


class Input(NamedTuple):
    """The model's input tensor, and how pictures are turned into it."""

    name: str
    dtype: str
    shape: tuple[int, ...]  # of one sample, without the batch
    preprocess: Document  # the pipeline's name and parameters


class Output(NamedTuple):
    """The model's output: softmax over the labels, or a sigmoid for each."""

    name: str
    labels: list[Any]  # integers and strings
    thresholds: list[float] | None = None  # of a multi-label model, one per label
    top_k: int | None = None  # how many probabilities answers hold by default; None: all


class Metrics(NamedTuple):
    """How the version was evaluated; without labelled pictures, only how fast it is."""

    latency_p50_ms: float
    latency_p99_ms: float
    load_ms: float
    accuracy: float | None = None
    per_class_accuracy: list[float | None] | None = None  # None for a class without pictures
    expected_calibration_error: float | None = None


class Dataset(NamedTuple):
    """The data set that the version was trained or evaluated on."""

    name: str
    sha256: str


class Rejection(NamedTuple):
    """When a picture counts as something that none of the model's classes describe.

    The probabilities p and the finder's score s, 1 without a finder, give the probability that it
    has one, 1 / (1 + exp(-(slope x + spread m + finder (s - 1) + offset))), where x is log(q / (1 -
    q)) of the largest p, q, and m the mean of -log p; below the threshold, the prediction is null.
    """

    threshold: float
    offset: float
    slope: float = 0.0
    spread: float = 0.0
    finder: float = 0.0

    def probability(self, probabilities: Sequence[float], score: float = 1.0) -> float:
        """Probability that a picture shows one of the classes, from those of each class."""
        exponent = self.offset + self.finder * (score - 1)
        if self.slope:
            certain = min(max(*probabilities, LEAST), 1 - LEAST)
            exponent += self.slope * math.log(certain / (1 - certain))
        if self.spread:
            logarithms = [math.log(max(p, LEAST)) for p in probabilities]
            exponent -= self.spread * sum(logarithms) / len(logarithms)
        return 1 / (1 + math.exp(-min(max(exponent, -30.0), 30.0)))


class Lineage(NamedTuple):
    """Origin of the version. `Manifest.document` has whatever else its build recorded."""

    git_commit: str | None
    libraries: dict[str, str]
    dataset: Dataset
    seed: int | None
    parent: str | None  # its fp32 version


class Manifest(NamedTuple):
    """One version of a model: its file, input, output, metrics and origin."""

    name: str
    version: str
    created: str
    file: File
    finder: File | None  # the network that finds digits in pictures
    input: Input
    output: Output
    rejection: Rejection | None
    quantization: Document | None  # None for fp32
    doubts: list[str]  # why it must not be promoted without --force
    metrics: Metrics
    baseline: dict[str, Any]  # histograms that drift is measured against
    lineage: Lineage
    document: Document  # the source of all this; not to be changed

    @property
    def takes_batches(self) -> bool:
        """Whether the file takes any number of pictures at a time, not one."""
        return bool(self.document["input"]["shape"][0] == "N")

    @property
    def is_of_digits(self) -> bool:
        """Whether the model's classes are handwritten digits."""
        is_handwriting = self.input.preprocess["pipeline"] == "mnist"
        return is_handwriting and all(str(label).isdecimal() for label in self.output.labels)

    @property
    def score_name(self) -> str:
        """Name in answers of the probability that a picture shows one of the classes."""
        return "digit_probability" if self.is_of_digits else "class_probability"

    @property
    def guess(self) -> float:
        """Confidence up to which an answer counts as a guess.

        0.6, or less for a model of many classes: in its own evaluation, at most a tenth of the
        answers were so.
        """
        counts = self.baseline["confidence_histogram"]  # equal bins from 0 to 1
        bins = 0
        while bins < len(counts) and sum(counts[: bins + 1]) <= _GUESSES * sum(counts):
            bins += 1
        return min(_GUESS, bins / len(counts)) if any(counts) else _GUESS

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Read a manifest; raises InvalidManifest."""
        schema = _read_schema()
        _check(document, schema, schema["$defs"], "manifest")
        source, output, lineage = (document[part] for part in ("input", "output", "lineage"))
        return cls(
            name=document["name"],
            version=document["version"],
            created=document["created"],
            file=_file(document["file"]),
            finder=_file(document["finder"]) if "finder" in document else None,
            rejection=Rejection(**document["rejection"]) if "rejection" in document else None,
            input=Input(
                source["name"],
                source["dtype"],
                tuple(int(side) for side in source["shape"][1:]),
                source["preprocess"],
            ),
            output=_output(output),
            quantization=document["quantization"],
            doubts=document.get("doubts", []),
            metrics=_pick(Metrics, document["metrics"]),
            baseline=document["baseline"],
            lineage=_pick(Lineage, lineage | {"dataset": _pick(Dataset, lineage["dataset"])}),
            document=document,
        )


def _file(members: Document) -> File:
    return File(members["sha256"], int(members["bytes"]))


def _output(members: Document) -> Output:
    labels = [label if isinstance(label, str) else int(label) for label in members["labels"]]
    thresholds = None
    if members.get("activation") == "sigmoid":
        thresholds = members.get("thresholds") or [0.5] * len(labels)
    top_k = int(members["top_k"]) if "top_k" in members else None
    return Output(members["name"], labels, thresholds, top_k)


def _pick[T](record: type[T], members: Document) -> T:
    fields = record._fields  # type: ignore[attr-defined]
    return record(**{name: members[name] for name in fields if name in members})


def _read_schema() -> Document:
    with open(f"{dirname(__file__)}/manifest.schema.json", "rb") as file:  # noqa: PTH120, PTH123 - as in store.py
        schema: Document = json.load(file)
    return schema


def _check(value: Any, schema: Document, definitions: Document, path: str) -> None:
    """Raise InvalidManifest if a value violates a schema; path: where the value is."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    if expected := _unmet(value, schema):
        raise InvalidManifest(f"{path}: expected {expected}, got {shortened(value)}")
    if isinstance(value, dict):
        _check_members(value, schema, definitions, path)
    elif isinstance(value, list):
        first = schema.get("prefixItems", [])
        for index, member in enumerate(value):
            inner = first[index] if index < len(first) else schema.get("items", {})
            _check(member, inner, definitions, f"{path}[{index}]")
        if schema.get("uniqueItems") and len(set(value)) < len(value):
            raise InvalidManifest(f"{path}: expected each member once, got {shortened(value)}")


def _check_members(value: Document, schema: Document, definitions: Document, path: str) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise InvalidManifest(f"{path}: {name!r} is missing")
    known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name, member in value.items():
        if name not in known and other is False:
            raise InvalidManifest(f"{path}: {shortened(name)} is unknown")
        _check(member, known.get(name, other), definitions, f"{path}.{name}")


def _unmet(value: Any, schema: Document) -> str:  # noqa: PLR0911 - one per keyword
    """Expectation of a schema that a value itself, not its members, does not meet, or empty."""
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_is(value, kind) for kind in kinds):
        return " or ".join(kinds)
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if allowed and (isinstance(value, bool) or value not in allowed):
        return " or ".join(map(repr, allowed))
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"a match of {schema['pattern']}"
    size, unit, low, high = value, "", "minimum", "maximum"
    if isinstance(value, list):
        size, unit, low, high = len(value), " members", "minItems", "maxItems"
    if _is(size, "number"):
        if size < schema.get(low, size):
            return f"at least {schema[low]}{unit}"
        if size > schema.get(high, size):
            return f"at most {schema[high]}{unit}"
        if "exclusiveMinimum" in schema and size <= schema["exclusiveMinimum"]:
            return f"more than {schema['exclusiveMinimum']}"
    return ""


def _is(value: Any, kind: str) -> bool:
    if kind not in ("integer", "number"):
        return isinstance(value, _TYPES[kind])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    remainder = value % 1  # NaN for NaN and infinity, which JSON lacks
    return remainder == 0 if kind == "integer" else remainder >= 0  # 28.0 is an integer
