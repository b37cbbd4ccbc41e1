"""Write docs/performance.md and its two plots from the measured figures."""

# ruff: noqa: E501, RUF001 - Markdown lines, and the signs that a page has

import statistics
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench import ROOT, imports
from bench.candidates import LABELS

DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
NOTES = ROOT / "bench/notes.md"  # what was tried, written by hand

type Samples = dict[str, list[dict[str, float]]]

WARM = {
    "drawing": "280 × 280 PNG",
    "small photo": "512 × 384 JPEG",
    "medium photo": "1024 × 768 JPEG",
    "photo": "4000 × 3000 JPEG",
    "digit": "28 × 28 sample",
}
WARM_LIMITS = {"drawing": 3, "small photo": 2.5, "medium photo": 1.3, "photo": 0.3, "digit": 2.5}
STAGES = {"digit": "28 × 28 PNG", "drawing": "drawing, 280 × 280 PNG", "photo": "12-megapixel JPEG"}


def write(results: dict[str, Any]) -> None:
    """Write the report and its plots."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    plot_cold(results["cold"])
    tree = imports.parse(results["imports"])
    plot_imports(tree)
    (DOCS / "performance.md").write_text(page(results, tree))


def page(results: dict[str, Any], tree: list[imports.Import]) -> str:
    """The report in Markdown."""
    machine, cold = results["machine"], results["cold"]
    where = "a container of the base image" if machine["docker"] else "the host"
    vnni = "with" if machine["vnni"] else "without"
    return f"""# Performance

Written by `make bench`, which repeats every measurement except those in *What was tried*.
{results["date"]}, {machine["cpu"]}, {machine["cores"]} cores, {vnni} VNNI, Linux {machine["kernel"]},
Python {machine["python"]}; load average {machine["load"]} before and {machine["load after"]} after.
Absolute times depend on the machine; compare the ratios: candidates took turns, A B A B, in one run.

## Targets

{targets(results)}

## Cold start

Process start to the first answer of `/predict`, timed from outside, under Lambda's runtime interface emulator in {where};
{results["rounds"]} rounds of all candidates in shuffled order (TensorFlow 5). All have the same Python, packages and
compiled bytecode; the page cache is warm. S3 is moto on loopback, in its own process.
*Ratio* is the median of the rounds' own ratios to the floor, with quartiles. *CPU* is the kernel's accounting of the
function's processes, without the emulator, which load on the machine distorts least. *Read* counts `read()` and touched mapped
pages.

{cold_table(cold)}

![Cold starts]({"images/performance-cold-start.png"})

## Where a cold start goes

![Imports](images/performance-imports.png)

Milliseconds of `python -X importtime`, modules over 4 ms in total:

{import_table(tree)}

## Where a warm request goes

Microseconds, median, each stage called separately:

{stage_table(results["stages"])}

## Warm requests

{warm_table(results["requests"])}

## The int8 model against its fp32 parent

{model_table(results["models"])}

## Memory

Resident memory of the function's process, nine of ten requests a 28 × 28 PNG, the tenth a drawing:

{memory_table(results["memory"])}

{NOTES.read_text()}
## How to repeat

`make bench`; `ROUNDS=5` for a quick look. It needs `make model` first. The peers are in `bench/peers/`, and the raw figures
in `build/bench/results.json`. `make test` checks what does not depend on the machine, in
`tests/unit/predict/test_budgets.py`: the modules that a cold request imports, the files it opens, and the instructions of a
warm one. `tests/integration/test_sam_local.py` checks the size of the image.
"""


def ratios(samples: Samples, name: str, field: str) -> tuple[float, ...]:
    """First quartile, median and third quartile of the rounds' own ratios."""
    pairs = zip(samples[name], samples["floor"], strict=False)  # TensorFlow has fewer rounds
    return quartiles([sample[field] / other[field] for sample, other in pairs])


def quartiles(values: list[float]) -> tuple[float, ...]:
    """First quartile, median and third quartile."""
    return tuple(statistics.quantiles(values, n=4)) if len(values) > 1 else (values[0],) * 3


