"""Compare live traffic with the baseline: log lines in, comparisons and a plot out."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drift_check import stability, traffic
from model_build.errors import NotInStore
from model_build.store.model_store import ModelStore

_INK, _PAPER, _DRIFT = "#1f6f8b", "#b9c4cc", "#c0392b"  # observed, expected, observed that drifted


@dataclass(frozen=True)
class Report:
    """Expected and observed traffic of one model version in one preprocessing mode.

    note: why there is no comparison, or empty.
    """

    version: str
    preprocess: str
    images: int
    labels: list[Any]
    expected: dict[str, list[int]]
    observed: dict[str, list[int]]
    comparisons: dict[str, stability.Comparison]
    note: str = ""

    @property
    def verdict(self) -> stability.Verdict:
        """Worst verdict of its statistics."""
        return stability.overall(self.comparisons)

    def document(self) -> dict[str, Any]:
        """Report as a JSON document."""
        return asdict(self) | {"verdict": self.verdict}


def collect(lines: Iterable[str]) -> traffic.Traffic:
    """Traffic in log lines; lines that are not JSON, or not about answers, are only counted."""
    live = traffic.Traffic()
    for line in lines:
        if line.strip():
            live.add(line)
    return live


def compare(
    live: traffic.Traffic, store: ModelStore, name: str, good: traffic.Traffic | None = None
) -> list[Report]:
    """Compare each model version's traffic with its own baseline, most images first.

    good: traffic of a period known to be good, to compare with instead of the manifests' baselines.
    """
    groups = sorted(live.values, key=live.images, reverse=True)
    return [_report(live, group, store, name, good) for group in groups]


def overall(reports: list[Report]) -> stability.Verdict:
    """Worst verdict of all reports."""
    verdicts = (report.verdict for report in reports)
    return max(verdicts, key=stability.VERDICTS.index, default="too few")


def plot(reports: list[Report], path: Path) -> None:
    """Draw observed over expected shares, one row per report, as an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - takes a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [report for report in reports if report.comparisons] or reports[:1]
    names = traffic.STATISTICS
    figure = Figure(figsize=(3.2 * len(names), 2.9 * max(len(shown), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(max(len(shown), 1), len(names), squeeze=False)
    for report, row in zip(shown, rows, strict=False):
        for name, axes in zip(names, row, strict=True):
            _draw(axes, report, name)
        row[0].set_ylabel(f"{report.version}\n{report.preprocess}, {report.images:,} images")
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _report(
    live: traffic.Traffic,
    group: traffic.Group,
    store: ModelStore,
    name: str,
    good: traffic.Traffic | None,
) -> Report:
    version, mode = group
    images = live.images(group)
    try:
        manifest = store.manifest(live.names.get(version, name), version)
    except NotInStore as error:
        return Report(version, mode, images, [], {}, {}, {}, str(error))
    labels = manifest.output.labels
    observed = live.histograms(group, labels)
    if good is None:
        expected = traffic.baseline(manifest.baseline, mode)
        note = f"its manifest has no baseline for preprocess={mode}; pass --baseline"
    else:
        expected = good.histograms(group, labels) if group in good.values else {}
        note = f"the traffic of --baseline has no images of this version with preprocess={mode}"
    comparisons = stability.compare(expected, observed)
    return Report(
        version, mode, images, labels, expected, observed, comparisons, "" if expected else note
    )


def _draw(axes: Any, report: Report, name: str) -> None:
    expected, observed = (
        [count / max(sum(counts), 1) for count in counts]
        for counts in (report.expected.get(name, []), report.observed.get(name, []))
    )
    comparison = report.comparisons.get(name)
    bins = max(len(expected), len(observed))
    if name == traffic.CLASSES:
        centers, width = [float(index) for index in range(bins)], 0.8
        axes.set_xticks(centers, [str(label) for label in report.labels][:bins])
    else:
        low, high, count = traffic.BINS[name]
        width = (high - low) / count
        centers = [low + (index + 0.5) * width for index in range(bins)]
    if expected:
        axes.bar(centers, expected, width, color=_PAPER, label="expected")
    is_drift = comparison is not None and comparison.verdict == "drift"
    colour = _DRIFT if is_drift else _INK
    if observed:
        axes.step(
            [centers[0] - width / 2, *[c + width / 2 for c in centers]],
            [observed[0], *observed],
            color=colour,
            label="observed",
        )
    axes.set_title(
        f"{name}: {comparison.verdict}, PSI {comparison.psi:.2f}" if comparison else name,
        fontsize=10,
    )
    axes.set_yticks([])
