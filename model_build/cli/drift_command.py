"""Command `drift`: compare live traffic with the data the model was evaluated on."""

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from model_build.cli.console import DEFAULT_STORE, NameOption, StoreOption, app, console
from model_build.errors import TrafficError

if TYPE_CHECKING:
    from drift_check import stability, traffic
    from model_build.evaluation.drift import Report

DRIFTED = 3  # exit code
_STDIN = Path("-")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_STYLES = {"drift": "bold red", "watch": "yellow", "none": "green", "too few": "dim"}

LogGroupOption = Annotated[
    str, typer.Option(help="Log group of the function: the stack's LogGroup output.")
]


def _log_file(path: Path | None) -> Path | None:
    if path not in (None, _STDIN) and not path.is_file():
        raise typer.BadParameter(f"{str(path)!r} is not a file; expected a file, or - for stdin")
    return path


FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        callback=_log_file,
        help="File of log lines to read instead of --log-group; - is standard input.",
    ),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        exists=True,
        dir_okay=False,
        help="File of log lines to compare with, instead of the manifest's baseline.",
    ),
]


def period(since: str) -> timedelta:
    """Read `24h`, `30m` or `7d`; raises BadParameter for anything else."""
    match = re.fullmatch("([0-9]{1,5})([mhd])", since)
    if not match:
        raise typer.BadParameter(
            f"period must be a number of m, h or d, such as 24h, got {since!r}"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _check_period(since: str) -> str:
    period(since)
    return since


@app.command()
def drift(
    log_group: LogGroupOption = "",
    since: Annotated[
        str, typer.Option(callback=_check_period, help="How far back to read: 30m, 24h, 7d.")
    ] = "24h",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of requests to read.")] = 50_000,
    file: FileOption = None,
    baseline: BaselineOption = None,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    plot: Annotated[Path, typer.Option(help="Image file to write.")] = Path("build/drift.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Compare live traffic with the model's baseline; exit code 3 if it drifted."""
    from model_build.evaluation import drift as drifts  # noqa: PLC0415 - onnxruntime takes a second
    from model_build.store.model_store import ModelStore  # noqa: PLC0415

    if bool(log_group) == bool(file):
        raise typer.BadParameter("expected either --log-group or --file")
    live = drifts.collect(_lines(file) if file else _cloud(log_group, since, limit))
    good = drifts.collect(_lines(baseline)) if baseline else None
    if not live.values:
        raise TrafficError(
            f"none of the {live.lines:,} log lines records a prediction; look further back with "
            "--since, or check that --log-group is the predict function's"
        )
    reports = drifts.compare(live, ModelStore(store), name, good)
    verdict = drifts.overall(reports)
    drifts.plot(reports, plot)
    if as_json:
        document = {
            "verdict": verdict,
            "lines": live.lines,
            "not_json": live.not_json,
            "plot": str(plot),
            "reports": [report.document() for report in reports],
        }
        typer.echo(json.dumps(document))
    else:
        _print(reports, verdict, live)
        console.print(f"plot: {plot}", soft_wrap=True)
    if verdict == "drift":
        raise typer.Exit(DRIFTED)


def _lines(file: Path) -> Iterable[str]:
    if file == _STDIN:
        return sys.stdin
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _cloud(log_group: str, since: str, limit: int) -> Iterable[str]:
    import boto3  # noqa: PLC0415 - not needed with --file
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from drift_check import traffic as read  # noqa: PLC0415

    now = datetime.now(UTC)
    start, end = (int(moment.timestamp() * 1000) for moment in (now - period(since), now))
    try:
        yield from read.read_logs(boto3.client("logs"), log_group, start, end, limit)
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: invalid endpoint URL
        raise TrafficError(f"log group {log_group} can't be read: {error}") from error


def _print(reports: list["Report"], verdict: "stability.Verdict", live: "traffic.Traffic") -> None:
    for report in reports:
        title = f"{report.version}, preprocess={report.preprocess}, {report.images:,} images"
        if report.note:
            console.print(f"{title}: not compared, {report.note}", soft_wrap=True)
            continue
        table = Table(title=title)
        table.add_column("statistic")
        for column in ("PSI", "p-value", "verdict"):
            table.add_column(column, justify="right")
        for name, comparison in report.comparisons.items():
            verdict_text = Text(comparison.verdict, _STYLES[comparison.verdict])
            table.add_row(name, f"{comparison.psi:.3f}", f"{comparison.p_value:.2g}", verdict_text)
        console.print(table)
    if live.not_json:
        console.print(f"{live.not_json:,} of {live.lines:,} lines were not JSON")
    console.print(Text.assemble("verdict: ", (verdict, _STYLES[verdict])))
