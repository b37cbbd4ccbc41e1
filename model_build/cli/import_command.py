"""Command `import`: check, quantise, evaluate and publish a user's own ONNX classifier."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import typer

from classifier.prepare import encoding
from model_build.cli import import_options as options
from model_build.cli import import_report
from model_build.cli.console import (
    DEFAULT_STORE,
    SignOption,
    StoreOption,
    app,
    console,
    progress_bars,
    publishing_store,
    timed,
)
from model_build.errors import ImportRefused
from model_build.evaluation.evaluate import session
from model_build.importing import candidates
from model_build.importing import expected as expectations
from model_build.importing import find_preprocess as find
from model_build.importing import labels as labels_of
from model_build.importing.adoption import Description, adopt, describe
from model_build.importing.labels import Labels
from model_build.importing.pictures import Pictures, separate, split
from model_build.importing.preprocessing import PRESETS, from_file, preset
from model_build.importing.publication import Imported, input_of
from model_build.importing.steps import Proof, Steps
from model_build.store import manifest

_AUTHORS_FILE = "preprocessor_config.json"
_PHOTO = 96  # pixels: models of photos have inputs of at least this side


@app.command("import")
def import_model(
    model: options.ModelArgument,
    labels: options.LabelsOption,
    pictures: options.PicturesArgument = None,
    preprocess: options.PreprocessOption = "",
    find_preprocess: options.FindOption = False,  # noqa: FBT002 - a flag of the command line
    calibration: options.CalibrationOption = None,
    evaluation: options.EvaluationOption = None,
    expected: options.ExpectedOption = None,
    tolerance: options.ToleranceOption = expectations.TOLERANCE,
    name: options.NameOption = "",
    store: StoreOption = DEFAULT_STORE,
    sign: SignOption = None,
    channel: options.ChannelOption = "",
    force: options.ForceOption = False,  # noqa: FBT002 - a flag of the command line
    background: options.BackgroundOption = None,
    pad: options.PadOption = False,  # noqa: FBT002 - a flag of the command line
    scale: options.ScaleOption = None,
    mean: options.MeanOption = "",
    std: options.StdOption = "",
    size: options.SizeOption = "",
    output: options.OutputOption = options.OutputKind.AUTO,
    output_name: options.OutputNameOption = None,
    min_accuracy: options.MinAccuracyOption = 0,
    min_agreement: options.MinAgreementOption = candidates.MIN_AGREEMENT,
    memory: options.MemoryOption = candidates.BUDGET_BYTES // 2**20,
    build: options.FolderOption = Path("build/import"),
) -> None:
    """Import an ONNX classifier of your own: check, quantise, evaluate, publish.

    Without pictures, it is published as it is; with pictures, also quantised; with labelled
    pictures, also evaluated.
    """
    name = name or _name_of(model)
    target = publishing_store(store, sign)
    asked = _asked(preprocess, model, background, pad=pad)
    sides = _size(size) or _frame(asked)
    class_labels = labels_of.read(labels)
    parts = _parts(class_labels, pictures, calibration, evaluation)
    proof = None
    if expected:
        answers = expectations.read(expected)
        folders = [part for part in (pictures, calibration, evaluation) if part]
        proof = Proof(answers, answers.files(folders), tolerance)
    described = describe(model, sides)
    console.print(import_report.description(model, described))
    how = asked or _guess(described)
    numbers = _numbers(scale, mean, std)

    def encoder(dtype: str, shape: list[Any]) -> encoding.Encoding:
        source = input_of(dtype, shape, how.parameters, numbers)
        return encoding.Encoding.from_manifest(*source[1:])

    folder = build / name
    folder.mkdir(parents=True, exist_ok=True)
    with timed("check"):
        adopted = adopt(
            model,
            folder / "adopted.onnx",
            len(class_labels),
            encoder,
            output=output.value,
            output_name=output_name,
            size=sides,
        )
    source = input_of(adopted.dtype, adopted.shape, how.parameters, numbers)
    imported = Imported(folder, class_labels.names, adopted, source)
    for note in (*class_labels.notes, *adopted.notes, f"preprocessing: {how.source}"):
        _say(note)
    if find_preprocess:
        _suggest(imported, *parts)
        return
    steps = Steps(imported, *parts, proof, min_agreement, _say, _bar)
    steps.prove()
    with timed("compress"):
        choice = steps.compress(memory * 2**20)
    if choice.figures:
        console.print(import_report.recipes(choice))
    steps.calibrate()
    with timed("evaluate"):
        steps.evaluate()
    console.print(import_report.figures(steps.measured, class_labels.names))
    steps.fall_back()
    steps.check_accuracy(min_accuracy)
    doubts = steps.doubts(is_guess=how.is_guess)
    versions = steps.publish(target, name, doubts)
    _tell(steps, name, versions, doubts)
    version = versions[steps.best]
    if channel:
        target.promote(name, version, channel, force=force)
        console.print(f"{channel} of {name} is {version}")
    after = import_report.next_steps(name, version, store, channel, doubted=bool(doubts))
    console.print(f"next:\n{after}", soft_wrap=True)


def _tell(steps: Steps, name: str, versions: dict[str, str], doubts: list[str]) -> None:
    """Say what was published, and how far it can be trusted."""
    for candidate, version in versions.items():
        console.print(f"published {name} {candidate}: {version}", soft_wrap=True)
    for title, sentences in (("doubt", doubts), ("missing", steps.lacks())):
        for sentence in sentences:
            console.print(f"{title}: {sentence}", soft_wrap=True)
    if steps.agreement is not None:
        console.print(f"{steps.best} against fp32: {steps.agreement}", soft_wrap=True)


def _suggest(imported: Imported, calibration: Pictures, evaluation: Pictures) -> None:
    """Rank the likely ways to prepare pictures, and write the best one for --preprocess."""
    if evaluation.truth is None or imported.is_multi_label:
        raise ImportRefused(
            "--find-preprocess needs labelled pictures, one label each: a folder with one "
            "sub-folder per label"
        )
    pictures = calibration if calibration.truth is not None else evaluation
    model = session(imported.folder / "adopted.onnx")
    shape, dtype = imported.encode.shape, imported.input.dtype
    with console.status("trying ways to prepare pictures"):
        ranked = find.find_preprocess(model, pictures.files, pictures.labels, shape, dtype)
    console.print(import_report.ways(ranked))
    best = imported.folder / "preprocess.json"
    best.write_bytes(manifest.encode(ranked[0].preprocess))
    _say(f"if your model was trained that way, add --preprocess {best}")
    _say(
        "labels seldom tell one filter from another: if you know the author's, put it into the "
        'file, as in "interpolation": "bicubic"'
    )


class _Preprocessing(NamedTuple):
    """Members of a manifest's `preprocess`, and where they are from."""

    parameters: dict[str, Any]
    source: str
    is_guess: bool = False


