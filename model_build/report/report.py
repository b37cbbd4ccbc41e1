"""Write the report of a search: a self-contained page, figures, a table and the data."""

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from model_build.errors import StepError
from model_build.report import diagnostics, scatter
from model_build.report.figures import FAMILIES, INK, MUTED, PAPER, family, png, quantised, svg
from model_build.search.measurements import Interval, Measured, Search, to_json
from model_build.search.selection import Choice, pareto_front

_MISREAD_PER_CLASS = 12  # shown on the page; results.json has all


def write(search: Search, choice: Choice, folder: Path) -> Path:
    """Write index.html, *.png, table.md and results.json into a folder; return the page's path.

    The same search and choice produce the same bytes. Raises StepError if there is no candidate,
    ValueError for NaN and infinity.
    """
    if not search.candidates:
        raise StepError("there are no candidates to report: fix the recipes that failed")
    folder.mkdir(parents=True, exist_ok=True)
    results = {"choice": _choice(choice), "search": search.to_dict()}
    (folder / "results.json").write_text(to_json(results) + "\n")
    (folder / "table.md").write_text(table(search, choice))
    drawn = _figures(search, choice)
    for name, figure in drawn.items():
        png(figure, folder / f"{name}.png")
    page = folder / "index.html"
    del drawn["misread"]  # the page lists these by class
    page.write_text(_page(search, choice, {name: svg(drawn[name], name) for name in drawn}))
    return page


def read(folder: Path) -> Search:
    """Search in a report's folder, to choose again within other limits without measuring again."""
    return Search.from_dict(json.loads((folder / "results.json").read_text())["search"])


def table(search: Search, choice: Choice) -> str:
    """Markdown table of the candidates, for a README."""
    fronts = _fronts(search)
    heads = ["recipe", "accuracy", "other writers", "KiB", "gzip KiB", "latency", "load", "ECE"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " --: |" * (len(heads) - 1)]
    for candidate in _ranked(search):
        name = _markdown(candidate.recipe)
        name = f"**{name}** (chosen)" if candidate is choice.chosen else name
        front = " ◆" if fronts[candidate.recipe] else ""
        cells = [
            f"{name}{front}",
            f"{_percent(candidate.accuracy)} ± {_half(candidate.accuracy_interval)}",
            f"{_percent(candidate.pictures_accuracy)} ± {_half(candidate.pictures_interval)}",
            _kib(candidate.bytes),
            _kib(candidate.gzip_bytes),
            f"{candidate.latency_ratio:.2f}",
            f"{candidate.load_ratio:.2f}",
            f"{candidate.expected_calibration_error:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "± is the 95% interval (Wilson). Latency and load are relative to "
        f"{_markdown(search.reference)}. ◆: on the Pareto front of accuracy against size or "
        "latency. ECE: expected calibration error."
    )
    return "\n".join([*lines, "", note, ""])


def _figures(search: Search, choice: Choice) -> dict[str, Figure]:
    candidate = _shown(search, choice)
    chosen = choice.chosen.recipe if choice.chosen else None
    return {
        "accuracy-size": scatter.against_size(search, chosen, choice.limits),
        "accuracy-latency": scatter.against_latency(search, chosen, choice.limits),
        "confusion": diagnostics.confusion(candidate),
        "reliability": diagnostics.reliability(candidate),
        "misread": diagnostics.misread(candidate),
    }


def _page(search: Search, choice: Choice, figures: dict[str, str]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "half": _half,
        "kib": _kib,
        "parameters": _parameters,
    }
    return environment.get_template("report.html.j2").render(
        search=search,
        choice=choice,
        figures=figures,
        ranked=_ranked(search),
        fronts=_fronts(search),
        shown=_shown(search, choice),
        classes=list(_classes(_shown(search, choice))),
        families=FAMILIES,
        family=family,
        quantised=quantised,
        reference=next(
            candidate for candidate in search.candidates if candidate.recipe == search.reference
        ),
        command=_command(search, choice),
        colours={"ink": INK, "muted": MUTED, "paper": PAPER},
    )


def _ranked(search: Search) -> list[Measured]:
    """Candidates by the figure that decides the choice, the best first."""
    return sorted(
        search.candidates,
        key=lambda candidate: (-candidate.validation_views_accuracy, candidate.recipe),
    )


def _shown(search: Search, choice: Choice) -> Measured:
    """Candidate whose errors are shown: the chosen one or else the reference."""
    if choice.chosen is not None:
        return choice.chosen
    return next(
        candidate for candidate in search.candidates if candidate.recipe == search.reference
    )


def _fronts(search: Search) -> dict[str, list[str]]:
    """For each candidate, the costs, `size` or `latency`, for which it is on the Pareto front."""
    accuracies = [candidate.accuracy for candidate in search.candidates]
    size = pareto_front([candidate.bytes for candidate in search.candidates], accuracies)
    latency = pareto_front([candidate.latency_ratio for candidate in search.candidates], accuracies)
    return {
        candidate.recipe: ["size"] * on_size + ["latency"] * on_latency
        for candidate, on_size, on_latency in zip(search.candidates, size, latency, strict=True)
    }


def _classes(candidate: Measured) -> Iterable[dict[str, Any]]:
    """For each class its counts of samples, right and wrong, and its misread samples."""
    for label, row in enumerate(candidate.confusion):
        wrong = [entry for entry in candidate.misread if entry["label"] == label]
        wrong.sort(key=lambda entry: (-entry["confidence"], entry["index"]))
        yield {
            "label": label,
            "count": sum(row),
            "right": row[label],
            "wrong": sum(row) - row[label],
            "misread": [entry | {"url": _data_url(entry["image"])} for entry in wrong][
                :_MISREAD_PER_CLASS
            ],
            "more": max(len(wrong) - _MISREAD_PER_CLASS, 0),
        }


def _data_url(image: list[list[int]]) -> str:
    file = io.BytesIO()
    Image.fromarray(np.array(image, np.uint8)).save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "chosen": choice.chosen.recipe if choice.chosen else None,
        "why": choice.why,
        "reasons": choice.reasons,
        "limits": asdict(choice.limits),
    }


def _command(search: Search, choice: Choice) -> str:
    """Command line that repeats the search."""
    options = {
        "--dataset": search.dataset["name"],
        "--profile": search.profile,
        "--seed": search.seed,
        "--reference": search.reference,
        "--max-bytes": choice.limits.max_bytes,
        "--max-latency-ratio": choice.limits.max_latency_ratio,
        "--min-accuracy": choice.limits.min_accuracy,
    }
    arguments = [f"{option} {value}" for option, value in options.items() if value is not None]
    return " ".join(["python -m model_build search", *arguments])


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _half(interval: Interval, digits: int = 1) -> str:
    """Half the width of an interval, in points."""
    return f"{(interval[1] - interval[0]) * 50:.{digits}f}"


def _kib(count: int) -> str:
    return f"{count / 1024:.1f}"


def _parameters(parameters: dict[str, Any]) -> str:
    def formatted(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            return ", ".join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)

    return " · ".join(f"{name} {formatted(value)}" for name, value in parameters.items())


def _markdown(text: str) -> str:
    """Escape what would end a table cell or be read as HTML or emphasis."""
    for mark in "\\|`*_[]":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
