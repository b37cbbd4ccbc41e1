"""Labels of a user's model, from text and JSON."""

import codecs
import json
import os
from pathlib import Path
from typing import Any

import pytest

from model_build.errors import ImportRefused
from model_build.importing import labels


def read(folder: Path, content: Any, name: str = "labels.json") -> labels.Labels:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_bytes(text.encode())
    return labels.read(folder / name)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("T-shirt/top\nBag\n", ["T-shirt/top", "Bag"]),
        ("\ufeff 0 \r\n1\r\n\r\n", [0, 1]),
        ("0\n01\n", ["0", "01"]),
        ("7\nseven\n", ["7", "seven"]),
        ("[brackets]\nno JSON\n", ["[brackets]", "no JSON"]),
        (["cat", "dog"], ["cat", "dog"]),
        ([3, 5], [3, 5]),
        ({"1": "dog", "0": "cat"}, ["cat", "dog"]),
        ({"dog": 1, "cat": 0}, ["cat", "dog"]),
        ({"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}, ["cat", "dog"]),
        ({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}, ["tench", "goldfish"]),
    ],
)
def test_labels_are_read_as_people_write_them(
    tmp_path: Path, content: Any, names: list[Any]
) -> None:
    found = read(tmp_path, content, "labels.json" if isinstance(content, list | dict) else "l.txt")
    assert found.names == names
    assert found.notes == []
    assert len(found) == len(names)


def test_a_folder_has_the_name_of_its_label_or_of_imagenet_s_index(tmp_path: Path) -> None:
    found = read(tmp_path, {"0": ["n01440764", "tench"], "1": ["n01443537", "gold/fish"]})
    folders = ("tench", "n01440764", "gold_fish", "n01443537", "shark")
    assert [found.index(folder) for folder in folders] == [0, 0, 1, 1, None]


def test_labels_that_occur_twice_are_told_apart_by_their_index(tmp_path: Path) -> None:
    index = {"0": ["n02012849", "crane"], "1": ["n02018207", "coot"], "2": ["n03126707", "crane"]}
    found = read(tmp_path, index)
    assert found.names == ["crane", "coot", "crane (2)"]
    assert found.notes == ["labels that occur twice got their index: crane (2)"]
    folders = ("crane (0)", "crane (2)", "n02012849", "n03126707")
    assert [found.index(folder) for folder in folders] == [0, 2, 0, 2]
    with pytest.raises(ImportRefused, match=r"rename it to one of 'crane \(0\)', 'crane \(2\)'"):
        found.index("crane")


def test_a_pipe_is_read_once() -> None:
    """As the shell's <(…) is: what was read from it is gone."""
    source, sink = os.pipe()
    os.write(sink, b"cat\ndog\n")
    os.close(sink)
    assert labels.read(Path(f"/dev/fd/{source}")).names == ["cat", "dog"]
    os.close(source)


def test_numbers_that_occur_twice_become_text(tmp_path: Path) -> None:
    assert read(tmp_path, "7\n7\n", "labels.txt").names == ["7", "7 (1)"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a\n", "two or more labels, got 1"),
        ("a (2)\na\na\n", r"lists a \(2\) more than once"),
        ("[1, 2", "is not valid JSON"),
        ([["a", None], "b"], r"got \['a', None\] for class 0"),
        ([True, "b"], "got True for class 0"),
        (["", "b"], "got '' for class 0"),
        ({"0": "cat", "2": "dog"}, "must give each class from 0 on a label"),
        ({"id2label": 5}, "must give each class from 0 on a label"),
    ],
)
def test_a_file_without_usable_labels_is_refused(
    tmp_path: Path, content: Any, sentence: str
) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        read(tmp_path, content)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", "Äpfel\nBirnen".encode("latin-1")):
        (tmp_path / "labels.txt").write_bytes(content)
        with pytest.raises(
            ImportRefused,
            match=r"is not a text file in UTF-8; expected one label .* save it as UTF-8",
        ):
            labels.read(tmp_path / "labels.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_of_windows_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "labels.txt").write_bytes("Äpfel\r\nBirnen\r\n".encode(encoding))
    assert labels.read(tmp_path / "labels.txt").names == ["Äpfel", "Birnen"]


def test_utf_16_is_read_in_either_order_of_bytes(tmp_path: Path) -> None:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        (tmp_path / "labels.txt").write_bytes(mark + "a\nb".encode(encoding))
        assert labels.read(tmp_path / "labels.txt").names == ["a", "b"]
