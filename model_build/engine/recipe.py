"""Recipes: the techniques that make a model, in order, one TOML file each.

    description = "What a reader of the report should know about it"
    after = "cnn"                  # optional: start with another recipe's stages
    min_accuracy = { full = 0.98 } # optional: the gate's limit by profile; default: that of `after`

    [finder]                       # optional: a network that finds digits in pictures
    pages = 20000                  # drawn pages that it learns from, and
    epochs = 6                     # how often
    samples = 14000                # pages that give the model more samples to train on

    [[stage]]
    technique = "prune"            # one of TECHNIQUES
    sparsity = 0.7                 # and its parameters

A stage makes a `network` (Keras) or a `graph` (ONNX). If a stage needs a graph and the previous one
made a network, the network is converted and optimised; every model ends as a calibrated graph.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from model_build.engine.techniques import TECHNIQUES, Kind
from model_build.errors import RecipeError

FOLDER = Path(__file__).parents[1] / "recipes"
PROFILES = {"full": 1.0, "quick": 0.1}  # share of the epochs

type Stages = tuple[Stage, ...]


@dataclass(frozen=True)
class Stage:
    """One technique and its parameters.

    inputs: the stages of other models that it needs: teachers, or candidates to evaluate. samples:
    the stages that draw more samples to train on.
    """

    technique: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Stages, ...] = ()
    samples: Stages = ()

    def in_profile(self, profile: str) -> Self:
        """Stage with the profile's share of its epochs, at least one; so for its inputs.

        Only the full profile takes the time to train a finder and to draw samples.
        """
        if profile == "full":
            return self
        parameters = dict(self.parameters)
        if "epochs" in parameters:
            parameters["epochs"] = max(1, round(parameters["epochs"] * PROFILES[profile]))
        inputs = tuple(
            tuple(stage.in_profile(profile) for stage in stages) for stages in self.inputs
        )
        return replace(self, parameters=parameters, inputs=inputs, samples=())


CONVERT, OPTIMISE = Stage("convert"), Stage("optimise")


def to_documents(stages: Stages) -> list[dict[str, Any]]:
    """Stages as JSON documents."""
    return [
        {"technique": stage.technique, "parameters": stage.parameters}
        | ({"inputs": [to_documents(input_) for input_ in stage.inputs]} if stage.inputs else {})
        | ({"samples": to_documents(stage.samples)} if stage.samples else {})
        for stage in stages
    ]


def from_documents(documents: list[dict[str, Any]]) -> Stages:
    """Stages from the output of `to_documents`."""
    return tuple(
        Stage(
            document["technique"],
            document["parameters"],
            tuple(from_documents(stages) for stages in document.get("inputs", ())),
            from_documents(document.get("samples", [])),
        )
        for document in documents
    )


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    min_accuracy: the gate's limit on held-out accuracy, by profile. samples: the stages that draw
    more samples, by way of a finder; empty for a model without one.
    """

    name: str
    description: str
    stages: Stages
    min_accuracy: Mapping[str, float] = field(default_factory=dict)
    samples: Stages = ()

    def in_profile(self, profile: str) -> Self:
        """Recipe with the profile's number of epochs in each stage."""
        stages = tuple(stage.in_profile(profile) for stage in self.stages)
        return replace(self, stages=stages, samples=self.samples if profile == "full" else ())

    @property
    def finder(self) -> Stages:
        """Stages that make the finder; empty without one."""
        return self.samples[0].inputs[0] if self.samples else ()

    @property
    def calibrate(self) -> Stage:
        """The last stage of each candidate."""
        return Stage("calibrate", samples=self.samples)

    @property
    def network(self) -> Stages:
        """The leading stages that make a network."""
        return tuple(
            stage for stage in self.stages if TECHNIQUES[stage.technique].makes == "network"
        )

    @property
    def parent(self) -> Stages:
        """All stages of the float32 model: the network as a calibrated graph."""
        return (*self.network, CONVERT, OPTIMISE, self.calibrate)

    @property
    def model(self) -> Stages:
        """All stages of the recipe's own model, up to the calibrated graph."""
        on_graph = self.stages[len(self.network) :]
        if on_graph and TECHNIQUES[on_graph[0].technique].needs == "network":
            return (*self.stages, self.calibrate)
        return (*self.network, CONVERT, OPTIMISE, *on_graph, self.calibrate)

    @property
    def candidates(self) -> dict[str, Stages]:
        """What is published: `fp32`, and the quantised model under its weights' type."""
        quantising = [stage for stage in self.stages if TECHNIQUES[stage.technique].quantises]
        if not quantising:
            return {"fp32": self.parent}
        return {"fp32": self.parent, f"int{quantising[-1].parameters.get('bits', 8)}": self.model}

    @property
    def evaluation(self) -> Stages:
        """Stages that evaluate the candidates side by side."""
        candidates = self.candidates
        parameters = {"candidates": list(candidates)}
        return (Stage("evaluate", parameters, tuple(candidates.values()), self.samples),)


def folder_of(dataset: str) -> Path:
    """Folder of a data set's recipes: its own if there is one, else that of the digits."""
    own = FOLDER / dataset
    return own if own.is_dir() else FOLDER


def load(folder: Path = FOLDER) -> dict[str, Recipe]:
    """All recipes `*.toml` of a folder by name; a recipe comes after those it builds on.

    Raises RecipeError, naming the file, for an invalid recipe.
    """
    documents = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    if not documents:
        raise RecipeError(f"{folder} has no recipes; expected .toml files")
    loaded: dict[str, Recipe] = {}
    for name in documents:
        _resolve(name, documents, loaded, ())
    return loaded


