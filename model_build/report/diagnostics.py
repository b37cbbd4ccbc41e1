"""Plots of a candidate's errors: reliability diagram, confusion matrix, misread samples."""

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from model_build.report.figures import FAMILIES, INK, MUTED, PAPER, STYLE
from model_build.search.measurements import Measured, wilson_interval

_MAX_MISREAD = 40


def reliability(candidate: Measured) -> Figure:
    """Accuracy of the held-out samples by confidence, and their number."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        bins = [entry for entry in candidate.reliability if entry["count"]]
        edges = np.linspace(0, 1, len(candidate.reliability) + 1)
        upper.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1, label="perfectly calibrated")
        confidence = np.array([entry["confidence"] for entry in bins])
        accuracy = np.array([entry["accuracy"] for entry in bins])
        intervals = np.array(
            [wilson_interval(round(e["accuracy"] * e["count"]), e["count"]) for e in bins]
        ).reshape(-1, 2)
        upper.errorbar(
            confidence,
            accuracy,
            yerr=np.abs(intervals.T - accuracy),
            fmt="o",
            color=FAMILIES["quantised"][0],
            markersize=6,
            linewidth=1.2,
            label="held-out samples, 95% interval",
        )
        upper.set(ylim=(-0.03, 1.03), xlim=(-0.01, 1.01), ylabel="accuracy")
        upper.legend(loc="upper left", frameon=False)
        temperature = (
            "" if candidate.temperature is None else f", temperature {candidate.temperature:.2f}"
        )
        upper.set_title(
            f"calibration error {candidate.expected_calibration_error:.3f}{temperature}", loc="left"
        )
        counts = [entry["count"] for entry in candidate.reliability]
        lower.bar(edges[:-1], counts, np.diff(edges), align="edge", color=MUTED, edgecolor=PAPER)
        lower.set_yscale("symlog", linthresh=1)
        lower.set(ylim=(0, max([*counts, 1]) * 2), ylabel="samples", xlabel="confidence")
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        lower.yaxis.set_minor_locator(NullLocator())
        for axes in (upper, lower):
            axes.grid(visible=True)
            axes.set_axisbelow(True)
        _percent(upper.yaxis)
        _percent(lower.xaxis)
        return figure


def confusion(candidate: Measured) -> Figure:
    """Counts of held-out samples by true class and prediction; zeros are left blank."""
    counts = np.array(candidate.confusion)
    classes = len(counts)
    wrong = counts - np.diag(counts.diagonal())
    scale_maximum = max(int(wrong.max()), 10)  # one or two mistakes should not look alarming
    colours = mpl.colormaps["YlOrRd"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.6), layout="constrained")
        axes = figure.subplots()
        for row, column in np.argwhere(counts):
            count = counts[row, column]
            corner = (column - 0.5, row - 0.5)
            if row == column:
                cell = Rectangle(corner, 1, 1, facecolor=MUTED, alpha=0.22)
                colour = INK
            else:
                share = 0.15 + 0.75 * math.log(count) / math.log(scale_maximum)
                cell = Rectangle(corner, 1, 1, facecolor=colours(share))
                # The page's theme changes neither this colour nor the cell's.
                colour = "#ffffff" if share > 0.65 else "#000000"
            axes.add_patch(cell)
            size = 11 if classes <= 12 else 7
            axes.text(column, row, str(count), ha="center", va="center", color=colour, size=size)
        axes.set(
            xlim=(-0.5, classes - 0.5),
            ylim=(classes - 0.5, -0.5),
            xticks=range(classes),
            yticks=range(classes),
            xlabel="predicted class",
            ylabel="true class",
            aspect="equal",
        )
        axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.grid(visible=True, which="minor")
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        return figure


def misread(candidate: Measured) -> Figure:
    """Sheet of at most 40 misread held-out samples, the most confident first."""
    surest = sorted(candidate.misread, key=lambda wrong: (-wrong["confidence"], wrong["index"]))
    shown = surest[:_MAX_MISREAD]
    columns = 10
    rows = max(1, math.ceil(len(shown) / columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 0.4 + 1.25 * rows))
        # One axes for all digits, each a square of 1 by 1: forty would take seconds to draw.
        axes = figure.add_axes((0.01, 0, 0.98, 1 - 0.4 / figure.get_figheight()))
        for index, wrong in enumerate(shown):
            left, top = index % columns * 1.1, index // columns * 1.65
            axes.imshow(
                np.array(wrong["image"], np.uint8),
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
                extent=(left, left + 1, top + 1.3, top + 0.3),
            )
            read = f"{wrong['label']} → {wrong['predicted']}"
            axes.text(left + 0.5, top + 0.24, read, ha="center", va="baseline")
            confidence = f"{wrong['confidence']:.0%}"
            axes.text(left + 0.5, top + 1.5, confidence, ha="center", va="baseline", fontsize=9)
        axes.set(xlim=(0, columns * 1.1 - 0.1), ylim=(rows * 1.65 - 0.1, 0), aspect="equal")
        axes.set_axis_off()
        title = f"{len(candidate.misread)} misread of {sum(map(sum, candidate.confusion)):,}"
        if len(surest) > len(shown):
            title += f", the {len(shown)} most confident"
        figure.suptitle(
            f"{title} (true → predicted, confidence)",
            fontsize=12,
            x=0.01,
            ha="left",
            va="top",
            y=1 - 0.08 / figure.get_figheight(),
        )
        return figure


def _percent(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator(np.linspace(0, 1, 6).tolist()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
