"""The report's figures, drawn with matplotlib: for the page as SVG, for a README as PNG.

Text, lines and paper take INK, MUTED and PAPER; the page replaces these by its own colours, so that
a figure follows a dark theme. Data is in the palette of Okabe and Ito, told apart without colour
vision; shapes say the same again.
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
STYLE: dict[Any, Any] = {  # matplotlib types its keys one by one
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib: the same on every machine
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
    "figure.dpi": 72,  # a pixel is a point, as in the SVG
}


def quantised(one: Measured) -> bool:
    """Whether a stage made the weights int8 or int4."""
    return any(name == "qat" or name.startswith("quantise") for name in one.techniques)


def family(one: Measured) -> str:
    """Family of a candidate: what it was made small by, besides quantisation."""
    made = {_FAMILY_OF[name] for name in one.techniques if name in _FAMILY_OF}
    if len(made) > 1:
        return "composed"
    return made.pop() if made else "quantised" if quantised(one) else "baseline"


def svg(figure: Figure, name: str) -> str:
    """Figure as an SVG element for a page: no outside address, INK and the like as variables.

    name: makes the ids in it different from another figure's.
    """
    file = io.StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata=empty, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    text = re.sub(r'\s*xmlns(:\w+)?="[^"]*"', "", text)
    # Names of the figure's parts, which two figures share and nothing refers to.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (PAPER, "--paper")):
        text = text.replace(colour, f"var({variable})")
    return text.strip()


def png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG with two pixels for one of the page."""
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