def chosen(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Recipe with this name; raises RecipeError, listing the names, if there is none."""
    if name not in recipes:
        raise RecipeError(f"recipe must be one of {', '.join(recipes)}, got {name!r}")
    return recipes[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name} is not valid TOML: {error}") from error


def _resolve(
    name: str,
    documents: dict[str, dict[str, Any]],
    loaded: dict[str, Recipe],
    pending: tuple[str, ...],
) -> Recipe:
    """Load a recipe after those that it names."""
    if name in loaded:
        return loaded[name]
    if name in pending:
        raise RecipeError(f"the recipes {' → '.join((*pending, name))} depend on each other")
    document = documents[name]
    file = f"{name}.toml"
    unknown = document.keys() - {"description", "after", "min_accuracy", "finder", "stage"}
    if unknown:
        raise RecipeError(
            f"{file}: {', '.join(sorted(unknown))} is unknown; a recipe may have description, "
            "after, min_accuracy, [finder] and [[stage]]"
        )
    description, after = document.get("description"), document.get("after")
    if not isinstance(description, str) or not description:
        raise RecipeError(f"{file}: description is missing; write one sentence")
    tables = document.get("stage", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError(f"{file}: stage must be a list of tables; write [[stage]] before each")
    teachers = [name for table in tables for name in _teachers(file, table)]
    for required in teachers if after is None else [after, *teachers]:
        if required not in documents:
            raise RecipeError(f"{file}: there is no recipe {required!r} in the same folder")
        _resolve(required, documents, loaded, (*pending, name))
    samples = _samples(file, document.get("finder"))
    if after is not None and not samples:
        samples = loaded[after].samples
    stages = tuple(_stage(file, table, loaded, samples) for table in tables)
    min_accuracy = _min_accuracy(file, document.get("min_accuracy", {}))
    if after is not None:
        stages = loaded[after].stages + stages
        min_accuracy = dict(loaded[after].min_accuracy) | min_accuracy
    _check_order(file, stages)
    loaded[name] = Recipe(name, description, stages, min_accuracy, samples)
    return loaded[name]


def _teachers(file: str, table: dict[str, Any]) -> list[str]:
    """Names of the recipes whose networks are a stage's teachers."""
    names = table.get("teachers", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(f"{file}: teachers must be a list of recipe names, got {names!r}")
    return names


def _min_accuracy(file: str, table: Any) -> dict[str, float]:
    if not isinstance(table, dict) or not all(
        profile in PROFILES and isinstance(share, float) and 0 <= share <= 1
        for profile, share in table.items()
    ):
        raise RecipeError(
            f"{file}: min_accuracy must be a table of {' and '.join(PROFILES)} with "
            f"values 0.0 to 1.0, got {table!r}"
        )
    return table


def _samples(file: str, table: Any) -> Stages:
    """Stages that train a finder and draw samples with it; empty if the recipe asks for none."""
    if table is None:
        return ()
    expected = {"pages", "epochs", "samples"}
    if not isinstance(table, dict) or table.keys() != expected:
        raise RecipeError(f"{file}: finder must be a table of pages, epochs and samples")
    if not all(type(value) is int and value > 0 for value in table.values()):
        raise RecipeError(f"{file}: pages, epochs and samples must be positive, got {table!r}")
    finder = Stage("train-finder", {"pages": table["pages"], "epochs": table["epochs"]})
    return (Stage("draw-samples", {"pages": table["samples"]}, ((finder,),)),)


def _stage(file: str, table: dict[str, Any], loaded: dict[str, Recipe], samples: Stages) -> Stage:
    name = table.get("technique")
    if name not in TECHNIQUES:
        raise RecipeError(f"{file}: technique must be one of {', '.join(TECHNIQUES)}, got {name!r}")
    technique = TECHNIQUES[name]
    parameters = {key: value for key, value in table.items() if key != "technique"}
    known = {**technique.required, **technique.optional}
    unknown = parameters.keys() - known.keys()
    if unknown:
        raise RecipeError(
            f"{file}: {name} has no parameter {', '.join(sorted(unknown))}; it has "
            f"{', '.join(known) or 'none'}"
        )
    missing = technique.required.keys() - parameters.keys()
    if missing:
        raise RecipeError(f"{file}: {name} needs {', '.join(sorted(missing))}")
    for key, value in parameters.items():
        expected = known[key]
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            parameters[key] = float(value)
        elif type(value) is not expected:
            raise RecipeError(f"{file}: {key} of {name} must be {expected.__name__}, got {value!r}")
    inputs = tuple(loaded[teacher].network for teacher in parameters.pop("teachers", []))
    return Stage(name, parameters, inputs, samples if "epochs" in known else ())


def _check_order(file: str, stages: Stages) -> None:
    """Check that each stage gets what it needs, and that networks come before graphs."""
    available: Kind | None = None
    for stage in stages:
        technique = TECHNIQUES[stage.technique]
        if technique.needs is None and available is not None:
            raise RecipeError(f"{file}: {stage.technique} must be the first stage")
        if technique.needs is not None and available is None:
            raise RecipeError(
                f"{file}: {stage.technique} needs a {technique.needs}; start with a stage that "
                "trains one, or use `after`"
            )
        if technique.needs == "network" and available == "graph":
            raise RecipeError(
                f"{file}: {stage.technique} needs a network, but an earlier stage made a graph"
            )
        available = technique.makes
    if available is None:
        raise RecipeError(f"{file}: there are no stages; add [[stage]] with a technique")
