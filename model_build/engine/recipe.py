"""Recipes: which techniques make a candidate, in which order, from one TOML file each.

    description = "What a reader of the report should know of it"
    after = "cnn"                  # optional: first the stages of another recipe

    [[stage]]
    technique = "prune"            # one of TECHNIQUES
    sparsity = 0.7                 # and its parameters

A stage makes a `network` (Keras) or a `graph` (ONNX). Where a stage needs a graph and the one
before made a network, the network is converted; every candidate ends as a graph with its
temperature.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from model_build.errors import RecipeError

type Kind = Literal["network", "graph"]

FOLDER = Path(__file__).parents[1] / "recipes"
_TRAINING: dict[str, type] = {
    "epochs": int,
    "learning_rate": float,
    "batch": int,
    "label_smoothing": float,
    "augmentation": bool,
}


@dataclass(frozen=True)
class Technique:
    """What a stage may be: what it needs from the one before, what it makes, what it is told."""

    makes: Kind
    needs: Kind | None  # None: it may stand first
    parameters: Mapping[str, type] = field(default_factory=dict)
    required: tuple[str, ...] = ()


TECHNIQUES: dict[str, Technique] = {
    "train": Technique("network", None, _TRAINING | {"architecture": str}, ("architecture",)),
    "fine-tune": Technique("network", "network", _TRAINING),
    "distil": Technique(
        "network",
        None,
        _TRAINING | {"architecture": str, "teachers": list, "temperature": float, "mix": float},
        ("architecture", "teachers"),
    ),
    "prune": Technique("network", "network", _TRAINING | {"sparsity": float}, ("sparsity",)),
    "remove-filters": Technique("network", "network", _TRAINING | {"keep": float}, ("keep",)),
    "factorise": Technique("network", "network", {"energy": float}, ("energy",)),
    "convert": Technique("graph", "network"),
    "qat": Technique("graph", "network", _TRAINING),
    "quantise-dynamic": Technique("graph", "graph"),
    "quantise-static": Technique("graph", "graph", {"method": str, "per_channel": bool}),
    "quantise-weights": Technique("graph", "graph", {"bits": int}),
}
_TRAINED = ("train", "fine-tune", "distil", "prune", "remove-filters", "qat")


@dataclass(frozen=True)
class Stage:
    """One technique and its parameters."""

    technique: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How one candidate is made."""

    name: str
    description: str
    stages: tuple[Stage, ...]

    @property
    def teachers(self) -> list[str]:
        """Recipes whose networks teach in this one."""
        return [name for stage in self.stages for name in stage.parameters.get("teachers", [])]


def load(folder: Path = FOLDER) -> dict[str, Recipe]:
    """All recipes `*.toml` of a folder by name; those that others build on come first.

    Raises RecipeError, naming the file, for what no recipe may hold.
    """
    documents = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    if not documents:
        raise RecipeError(f"{folder} holds no recipe; a recipe is a file with the ending .toml")
    loaded: dict[str, Recipe] = {}
    for name in documents:
        _resolve(name, documents, loaded, ())
    return loaded


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is no TOML: {error}") from error


def _resolve(
    name: str,
    documents: dict[str, dict[str, Any]],
    loaded: dict[str, Recipe],
    pending: tuple[str, ...],
) -> Recipe:
    """Load one recipe after those that it names."""
    if name in loaded:
        return loaded[name]
    if name in pending:
        raise RecipeError(f"the recipes {' → '.join((*pending, name))} need each other")
    document = documents[name]
    file = f"{name}.toml"
    unknown = document.keys() - {"description", "after", "stage"}
    if unknown:
        raise RecipeError(
            f"{file}: {', '.join(sorted(unknown))} is not known; a recipe has description, after "
            "and [[stage]]"
        )
    description, after = document.get("description"), document.get("after")
    if not isinstance(description, str) or not description:
        raise RecipeError(f"{file}: a description is missing; say in a sentence what it shows")
    tables = document.get("stage", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError(f"{file}: stages are tables; write [[stage]] before each")
    own = tuple(_stage(file, table) for table in tables)
    named = [after] if after is not None else []
    named += [teacher for stage in own for teacher in stage.parameters.get("teachers", [])]
    for other in named:
        if other not in documents:
            raise RecipeError(f"{file}: there is no recipe {other!r} beside it")
        _resolve(other, documents, loaded, (*pending, name))
    recipe = Recipe(name, description, (loaded[after].stages if after else ()) + own)
    _check_order(file, recipe)
    for teacher in recipe.teachers:
        if not network_stages(loaded[teacher]):
            raise RecipeError(f"{file}: {teacher} makes no network; it can't teach")
    loaded[name] = recipe
    return recipe


def network_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Give the recipe's first stages, as far as they make a network."""
    return tuple(stage for stage in recipe.stages if TECHNIQUES[stage.technique].makes == "network")


def _stage(file: str, table: dict[str, Any]) -> Stage:
    name = table.get("technique")
    if name not in TECHNIQUES:
        raise RecipeError(
            f"{file}: technique {name!r} is not known; choose one of {', '.join(TECHNIQUES)}"
        )
    technique = TECHNIQUES[name]
    parameters = {key: value for key, value in table.items() if key != "technique"}
    unknown = parameters.keys() - technique.parameters.keys()
    if unknown:
        known = ", ".join(technique.parameters) or "none"
        raise RecipeError(
            f"{file}: {name} has no parameter {', '.join(sorted(unknown))}; it has {known}"
        )
    required = {*technique.required, *(("epochs",) if name in _TRAINED else ())}
    missing = required - parameters.keys()
    if missing:
        raise RecipeError(f"{file}: {name} needs {', '.join(sorted(missing))}")
    for key, value in parameters.items():
        expected = technique.parameters[key]
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            parameters[key] = float(value)
        elif type(value) is not expected:
            raise RecipeError(f"{file}: {key} of {name} is {value!r}, not {expected.__name__}")
    return Stage(name, parameters)


def _check_order(file: str, recipe: Recipe) -> None:
    """Each stage finds what it needs; networks come before graphs."""
    made: Kind | None = None
    for stage in recipe.stages:
        technique = TECHNIQUES[stage.technique]
        if technique.needs is None and made is not None:
            raise RecipeError(f"{file}: {stage.technique} starts anew and can only stand first")
        if technique.needs is not None and made is None:
            raise RecipeError(
                f"{file}: {stage.technique} needs a {technique.needs}; begin with a stage that "
                "trains one, or with `after`"
            )
        if technique.needs == "network" and made == "graph":
            raise RecipeError(
                f"{file}: {stage.technique} needs a network, but a stage before it made a graph"
            )
        made = technique.makes
    if made is None:
        raise RecipeError(f"{file}: there is no stage; write [[stage]] and a technique")
