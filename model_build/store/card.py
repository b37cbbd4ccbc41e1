"""A version's model card: what it is, what it was made of, what it is for and how good it is.

Markdown, with the headings of Mitchell et al., "Model Cards for Model Reporting", 2019, and the
metadata that model hubs read. It is made of the manifest alone, so every way to publish writes one.
"""

from typing import Any

from classifier.model.manifest import Document
from model_build.data import sources
from model_build.search.measurements import wilson_interval

NOT_MEASURED = "not measured"
NOT_STATED = "Not stated."
_MOST_CLASSES = 40  # that a card lists


def render(document: Document, parent: Document | None = None, about: str = "") -> str:
    """Card of a manifest.

    parent: manifest of its fp32 version, to compare with. about: what its author says of its use
    and its data, as Markdown.
    """
    labels = document["output"]["labels"]
    parts = {
        f"{document['name']} {document['version']}": _summary(document),
        "Model details": _details(document),
        "Intended use": about.strip() or _use(document),
        "Out-of-scope use": _out_of_scope(document),
        "Training data": _data(document),
        "Evaluation": _evaluation(document, parent),
        "Quantitative analyses": _classes(labels, document["metrics"]),
        "Ethical considerations": _ethics(document),
        "Caveats and recommendations": _caveats(document),
    }
    first, *rest = parts.items()
    sections = [f"# {first[0]}\n\n{first[1]}"] + [f"## {name}\n\n{text}" for name, text in rest]
    return f"{_metadata(document)}\n" + "\n\n".join(sections) + "\n"


def _metadata(document: Document) -> str:
    """Front matter as model hubs read it."""
    lines = ["library_name: onnx", "pipeline_tag: image-classification"]
    if sources.used(document["lineage"]):
        lines += ["datasets:", f"  - {document['lineage']['dataset']['name']}"]
    return "\n".join(["---", *lines, "---", ""])


def _summary(document: Document) -> str:
    labels = document["output"]["labels"]
    kind = (
        "Says of a picture, label by label, which apply"
        if document["output"].get("activation") == "sigmoid"
        else "Says which one of its classes a picture shows"
    )
    shown = ", ".join(map(str, labels[:20])) + (", …" if len(labels) > 20 else "")
    return f"{kind}. {len(labels):,} classes: {shown}."


def _details(document: Document) -> str:
    lineage, quantization = document["lineage"], document["quantization"]
    rows = {
        "Created": document["created"],
        "Format": "ONNX",
        "File": f"{document['file']['bytes']:,} bytes, sha256 {document['file']['sha256']}",
        "Input": _input(document["input"]),
        "Weights": "fp32" if quantization is None else _members(quantization),
        "Parent": lineage["parent"] or "none",
        "Made by": _made_by(lineage),
        "Commit": lineage["git_commit"] or "none",
        "Seed": "none" if lineage["seed"] is None else lineage["seed"],
        "Libraries": _members(lineage["libraries"]),
    }
    if "finder" in document:
        rows["Second network"] = f"finds digits in a picture, {document['finder']['bytes']:,} bytes"
    return _table(("", ""), rows.items())


def _input(source: Document) -> str:
    shape = ", ".join(map(str, source["shape"]))
    pipeline = source["preprocess"]["pipeline"]
    return f"{source['dtype']} [{shape}], prepared by the pipeline {pipeline}"


def _made_by(lineage: Document) -> str:
    if recipe := lineage.get("recipe"):
        techniques = ", ".join(stage["technique"] for stage in recipe["stages"])
        return f"recipe {recipe['name']}: {techniques}"
    if imported := lineage.get("imported"):
        return f"import of {imported['file']}, sha256 {imported['sha256']}"
    return "an older build"


def _use(document: Document) -> str:
    if document["input"]["preprocess"]["pipeline"] == "mnist":
        return (
            "Reads handwritten digits in photos, scans and drawings, where a wrong answer costs "
            "little or a person checks it."
        )
    return f"{NOT_STATED} `python -m model_build card --about FILE` adds what the author says."


def _out_of_scope(document: Document) -> str:
    lines = [
        "Decisions about people, their health or their money without a person who checks them.",
        "Safety functions of machines and vehicles.",
    ]
    if document["input"]["preprocess"]["pipeline"] == "mnist":
        lines += [
            "Letters and amounts of money.",
            "Telling who wrote something.",
        ]
    if "rejection" not in document:
        lines += ["Pictures of anything else than its classes: it names one of them for each."]
    return _list(lines)


