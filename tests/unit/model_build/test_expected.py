"""The owner's own answers: read, found among the pictures, and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model_build.errors import ImportRefused
from model_build.importing import expected

ROWS = np.array([[0.1, 0.9], [0.7, 0.3]], np.float32)


def saved(folder: Path, **members: Any) -> Path:
    np.savez(folder / "answers.npz", **members)
    return folder / "answers.npz"


@pytest.mark.parametrize(
    "members",
    [
        {"names": ["a.png", "b.png"], "outputs": ROWS},
        {"files": np.array([b"a.png", b"b.png"]), "logits": ROWS.reshape(2, 2, 1, 1)},
        {"a.png": ROWS[0], "b.png": ROWS[1:]},
    ],
)
def test_names_and_outputs_are_two_members_or_one_for_each_picture(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    found = expected.read(saved(tmp_path, **members))
    assert found.names == ["a.png", "b.png"]
    np.testing.assert_array_equal(found.outputs, ROWS)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({}, r"holds nothing; write it by np\.savez\('answers\.npz', names="),
        ({"names": ["a.png"], "outputs": ROWS}, r"holds names \(1,\), outputs \(2, 2\)"),
        ({"names": np.array(["a.png"], dtype=object), "outputs": ROWS}, "archive of plain arrays"),
        ({"a.png": ROWS[0], "b.png": np.zeros(3)}, r"holds a\.png \(2,\), b\.png \(3,\)"),
        ({"a.png": ROWS[0], "more": ["b.png"], "labels": ["c"]}, "holds a.png"),
    ],
)
def test_another_archive_is_refused(tmp_path: Path, members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        expected.read(saved(tmp_path, **members))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "text").write_text("no archive")
    for name in ("rows.npy", "text"):
        with pytest.raises(ImportRefused, match="is not an archive of plain arrays"):
            expected.read(tmp_path / name)


def test_pictures_are_found_by_their_path_or_by_a_name_that_is_unique(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png", "other.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / "pictures" / name)
    folder = tmp_path / "pictures"
    elsewhere = folder / "other.png"

    def files(*names: str) -> list[Path]:
        rows = np.zeros((len(names), 2), np.float32)
        return expected.Expected(Path("a.npz"), list(names), rows).files([folder, folder / "dog"])

    assert files("dog/1.png", "2.png") == [folder / "dog/1.png", folder / "dog/2.png"]
    assert files(str(elsewhere)) == [elsewhere]
    with pytest.raises(
        ImportRefused, match=r"more than once in .*: 1\.png; name them by .* folder$"
    ):
        files("1.png", "2.png")
    with pytest.raises(ImportRefused, match=r"that are not in .*: 3\.png; name them by"):
        files("1.png", "2.png", "3.png")


def test_without_a_folder_pictures_are_searched_beside_the_answers(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)

    def files(name: str) -> list[Path]:
        rows = np.zeros((1, 2), np.float32)
        return expected.Expected(tmp_path / "a.npz", [name], rows).files([])

    assert files("2.png") == [tmp_path / "dog/2.png"]
    for name, reason in (("1.png", "more than once in"), ("3.png", "not in")):
        with pytest.raises(ImportRefused, match=f"{reason} .*, or give the pictures' folder as"):
            files(name)


def test_logits_become_probabilities() -> None:
    def probabilities(rows: Any, classes: int = 2, *, is_multi_label: bool = False) -> Any:
        given = expected.Expected(Path("a.npz"), ["a"], np.array(rows, np.float32))
        return given.probabilities(classes, is_multi_label=is_multi_label)

    np.testing.assert_array_equal(probabilities(ROWS), ROWS)
    np.testing.assert_allclose(probabilities(np.log(ROWS) + 3), ROWS, rtol=1e-5)
    np.testing.assert_allclose(probabilities([[0.25], [1]]), [[0.75, 0.25], [0.0, 1.0]])
    np.testing.assert_allclose(probabilities([[0.0], [-40]]), [[0.5, 0.5], [1.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(
        probabilities([[0.0, 40]], is_multi_label=True), [[0.5, 1.0]], atol=1e-6
    )
    np.testing.assert_allclose(probabilities([[0.9, 0.8]], is_multi_label=True), [[0.9, 0.8]])
    with pytest.raises(ImportRefused, match="holds 2 outputs per picture, but there are 3 labels"):
        probabilities(ROWS, 3)
    with pytest.raises(ImportRefused, match="holds NaN or infinity"):
        probabilities([[np.nan, 0]])


def test_the_pictures_that_differ_most_are_named_first() -> None:
    served = np.array([[0.2, 0.8], [0.45, 0.55], [0.5, 0.5]], np.float32)
    theirs = np.array([[0.1, 0.9], [0.85, 0.15], [0.5, 0.5]], np.float32)
    files = [Path("a.png"), Path("b.png"), Path("c.png")]
    parity = expected.compare(files, served, theirs, ["cat", "dog"])
    assert str(parity) == "top-1 agreement 66.7%, largest difference 0.4000"
    assert parity.worst == [
        "b.png (0.400: dog, not cat)",
        "a.png (0.100: dog)",
        "c.png (0.000: cat)",
    ]
