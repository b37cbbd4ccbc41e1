"""Read the text files that people have: UTF-8, or UTF-16 as Windows's Notepad saves it."""

import codecs
from pathlib import Path

from model_build.errors import ImportRefused


def read(path: Path, expected: str) -> str:
    """Return a file's text; expected: what it should hold, for the error.

    Raises ImportRefused for a file in neither UTF-8 nor UTF-16 with its byte order mark.
    """
    try:
        content = path.read_bytes()  # once: it may be a pipe
        is_wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(
            f"{path} is not a text file in UTF-8; expected {expected}; if it is text, save it as "
            "UTF-8"
        ) from error
