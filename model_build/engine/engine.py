"""Build stages into files, each once: a cache keyed by everything that determines a stage.

    <cache>/<key>/network.keras, or model.onnx     the stage's output
    <cache>/<key>/stage.json                       technique, parameters, seconds, result

The key is the SHA-256 of technique, parameters, seed, data set, library versions, the source code
that the technique runs, and the keys of the stages it builds on.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from model_build.data import datasets
from model_build.engine.recipe import Stage, Stages
from model_build.engine.source_code import PACKAGES, source_digest
from model_build.engine.stage import GRAPH, NETWORK, OnEpoch, StageContext
from model_build.engine.techniques import ALL
from model_build.errors import RecipeError
from model_build.store import manifest

LIBRARIES = ("keras", "tensorflow-cpu", "tf2onnx", "onnx", "onnxruntime", "numpy", "pillow")
_RECORD = "stage.json"

type OnStage = Callable[[str, bool], OnEpoch]  # technique, whether it is cached


def silent(_technique: str, _cached: bool) -> OnEpoch:  # noqa: FBT001
    """Report no progress."""
    return lambda *_: None


@dataclass(frozen=True)
class Outcome:
    """Result of building stages: the last one's folder, and every stage's record with `cached`."""

    folder: Path
    records: list[dict[str, Any]]

    @property
    def record(self) -> dict[str, Any]:
        """The last stage's record; `result` is its technique's return value."""
        return self.records[-1]

    @property
    def file(self) -> Path:
        """Network or graph that the last stage made."""
        makes = ALL[self.record["technique"]].makes
        return self.folder / {"network": NETWORK, "graph": GRAPH, None: _RECORD}[makes]

    @property
    def quantization(self) -> dict[str, Any] | None:
        """The manifest's `quantization`; None if the graph computes in float32."""
        results = [
            record["result"] for record in self.records if ALL[record["technique"]].quantises
        ]
        return results[-1] if results else None


@dataclass(frozen=True)
class Engine:
    """Builds stages from a data set and a seed. packages: folders of the project's source."""

    cache: Path
    dataset: datasets.Dataset
    seed: int
    packages: Mapping[str, Path] = field(default_factory=lambda: PACKAGES)

    def build(self, stages: Stages, on_stage: OnStage) -> Outcome:
        """Build stages in order, except those that are cached.

        on_stage is called as each stage begins and returns the callback for its epochs. Raises
        RecipeError if a technique rejects its parameters or its input.
        """
        folder: Path | None = None
        records = []
        for count, stage in enumerate(stages, 1):
            source, folder = folder, self.folder(stages[:count])
            inputs = tuple(
                self.build(input_stages, on_stage).folder for input_stages in stage.inputs
            )
            samples = self.build(stage.samples, on_stage).folder if stage.samples else None
            cached = (folder / _RECORD).exists()
            on_epoch = on_stage(stage.technique, cached)
            if not cached:
                self._build(stage, folder, source, inputs, samples, on_epoch)
            records.append(json.loads((folder / _RECORD).read_text()) | {"cached": cached})
        assert folder is not None  # a recipe has a stage
        return Outcome(folder, records)

    def folder(self, stages: Stages) -> Path:
        """Folder of the last stage's output, built or not."""
        key = None
        for stage in stages:
            determinants = {
                "technique": stage.technique,
                "parameters": stage.parameters,
                "seed": self.seed,
                "dataset": self._dataset_digest,
                "libraries": library_versions(),
                "code": source_digest(_module(stage), tuple(self.packages.items())),
                "source": key,
                "inputs": [self.folder(input_stages).name for input_stages in stage.inputs],
            }
            if stage.samples:
                determinants["samples"] = self.folder(stage.samples).name
            key = hashlib.sha256(manifest.encode(determinants)).hexdigest()[:24]
        return self.cache / str(key)

    @cached_property
    def _dataset_digest(self) -> str:
        """SHA-256 of the data set's source, and of how its samples are split."""
        digest = hashlib.sha256(self.dataset.sha256.encode())
        for part in ("train", "validation", "test"):
            digest.update(getattr(self.dataset, f"{part}_images").tobytes())
        return digest.hexdigest()

    def _build(
        self,
        stage: Stage,
        folder: Path,
        source: Path | None,
        inputs: tuple[Path, ...],
        samples: Path | None,
        on_epoch: OnEpoch,
    ) -> None:
        build_stage = import_module(_module(stage)).build_stage
        self.cache.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".building-") as temporary:
            target = Path(temporary) / "stage"
            target.mkdir()
            context = StageContext(
                self.dataset, self.seed, on_epoch, source or target, inputs, target, samples
            )
            try:
                result = build_stage(context, **stage.parameters)
            except ValueError as error:  # an invalid parameter, or an unsupported network
                raise RecipeError(f"{stage.technique}: {error}") from error
            record = {
                "technique": stage.technique,
                "parameters": stage.parameters,
                "result": result,
                "seconds": round(time.perf_counter() - started, 1),
            }
            (target / _RECORD).write_bytes(manifest.encode(record))
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)  # left incomplete when its record was deleted
            target.rename(folder)


@cache
def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that determine a stage's output."""
    versions = {}
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = installed(library)
    return versions


def _module(stage: Stage) -> str:
    return f"model_build.{ALL[stage.technique].module}"