def targets(results: dict[str, Any]) -> str:
    """The table of targets and what was measured."""
    cold, warm, models = results["cold"], results["requests"], results["models"]
    memory, image = results["memory"], results["image"]
    growth = memory["resident after 10000"] - memory["resident after 100"]

    def warm_ratio(name: str, point: str) -> float:
        return float(warm[name]["function"][point] / warm[name]["bare"][point])

    def model_ratio(what: str) -> float:
        return float(models[what]["int8"]["p50"] / models[what]["fp32"]["p50"])

    size = models["bytes"]["int8"] / models["bytes"]["fp32"]
    lines: list[tuple[str, str, float, float, str]] = [
        (
            "cold start, model from S3, against the floor: wall clock",
            "≤ 1.25",
            ratios(cold, "function", "seconds")[1],
            1.25,
            "",
        ),
        ("the same, CPU time", "≤ 1.25", ratios(cold, "function", "cpu")[1], 1.25, ""),
        *(
            (
                f"warm {WARM[name]}, against bare decode, resize, run: p50",
                f"≤ {limit}",
                warm_ratio(name, "p50"),
                limit,
                "",
            )
            for name, limit in WARM_LIMITS.items()
        ),
        ("a batch of 32, against 32 single calls", "≤ 0.35", warm_ratio("batch", "p50"), 0.35, ""),
        ("int8 against fp32: `session.run`", "≤ 0.75", model_ratio("run"), 0.75, ""),
        ("int8 against fp32: file size", "≤ 0.42", size, 0.42, ""),
        ("int8 against fp32: session load", "≤ 1.5", model_ratio("load"), 1.5, ""),
        ("peak memory after 1,000 requests", "≤ 110 MB", memory["peak after 1000"], 110, " MB"),
        ("growth from the 100th to the 10,000th request", "none", growth, 1.0, " MB"),
    ]
    if image:
        lines.append(
            (
                "image layers over the base, uncompressed",
                "≤ 150 MB",
                image["over the base"],
                150,
                " MB",
            )
        )
    return _table(
        ["what", "target", "measured", "met"],
        [
            [
                what,
                target,
                f"{value:.{0 if unit and value > 10 else 2}f}{unit}",
                "yes" if value <= limit else "**no**",
            ]
            for what, target, value, limit, unit in lines
        ],
    )


def cold_table(cold: Samples) -> str:
    """Every candidate's cold start, the quickest first."""
    rows = []
    for name in sorted(cold, key=lambda name: ratios(cold, name, "seconds")[1]):
        wall = quartiles([sample["seconds"] * 1000 for sample in cold[name]])
        cpu = quartiles([sample["cpu"] * 1000 for sample in cold[name]])
        ratio, of_cpu = ratios(cold, name, "seconds"), ratios(cold, name, "cpu")
        rows.append(
            [
                LABELS[name],
                f"{wall[1]:.0f} ({wall[0]:.0f}–{wall[2]:.0f})",
                f"**{ratio[1]:.2f}** ({ratio[0]:.2f}–{ratio[2]:.2f})",
                f"{cpu[1]:.0f}",
                f"{of_cpu[1]:.2f} ({of_cpu[0]:.2f}–{of_cpu[2]:.2f})",
                f"{statistics.median(sample['read_mb'] for sample in cold[name]):.0f}",
                f"{statistics.median(sample['peak_mb'] for sample in cold[name]):.0f}",
            ]
        )
    head = ["candidate", "ms (quartiles)", "ratio", "CPU ms", "CPU ratio", "read MB", "peak MB"]
    return _table(head, rows)


def warm_table(requests: dict[str, Any]) -> str:
    """The handler against the least code that can answer."""
    against = {
        name: (f"{what} in JSON", "decode, resize and run alone") for name, what in WARM.items()
    }
    against["batch"] = ("32 PNGs in one request", "32 requests")
    rows = []
    for name, (what, base) in against.items():
        ours, theirs = requests[name]["function"], requests[name]["bare"]
        rows.append(
            [what, base]
            + [
                f"{ours[p] * 1e3:.2f} / {theirs[p] * 1e3:.2f} = **{ours[p] / theirs[p]:.2f}**"
                for p in ("p50", "p99")
            ]
        )
    return _table(["request", "against", "p50, ms", "p99, ms"], rows)


def stage_table(stages: dict[str, Any]) -> str:
    """Each stage of a request, for three kinds of picture."""
    names = list(stages["digit"])
    rows = [
        [name, *(f"{stages[kind][name]['p50'] * 1e6:.0f}" for kind in STAGES)] for name in names
    ]
    return _table(["stage", *STAGES.values()], rows)