def _data(document: Document) -> str:
    lineage = document["lineage"]
    dataset = lineage["dataset"]
    head = f"`{dataset['name']}`, sha256 {dataset['sha256']}."
    rows = [(row.title, row.licence, row.use) for row in sources.used(lineage)]
    if not rows:
        evaluated = f" It was evaluated on {head}" if _evaluated(document) else ""
        return (
            f"{NOT_STATED} The author of the imported model knows its training data and their "
            f"licence.{evaluated}"
        )
    return f"{head}\n\n{_table(('data', 'licence', 'used for'), rows)}"


def _evaluation(document: Document, parent: Document | None) -> str:
    metrics, count = document["metrics"], _evaluated(document)
    rows: list[tuple[str, ...]] = []
    columns = [document, *([parent] if parent else [])]
    rows.append(("accuracy", *(_accuracy(one) for one in columns)))
    for title, name, digits in (
        ("expected calibration error", "expected_calibration_error", 4),
        ("latency of one picture, median, ms", "latency_p50_ms", 3),
        ("latency of one picture, 99 %, ms", "latency_p99_ms", 3),
        ("loading, ms", "load_ms", 1),
    ):
        rows.append((title, *(_number(one["metrics"].get(name), digits) for one in columns)))
    rows.append(("size, bytes", *(f"{one['file']['bytes']:,}" for one in columns)))
    heads = ("", "this version", *(["its fp32 parent"] if parent else []))
    text = _table(heads, rows)
    if metrics.get("accuracy") is None:
        return f"Published without labelled pictures.\n\n{text}"
    return (
        f"On {count:,} held-out samples of `{document['lineage']['dataset']['name']}`, by the "
        "function's own code. ± is the 95 % interval (Wilson, its larger half). Times are those "
        f"of the machine that built it, without preprocessing.\n\n{text}"
    )


def _classes(labels: list[Any], metrics: Document) -> str:
    shares = metrics.get("per_class_accuracy")
    if not shares:
        return f"Accuracy by class: {NOT_MEASURED}."
    listed, title = list(zip(labels, shares, strict=True)), ""
    if len(listed) > _MOST_CLASSES:
        measured = [row for row in listed if row[1] is not None]
        listed = sorted(measured, key=lambda row: row[1])[:_MOST_CLASSES]
        title = f"The {_MOST_CLASSES} worst classes.\n\n"
    rows = [(label, _share(share)) for label, share in listed]
    return title + _table(("class", "accuracy"), rows)


def _ethics(document: Document) -> str:
    text = (
        "Accuracy is known only for the evaluation data, and was not measured by groups of people: "
        "expect less for those whom the data represent poorly."
    )
    if document["input"]["preprocess"]["pipeline"] == "mnist":
        text += " Handwriting differs between countries, schools and ages."
    return text


def _caveats(document: Document) -> str:
    lines = [f"Not to be promoted: {doubt}" for doubt in document.get("doubts", [])]
    if "rejection" in document:
        threshold = document["rejection"]["threshold"]
        lines.append(
            f"A picture with a probability below {threshold:.2f} to show any of the classes gets a "
            "null prediction; some pictures of other things pass."
        )
    if "calibration" not in document["metrics"]:
        lines.append("Its confidence is not calibrated by a temperature.")
    lines.append("Watch drift against the baseline in the manifest, and test on pictures of yours.")
    return _list(lines)


def _evaluated(document: Document) -> int:
    return sum(document["baseline"]["predicted_counts"])


def _accuracy(document: Document) -> str:
    accuracy, count = document["metrics"].get("accuracy"), _evaluated(document)
    if accuracy is None or not count:
        return _share(accuracy)
    low, high = wilson_interval(round(accuracy * count), count)
    return f"{_share(accuracy)} ± {100 * max(high - accuracy, accuracy - low):.1f}"


def _share(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def _members(document: Document) -> str:
    return "; ".join(
        f"{name} {f'({_members(value)})' if isinstance(value, dict) else value}"
        for name, value in document.items()
    )


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: tuple[str, ...], rows: Any) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Text of a cell, in which labels and file names may hold what Markdown reads."""
    return str(value).replace("|", "\\|").replace("\n", " ")
