"""The techniques that recipes are made of, each the function `build_stage` of one module.

    def build_stage(context: StageContext, **parameters) -> dict[str, Any] | None

It reads what the stage before made and writes what it makes; what it returns is kept in the
stage's record. For a technique that quantises, that is what the manifest says of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

type Kind = Literal["network", "graph"]  # Keras, ONNX

_TRAINING: dict[str, type] = {
    "epochs": int,
    "learning_rate": float,
    "batch": int,
    "label_smoothing": float,
    "augmentation": bool,
}


@dataclass(frozen=True)
class Technique:
    """Where a technique is, what it needs from the stage before, what it makes, what it is told."""

    module: str  # in model_build
    needs: Kind | None  # None: it stands first
    makes: Kind | None  # None: nothing but its record
    parameters: Mapping[str, type] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    quantises: bool = False


TECHNIQUES: dict[str, Technique] = {
    "train": Technique(
        "training.train",
        needs=None,
        makes="network",
        parameters=_TRAINING | {"architecture": str},
        required=("architecture", "epochs"),
    ),
    "fine-tune": Technique(
        "training.fine_tune",
        needs="network",
        makes="network",
        parameters=_TRAINING,
        required=("epochs",),
    ),
    "distil": Technique(
        "training.distil",
        needs=None,
        makes="network",
        parameters=_TRAINING
        | {"architecture": str, "teachers": list, "temperature": float, "mix": float},
        required=("architecture", "teachers", "temperature", "mix", "epochs"),
    ),
    "prune": Technique(
        "training.prune",
        needs="network",
        makes="network",
        parameters=_TRAINING | {"sparsity": float},
        required=("sparsity", "epochs"),
    ),
    "remove-filters": Technique(
        "training.filter_pruning",
        needs="network",
        makes="network",
        parameters=_TRAINING | {"keep": float},
        required=("keep", "epochs"),
    ),
    "factorise": Technique(
        "training.factorise",
        needs="network",
        makes="network",
        parameters={"energy": float},
        required=("energy",),
    ),
    "qat": Technique(
        "training.qat",
        needs="network",
        makes="graph",
        parameters=_TRAINING,
        required=("epochs",),
        quantises=True,
    ),
    "quantise-dynamic": Technique("quantise.dynamic", needs="graph", makes="graph", quantises=True),
    "quantise-static": Technique(
        "quantise.static",
        needs="graph",
        makes="graph",
        parameters={"method": str, "per_channel": bool},
        quantises=True,
    ),
    "quantise-weights": Technique(
        "quantise.weight_only",
        needs="graph",
        makes="graph",
        parameters={"bits": int},
        quantises=True,
    ),
}
# No recipe names these: they are put in where they belong.
IMPLIED: dict[str, Technique] = {
    "convert": Technique("graph.convert", needs="network", makes="graph"),
    "optimise": Technique("graph.optimise", needs="graph", makes="graph"),
    "calibrate": Technique("graph.temperature", needs="graph", makes="graph"),
    "evaluate": Technique("evaluation.held_out", needs=None, makes=None),
}
ALL = TECHNIQUES | IMPLIED
