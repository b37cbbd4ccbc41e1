"""The techniques that recipes are made of, each the function `build_stage` of one module.

    def build_stage(context: StageContext, **parameters) -> dict[str, Any] | None

It reads the previous stage's output and writes its own; its return value is kept in the stage's
record. For a technique that quantises, that is the manifest's `quantization`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

type Kind = Literal["network", "graph"]  # Keras, ONNX

_EPOCHS: dict[str, type] = {"epochs": int}
_PAGES: dict[str, type] = {"pages": int}
_SCHEDULE: dict[str, type] = {
    "learning_rate": float,
    "batch": int,
    "label_smoothing": float,
    "augmentation": bool,
}
_DISTIL: dict[str, type] = {
    "architecture": str,
    "teachers": list,
    "temperature": float,
    "mix": float,
}


@dataclass(frozen=True)
class Technique:
    """A technique's module, what it needs from the previous stage, its output, its parameters."""

    module: str  # in model_build
    needs: Kind | None  # None: it comes first
    makes: Kind | None  # None: only its record
    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)
    quantises: bool = False


TECHNIQUES: dict[str, Technique] = {
    "train": Technique(
        "training.train", None, "network", {"architecture": str} | _EPOCHS, _SCHEDULE
    ),
    "distil": Technique("training.distil", None, "network", _DISTIL | _EPOCHS, _SCHEDULE),
    "fine-tune": Technique("training.fine_tune", "network", "network", _EPOCHS, _SCHEDULE),
    "prune": Technique(
        "training.prune", "network", "network", {"sparsity": float} | _EPOCHS, _SCHEDULE
    ),
    "remove-filters": Technique(
        "training.filter_pruning", "network", "network", {"keep": float} | _EPOCHS, _SCHEDULE
    ),
    "factorise": Technique("training.factorise", "network", "network", {"energy": float}),
    "qat": Technique("training.qat", "network", "graph", _EPOCHS, _SCHEDULE, quantises=True),
    "quantise-dynamic": Technique("quantise.dynamic", "graph", "graph", quantises=True),
    "quantise-static": Technique(
        "quantise.static",
        "graph",
        "graph",
        optional={"method": str, "per_channel": bool},
        quantises=True,
    ),
    "quantise-weights": Technique(
        "quantise.weight_only", "graph", "graph", optional={"bits": int}, quantises=True
    ),
}
# Recipes do not name these: they are inserted where they belong.
IMPLIED: dict[str, Technique] = {
    "train-finder": Technique("finding.train_finder", None, "graph", _PAGES | _EPOCHS),
    "draw-samples": Technique("finding.draw_samples", None, None, _PAGES),
    "convert": Technique("graph.convert", "network", "graph"),
    "optimise": Technique("graph.optimise", "graph", "graph"),
    "calibrate": Technique("graph.temperature", "graph", "graph"),
    "evaluate": Technique("evaluation.held_out", None, None),
}
ALL = TECHNIQUES | IMPLIED
