"""Pictures given with a model: their labels, and which of them calibrate or evaluate."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_build.errors import ImportRefused
from model_build.importing import labels as labels_of
from model_build.importing import pictures
from model_build.importing.labels import Labels
from model_build.importing.pictures import Pictures, separate, split


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    (tmp_path / "labels.txt").write_text("T-shirt/top\nCoat\nBag\n")
    return labels_of.read(tmp_path / "labels.txt")


def write(folder: Path, *names: str, shade: int = 0) -> None:
    """Write pictures, each of another shade."""
    for number, name in enumerate(names, shade):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(folder / name)


def names(given: Pictures) -> list[str]:
    return [path.relative_to(given.folder).as_posix() for path in given.files]


def test_sub_folders_are_labels(tmp_path: Path, labels: Labels) -> None:
    folder = tmp_path / "pictures"
    write(folder, "Bag/2.png", "Bag/1.JPG", "T-shirt_top/deep/3.webp", "Bag/.hidden.png")
    (folder / "Bag" / "Thumbs.db").write_bytes(b"")
    found = Pictures.read(folder, labels)
    assert names(found) == ["Bag/1.JPG", "Bag/2.png", "T-shirt_top/deep/3.webp"]
    assert found.labels.tolist() == [2, 2, 0]
    assert found.contradictory == []


def test_sub_folders_may_be_links(tmp_path: Path, labels: Labels) -> None:
    write(tmp_path / "elsewhere", "1.png", "2.png")
    write(tmp_path / "pictures", "Coat/3.png", shade=2)
    (tmp_path / "pictures" / "Bag").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "in a circle").symlink_to(tmp_path / "pictures")
    found = Pictures.read(tmp_path / "pictures", labels)
    assert names(found) == ["Bag/1.png", "Bag/2.png", "Coat/3.png"]


def test_pictures_without_sub_folders_have_no_labels(tmp_path: Path, labels: Labels) -> None:
    write(tmp_path / "pictures", "1.png", "2.png")
    assert Pictures.read(tmp_path / "pictures", labels).truth is None
    write(tmp_path / "any", "Bag/1.png", "2.png")
    assert Pictures.read(tmp_path / "any", None).truth is None


def test_copies_of_a_picture_are_one_with_all_their_labels(tmp_path: Path, labels: Labels) -> None:
    write(tmp_path / "pictures", "Bag/1.png", shade=7)
    write(tmp_path / "pictures", "Coat/copy.png", shade=7)
    write(tmp_path / "pictures", "Coat/other.png", "Coat/more.png", shade=8)
    found = Pictures.read(tmp_path / "pictures", labels)
    assert names(found) == ["Bag/1.png", "Coat/more.png", "Coat/other.png"]
    assert found.truth is not None
    assert found.truth.tolist() == [[False, True, True], [False, True, False], [False, True, False]]
    assert found.contradictory == found.files[:1]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "is not a folder"),
        (["Bag/1.png", "1.png"], "in sub-folders and outside, such as 1.png"),
        (["Bag/1.png", "Shoe/1.png"], "without a label: Shoe; the labels are T-shirt_top, Coat"),
    ],
)
def test_a_folder_that_can_not_be_understood_is_refused(
    tmp_path: Path, labels: Labels, files: list[str], sentence: str
) -> None:
    write(tmp_path / "pictures", *files)
    with pytest.raises(ImportRefused, match=sentence):
        Pictures.read(tmp_path / "pictures", labels)


@pytest.mark.parametrize(("count", "calibrated"), [(2, 1), (9, 4), (100, 50), (3000, 512)])
def test_labelled_pictures_are_split_into_two_parts_with_all_labels(
    count: int, calibrated: int
) -> None:
    files = [Path(f"{index:04}.png") for index in range(count)]
    truth = np.zeros((count, 3), dtype=np.bool_)
    truth[np.arange(count), np.arange(count) % 3] = True
    both = split(Pictures(Path(), files, truth))
    assert [len(part.files) for part in both] == [calibrated, count - calibrated]
    assert sorted(both[0].files + both[1].files) == files
    for part in both:
        assert part.files == sorted(part.files)
        assert part.labels.tolist() == [int(path.stem) % 3 for path in part.files]
        shares = np.bincount(part.labels, minlength=3) / len(part.files)
        assert np.abs(shares - 1 / 3).max() <= 1 / len(part.files)
    assert split(Pictures(Path(), files, truth))[0].files == both[0].files


def test_pictures_without_labels_are_all_to_calibrate_with() -> None:
    files = [Path(f"{index:04}.png") for index in range(2000)]
    calibration, evaluation = split(Pictures(Path(), files))
    assert len(set(calibration.files)) == pictures.CALIBRATION
    assert calibration.files == sorted(calibration.files)
    assert evaluation.files == []


def test_one_labelled_picture_can_not_be_split(tmp_path: Path, labels: Labels) -> None:
    write(tmp_path / "pictures", "Bag/1.png")
    with pytest.raises(ImportRefused, match="has one picture; expected two or more"):
        split(Pictures.read(tmp_path / "pictures", labels))


def test_what_is_evaluated_is_not_calibrated_with(tmp_path: Path, labels: Labels) -> None:
    write(tmp_path / "calibration", "1.png", "2.png", "3.png")
    write(tmp_path / "evaluation", "Bag/other-name.png", shade=1)
    evaluation = Pictures.read(tmp_path / "evaluation", labels)
    calibration = Pictures.read(tmp_path / "calibration", None)
    assert names(separate(calibration, evaluation)[0]) == ["1.png", "3.png"]
    with pytest.raises(ImportRefused, match=r"has no sub-folders; expected"):
        separate(evaluation, calibration)
    with pytest.raises(ImportRefused, match=r"has no pictures that are not in .* too"):
        separate(evaluation, evaluation)
