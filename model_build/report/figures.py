"""Style of the report's figures, drawn with matplotlib: as SVG for the page, as PNG for a README.

Text, lines and background use INK, MUTED and PAPER; the page replaces these by its own colours, so
that a figure follows a dark theme. Data uses the palette of Okabe and Ito, which colour-blind
readers can tell apart; marker shapes repeat the distinction.
"""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from model_build.search.measurements import Measured

INK, MUTED, PAPER = "#1a1b1c", "#6a6b6c", "#fefefd"
FAMILIES = {  # colour and marker
    "baseline": ("#7f7f7f", "o"),
    "quantised": ("#0072b2", "s"),
    "pruned": ("#e69f00", "^"),
    "factorised": ("#009e73", "D"),
    "distilled": ("#cc79a7", "P"),
    "composed": ("#d55e00", "X"),
}
_FAMILY_OF = {
    "prune": "pruned",
    "remove-filters": "pruned",
    "factorise": "factorised",
    "distil": "distilled",
}
STYLE: dict[Any, Any] = {  # matplotlib's type lists every key
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same on every machine
    "font.size": 11,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a recipe may be named $x$
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "figure.dpi": 72,  # one pixel per point, as in the SVG
}


def quantised(candidate: Measured) -> bool:
    """Whether a stage quantised the weights to int8 or int4."""
    return any(name == "qat" or name.startswith("quantise") for name in candidate.techniques)


def family(candidate: Measured) -> str:
    """Family of a candidate: the technique that made it small, besides quantisation."""
    families = {_FAMILY_OF[name] for name in candidate.techniques if name in _FAMILY_OF}
    if len(families) > 1:
        return "composed"
    return families.pop() if families else "quantised" if quantised(candidate) else "baseline"


def svg(figure: Figure, name: str) -> str:
    """Figure as an SVG element for a page: no external links, INK and the like as CSS variables.

    name: keeps its ids distinct from another figure's.
    """
    file = io.StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata=empty, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    text = re.sub(r'\s*xmlns(:\w+)?="[^"]*"', "", text)
    # Drop the ids of the figure's parts, which nothing refers to and two figures share.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (PAPER, "--paper")):
        text = text.replace(colour, f"var({variable})")
    return text.strip()


def png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, with two pixels per CSS pixel of the page."""
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
