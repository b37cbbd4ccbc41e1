"""The owner's own answers to some pictures, which the served answers must agree with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_build.data import image_folders
from model_build.errors import ImportRefused

TOLERANCE = 0.05  # of a probability: decoders of JPEG files alone differ by up to 0.03
_FORM = (
    "np.savez('answers.npz', names=[names of the picture files], outputs=[one row of outputs per "
    "picture])"
)
_SHOWN = 5  # pictures in an error

type Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Expected:
    """Names of picture files [N], and what the owner's framework returned for them.

    outputs: [N, classes], or [N, 1] of a Sigmoid; logits or probabilities.
    """

    source: Path
    names: list[str]
    outputs: Rows

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    def files(self, folders: Sequence[Path]) -> list[Path]:
        """Find the pictures in folders, by their path inside it, or by a name that is unique.

        Without folders, the file's own folder is searched. Raises ImportRefused for names that are
        missing, or that several pictures have.
        """
        searched = folders or [self.source.parent]
        by_name: dict[str, set[Path]] = {}
        for folder in searched:
            for path in image_folders.pictures(folder):
                for name in (path.name, path.relative_to(folder).as_posix()):
                    by_name.setdefault(name, set()).add(path)
        found = [by_name.get(name, {Path(name)}) for name in self.names]
        pairs = list(zip(self.names, found, strict=True))
        missing = [name for name, paths in pairs if not next(iter(paths)).is_file()]
        ambiguous = [name for name, paths in pairs if len(paths) > 1]
        hint = "" if folders else ", or give the pictures' folder as PICTURES"
        for names, reason in ((missing, "not in"), (ambiguous, "more than once in")):
            if names:
                raise ImportRefused(
                    f"{self.source} names pictures that are {reason} "
                    f"{', '.join(map(str, searched))}: {', '.join(names[:_SHOWN])}; name them by "
                    f"their path inside the folder{hint}"
                )
        return [path for paths in found for path in paths]

    def probabilities(self, classes: int, *, is_multi_label: bool) -> Rows:
        """Return the outputs as probabilities [N, classes]. Raises ImportRefused for others."""
        rows, columns = self.outputs, self.outputs.shape[1]
        if not np.isfinite(rows).all():
            raise ImportRefused(f"{self.source} holds NaN or infinity; expected numbers")
        is_share = bool(((rows >= -1e-6) & (rows <= 1 + 1e-6)).all())
        if columns == 1 and classes == 2:
            share = rows if is_share else _sigmoid(rows)
            return np.hstack([1 - share, share])
        if columns != classes:
            raise ImportRefused(
                f"{self.source} holds {columns} outputs per picture, but there are {classes} labels"
            )
        if is_multi_label:
            return rows if is_share else _sigmoid(rows)
        if is_share and np.allclose(rows.sum(axis=1), 1, atol=1e-2):
            return rows
        return softmax(rows)


@dataclass(frozen=True)
class Parity:
    """How served answers agree with the expected ones.

    agreement: share of pictures with the same best label. largest: difference of a probability.
    worst: the pictures that differ most, each with its difference and both best labels.
    """

    agreement: float
    largest: float
    worst: list[str]

    def __str__(self) -> str:
        return f"top-1 agreement {self.agreement:.1%}, largest difference {self.largest:.4f}"


def read(path: Path) -> Expected:
    """Read a file of numpy's: one member of names and one of outputs, or one per picture.

    Raises ImportRefused for anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            members = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise ImportRefused(
            f"{path} is not an archive of plain arrays ({error}); write it by {_FORM}"
        ) from error
    texts = {name: array for name, array in members.items() if array.dtype.kind in "US"}
    numbers = {name: array for name, array in members.items() if array.dtype.kind in "fiu"}
    if len(texts) == len(numbers) == 1:
        (names,), (outputs,) = texts.values(), numbers.values()
        listed = [str(name) for name in names.astype(str).ravel()]
    elif numbers and not texts:  # a row under each picture's name
        listed = list(numbers)
        rows = [np.asarray(array).ravel() for array in numbers.values()]
        same = len({len(row) for row in rows}) == 1
        outputs = np.stack(rows) if same else np.empty(0)
    else:
        listed, outputs = [], np.empty(0)
    if not listed or not outputs.size or len(listed) != len(outputs):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in list(members.items())[:4])
        raise ImportRefused(f"{path} holds {shapes or 'nothing'}; write it by {_FORM}")
    return Expected(path, listed, outputs.reshape(len(outputs), -1).astype(np.float32))


def compare(
    files: Sequence[Path], served: Rows, expected: Rows, labels: Sequence[object]
) -> Parity:
    """Compare probabilities [N, classes] with expected ones of the same pictures."""
    differences = np.abs(served - expected).max(axis=1)
    best, expected_best = served.argmax(axis=1), expected.argmax(axis=1)
    worst = []
    for index in np.argsort(-differences, kind="stable")[:_SHOWN]:
        label = labels[best[index]]
        told = (
            "" if best[index] == expected_best[index] else f", not {labels[expected_best[index]]}"
        )
        worst.append(f"{files[index].name} ({differences[index]:.3f}: {label}{told})")
    return Parity(float((best == expected_best).mean()), float(differences.max()), worst)


def softmax(logits: Rows) -> Rows:
    """Softmax of rows [N, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _sigmoid(logits: Rows) -> Rows:
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float32)