def _asked(
    asked: str, model: Path, background: options.Background | None, *, pad: bool
) -> _Preprocessing | None:
    """Read --preprocess, or the author's file beside the model; None without both."""
    if asked != "resize" and (background or pad):
        raise typer.BadParameter("--background and --pad require --preprocess resize")
    beside = model.parent / _AUTHORS_FILE
    if not asked and beside.is_file():
        return _Preprocessing(from_file(beside), f"{beside.name} beside the model")
    if not asked:
        return None
    if asked == "resize":
        own = {"background": background.value} if background else {}
        fit = {"fit": "longer", "pad_colour": "border"} if pad else {"fit": "squash"}
        return _Preprocessing({"pipeline": "picture", **fit, **own}, asked)
    if Path(asked).is_file():
        return _Preprocessing(from_file(Path(asked)), asked)
    if asked not in PRESETS:
        raise typer.BadParameter(
            f"there is no file and no preset {asked!r}; expected a file, or one of resize, "
            f"{', '.join(PRESETS)}",
            param_hint="--preprocess",
        )
    return _Preprocessing(preset(asked), asked)


def _guess(described: Description) -> _Preprocessing:
    """`imagenet` for what looks like a classifier of photos, else `resize`."""
    sides = [side for port in described.inputs[:1] for side in port.shape[1:]]
    lengths = sorted(side for side in sides if isinstance(side, int))
    if len(lengths) == 3 and lengths[0] == 3 and lengths[1] >= _PHOTO:
        return _Preprocessing(preset("imagenet"), "imagenet, a guess", is_guess=True)
    parameters = {"pipeline": "picture", "fit": "squash"}
    return _Preprocessing(parameters, "resize, a guess", is_guess=True)


def _parts(
    labels: Labels, pictures: Path | None, calibration: Path | None, evaluation: Path | None
) -> tuple[Pictures, Pictures]:
    """Pictures to calibrate with and to evaluate on, as far as the user gives any."""
    if pictures and (calibration or evaluation):
        raise typer.BadParameter(
            "expected either PICTURES or --calibration and --evaluation, got both"
        )
    if evaluation and not calibration:
        raise typer.BadParameter(
            "--evaluation requires --calibration; give one folder of labelled pictures as PICTURES "
            "to use a half of it for each"
        )
    if pictures:
        return split(Pictures.read(pictures, labels))
    if not calibration:
        return Pictures(Path()), Pictures(Path())
    if not evaluation:
        return split(Pictures.read(calibration, None))
    return separate(_labelled_or_not(calibration, labels), Pictures.read(evaluation, labels))


def _labelled_or_not(folder: Path, labels: Labels) -> Pictures:
    """Read a folder to calibrate with, whose sub-folders need not be labels."""
    try:
        return Pictures.read(folder, labels)
    except ImportRefused:
        return Pictures.read(folder, None)


def _name_of(model: Path) -> str:
    """Name of a model from its file's, in the characters that a stack accepts."""
    name = re.sub("[^a-z0-9]+", "-", model.stem.lower()).strip("-")[:63].rstrip("-")
    if not name:
        raise typer.BadParameter(f"{model.name!r} has no letters to name the model by; pass --name")
    return name


def _numbers(scale: float | None, mean: str, std: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {} if scale is None else {"scale": scale}
    for key, text in (("mean", mean), ("std", std)):
        if text:
            try:
                numbers[key] = [float(part) for part in text.split(",")]
            except ValueError as error:
                raise typer.BadParameter(
                    f"expected a number, or three separated by commas, got {text!r}",
                    param_hint=f"--{key}",
                ) from error
    return numbers


def _size(text: str) -> tuple[int, int] | None:
    """Height and width from --size, None if it is empty."""
    if not text:
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}([x,][1-9][0-9]{0,3})?", text):
        raise typer.BadParameter(
            f"expected height x width in pixels, as in 224x224, or one side, got {text!r}"
        )
    sides = [int(side) for side in re.split("[x,]", text)]
    return sides[0], sides[-1]


def _frame(asked: _Preprocessing | None) -> tuple[int, int] | None:
    """Height and width that an author's file names."""
    height, width = asked.parameters.get("frame", (0, 0)) if asked else (0, 0)
    return (int(height), int(width)) if height else None


def _say(sentence: str) -> None:
    console.print(f"  {sentence}", soft_wrap=True)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function that advances a progress bar by one picture."""
    with progress_bars() as bars:
        task = bars.add_task(title, total=total, visible=total > 0)
        yield lambda: bars.advance(task)
