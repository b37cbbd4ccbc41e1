"""Labels of a user's model, from the files that people have them in."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import ImportRefused
from model_build.importing import texts

_FORMATS = (
    "one label per line, a JSON list, a JSON object of indices and labels, or the config.json of a "
    "Hugging Face model"
)
_SHOWN = 10  # labels in an error


@dataclass(frozen=True)
class Labels:
    """Labels in the order of a model's output.

    names: each different from the others; integers if all of them are. folders: what sub-folders
    of pictures may be called, and the index of the label. notes: on what was changed.
    """

    names: list[int] | list[str]
    folders: dict[str, list[int]]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def index(self, folder: str) -> int | None:
        """Index of the label of a sub-folder, None if there is no such label.

        Raises ImportRefused for a name that several labels have.
        """
        indices = self.folders.get(folder, [])
        if len(indices) > 1:
            own = ", ".join(f"'{folder} ({index})'" for index in indices)
            raise ImportRefused(
                f"the sub-folder {folder!r} may be of {len(indices)} classes; rename it to one of "
                f"{own}"
            )
        return indices[0] if indices else None

    @property
    def shown(self) -> str:
        """The first labels, as sub-folders are called."""
        names = [_folder(str(name)) for name in self.names]
        return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def read(path: Path) -> Labels:
    """Read labels from a text or JSON file; raises ImportRefused.

    The formats: one label per line; a JSON list; {"0": "cat"} or {"cat": 0}; `id2label` of a
    Hugging Face config.json; and ImageNet's class index, {"0": ["n01440764", "tench"]}, whose
    first names the sub-folders may have as well. Labels that occur twice are told apart by the
    index of their class.
    """
    text = texts.read(path, _FORMATS)
    entries = _entries(path, text)
    if len(entries) < 2:
        raise ImportRefused(f"{path} must have two or more labels, got {len(entries)}")
    given = [entry[-1] for entry in entries]
    counts = Counter(given)
    names: list[str] = []
    folders: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        own = f"{given[index]} ({index})"
        names.append(own if given[index] in names else given[index])
        aliases = {*entry, own} if counts[given[index]] > 1 else {*entry}
        for alias in aliases:
            folders.setdefault(_folder(alias), []).append(index)
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise ImportRefused(f"{path} lists {', '.join(twice[:_SHOWN])} more than once")
    renamed = [name for name, before in zip(names, given, strict=True) if name != before]
    notes = [f"labels that occur twice got their index: {', '.join(renamed)}"] if renamed else []
    are_numbers = all(re.fullmatch("0|-?[1-9][0-9]*", name) for name in names)
    return Labels([int(name) for name in names] if are_numbers else names, folders, notes)


def _entries(path: Path, text: str) -> list[list[str]]:
    """Names of each class, its label last."""
    try:
        document = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except ValueError as error:
        if path.suffix == ".json":
            raise ImportRefused(f"{path} is not valid JSON: {error}") from error
        document = None
    if document is None:
        return [[line.strip()] for line in text.splitlines() if line.strip()]
    if isinstance(document, dict):
        document = _by_index(path, document.get("id2label", document))
    entries = [_names(entry) for entry in document]
    for index, entry in enumerate(entries):
        if not entry or not all(entry):
            raise ImportRefused(
                f"{path} must have a text for each label, got {document[index]!r} for class "
                f"{index}; expected {_FORMATS}"
            )
    return entries


def _by_index(path: Path, document: Any) -> list[Any]:
    """Values of {"0": …, "1": …} in order, or keys of {…: 0, …: 1}."""
    if isinstance(document, dict):
        for pairs in (
            list(document.items()),
            [(index, label) for label, index in document.items()],
        ):
            by_index = {str(index): label for index, label in pairs}
            if by_index.keys() == {str(index) for index in range(len(pairs))}:
                return [by_index[str(index)] for index in range(len(pairs))]
    raise ImportRefused(
        f"{path} must give each class from 0 on a label, such as "
        '{"0": "cat", "1": "dog"}; got ' + json.dumps(document)[:60]
    )


def _names(entry: Any) -> list[str]:
    """Texts of a label in JSON; none of what can't be one."""
    parts = entry if isinstance(entry, list) else [entry]
    is_text = all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts)
    return [str(part).strip() for part in parts] if is_text else []


def _folder(name: str) -> str:
    """Name of a label's sub-folder."""
    return name.replace("/", "_")
