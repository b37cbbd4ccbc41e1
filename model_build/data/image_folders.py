"""Folders of pictures → samples, read by the function's own code: for calibration, and labelled."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier import errors
from classifier.image import pixels
from classifier.image.formats import SUFFIXES
from classifier.prepare.pipeline import Pipeline
from model_build.errors import ImportRefused

_CHUNK = 256  # pictures that are in memory at a time
_SHOWN = 10  # of what is wrong, one line each


def read_labels(path: Path) -> list[int] | list[str]:
    """Labels of a text file, one a line; as integers if all of them are.

    Raises ImportRefused for a file that can't be read, fewer than two labels, or one named twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path} can't be read as a text file with a label a line") from error
    labels = [line for line in lines if line]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ImportRefused(f"{path} names {', '.join(twice[:_SHOWN])} more than once")
    if len(labels) < 2:
        raise ImportRefused(f"{path} has {len(labels)} labels; write two or more, one a line")
    are_numbers = all(re.fullmatch("0|-?[1-9][0-9]*", label) for label in labels)
    return [int(label) for label in labels] if are_numbers else labels


def pictures(folder: Path) -> list[Path]:
    """Picture files of a folder and of those below it, in the order of their names."""
    if not folder.is_dir():
        raise ImportRefused(f"{folder} is no folder; give one with pictures")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise ImportRefused(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))})")
    return found


def labelled(folder: Path, labels: Sequence[int | str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Pictures of a folder with one sub-folder a label, and each one's index among the labels.

    A sub-folder has the label's name; for a slash in it, the sub-folder has an underscore. A
    label may go without. Raises ImportRefused for pictures elsewhere and folders of no label.
    """
    index_of = {str(label).replace("/", "_"): index for index, label in enumerate(labels)}
    found = pictures(folder)
    names = [path.relative_to(folder).parts[0] for path in found]
    loose = [path.name for path, name in zip(found, names, strict=True) if path.name == name]
    if loose:
        raise ImportRefused(
            f"{folder} holds pictures outside of its sub-folders, such as {loose[0]}; it takes one "
            "sub-folder a label, with that label's pictures"
        )
    unknown = sorted(set(names) - index_of.keys())
    if unknown:
        raise ImportRefused(
            f"{folder} has sub-folders of no label: {', '.join(unknown[:_SHOWN])}; the labels are "
            f"{', '.join(list(index_of)[:_SHOWN])}" + (", …" if len(index_of) > _SHOWN else "")
        )
    return found, np.array([index_of[name] for name in names], dtype=np.int64)


def digest(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def samples(
    files: Sequence[Path], pipeline: Pipeline, on_picture: Callable[[], None]
) -> Iterator[NDArray[np.uint8]]:
    """Samples [N, …] of pictures, some hundred at a time, as `preprocess=auto` makes them.

    At the end raises ImportRefused if there were any that can't be read, and says which.
    """
    bad: list[str] = []

    def sample(path: Path) -> NDArray[np.uint8] | None:
        try:
            picture = pixels.Picture(path.read_bytes())
            return pipeline(picture.pixels, "auto", picture.detail)
        except (errors.PredictError, OSError) as error:
            bad.append(f"{path}: {error}")
            return None
        finally:
            on_picture()

    # Threads: Pillow lets go of the interpreter while it decodes and scales.
    with ThreadPoolExecutor(os.process_cpu_count()) as pool:
        for start in range(0, len(files), _CHUNK):
            chunk = [
                one for one in pool.map(sample, files[start : start + _CHUNK]) if one is not None
            ]
            if chunk and not bad:
                yield np.stack(chunk)
    if bad:
        more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ImportRefused(
            f"{len(bad)} of {len(files)} pictures can't be read; mend or remove them\n  "
            + "\n  ".join(sorted(bad)[:_SHOWN])
            + more
        )
