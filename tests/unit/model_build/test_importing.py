"""Import of a user's ONNX model: what is checked, changed and refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from classifier.model import session
from classifier.model import store as function_store
from model_build.data import image_folders
from model_build.data.datasets import Dataset
from model_build.errors import GateError, ImportRefused
from model_build.evaluation.evaluate import Evaluation
from model_build.importing.publication import calibration_choice, input_of, may_publish_int8
from model_build.store.model_store import ModelStore
from tests.support.classifiers import linear
from tests.support.manifests import evaluation


def test_the_numbers_of_a_float_model_stand_in_its_manifest() -> None:
    imagenet: dict[str, Any] = {"pipeline": "imagenet", "crop": 0.875}
    given = input_of("float32", ["N", 3, 224, 224], imagenet, {}).preprocess
    assert given["mean"] == [0.485, 0.456, 0.406]
    assert given["std"] == [0.229, 0.224, 0.225]
    resize: dict[str, Any] = {"pipeline": "resize"}
    own = input_of("float32", ["N", 28, 28, 1], resize, {"mean": [0.13]}).preprocess
    assert own == {"pipeline": "resize", "scale": 1 / 255, "mean": [0.13], "std": [1.0]}
    assert input_of("uint8", ["N", 28, 28], resize, {}).preprocess == resize


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
        ("float32", ["N", 1, 28, 28], "imagenet", {}, r"one per channel \(1\), got 3"),
    ],
)
def test_a_pipeline_that_does_not_fit_the_input_is_refused(
    dtype: str, shape: list[Any], pipeline: str, numbers: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        input_of(dtype, shape, {"pipeline": pipeline}, numbers)


def both(fp32: float, int8: float) -> dict[str, Evaluation]:
    return {"fp32": evaluation(fp32), "int8": evaluation(int8)}


def test_int8_is_published_if_it_keeps_its_accuracy() -> None:
    assert may_publish_int8(both(0.90, 0.897), 0, 0.003, allow_fp32=False) is None


def test_int8_that_lost_too_much_stops_the_import_or_leaves_fp32_alone() -> None:
    with pytest.raises(GateError, match=r"got 0\.50% .* nothing was published"):
        may_publish_int8(both(0.90, 0.895), 0, 0.003, allow_fp32=False)
    reason = may_publish_int8(both(0.90, 0.895), 0, 0.003, allow_fp32=True)
    assert reason is not None
    assert "got 0.50%" in reason


def test_fp32_alone_must_reach_the_least_accuracy_too() -> None:
    with pytest.raises(GateError, match=r"accuracy must be at least 95\.00%"):
        may_publish_int8(both(0.90, 0.85), 0.95, 0.003, allow_fp32=True)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("T-shirt/top\nBag\n", ["T-shirt/top", "Bag"]),
        ("\ufeff 0 \r\n1\r\n\r\n", [0, 1]),
        ("0\n01\n", ["0", "01"]),
        ("7\nseven\n", ["7", "seven"]),
    ],
)
def test_labels_are_lines_and_integers_if_all_are(
    tmp_path: Path, text: str, labels: list[Any]
) -> None:
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert image_folders.read_labels(tmp_path / "labels.txt") == labels


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb\na\n", "lists a more than once"),
        (b"a\n", "two or more labels, one per line, got 1"),
        (b"\xff\xfe", "text file"),
    ],
)
def test_a_file_of_labels_that_is_none_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ImportRefused, match=sentence):
        image_folders.read_labels(tmp_path / "labels.txt")


def write_picture(path: Path, pixels: NDArray[np.uint8] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((6, 6), np.uint8) if pixels is None else pixels).save(path)


def test_a_labelled_folder_has_a_sub_folder_a_label(tmp_path: Path) -> None:
    for name in ("Bag/2.png", "Bag/1.JPG", "T-shirt_top/deep/3.webp"):
        write_picture(tmp_path / name)
    (tmp_path / "Bag" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "Bag" / ".hidden.png").write_bytes(b"")
    files, labels = image_folders.labelled(tmp_path, ["T-shirt/top", "Coat", "Bag"])
    assert [path.name for path in files] == ["1.JPG", "2.png", "3.webp"]
    assert labels.tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "has no pictures"),
        (["1.png"], "outside its sub-folders, such as 1.png"),
        (
            ["Bag/1.png", "Shoe/1.png"],
            "sub-folders without a label: Shoe; the labels are",
        ),
    ],
)
def test_a_labelled_folder_that_is_none_is_refused(
    tmp_path: Path, files: list[str], sentence: str
) -> None:
    for name in files:
        write_picture(tmp_path / name)
    with pytest.raises(ImportRefused, match=sentence):
        image_folders.labelled(tmp_path, ["Bag", "Coat"])


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
    assert lines[0].startswith("14 of 15 pictures can't be read")
    assert "00.png: there is no image in the bytes" in lines[1]
    assert lines[-1] == "  and 4 more"


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


def test_calibration_takes_512_pictures_the_same_each_time() -> None:
    files = [Path(f"{index:04}.png") for index in range(2000)]
    chosen = calibration_choice(files)
    assert len(set(chosen)) == 512
    assert chosen == calibration_choice(files) == sorted(chosen)
    assert calibration_choice(files[:9]) == files[:9]


@pytest.fixture
def theirs(tmp_path: Path, mnist: Dataset) -> Path:
    """Folder with a float model of digits in PyTorch's layout, labels and pictures."""
    means = np.stack([mnist.train_images[mnist.train_labels == d].mean(axis=0) for d in range(10)])
    means = (means.reshape(10, 784) / 255 - 0.5) / 0.5
    rows = np.vstack([2 * means.T, -np.square(means).sum(axis=1)]).astype(np.float32)

    def add_bias(model: onnx.ModelProto) -> None:
        model.graph.node[2].output[0] = "products"
        model.graph.node.append(helper.make_node("Add", ["products", "bias"], ["output"]))
        model.graph.initializer.append(numpy_helper.from_array(rows[784], "bias"))

    model = linear(shape=(1, 1, 28, 28), weight=rows[:784], edit=add_bias)
    onnx.save(model, tmp_path / "digits.onnx")
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(10))))
    for index, image in enumerate(mnist.train_images[::30]):
        write_picture(tmp_path / "calibration" / f"{index}.png", image)
    for index in range(0, 1000, 4):
        label = int(mnist.test_labels[index])
        write_picture(tmp_path / "held-out" / str(label) / f"{index}.png", mnist.test_images[index])
    return tmp_path


