"""Steps of an import after the graph was adopted: prove, calibrate, quantise, evaluate, doubt."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_build.data.image_folders import Broken, listed
from model_build.errors import GateError, ImportRefused
from model_build.evaluation.evaluate import Evaluation, Measurement
from model_build.evaluation.multi_label import fit_thresholds
from model_build.importing import candidates, expected
from model_build.importing.agreement import Agreement
from model_build.importing.candidates import Choice
from model_build.importing.doubts import doubts as doubts_of
from model_build.importing.expected import Expected, Parity
from model_build.importing.pictures import Pictures
from model_build.importing.publication import (
    FP32,
    Imported,
    OnPicture,
    Rows,
    Samples,
    logarithms,
    lost_too_much,
)
from model_build.search.measurements import wilson_interval
from model_build.store.model_store import ModelStore

type Say = Callable[[str], None]
type Bar = Callable[[str, int], AbstractContextManager[OnPicture]]  # title, and how many pictures


class Proof(NamedTuple):
    """The owner's answers, their pictures, and how much the served answers may differ."""

    expected: Expected
    files: list[Path]
    tolerance: float


@dataclass
class Steps:
    """One import. Each step says what it found, and the next ones use it.

    calibration, evaluation: disjoint pictures; either may be empty. min_agreement: of a compressed
    candidate with the original. say: shows a sentence. bar: shows progress. prepared: samples of
    the calibration pictures. models: files of the candidates. calibrated: `calibration` of the
    manifest's metrics, by candidate. rows: their probabilities for the pictures that the figures
    are of. parity, compressed_parity: of the original and of the compressed candidate with the
    owner's answers. agreement: of the two candidates.
    """

    imported: Imported
    calibration: Pictures
    evaluation: Pictures
    proof: Proof | None
    min_agreement: float
    say: Say
    bar: Bar
    prepared: list[Samples] = field(default_factory=list)
    calibrated: dict[str, dict[str, Any]] = field(default_factory=dict)
    thresholds: list[float] = field(default_factory=list)
    models: dict[str, Path] = field(default_factory=dict)
    quantizations: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    measured: dict[str, Measurement] = field(default_factory=dict)
    parity: Parity | None = None
    compressed_parity: Parity | None = None
    agreement: Agreement | None = None

    @property
    def shown(self) -> Pictures:
        """Pictures that the figures are of."""
        return self.evaluation if self.evaluation.files else self.calibration

    @property
    def is_enough(self) -> bool:
        """Whether there are enough pictures to tell if a compressed candidate agrees."""
        count = len(self.calibration.files)
        return count > 0 and wilson_interval(count, count)[0] >= self.min_agreement

    @property
    def best(self) -> str:
        """Candidate that is to be served."""
        return list(self.models)[-1]

    def prove(self) -> None:
        """Compare the adopted graph's answers with the owner's.

        Raises ImportRefused if they differ.
        """
        if self.proof is None:
            return
        self.parity = self._parity(self.imported.folder / "adopted.onnx")
        source = self.proof.expected.source.name
        self.say(f"{source}, {len(self.proof.files)} pictures: {self.parity}")
        if self.parity.largest > self.proof.tolerance:
            raise ImportRefused(
                f"{self._differs(self.parity)}; nothing was published: check --preprocess, and "
                "that the model, the labels and the answers belong together"
            )

    def compress(self, budget_bytes: int) -> Choice:
        """Choose a compressed candidate that agrees with the original, if there is one.

        budget_bytes: memory for the calibration.
        """
        imported, files = self.imported, self.calibration.files
        if files:
            broken: Broken = {}
            with self.bar("reading pictures", len(files)) as on_picture:
                self.prepared = list(imported.samples(files, on_picture, broken))
            self.calibration = self._without(self.calibration, broken)
        choice = candidates.choose(
            imported.folder,
            imported.encode,
            (lambda: (imported.encode(batch) for batch in self.prepared))
            if self.is_enough
            else None,
            budget_bytes,
            lambda recipe: self.say(f"trying {recipe}"),
            min_agreement=self.min_agreement,
            max_difference=self.proof.tolerance if self.proof else 1,
            check=self._fault_of,
        )
        if files and not self.is_enough:
            self.say(
                f"{len(self.calibration.files)} pictures are too few to compare compressed models "
                f"on: even if all agree, they don't show an agreement of {self.min_agreement:.0%}"
            )
        self.say(choice.sentence)
        self.agreement = choice.agreement
        if not imported.adopted.quantised:
            self.models, self.quantizations = {FP32: choice.original}, {FP32: None}
        if choice.quantization is not None:
            how = choice.quantization
            name = str(how.get("weights", how.get("format", how["method"]))).partition(",")[0]
            self.models[name], self.quantizations[name] = choice.file, how
        return choice

    def calibrate(self) -> None:
        """Fit what turns outputs into answers to the labelled calibration pictures."""
        imported, truth = self.imported, self.calibration.truth
        self.thresholds = [0.5] * len(imported.labels) if imported.is_multi_label else []
        if truth is None:
            return
        rows = imported.answers(self.models, self.prepared)
        if imported.is_multi_label:
            self.thresholds = fit_thresholds(rows[self.best], truth)
            self.say(f"thresholds are fitted to {len(truth)} pictures")
        elif self.proof is not None:
            source = self.proof.expected.source.name
            self.say(f"no temperature is fitted: the probabilities stay those of {source}")
        elif not imported.adopted.quantised:
            try:
                for name, path in self.models.items():
                    self.calibrated[name] = imported.calibrate(path, rows[name], self.calibration)
            except ImportRefused as error:
                self.calibrated = {}
                self.say(f"no temperature is fitted: {error}")
            else:
                values = [f"{one['temperature']:.2f}" for one in self.calibrated.values()]
                self.say(
                    f"the temperature that fits {len(truth)} pictures is {' and '.join(values)}"
                )

    def evaluate(self) -> None:
        """Measure the candidates side by side."""
        broken: Broken = {}
        files = self.shown.files
        with self.bar("evaluating", len(files)) as on_picture:
            samples = self.imported.samples(files, on_picture, broken)
            self.rows = self.imported.answers(self.models, samples)
        self.evaluation = self._without(self.evaluation, broken)
        self.measured = self.imported.measure(self.models, self.rows, self.shown, self.thresholds)

    def fall_back(self) -> None:
        """Drop what was compressed if it lost too much accuracy."""
        if len(self.models) < 2 or self.shown.truth is None:
            return
        name = self.best
        right = {name: self._is_right(rows) for name, rows in self.rows.items()}
        if reason := lost_too_much(right[name], right[FP32]):
            del self.models[name]
            self.agreement = self.compressed_parity = None
            self.say(f"{name} is not published: {reason}")

    def check_accuracy(self, least: float) -> None:
        """Raise GateError if the best candidate is less accurate than the user asked for."""
        figures = self.measured[self.best]
        if not least:
            return
        if not isinstance(figures, Evaluation):
            raise GateError(
                "--min-accuracy needs labelled pictures: a folder with one sub-folder per label"
            )
        if figures.accuracy < least:
            raise GateError(
                f"accuracy must be at least {least:.2%}, got {figures.accuracy:.2%}; nothing was "
                "published"
            )

    def doubts(self, *, is_guess: bool) -> list[str]:
        """Sentences on why the model must not be promoted. is_guess: the preprocessing is."""
        pictures, found = self.shown, []
        labels = self.imported.labels
        if pictures.truth is not None:
            rows = self.rows[self.best]
            if (value := self._temperature(self.best)) != 1:  # how sure it was by itself
                rows = expected.softmax(logarithms(rows) * np.float32(value))
            found = doubts_of(rows, pictures.truth, labels)
            both = [*pictures.contradictory, *self.calibration.contradictory]
            if both and not self.imported.is_multi_label:
                found.append(
                    f"{len(both)} pictures are in the sub-folders of several labels, such as "
                    f"{both[0]}"
                )
        elif is_guess and self.proof is None:
            found.append(
                "its preprocessing is a guess that nothing has confirmed: pass --preprocess, "
                "--expected, or labelled pictures"
            )
        return found

    def lacks(self) -> list[str]:
        """Sentences on what more pictures would give."""
        found = []
        if not self.is_enough and not self.imported.adopted.quantised:
            found.append(
                "int8, which needs a hundred pictures like those the model will see, or a lower "
                "--min-agreement"
            )
        if self.shown.truth is None:
            fitted = "accuracy" if self.proof else "accuracy, a temperature"
            found.append(
                f"{fitted} and a threshold for pictures of something else, which need labelled "
                "pictures: one sub-folder per label"
            )
        if self.proof is None:
            found.append("a proof that your framework answers the same: --expected answers.npz")
        return found

    def publish(self, store: ModelStore, name: str, doubts: list[str]) -> dict[str, str]:
        """Publish what is left of the candidates; return their versions."""
        pictures, (first, *weights) = self.shown, self.imported.adopted.lineage
        origin = {
            "dataset": {
                "name": pictures.folder.name if pictures.files else "none",
                "sha256": pictures.sha256,
            },
            "imported": first | ({"weights": weights} if weights else {}),
            "seed": None,
        }
        parity = self.compressed_parity or self.parity
        if self.proof is not None and parity is not None:
            origin["expected"] = {
                "sha256": self.proof.expected.sha256,
                "pictures": len(self.proof.files),
                "agreement": parity.agreement,
                "largest_difference": parity.largest,
            }
        return self.imported.publish(
            store,
            name,
            self.models,
            self.measured,
            self.quantizations,
            self.calibrated,
            origin,
            output=self.imported.output(self.thresholds),
            doubts=doubts,
        )

    def _without(self, pictures: Pictures, broken: Broken) -> Pictures:
        """Leave out the pictures that can't be read, and say which."""
        if not broken:
            return pictures
        self.say(
            f"left out {len(broken)} of {len(pictures.files)} pictures, which the function can't "
            f"read:{listed(broken)}"
        )
        return pictures.without(broken)

    def _fault_of(self, path: Path) -> str:
        """Say why a compressed file fails the owner's answers; empty if it does not."""
        if self.proof is None:
            return ""
        parity = self._parity(path)
        if parity.largest > self.proof.tolerance:
            return self._differs(parity)
        self.compressed_parity = parity
        self.say(f"compressed: {parity}")
        return ""

    def _parity(self, path: Path) -> Parity:
        """Compare served answers with the owner's."""
        assert self.proof is not None
        imported, files = self.imported, self.proof.files
        wanted = self.proof.expected.probabilities(
            len(imported.labels), is_multi_label=imported.is_multi_label
        )
        with self.bar("comparing", len(files)) as on_picture:
            samples = imported.samples(files, on_picture)
            served = imported.answers({"served": path}, samples)["served"]
        return expected.compare(files, served, wanted, imported.labels)

    def _temperature(self, candidate: str) -> float:
        return float(self.calibrated.get(candidate, {}).get("temperature", 1))

    def _differs(self, parity: Parity) -> str:
        assert self.proof is not None
        return (
            f"the served answers differ from {self.proof.expected.source.name} by up to "
            f"{parity.largest:.3f}, more than {self.proof.tolerance:g}; top-1 agreement "
            f"{parity.agreement:.1%}; worst: {', '.join(parity.worst)}"
        )

    def _is_right(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether the answers to the evaluation pictures are right, [N]."""
        truth = self.shown.truth
        assert truth is not None
        if self.imported.is_multi_label:
            found = rows >= np.array(self.thresholds, np.float32)
            return np.asarray((found == truth).all(axis=1))
        return np.asarray(rows.argmax(axis=1) == self.shown.labels)
