"""Parts of an import: the manifest's input, pictures, and what int8 may lose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_build.data import image_folders
from model_build.errors import ImportRefused
from model_build.importing.publication import input_of, lost_too_much


def test_the_numbers_of_a_float_model_stand_in_its_manifest() -> None:
    given: dict[str, Any] = {"pipeline": "picture", "fit": "squash", "mean": [0.5]}
    own = input_of("float32", ["N", 28, 28, 1], given, {"std": [0.25]}).preprocess
    assert own == given | {"scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    assert input_of("float32", ["N", 28, 28], given, {"mean": [0.1]}).preprocess["mean"] == [0.1]
    raw = input_of("uint8", ["N", 28, 28], given | {"scale": 2.0, "std": [1.0]}, {}).preprocess
    assert raw == {"pipeline": "picture", "fit": "squash"}


@pytest.mark.parametrize(
    ("dtype", "shape", "pipeline", "numbers", "sentence"),
    [
        ("uint8", ["N", 28, 28], "resize", {"scale": 1.0}, "omit scale"),
        ("float32", ["N", 3, 28, 28], "mnist", {}, "mnist does not fit"),
        ("float32", ["N", 2, 28, 28], "resize", {}, "shape must be"),
        (
            "float32",
            ["N", 1, 28, 28],
            "resize",
            {"mean": [0.1, 0.2, 0.3]},
            "mean must have 1 value",
        ),
        ("float32", ["N", 1, 28, 28], "resize", {"std": [0.0]}, "std must not be 0"),
    ],
)
def test_a_pipeline_that_does_not_fit_the_input_is_refused(
    dtype: str, shape: list[Any], pipeline: str, numbers: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        input_of(dtype, shape, {"pipeline": pipeline}, numbers)


def write_picture(path: Path, pixels: NDArray[np.uint8] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((6, 6), np.uint8) if pixels is None else pixels).save(path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="is not a folder"):
        image_folders.pictures(tmp_path / "none")


def test_pictures_that_can_not_be_read_are_listed(tmp_path: Path) -> None:
    for index in range(14):
        (tmp_path / f"{index:02}.png").write_bytes(b"no picture")
    write_picture(tmp_path / "good.png")
    files = image_folders.pictures(tmp_path)
    seen: list[None] = []
    pipeline = importing_pipeline()
    with pytest.raises(ImportRefused) as refused:
        list(image_folders.samples(files, pipeline, lambda: seen.append(None)))
    assert len(seen) == 15
    lines = str(refused.value).splitlines()
    assert lines[0] == "14 of 15 pictures can't be read; remove or replace them"
    assert "00.png: there is no image in the bytes; expected a PNG" in lines[1]
    assert lines[-1] == "  and 4 more"


def test_pictures_that_can_not_be_read_are_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"no picture")
    for name in ("0.png", "2.png"):
        write_picture(tmp_path / name)
    broken: image_folders.Broken = {}
    files = image_folders.pictures(tmp_path)
    (samples,) = image_folders.samples(files, importing_pipeline(), lambda: None, broken)
    assert (len(samples), list(broken)) == (2, files[1:2])
    with pytest.raises(ImportRefused, match="1 of 1 pictures can't be read"):
        list(image_folders.samples(files[1:2], importing_pipeline(), lambda: None, {}))


def test_a_truncated_file_is_not_asked_to_be_sent(tmp_path: Path) -> None:
    write_picture(tmp_path / "cut.png", np.arange(10_000).reshape(100, 100).astype(np.uint8))
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 3])
    with pytest.raises(ImportRefused, match=r"cut.png: .*truncated.*") as refused:
        list(image_folders.samples([tmp_path / "cut.png"], importing_pipeline(), lambda: None))
    assert "send" not in str(refused.value)


def importing_pipeline() -> Any:
    from classifier.prepare.pipeline import from_manifest

    return from_manifest(["N", 6, 6], {"pipeline": "resize"})


def test_the_digest_of_a_folder_changes_with_a_name_or_a_byte(tmp_path: Path) -> None:
    def digest() -> str:
        return image_folders.digest(tmp_path, image_folders.pictures(tmp_path))

    write_picture(tmp_path / "a" / "1.png")
    before = digest()
    assert digest() == before
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "2.png")
    renamed = digest()
    write_picture(tmp_path / "a" / "2.png", np.ones((6, 6), np.uint8))
    assert len({before, renamed, digest()}) == 3


@pytest.mark.parametrize(
    ("lost", "won", "is_too_much"),
    [(0, 0, False), (1, 0, False), (3, 0, True), (20, 18, False), (30, 10, True), (0, 9, False)],
)
def test_int8_may_lose_what_chance_explains(lost: int, won: int, *, is_too_much: bool) -> None:
    fp32 = np.ones(500, np.bool_)
    int8 = fp32.copy()
    int8[:lost] = False
    fp32[lost : lost + won] = False
    reason = lost_too_much(int8, fp32)
    assert (reason is not None) == is_too_much
    if reason is not None:
        loss = (lost - won) / 500
        assert reason.startswith(f"it loses {loss:.2%} accuracy against fp32 ({int8.mean():.2%} ")


def test_int8_may_lose_a_little_of_many_pictures() -> None:
    fp32 = np.ones(10_000, np.bool_)
    int8 = fp32.copy()
    int8[:29] = False
    assert lost_too_much(int8, fp32) is None