def arguments(theirs: Path, **other: Any) -> list[object]:
    given = {
        "labels": theirs / "labels.txt",
        "preprocess": "resize",
        "mean": 0.5,
        "std": 0.5,
        "calibration": theirs / "calibration",
        "evaluation": theirs / "held-out",
        "store": (theirs / "store").as_uri(),
        "build": theirs / "build",
    } | other
    named = [[f"--{key.replace('_', '-')}", value] for key, value in given.items()]
    return ["import", theirs / "digits.onnx", *(part for one in named for part in one)]


def test_an_imported_model_is_served_by_the_function_as_it_is(
    theirs: Path, run: Callable[..., Any], mnist: Dataset
) -> None:
    code, out, err = run(*arguments(theirs, channel="production"))
    assert (code, err) == (0, "")
    assert "changed the fixed batch size of 1 to a dynamic one" in out
    assert "appended a Softmax" in out
    models = ModelStore((theirs / "store").as_uri())
    version = models.resolve("digits", "production")
    described = models.manifest("digits", version).document
    assert described["input"] == {
        "name": "image",
        "dtype": "float32",
        "shape": ["N", 1, 28, 28],
        "preprocess": {
            "pipeline": "resize",
            "pad": False,
            "scale": 1 / 255,
            "mean": [0.5],
            "std": [0.5],
        },
    }
    assert described["output"]["labels"] == list(range(10))
    assert described["quantization"]["method"] == "static"
    parent = models.manifest("digits", described["lineage"]["parent"]).document
    assert parent["quantization"] is None
    assert parent["metrics"]["accuracy"] - described["metrics"]["accuracy"] <= 0.003

    reader = function_store.open_store((theirs / "store").as_uri())
    served = session.load(reader, "digits", "production")
    samples = np.stack([mnist.test_images[index] for index in range(0, 1000, 4)])
    answers = served.probabilities(served.encode(samples)).argmax(axis=1)
    accuracy = float((answers == mnist.test_labels[::4]).mean())
    assert accuracy == pytest.approx(described["metrics"]["accuracy"], abs=0.005)
    assert accuracy > 0.7


def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_published(
    theirs: Path, run: Callable[..., Any]
) -> None:
    (theirs / "labels.txt").write_text("\n".join("abcdefghij"))
    code, _, err = run(*arguments(theirs))
    assert (code, err[:6]) == (1, "error:")
    assert "sub-folders without a label: 0, 1" in err
    for other, sentence in (
        ({"name": "a b"}, "'a b' is not a name"),
        ({"labels": theirs / "missing"}, "does not exist"),
        ({"mean": "half"}, "expected a number, or three separated by commas, got 'half'"),
        ({"preprocess": "mnist", "background": "dark"}, "require --preprocess resize"),
    ):
        code, _, err = run(*arguments(theirs, **other))
        assert code == 2
        assert sentence in re.sub(r"[\s│]+", " ", err)
    assert not (theirs / "store").exists()


def test_int8_under_the_gate_is_not_published_unless_fp32_is_allowed(
    theirs: Path, run: Callable[..., Any]
) -> None:
    """A single black picture is useless for calibration: int8 then predicts at random."""
    write_picture(theirs / "black" / "1.png", np.zeros((28, 28), np.uint8))
    other = {"calibration": theirs / "black", "channel": "production"}
    code, _, err = run(*arguments(theirs, **other))
    assert code == 1
    assert "int8 must lose" in err
    assert not (theirs / "store").exists()
    code, out, _ = run(*arguments(theirs, **other), "--allow-fp32")
    assert code == 0
    assert "int8 is not published: int8 must lose" in out
    pointer = json.loads((theirs / "store/digits/channels/production.json").read_text())
    described = ModelStore((theirs / "store").as_uri()).manifest("digits", pointer["version"])
    assert described.quantization is None
