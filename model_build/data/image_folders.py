"""Read folders of pictures by the function's own code."""

import hashlib
import os
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

type Broken = dict[Path, str]  # why each can't be read


def pictures(folder: Path) -> list[Path]:
    """Return the picture files of a folder and its sub-folders, sorted by path.

    Linked sub-folders count too, but each folder once: links may lead in a circle.
    """
    if not folder.is_dir():
        raise ImportRefused(f"{folder} is not a folder; expected one with pictures")
    seen: set[Path] = set()
    paths: list[Path] = []
    for parent, folders, names in folder.walk(follow_symlinks=True):
        real = parent.resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        paths += [
            path
            for path in map(parent.joinpath, names)
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        ]
    if not paths:
        raise ImportRefused(f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))})")
    return sorted(paths)


def digest(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and contents of a folder's files, in hex."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def samples(
    files: Sequence[Path],
    pipeline: Pipeline,
    on_picture: Callable[[], None],
    broken: Broken | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield samples [N, …] of at most 256 pictures at a time, prepared as by `preprocess=auto`.

    broken: where pictures that can't be read are put, which are then left out. Without it, or if
    none can be read, raises ImportRefused at the end, and lists them.
    """
    bad = {} if broken is None else broken

    def sample(path: Path) -> NDArray[np.uint8] | None:
        try:
            picture = pixels.Picture(path.read_bytes(), is_whole=pipeline.is_whole)
            return sample_of(pipeline, picture, "auto")
        except (errors.PredictError, OSError) as error:
            reason = str(error).removesuffix("; send the whole file")  # for who sends it
            bad[path] = reason.replace("; send ", "; expected ")
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
            if chunk and (broken is not None or not bad):
                yield np.stack(chunk)
    if bad and (broken is None or len(bad) == len(files)):
        raise ImportRefused(
            f"{len(bad)} of {len(files)} pictures can't be read; remove or replace them"
            f"{listed(bad)}"
        )


def listed(broken: Broken) -> str:
    """Lines on the first pictures that can't be read, each on a new one."""
    lines = sorted(f"{path}: {reason}" for path, reason in broken.items())[:_SHOWN]
    if len(broken) > _SHOWN:
        lines.append(f"and {len(broken) - _SHOWN} more")
    return "".join(f"\n  {line}" for line in lines)
