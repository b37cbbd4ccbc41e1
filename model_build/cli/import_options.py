"""Arguments and options of `import`."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from model_build.cli.console import check_name

# Of ModelName in template.yaml: a model of another name can't be deployed.
MODEL_NAME = re.compile("[a-z0-9][a-z0-9-]{0,62}")


class OutputKind(StrEnum):
    """What a model outputs."""

    AUTO = "auto"
    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    SIGMOID = "sigmoid"


class Background(StrEnum):
    """Background of the pictures."""

    DARK = "dark"
    LIGHT = "light"


def check_model_name(name: str) -> str:
    """Reject a name that the stack's template does not accept; empty means no name."""
    if name and not MODEL_NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is not a model's name; expected 1 to 63 lower-case letters, digits and "
            "hyphens, not starting with a hyphen"
        )
    return name


ModelArgument = Annotated[
    Path,
    typer.Argument(
        exists=True,
        help="ONNX file; or a model of Keras, TensorFlow or PyTorch, where this Python has it.",
    ),
]
PicturesArgument = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        file_okay=False,
        help="Folder of pictures: with one sub-folder per label, half of them calibrate and the "
        "others evaluate; without sub-folders, all calibrate.",
    ),
]
LabelsOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Labels in the order of the model's output: one per line, or JSON.",
    ),
]
PreprocessOption = Annotated[
    str,
    typer.Option(help="How pictures become the model's input: a preset, or the author's file."),
]
FindOption = Annotated[
    bool,
    typer.Option(
        "--find-preprocess",
        help="Rank likely ways of --preprocess by labelled pictures, and publish nothing.",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="With --evaluation: folder of pictures to calibrate with; at most 512 are used.",
    ),
]
EvaluationOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of pictures to evaluate on, one sub-folder per label.",
    ),
]
ExpectedOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Your framework's own outputs, which the served ones must agree with: an .npz file "
        "with names of pictures and outputs.",
    ),
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Largest difference from --expected in a probability, and of a compressed model from "
        "fp32.",
    ),
]
NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        callback=check_model_name,
        help="Name of the model in the store; by default from the file's name.",
    ),
]
ChannelOption = Annotated[
    str, typer.Option(callback=check_name, help="Channel to point at the version, if any.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Point --channel at the version in spite of doubts.")
]
BackgroundOption = Annotated[
    Background | None,
    typer.Option(help="resize: background the model was trained on; other pictures are inverted."),
]
PadOption = Annotated[bool, typer.Option("--pad", help="resize: pad to keep the aspect ratio.")]
ScaleOption = Annotated[
    float | None,
    typer.Option(help="float32: scale in (value x scale - mean) / std; default 1/255."),
]
MeanOption = Annotated[str, typer.Option(help="mean in --scale: one number, or R,G,B.")]
StdOption = Annotated[str, typer.Option(help="std in --scale: one number, or R,G,B.")]
SizeOption = Annotated[
    str,
    typer.Option(
        help="Height x width of the input in pixels, as in 224x224, or one side, where the file "
        "leaves it open."
    ),
]
OutputOption = Annotated[OutputKind, typer.Option(help="What the model outputs; auto detects it.")]
OutputNameOption = Annotated[
    str | None, typer.Option(help="Output to use, if the model has several.")
]
MinAccuracyOption = Annotated[
    float, typer.Option(min=0, max=1, help="Publish nothing below this accuracy.")
]
MinAgreementOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Compress only if this share of pictures gets the same answer as from fp32, with 95 % "
        "confidence; 1 keeps fp32.",
    ),
]
MemoryOption = Annotated[
    int, typer.Option(min=1, help="MiB of activations to hold while int8 is calibrated.")
]
FolderOption = Annotated[
    Path, typer.Option("--build", file_okay=False, help="Folder for the import's files.")
]
