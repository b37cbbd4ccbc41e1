"""Pictures that a user gives with a model: some to calibrate with, others to evaluate on."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_build.data import image_folders
from model_build.errors import ImportRefused
from model_build.importing.labels import Labels

CALIBRATION = 512  # pictures at most
_SEED = 0  # of the choice of calibration pictures
_SHOWN = 10  # sub-folders in an error

type Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Pictures:
    """Picture files [N] without duplicates, sorted by path.

    truth: [N, classes], which labels each has; None if they have none.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    truth: Truth | None = None

    @classmethod
    def read(cls, folder: Path, labels: Labels | None) -> Self:
        """Read a folder of pictures, or one with a sub-folder of pictures for each label.

        A picture in the sub-folders of several labels, by its content, has all of them. labels:
        None if sub-folders mean nothing. Raises ImportRefused for pictures both in sub-folders and
        outside, and for unknown sub-folders.
        """
        paths = image_folders.pictures(folder)
        owners = [path.relative_to(folder).parts[:-1] if labels else () for path in paths]
        is_labelled = any(owners)
        if is_labelled and not all(owners):
            loose = paths[owners.index(())]
            raise ImportRefused(
                f"{folder} has pictures in sub-folders and outside, such as {loose.name}; expected "
                "one sub-folder per label, or no sub-folders if the pictures have no labels"
            )
        copies: dict[bytes, list[int]] = {}
        for index, path in enumerate(paths):
            copies.setdefault(_digest(path), []).append(index)
        files = [paths[indices[0]] for indices in copies.values()]
        if not labels or not is_labelled:
            return cls(folder, files)
        index_of = _indices(folder, sorted({owner[0] for owner in owners}), labels)
        truth = np.zeros((len(files), len(labels)), dtype=np.bool_)
        for row, indices in zip(truth, copies.values(), strict=True):
            row[[index_of[owners[index][0]] for index in indices]] = True
        return cls(folder, files, truth)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of each picture's first label."""
        assert self.truth is not None
        return self.truth.argmax(axis=1)

    @property
    def contradictory(self) -> list[Path]:
        """Pictures that have several labels."""
        truth = np.zeros((0, 0)) if self.truth is None else self.truth
        return [self.files[index] for index in np.flatnonzero(truth.sum(axis=1) > 1)]

    def taken(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Some of the pictures, in their order."""
        ordered = sorted(int(index) for index in indices)
        truth = None if self.truth is None else self.truth[ordered]
        return type(self)(self.folder, [self.files[index] for index in ordered], truth)

    def without(self, broken: Collection[Path]) -> Self:
        """Those that are not among these."""
        kept = [index for index, path in enumerate(self.files) if path not in broken]
        return self.taken(kept)

    @property
    def sha256(self) -> str:
        """Digest of the files' names and contents."""
        return image_folders.digest(self.folder, self.files)


def split(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Two disjoint parts: to calibrate with, half but at most 512, and to evaluate on.

    Each has its share of every label's pictures; the same pictures are split the same each time.
    Without labels, there is nothing to evaluate on.
    """
    count = len(pictures.files)
    shuffled = np.random.default_rng(_SEED).permutation(count)
    if pictures.truth is None:
        return pictures.taken(shuffled[:CALIBRATION]), Pictures(pictures.folder)
    if count < 2:
        raise ImportRefused(
            f"{pictures.folder} has one picture; expected two or more, some to calibrate with and "
            "others to evaluate on"
        )
    by_label = shuffled[np.argsort(pictures.labels[shuffled], kind="stable")]
    steps = np.floor(np.arange(count + 1) * min(0.5, CALIBRATION / count)).astype(int)
    is_taken = np.diff(steps) > 0
    return pictures.taken(by_label[is_taken]), pictures.taken(by_label[~is_taken])


def separate(calibration: Pictures, evaluation: Pictures) -> tuple[Pictures, Pictures]:
    """Folders that the user has split; evaluation pictures are not calibrated with.

    Raises ImportRefused if the evaluation pictures have no labels, or none are left to calibrate
    with.
    """
    if evaluation.truth is None:
        raise ImportRefused(
            f"{evaluation.folder} has no sub-folders; expected one per label with its pictures"
        )
    known = {_digest(path) for path in evaluation.files}
    others = [index for index, path in enumerate(calibration.files) if _digest(path) not in known]
    if not others:
        raise ImportRefused(
            f"{calibration.folder} has no pictures that are not in {evaluation.folder} too; give "
            "other ones to calibrate with, or one folder for both"
        )
    shuffled = np.random.default_rng(_SEED).permutation(others)
    return calibration.taken(shuffled[:CALIBRATION]), evaluation


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _indices(folder: Path, names: list[str], labels: Labels) -> dict[str, int]:
    """Index of each sub-folder's label."""
    found = {name: labels.index(name) for name in names}
    unknown = [name for name, index in found.items() if index is None]
    if unknown:
        raise ImportRefused(
            f"{folder} has sub-folders without a label: {', '.join(unknown[:_SHOWN])}; the labels "
            f"are {labels.shown}"
        )
    return {name: index for name, index in found.items() if index is not None}