def model_table(models: dict[str, Any]) -> str:
    """Run, load and size of int8 and fp32."""
    rows = []
    for name, what, scale, unit in (
        ("run", "`session.run`, batch 1", 1e6, "µs"),
        ("load", "session load", 1e3, "ms"),
    ):
        int8, fp32 = models[name]["int8"]["p50"], models[name]["fp32"]["p50"]
        rows.append(
            [what, f"{int8 * scale:.2f} {unit}", f"{fp32 * scale:.2f} {unit}", f"{int8 / fp32:.2f}"]
        )
    int8, fp32 = models["bytes"]["int8"], models["bytes"]["fp32"]
    rows.append(["file", f"{int8:,} bytes", f"{fp32:,} bytes", f"{int8 / fp32:.2f}"])
    return _table(["", "int8", "fp32", "ratio"], rows)


def memory_table(memory: dict[str, float]) -> str:
    """Resident memory and its peak after numbers of requests."""
    numbers = (1, 100, 1000, 10000)
    return _table(
        ["after", "resident MB", "peak MB"],
        [
            [f"{n:,}", f"{memory[f'resident after {n}']:.1f}", f"{memory[f'peak after {n}']:.1f}"]
            for n in numbers
        ],
    )


def import_table(tree: list[imports.Import]) -> str:
    """The heavier imports as an indented list."""
    lines = [
        f"{total / 1000:7.1f} {own / 1000:7.1f}  {'  ' * depth}{name}"
        for depth, name, total, own in imports.rows(tree, least=4000)
    ]
    return "```\n  total     own\n" + "\n".join(lines) + "\n```"


def plot_cold(cold: Samples) -> None:
    """Bars of the cold starts, wall clock and CPU, with quartiles."""
    names = sorted(cold, key=lambda name: -ratios(cold, name, "seconds")[1])
    figure, axes = plt.subplots(figsize=(9, 3.8), layout="constrained")
    for offset, field, label, colour in (
        (0.2, "seconds", "wall clock", "#2a6f97"),
        (-0.2, "cpu", "CPU time", "#a9d6e5"),
    ):
        spread = [quartiles([sample[field] * 1000 for sample in cold[name]]) for name in names]
        middle = [median for _, median, _ in spread]
        errors = [[m - low for low, m, _ in spread], [high - m for _, m, high in spread]]
        positions = [index + offset for index in range(len(names))]
        axes.barh(positions, middle, 0.38, xerr=errors, label=label, color=colour, ecolor="#444444")
        if field == "seconds":
            for position, name, (_, _, high) in zip(positions, names, spread, strict=True):
                axes.text(
                    high * 1.06,
                    position,
                    f"{ratios(cold, name, field)[1]:.2f} ×",
                    va="center",
                    fontsize=8,
                )
    axes.set_yticks(range(len(names)), [LABELS[name] for name in names], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds to the first answer, logarithmic; × is the ratio to the floor")
    axes.margins(x=0.12)
    axes.legend(loc="upper right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGES / "performance-cold-start.png", dpi=110)
    plt.close(figure)


def plot_imports(tree: list[imports.Import]) -> None:
    """Flame chart of the imports: width is time, and below a module is what it imported."""
    figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
    palette = {"numpy": "#4d7cc1", "onnxruntime": "#c1554d", "PIL": "#5aa469", "obstore": "#8e6bb0"}

    def draw(modules: list[imports.Import], left: float, depth: int) -> float:
        for module in modules:
            width = module.total / 1000
            if width >= 0.3 and depth < 9:
                colour = palette.get(
                    module.name.partition(".")[0], "#e0a458" if depth else "#d9d9d9"
                )
                axes.barh(-depth, width, 0.94, left, color=colour, edgecolor="white", linewidth=0.4)
                name = module.name.rpartition(".")[2]
                if width > total * 0.009 * len(name):
                    axes.text(
                        left + width / 2, -depth, name, ha="center", va="center", fontsize=6.5
                    )
                draw(module.children, left, depth + 1)
            left += width
        return left

    total = sum(module.total for module in tree) / 1000
    draw(tree, 0, 0)
    axes.set_xlim(0, total)
    axes.set_yticks([])
    axes.set_xlabel("milliseconds of import, with the bare interpreter's own at the left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(IMAGES / "performance-imports.png", dpi=110)
    plt.close(figure)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
