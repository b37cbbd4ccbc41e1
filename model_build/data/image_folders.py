"""Read folders of pictures, with or without labels, by the function's own code."""

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
from classifier.prepare.pipeline import sample as sample_of
from model_build.errors import ImportRefused

_CHUNK = 256  # pictures in memory at a time
_SHOWN = 10  # entries listed in an error


def read_labels(path: Path) -> list[int] | list[str]:
    """Read labels from a text file, one per line; as integers if all of them are.

    Raises ImportRefused for an unreadable file, fewer than two labels, or a duplicate.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path} is not a text file; write one label per line") from error
    labels = [line for line in lines if line]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ImportRefused(f"{path} lists {', '.join(twice[:_SHOWN])} more than once")
    if len(labels) < 2:
        raise ImportRefused(f"{path} must have two or more labels, one per line, got {len(labels)}")
    are_numbers = all(re.fullmatch("0|-?[1-9][0-9]*", label) for label in labels)
    return [int(label) for label in labels] if are_numbers else labels


def pictures(folder: Path) -> list[Path]:
    """Return the picture files of a folder and its sub-folders, sorted by path."""
    if not folder.is_dir():
        raise ImportRefused(f"{folder} is not a folder; expected one with pictures")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise ImportRefused(f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))})")
    return paths


def labelled(folder: Path, labels: Sequence[int | str]) -> tuple[list[Path], NDArray[np.int64]]:
    """Return the pictures of a folder with one sub-folder per label, and their labels' indices.

    A sub-folder has the label's name, with underscores for slashes; a label may have none. Raises
    ImportRefused for pictures outside the sub-folders and for unknown labels.
    """
    index_of = {str(label).replace("/", "_"): index for index, label in enumerate(labels)}
    paths = pictures(folder)
    names = [path.relative_to(folder).parts[0] for path in paths]
    loose = [path.name for path, name in zip(paths, names, strict=True) if path.name == name]
    if loose:
        raise ImportRefused(
            f"{folder} has pictures outside its sub-folders, such as {loose[0]}; expected one "
            "sub-folder per label"
        )
    unknown = sorted(set(names) - index_of.keys())
    if unknown:
        raise ImportRefused(
            f"{folder} has sub-folders without a label: {', '.join(unknown[:_SHOWN])}; the labels "
            f"are {', '.join(list(index_of)[:_SHOWN])}" + (", …" if len(index_of) > _SHOWN else "")
        )
    return paths, np.array([index_of[name] for name in names], dtype=np.int64)


def digest(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and contents of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def samples(
    files: Sequence[Path], pipeline: Pipeline, on_picture: Callable[[], None]
) -> Iterator[NDArray[np.uint8]]:
    """Yield samples [N, …] of at most 256 pictures at a time, prepared as by `preprocess=auto`.

    Raises ImportRefused at the end if any picture can't be read, and lists them.
    """
    bad: list[str] = []

    def sample(path: Path) -> NDArray[np.uint8] | None:
        try:
            picture = pixels.Picture(path.read_bytes(), is_whole=pipeline.is_whole)
            return sample_of(pipeline, picture, "auto")
        except (errors.PredictError, OSError) as error:
            bad.append(f"{path}: {error}")
            return None
        finally:
            on_picture()

    # Threads: Pillow releases the GIL while it decodes and scales.
    with ThreadPoolExecutor(os.process_cpu_count()) as pool:
        for start in range(0, len(files), _CHUNK):
            chunk = [
                prepared
                for prepared in pool.map(sample, files[start : start + _CHUNK])
                if prepared is not None
            ]
            if chunk and not bad:
                yield np.stack(chunk)
    if bad:
        more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ImportRefused(
            f"{len(bad)} of {len(files)} pictures can't be read; fix or remove them\n  "
            + "\n  ".join(sorted(bad)[:_SHOWN])
            + more
        )
