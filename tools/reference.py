"""The site's reference pages, made from the files that define what they describe.

http.md from openapi.yaml, command-line.md from the commands' help, manifest.md from its schema,
metrics.md from the code that writes them, parameters.md from template.yaml. They are not under
version control.
"""

import ast
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools import openapi

PROJECT = Path(__file__).resolve().parents[1]
MANIFEST = PROJECT / "functions/predict/classifier/model/manifest.schema.json"

type Document = dict[str, Any]

_PARAMETERS = """\
# Template parameters

The parameters of `template.yaml`. Set them with `make deploy PARAMETERS="Name=value"`, with
`sam deploy --parameter-overrides`, or for good in `samconfig.toml`.

{parameters}

## Outputs

{outputs}
"""
_CLOUDWATCH = """\
# Metrics

The functions write these to the CloudWatch namespace `ClassifierOnLambda`, one line per request in
embedded metric format, with the dimension `service`. The metrics of an answered request are also
written by `function_version`, for the canary.

{metrics}

## Prometheus

`GET /metrics` of the [server](../serving.md) has these instead:

{prometheus}

## Alarms and drift

[Operations](../operations.md#alarms) explains the alarms on them, and [Drift](../drift.md) the
fields beside them in a log line.
"""
_MANIFEST = """\
# Manifest

`manifest.json` describes one version of a model. The function and the model build read it by one
JSON Schema,
[`manifest.schema.json`](../../functions/predict/classifier/model/manifest.schema.json), from which
this page is generated. [The model store](../model-store.md) says when a manifest is
written.

{fields}
"""
_HTTP = """\
# HTTP interface

{description}

`GET /openapi.json` returns this interface as an OpenAPI document.

{operations}

## Schemas

{schemas}
"""
_END = "(?!\n)"  # ends the schema's patterns, where $ alone would let a line break through
_KINDS = {"Counter", "Gauge", "Histogram"}
_METRICS = {
    "ColdStart": "1 for the first request of an environment, otherwise 0.",
    "ModelLoadMs": "Fetching, checking and opening the model.",
    "ModelLoadFailure": "A load that failed. The request got 503, or 500 for a wrong setting.",
    "ModelRefreshFailure": "A promoted version that could not take the place of the loaded one.",
    "PreprocessMs": "Reading and preparing the images of a request, batches included.",
    "InferenceMs": "The forward pass of a request, batches included.",
    "Confidence": "The largest probability, one value per image.",
    "Guess": "1 for an image whose confidence is that of a guess, otherwise 0.",
    "DriftPSI": "Population stability index, daily, by `statistic`, `preprocess` and any `model`.",
    "DriftDetected": "1 if the day's traffic drifted, otherwise 0.",
}


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's tags as text: `!Ref A` is "A"."""


_Template.add_multi_constructor("!", lambda _loader, _tag, node: node.value)


def pages() -> dict[str, str]:
    """Text of each page by file name."""
    template = yaml.load((PROJECT / "template.yaml").read_text(), _Template)  # noqa: S506 - a safe loader
    return {
        "http.md": http(openapi.read()),
        "command-line.md": command_line(),
        "manifest.md": manifest(json.loads(MANIFEST.read_text())),
        "metrics.md": metrics(metrics_in_code(), prometheus_in_code()),
        "parameters.md": parameters(template),
    }


def parameters(template: Document) -> str:
    """Page of the stack's parameters and outputs."""
    rows = [
        (f"`{name}`", _default(one["Default"]), _allowed(one), one["Description"])
        for name, one in template["Parameters"].items()
    ]
    outputs = [(f"`{name}`", one["Description"]) for name, one in template["Outputs"].items()]
    return _PARAMETERS.format(
        parameters=_table(("parameter", "default", "allowed", "meaning"), rows),
        outputs=_table(("output", "meaning"), outputs),
    )


def _allowed(parameter: Document) -> str:
    values = parameter.get("AllowedValues")
    if values:
        return ", ".join(f"`{value}`" for value in values)
    return str(parameter.get("ConstraintDescription", "")).removeprefix("must be ").rstrip(".")


def _default(value: object) -> str:
    return f"`{value}`" if value != "" else "empty"


