"""Commands on the model store: list, show, diff, promote, rollback, verify, gc, copy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markdown import Markdown
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from classifier.model.manifest import Manifest
from model_build.cli.console import (
    DEFAULT_STORE,
    ChannelOption,
    NameOption,
    SigningKeyOption,
    StoreOption,
    VersionArgument,
    VersionOption,
    app,
    check_address,
    check_name,
    console,
)
from model_build.store import garbage_collection, inventory
from model_build.store.manifest_diff import ABSENT, Difference, compare
from model_build.store.model_store import MODEL, ModelStore
from model_build.store.model_store import copy as copy_version
from model_build.store.verify import verify

PANEL = "Model store"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Promote a version in spite of its doubts.")
]
OneNameOption = Annotated[
    str | None, typer.Option("--name", callback=check_name, help="Only this model.")
]
_COLOURS = {"+": "green", "-": "red", "~": "yellow", " ": ""}
_SHARES = ("accuracy", "class ")


@app.command("list", rich_help_panel=PANEL)
def list_versions(
    store: StoreOption = DEFAULT_STORE,
    name: OneNameOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """List every model's versions, newest first, and the channels that point at them."""
    inventories = inventory.take(ModelStore(store), name)
    if as_json:
        _print_json({model.name: _listed(model) for model in inventories})
        return
    if not inventories:
        console.print(f"{store} is empty; `python -m model_build publish` fills it", soft_wrap=True)
    for model in inventories:
        console.print(_list_table(model))
        if incomplete := len(model.listing.incomplete):
            console.print(
                f"  and {incomplete} incomplete, invisible to readers; `gc` will remove them"
            )


@app.command(rich_help_panel=PANEL)
def show(
    version: VersionArgument = "production",
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
    card: Annotated[bool, typer.Option("--card", help="Show the model card instead.")] = False,  # noqa: FBT002
) -> None:
    """Show a version's manifest and the channels and histories that refer to it."""
    if card and as_json:
        raise typer.BadParameter("--card is Markdown; omit --json")
    models = ModelStore(store)
    version = models.resolve(name, version)
    manifest = models.manifest(name, version)
    if card:
        _print_card(models.card(manifest))
        return
    model = inventory.take(models, name)[0]
    if as_json:
        _print_json(
            {
                "manifest": manifest.document,
                "channels": model.pointed_by(version),
                "histories": model.remembered_by(version),
            }
        )
        return
    console.print(Text(f"{name} {version}", "bold"))
    table = _plain_table()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("created", manifest.created)
    table.add_row("channels", ", ".join(model.pointed_by(version)) or "none")
    table.add_row("in the history of", ", ".join(model.remembered_by(version)) or "none")
    for doubt in manifest.doubts:
        table.add_row(Text("doubt", "yellow"), doubt)
    section = ""
    for field in compare(manifest.document, manifest.document):
        if field.section != section:
            section = field.section
            table.add_row(Text(section, "bold"), "")
        table.add_row(f"  {field.field}", _shown(field.field, field.left, short=False))
    if manifest.quantization is None:
        table.add_row(Text("quantization", "bold"), "none, fp32")
    console.print(table)


