"""What `import` shows: the graph, the figures of what is published, and what to type next."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from model_build.cli.console import DEFAULT_STORE
from model_build.evaluation.evaluate import Evaluation, Measurement, worst
from model_build.importing.candidates import Choice
from model_build.importing.description import Description, Port
from model_build.importing.find_preprocess import Ranked

_SHOWN = 6  # operators


def description(path: Path, found: Description) -> Table:
    """Table of what an ONNX file says of itself."""
    table = Table(title=path.name, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    layout = f", {found.layout}" if found.layout else ""
    table.add_row("inputs", "\n".join(map(_port, found.inputs)) + layout)
    table.add_row("outputs", "\n".join(map(_port, found.outputs)))
    table.add_row("opset", f"{found.opset}, IR {found.ir_version}")
    if found.producer:
        table.add_row("made by", found.producer)
    table.add_row("parameters", f"{found.parameters:,}, {found.bytes / 2**20:,.1f} MiB")
    table.add_row("operators", _operators(found.operators))
    if found.quantised:
        table.add_row("quantised", f"{found.quantised}: published as it is")
    else:
        table.add_row("without int8", _operators(found.without_int8) or "none")
    return table


def ways(ranked: Sequence[Ranked]) -> Table:
    """Table of the best ways to prepare pictures, and of all that may be as good."""
    table = Table(title="Ways to prepare pictures, the best first", box=SIMPLE)
    for column in ("log-loss", "95 %", "accuracy"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    tied = sum(way.is_tied for way in ranked)
    for way in ranked[: max(tied, _SHOWN)]:
        members = {key: value for key, value in way.preprocess.items() if key != "pipeline"}
        texts = [f"{key} {_value(value)}" for key, value in members.items()]
        interval = f"{way.low:.3f} to {way.high:.3f}"
        told = "may be as good: " if way.is_tied and way is not ranked[0] else ""
        table.add_row(
            f"{way.log_loss:.3f}", interval, f"{way.accuracy:.1%}", told + ", ".join(texts)
        )
    return table


def recipes(choice: Choice) -> Table:
    """Table of the recipes that were tried, beside the original."""
    table = Table(title="Compared with fp32: same answer, and largest change", box=SIMPLE)
    table.collapse_padding, table.pad_edge = True, False
    table.add_column("recipe", no_wrap=True)
    for column in ("top-1", "change", "size", "time"):
        table.add_column(column, justify="right")
    table.add_column("", ratio=1)
    for tried in choice.figures:
        agreement = tried.agreement
        answers, costs = ("", ""), ("", "")
        if agreement is not None:
            answers = f"{agreement.top1:.1%}", f"{agreement.largest_difference:.3f}"
        if tried.run_ms:  # it did not fail
            costs = f"{tried.bytes_ratio:.0%}", f"{tried.time_ratio:.0%}"
        table.add_row(tried.recipe, *answers, *costs, tried.fault)
    return table


def figures(measured: dict[str, Measurement], labels: Sequence[object]) -> Table:
    """Table of model files side by side."""
    table = Table(title="Preprocessed by the function's own code; one thread, batch 1")
    table.add_column("")
    for name in measured:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Evaluation], str]] = {}
    if all(isinstance(one, Evaluation) for one in measured.values()):
        rows = {
            "accuracy": lambda one: f"{one.accuracy:.2%}",
            "worst class": lambda one: worst(one.per_class_accuracy, labels),
            "calibration error": lambda one: f"{one.expected_calibration_error:.4f}",
        }
    rows |= {
        "size": lambda one: f"{one.bytes / 1024:,.0f} KiB",
        "latency, median": lambda one: f"{one.latency_p50_ms:.3f} ms",
    }
    for title, row in rows.items():
        table.add_row(title, *(row(one) for one in measured.values()))  # type: ignore[arg-type]
    return table


def next_steps(name: str, version: str, store: str, channel: str, *, doubted: bool) -> str:
    """Commands that the user may want next. channel: that points at the version, or empty."""
    is_usual = store == DEFAULT_STORE
    serve = "" if is_usual else f"MODEL_STORE_URL={store} "
    pinned = "" if channel == "production" else f"MODEL_VERSION={channel or version} "
    lines = {"serve": f"{serve}MODEL_NAME={name} {pinned}make serve"}
    if channel != "production":
        options = ("" if is_usual else f" --store {store}") + (" --force" if doubted else "")
        lines["promote"] = f"python -m model_build promote {version} --name {name}{options}"
    folder = "" if is_usual else f" STORE={store}"
    lines["deploy"] = f'make deploy PARAMETERS="ModelName={name}"{folder}'
    return "\n".join(f"  {title:8} {line}" for title, line in lines.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return "/".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _port(port: Port) -> str:
    shape = ", ".join("?" if side is None else str(side) for side in port.shape)
    return f"{port.name}: {port.kind} [{shape}]"


def _operators(counts: dict[str, int]) -> str:
    shown = [f"{count} {name}" for name, count in list(counts.items())[:_SHOWN]]
    rest = sum(list(counts.values())[_SHOWN:])
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
