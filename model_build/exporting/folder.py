"""Write a folder of files whole or not at all, and never over another."""

import tempfile
from pathlib import Path

from model_build.errors import ExportRefused

type Files = dict[str, bytes]  # by path in the folder


def write(folder: Path, files: Files) -> None:
    """Write a new folder. Raises ExportRefused if it exists or can't be written."""
    if folder.exists():
        raise ExportRefused(f"{folder} exists; remove it, or export to another directory")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as unfinished:
            written = Path(unfinished) / folder.name
            for path, content in files.items():
                file = written / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            written.rename(folder)  # fails on a folder that someone has filled since
    except OSError as error:
        raise ExportRefused(f"{folder} can't be written: {error}") from error