def metrics_in_code() -> dict[str, str]:
    """Unit of each metric that the functions write, by name, in alphabetical order.

    Reads the calls of `add_metric`, `single_metric` and `timed` in the source.
    """
    units = {}
    for path in sorted((PROJECT / "functions").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            function = getattr(call.func, "attr", getattr(call.func, "id", ""))
            arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
            name = arguments[0] if arguments else None
            if not isinstance(name, ast.Constant):
                continue
            if function in {"add_metric", "single_metric"}:
                units[str(name.value)] = str(getattr(arguments[1], "attr", ""))
            elif function == "timed":
                units[str(name.value)] = "Milliseconds"
    return dict(sorted(units.items()))


def prometheus_in_code() -> list[tuple[str, str, str, str]]:
    """Name, kind, labels and description of each metric of the server."""
    rows = []
    for call in ast.walk(ast.parse((PROJECT / "serving/metrics.py").read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in _KINDS:
            name, description, *labels = (ast.literal_eval(one) for one in call.args)
            kind = call.func.id.lower()  # type: ignore[attr-defined] # it has one, see above
            name += "_total" if kind == "counter" else ""
            rows.append(
                (f"`{name}`", kind, ", ".join(f"`{one}`" for one in sum(labels, ())), description)
            )
    return rows


def metrics(units: dict[str, str], prometheus: list[tuple[str, str, str, str]]) -> str:
    """Page of the metrics in CloudWatch and for Prometheus.

    Raises ValueError for a metric that has no description, or a description without a metric.
    """
    if difference := units.keys() ^ _METRICS.keys():
        raise ValueError(f"metrics of the code and of tools/reference.py differ: {difference}")
    names = {"NoUnit": "none", "Milliseconds": "ms", "Count": "count"}
    rows = [(f"`{name}`", names[unit], _METRICS[name]) for name, unit in units.items()]
    return _CLOUDWATCH.format(
        metrics=_table(("metric", "unit", "meaning"), rows),
        prometheus=_table(("metric", "kind", "labels", "meaning"), prometheus),
    )


def command_line() -> str:
    """Page of `python -m model_build`, from the help texts of its commands."""
    name = "python -m model_build"
    command = [
        sys.executable,
        "-m",
        "typer",
        "model_build.cli.main",
        "utils",
        "docs",
        "--name",
        name,
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    text = html.unescape(done.stdout).replace(PROJECT.as_uri(), "file:///<this project>")
    return re.sub(rf"\A# `{name}`", "# Command line", text)


def manifest(schema: Document) -> str:
    """Page of a manifest's fields, from its JSON Schema."""
    rows = list(_fields(schema, schema, ""))
    return _MANIFEST.format(fields=_table(("field", "type", "required", "meaning"), rows))


def _fields(schema: Document, root: Document, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, given in schema.get("properties", {}).items():
        field = _resolve(given, root)
        path = f"{prefix}{name}"
        required = "yes" if name in schema.get("required", ()) else ""
        if "items" in field:
            field = {**field, "items": _resolve(field["items"], root)}
        yield f"`{path}`", _type(field), required, given.get("description", _limits(field))
        yield from _fields(field, root, f"{path}.")


def _resolve(schema: Document, root: Document) -> Document:
    """Follow a local reference such as #/$defs/file."""
    target: Document = schema
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
    return target


def _type(schema: Document) -> str:
    """Type of a value in a few words: `array of string`, its constants, a referenced name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value).strip('"')}`" for value in schema["enum"])
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return " or ".join(_type(option) for option in schema[word])
    kind = schema.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    items = schema.get("items")
    return f"{kind} of {_type(items)}" if kind == "array" and isinstance(items, dict) else kind


def _limits(schema: Document) -> str:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "pattern": "matches {}",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
    }
    limits = [
        text.format(f"`{str(schema[key]).removesuffix(_END)}`")
        for key, text in words.items()
        if key in schema
    ]
    return ", ".join(limits)


def http(interface: Document) -> str:
    """Page of the HTTP interface, from its OpenAPI document."""
    operations = [
        part
        for path, item in interface["paths"].items()
        for method in openapi.METHODS
        if method in item
        for part in _operation(f"{method.upper()} {path}", item[method], item, interface)
    ]
    schemas = [
        part
        for name, schema in interface["components"]["schemas"].items()
        for part in [f"### {name}", *_schema(schema, interface)]
    ]
    return _HTTP.format(
        description=interface["info"]["description"].strip(),
        operations="\n\n".join(operations),
        schemas="\n\n".join(schemas),
    )


def _operation(title: str, operation: Document, item: Document, root: Document) -> Iterator[str]:
    yield f"## {title}"
    yield operation["summary"].rstrip(".") + "."
    if "description" in operation:
        yield operation["description"].strip()
    if operation.get("security", root.get("security")) == []:
        yield "Open: needs no key."
    given = [
        _resolve(one, root)
        for one in [*item.get("parameters", ()), *operation.get("parameters", ())]
    ]
    if given:
        yield _table(
            ("parameter", "in", "values", "meaning"),
            [
                (f"`{one['name']}`", one["in"], _type(one["schema"]), _default_of(one))
                for one in given
            ],
        )
    if body := operation.get("requestBody"):
        rows = [
            (f"`{name}`", _described(one["schema"]))
            for name, one in _resolve(body, root)["content"].items()
        ]
        yield _table(("request body", "content"), rows)
    yield _table(
        ("status", "body", "meaning"),
        [
            (str(status), _content(response), " ".join(response["description"].split()))
            for status, one in operation["responses"].items()
            for response in [_resolve(one, root)]
        ],
    )


def _default_of(parameter: Document) -> str:
    default = parameter["schema"].get("default")
    text = " ".join(parameter.get("description", "").split())
    return text if default is None else f"{text} Default: `{default}`."


def _content(response: Document) -> str:
    return ", ".join(
        f"`{name}`: {_type(one.get('schema', {}))}"
        for name, one in response.get("content", {}).items()
    )


def _described(schema: Document) -> str:
    return schema.get("description") or _type(schema)


def _schema(schema: Document, root: Document) -> Iterator[str]:
    if "description" in schema:
        yield schema["description"].strip()
    merged = [_resolve(part, root) for part in schema.get("allOf", ())]
    rows = [
        (f"`{name}`", _type(field), "yes" if name in part.get("required", ()) else "", _note(field))
        for part in [*merged, schema]
        for name, field in part.get("properties", {}).items()
    ]
    if rows:
        yield _table(("field", "type", "required", "meaning"), rows)
    else:
        yield f"Type: {_type(schema)}."


def _note(field: Document) -> str:
    return " ".join(field.get("description", _limits(field)).split())


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