@app.command(rich_help_panel=PANEL)
def diff(
    a: VersionArgument,
    b: VersionArgument,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show metrics, quantisation, lineage, input and output of two versions side by side."""
    models = ModelStore(store)
    versions = [models.resolve(name, one) for one in (a, b)]
    differences = compare(*(models.manifest(name, version).document for version in versions))
    if as_json:
        fields = [
            {
                "section": one.section,
                "field": one.field,
                "a": None if one.left is ABSENT else one.left,
                "b": None if one.right is ABSENT else one.right,
                "sign": one.sign.strip() or "=",
                "difference": one.change,
            }
            for one in differences
        ]
        _print_json({"name": name, "a": versions[0], "b": versions[1], "fields": fields})
        return
    console.print(f"A: {name} {versions[0]}\nB: {name} {versions[1]}")
    console.print(_diff_table(differences))
    console.print("~ changed   + only in B   - only in A")


@app.command(rich_help_panel=PANEL)
def promote(
    version: VersionArgument,
    channel: ChannelOption = "production",
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    force: ForceOption = False,  # noqa: FBT002 - a flag of the command line
    signing_key: SigningKeyOption = "",
) -> None:
    """Point a channel at a version, after checking its files and, with a key, its signature."""
    models = ModelStore(store, signing_key=signing_key)
    document = models.promote(name, models.resolve(name, version), channel, force=force)
    console.print(f"{channel} of {name} is {document['version']}")


@app.command(rich_help_panel=PANEL)
def rollback(
    channel: ChannelOption = "production",
    to: Annotated[
        str | None,
        typer.Option(
            callback=check_name,
            help="Version in the channel's history; by default the previous one.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    signing_key: SigningKeyOption = "",
) -> None:
    """Point a channel at its previous version; run again to go back further."""
    before, after = ModelStore(store, signing_key=signing_key).rollback(name, channel, to)
    console.print(f"{channel} of {name} was {before['version']}")
    console.print(f"{channel} of {name} is  {after['version']}")


@app.command("verify", rich_help_panel=PANEL)
def verify_store(
    store: StoreOption = DEFAULT_STORE,
    name: OneNameOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
    signing_key: SigningKeyOption = "",
) -> None:
    """Rehash every file, check every manifest and channel; exit 1 if there is a problem."""
    with _bar("verifying", shown=not as_json) as step:
        report = verify(ModelStore(store, signing_key=signing_key), name, step)
    if as_json:
        _print_json(asdict(report))
    else:
        for problem in report.problems:
            console.print(Text.assemble(("problem: ", "red"), problem), soft_wrap=True)
        for note in report.notes:
            console.print(Text.assemble(("note: ", "yellow"), note), soft_wrap=True)
        console.print(
            f"{_count(report.models, 'model')}, {_count(report.versions, 'version')} "
            f"({_size(report.bytes)} hashed), {_count(report.channels, 'channel')}: "
            f"{_count(len(report.problems), 'problem')}, {_count(len(report.notes), 'note')}"
        )
    if report.problems:
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Remove the versions.")] = False,  # noqa: FBT002
    keep: Annotated[
        int, typer.Option(min=0, help="Also keep this many of the newest versions.")
    ] = 0,
    min_age: Annotated[
        float, typer.Option(min=0, help="Age in days at which an interrupted publish is removed.")
    ] = 1,
    take_over: Annotated[bool, typer.Option(help="Resume a gc that was just killed.")] = False,  # noqa: FBT002
    store: StoreOption = DEFAULT_STORE,
    name: OneNameOption = None,
) -> None:
    """Remove versions that no channel or history refers to; a dry run without --delete.

    The parents of kept versions are kept too: an int8 model is built from its fp32 parent.
    """
    models = ModelStore(store)
    age = timedelta(days=min_age)
    inventories = inventory.take(models, name)
    if not inventories:
        console.print(f"{store} is empty", soft_wrap=True)
    for model in inventories:
        if delete:
            with _bar("removing", shown=True) as step:
                plan = garbage_collection.collect(
                    models, model.name, newest=keep, min_age=age, take_over=take_over, step=step
                )
        else:
            plan = garbage_collection.plan(models, model.name, newest=keep, min_age=age)
        verb = "removed" if delete else "would remove"
        for version, reason in plan.keep.items():
            console.print(f"keep {model.name} {version}: {reason}", soft_wrap=True)
        for version, reason in plan.remove.items():
            line = Text.assemble((verb, "yellow"), f" {model.name} {version}: {reason}")
            console.print(line, soft_wrap=True)
        for entry in plan.unfinished:
            line = Text.assemble((verb, "yellow"), f" {entry.key}: an interrupted write")
            console.print(line, soft_wrap=True)
        console.print(
            f"{model.name}: {verb} {_count(len(plan.remove), 'version')}, {_size(plan.bytes)}"
            + ("" if delete or not plan.bytes else "; pass --delete to remove them")
        )


@app.command("copy", rich_help_panel=PANEL)
def copy_command(
    target: Annotated[str, typer.Argument(callback=check_address, help="Model store to copy to.")],
    version: VersionOption = "production",
    channel: Annotated[
        str, typer.Option(callback=check_name, help="Channel to promote it to in the target store.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    name: NameOption = "mnist",
    force: ForceOption = False,  # noqa: FBT002 - a flag of the command line
    signing_key: SigningKeyOption = "",
) -> None:
    """Copy a version and its parent to another store; with --channel, promote it there."""
    models = ModelStore(target, signing_key=signing_key)
    copied = copy_version(ModelStore(store), models, name, version)
    console.print(f"copied {name} {copied} to {target}", soft_wrap=True)
    if channel:
        models.promote(name, copied, channel, force=force)
        console.print(f"{channel} of {name} is {copied}")


@contextmanager
def _bar(title: str, *, shown: bool) -> Iterator[garbage_collection.Step]:
    hidden = not shown or not console.is_terminal
    with Progress(console=console, disable=hidden, transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, of: bars.update(task, completed=done, total=of)


def _print_card(card: str) -> None:
    """Print Markdown: rendered on a terminal, without what it holds for model hubs; else as is."""
    if console.is_terminal:
        console.print(Markdown(card.split("---\n", 2)[2]))
    else:
        typer.echo(card, nl=False)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))


def _listed(model: inventory.Inventory) -> dict[str, Any]:
    versions = [
        {
            "version": version,
            "created": manifest and manifest.created,
            "bytes": _bytes(model, version),
            "quantization": manifest and manifest.quantization,
            "accuracy": manifest and manifest.metrics.accuracy,
            "channels": model.pointed_by(version),
            "histories": model.remembered_by(version),
        }
        for version, manifest in model.manifests.items()
    ]
    return {
        "versions": versions,
        "incomplete": model.listing.incomplete,
        "channels": model.channels,
    }


def _list_table(model: inventory.Inventory) -> Table:
    table = Table(
        title=f"{model.name}: {_count(len(model.manifests), 'version')}",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("version", no_wrap=True)
    table.add_column("created", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("weights")
    table.add_column("accuracy", justify="right", no_wrap=True)
    table.add_column("channels", overflow="fold")
    for version, manifest in model.manifests.items():
        channels = Text(", ".join(model.pointed_by(version)), "green")
        size = _size(_bytes(model, version))
        if manifest is None:
            table.add_row(version, Text("corrupt", "red"), size, "", "", channels)
            continue
        created = manifest.created.replace("T", " ")[:16]
        share = manifest.metrics.accuracy
        accuracy = "" if share is None else f"{share:.2%}"
        table.add_row(version, created, size, _weights(manifest), accuracy, channels)
    return table


def _diff_table(differences: list[Difference]) -> Table:
    table = _plain_table()
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_row("", "", Text("A", "bold"), Text("B", "bold"), Text("B - A", "bold"))
    section = ""
    for difference in differences:
        if difference.section != section:
            section = difference.section
            table.add_row("", Text(section, "bold"), "", "", "")
        table.add_row(
            difference.sign,
            f"  {difference.field}",
            _shown(difference.field, difference.left, short=True),
            _shown(difference.field, difference.right, short=True),
            _change(difference),
            style=_COLOURS[difference.sign],
        )
    return table


def _plain_table() -> Table:
    return Table(box=None, show_header=False, padding=(0, 1, 0, 0))


def _shown(name: str, value: Any, *, short: bool) -> str:
    """Format the value of a manifest's field; short cuts digests to 12 characters."""
    if value is ABSENT:
        return ""
    if name.startswith(_SHARES):
        return "no pictures" if value is None else f"{value:.2%}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if short and name.endswith(("sha256", "git_commit")) and value:
        dirty = "-dirty" if value.endswith("-dirty") else ""
        return f"{value[:12]}…{dirty}"
    return "none" if value is None else str(value)


def _change(difference: Difference) -> str:
    if difference.change is None:
        return ""
    if difference.field.startswith(_SHARES):
        return f"{difference.change * 100:+.2f} points"
    return (
        f"{difference.change:+,}"
        if isinstance(difference.change, int)
        else f"{difference.change:+.4g}"
    )


def _weights(manifest: Manifest) -> str:
    quantization = manifest.quantization
    if quantization is None:
        return "fp32"
    return str(quantization.get("weights", quantization["method"])).partition(",")[0]


def _bytes(model: inventory.Inventory, version: str) -> int:
    entry = model.listing.versions[version].get(MODEL)
    return entry.bytes if entry else 0


def _size(size: int) -> str:
    return f"{size / 1024:,.0f} KiB" if size < 1024 * 1024 else f"{size / 1024**2:,.1f} MiB"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
