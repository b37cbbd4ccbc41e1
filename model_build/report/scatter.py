"""Scatter plots of a search: accuracy against a cost, with intervals and the Pareto front."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from model_build.report.figures import FAMILIES, INK, MUTED, PAPER, STYLE, family, quantised
from model_build.report.label_placement import Box, place
from model_build.search.measurements import Measured, Search
from model_build.search.selection import Limits, pareto_front

type Point = tuple[float, float]

_RING: dict[str, Any] = {"color": "none", "markeredgecolor": INK, "markeredgewidth": 1.6}
_ERROR_TICKS = [0.5, 0.2, 0.1, 0.08, 0.05, 0.03, 0.02, 0.015, 0.01, 0.005, 0.002, 0.001, 0.0005]


def against_size(search: Search, chosen: str | None, limits: Limits) -> Figure:
    """Held-out accuracy against the size of the file, with the Pareto front."""
    sizes = [candidate.bytes / 1024 for candidate in search.candidates]
    limit = limits.max_bytes and limits.max_bytes / 1024
    spread = [(size, size) for size in sizes]
    return _scatter(search, chosen, sizes, spread, "file, KiB", limit, "--max-bytes")


def against_latency(search: Search, chosen: str | None, limits: Limits) -> Figure:
    """Held-out accuracy against latency relative to the reference, with the Pareto front."""
    ratios = [candidate.latency_ratio for candidate in search.candidates]
    spread = [candidate.latency_ratio_interval for candidate in search.candidates]
    title = f"latency, {search.reference} = 1"
    return _scatter(
        search, chosen, ratios, spread, title, limits.max_latency_ratio, "--max-latency-ratio"
    )


def _scatter(
    search: Search,
    chosen: str | None,
    costs: Sequence[float],
    spread: Sequence[Point],
    title: str,
    limit: float | None,
    option: str,
) -> Figure:
    candidates = search.candidates
    # Accuracies crowd together near 1; a log scale of the error spreads them.
    floor = 0.5 / max(search.dataset["held_out"], 1)
    errors = np.array([max(1 - candidate.accuracy, floor) for candidate in candidates])
    bounds = np.array([candidate.accuracy_interval for candidate in candidates]).reshape(-1, 2)
    highest = np.maximum(1 - bounds[:, 0], errors)
    lowest = np.clip(1 - bounds[:, 1], floor, errors)
    front = pareto_front(costs, [candidate.accuracy for candidate in candidates])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.4))
        figure.subplots_adjust(left=0.1, right=0.985, bottom=0.09, top=0.9)
        axes = figure.subplots()
        axes.set_yscale("log")
        span = highest.max() / lowest.min()
        axes.set_ylim(highest.max() * span**0.04, lowest.min() / span**0.04)
        axes.yaxis.set_major_locator(FixedLocator(_ERROR_TICKS))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * (1 - error):g}%"))
        lows, highs = (
            np.minimum(costs, np.array(spread).T[0]),
            np.maximum(costs, np.array(spread).T[1]),
        )
        _cost_axis(axes, lows.min(), highs.max())
        axes.set(xlabel=title)
        axes.set_ylabel("held-out accuracy (scale: log of the error)")
        axes.grid(visible=True)
        axes.set_axisbelow(True)
        for index, candidate in enumerate(candidates):
            colour, marker = FAMILIES[family(candidate)]
            axes.errorbar(
                costs[index],
                errors[index],
                xerr=[[costs[index] - lows[index]], [highs[index] - costs[index]]],
                yerr=[[errors[index] - lowest[index]], [highest[index] - errors[index]]],
                color=colour,
                alpha=0.45,
                linewidth=1,
                zorder=2,
            )
            axes.plot(
                costs[index],
                errors[index],
                marker,
                color=colour,
                markerfacecolor=colour if quantised(candidate) else PAPER,
                markeredgewidth=1.6,
                markersize=7.5,
                zorder=4,
            )
            if candidate.recipe == chosen:
                axes.plot(costs[index], errors[index], "o", zorder=5, **_RING, markersize=17)
        steps = _draw_front(
            axes, [(c, e) for c, e, on in zip(costs, errors, front, strict=True) if on]
        )
        lines = [*pairwise(steps)]
        lines += [
            ((cost, above), (cost, below))
            for cost, above, below in zip(costs, highest, lowest, strict=True)
        ]
        low, high = axes.get_xlim()
        if limit is not None and low < limit < high:
            axes.axvline(limit, color=INK, linestyle=":", linewidth=1.4, zorder=1)
            axes.text(limit, 0.005, f" {option}", transform=axes.get_xaxis_transform(), fontsize=9)
            lines.append(((limit, axes.get_ylim()[0]), (limit, axes.get_ylim()[1])))
        _legend(axes, candidates, chosen)
        _label(axes, search, chosen, np.column_stack([costs, errors]), front, lines)
        return figure


def _cost_axis(axes: Axes, low: float, high: float) -> None:
    """Log scale if the range is wide; the ticks are plain numbers in either case."""
    if high > 4 * low > 0:
        axes.set_xscale("log")
        margin = (high / low) ** 0.06
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(
            FixedLocator([d * 10.0**e for e in range(-3, 6) for d in (1, 2, 3, 5, 7)])
        )
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = (high - low) * 0.08 or high * 0.1 or 1
        axes.set_xlim(max(low - margin, 0), high + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _draw_front(axes: Axes, points: list[Point]) -> list[Point]:
    """Draw the Pareto front as steps; return their corners."""
    corners = [(min(cost for cost, _ in points), axes.get_ylim()[0])]
    for cost, error in sorted(points):
        corners += [(cost, corners[-1][1]), (cost, error)]
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    axes.plot(*zip(*corners, strict=True), color=INK, linewidth=1.2, alpha=0.7, zorder=3)
    return corners


def _legend(axes: Axes, candidates: Sequence[Measured], chosen: str | None) -> None:
    present = {family(candidate) for candidate in candidates}
    shown = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=8, label=name)
        for name, (colour, marker) in FAMILIES.items()
        if name in present
    ]
    hollow: dict[str, Any] = {
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
        "label": "hollow: float weights",
    }
    shown.append(Line2D([], [], color=MUTED, marker="o", linestyle="none", markersize=8, **hollow))
    shown.append(Line2D([], [], color=INK, linewidth=1.2, label="Pareto front"))
    if chosen is not None:
        shown.append(Line2D([], [], marker="o", markersize=13, label="chosen", **_RING))
    axes.legend(
        handles=shown,
        loc="lower left",
        bbox_to_anchor=(-0.08, 1.005),
        ncols=6,
        frameon=False,
        handletextpad=0.3,
        columnspacing=1.4,
    )


def _label(
    axes: Axes,
    search: Search,
    chosen: str | None,
    points: NDArray[np.float64],
    front: list[bool],
    lines: list[tuple[Point, Point]],
) -> None:
    """Label every candidate's point [N, 2], the chosen one and the front first."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    names = [candidate.recipe for candidate in search.candidates]
    order = sorted(range(len(names)), key=lambda i: (names[i] != chosen, not front[i]))
    texts = [
        axes.annotate(
            names[index],
            (points[index][0], points[index][1]),
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold" if names[index] == chosen else "normal",
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.4},
            zorder=6,
        )
        for index in order
    ]
    positions = axes.transData.transform(points)[order]
    sizes = [text.get_window_extent(renderer) for text in texts]
    ends = axes.transData.transform(np.array(lines).reshape(-1, 2)).reshape(-1, 2, 2)
    area = axes.get_window_extent(renderer)
    boxes = place(
        [(x, y) for x, y in positions],
        [(size.width + 4, size.height + 1) for size in sizes],
        Box(area.x0 + 2, area.y0 + 2, area.x1 - 2, area.y1 - 2),
        [Box(*line.min(axis=0), *line.max(axis=0)) for line in ends],
    )
    for text, (x, y), box in zip(texts, positions, boxes, strict=True):
        text.set_position(((box.left + box.right) / 2 - x, (box.bottom + box.top) / 2 - y))
        nearest = box.nearest((x, y))
        if math.dist(nearest, (x, y)) > 12:
            leader = axes.transData.inverted().transform([nearest, (x, y)])
            axes.plot(*leader.T, color=INK, alpha=0.7, linewidth=0.8, zorder=4.5)
