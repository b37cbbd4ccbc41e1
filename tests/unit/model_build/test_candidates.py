"""The choice among compressed candidates, on pictures without labels."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from classifier.prepare.encoding import Encoding
from model_build.data.datasets import Dataset
from model_build.errors import ImportRefused
from model_build.importing import candidates, footprint
from model_build.importing.agreement import compare
from model_build.importing.candidates import Choice, choose
from model_build.quantise import dynamic, half, static, weight_only
from tests.support.classifiers import forest, linear, noise, take
from tests.support.graphs import answers, convolutional

pytestmark = pytest.mark.slow

RECIPES = [
    "int8, min-max",
    "int8, percentile",
    "int8, entropy",
    "int8, pairs",
    "int8, ends in float",
    "int8, pairs, ends in float",
    "int8, pairs, products alone",
    "int8, dynamic",
    "int8 weights",
    "float16 weights",
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_TIMED_SECONDS", 0.0)


@pytest.fixture
def _as_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every candidate be a little quicker: a loaded machine decides no test."""
    monkeypatch.setattr(candidates._Bench, "_time", lambda *_: (0.8, 0.8))


def chosen(folder: Path, images: NDArray[np.uint8], **options: Any) -> Choice:
    """Choice for the convolutional classifier of digits, with pictures in uneven batches."""
    (folder / "adopted.onnx").write_bytes(convolutional())

    def batches() -> Iterator[NDArray[np.uint8]]:
        yield images[:7]
        yield images[7:]

    return choose(folder, Encoding((28, 28)), batches, **options)


@pytest.mark.usefixtures("_as_quick")
def test_the_smallest_candidate_that_agrees_is_chosen(tmp_path: Path, mnist: Dataset) -> None:
    steps: list[str] = []
    choice = chosen(tmp_path, mnist.train_images[::40], on_step=steps.append)
    assert steps == RECIPES == [one.recipe for one in choice.figures]
    assert choice.quantization is not None
    assert choice.original == tmp_path / "fp32.onnx"
    best = next(one for one in choice.figures if choice.sentence.startswith(f"chose {one.recipe}:"))
    assert best.agreement is not None
    assert best.bytes == choice.file.stat().st_size < choice.original.stat().st_size / 2
    held_out = mnist.test_images[:200]
    same = answers(choice.file, held_out).argmax(1) == answers(choice.original, held_out).argmax(1)
    assert same.mean() > 0.95
    qualified = [one for one in choice.figures if not one.fault]
    assert len(qualified) > 1
    assert min(qualified, key=candidates._cost) == best


@pytest.mark.usefixtures("_as_quick")
def test_what_answers_otherwise_does_not_qualify(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that returns another model: noise in its weights."""

    def ruined(source: Path, target: Path) -> dict[str, Any]:
        model = onnx.load(source)
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 4:
                values = np.random.default_rng(0).normal(0, 1, tensor.dims).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        onnx.save(model, target)
        return {"method": "ruined"}

    monkeypatch.setattr(
        candidates, "_static", lambda **_: lambda bench, to: ruined(bench.original, to)
    )
    for module in (dynamic, weight_only, half):
        monkeypatch.setattr(module, "quantise", ruined)
    choice = chosen(tmp_path, mnist.train_images[::40])
    assert (choice.quantization, choice.file) == (None, tmp_path / "fp32.onnx")
    assert choice.sentence.startswith("kept as it is: the nearest recipe, ")
    assert ", less than 90%" in choice.sentence


@pytest.mark.usefixtures("_as_quick")
def test_a_recipe_that_fails_is_a_sentence(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(static, "write", fail)
    choice = chosen(tmp_path, mnist.train_images[::40])
    faults = {one.recipe: one.fault for one in choice.figures}
    assert faults["int8, min-max"] == "failed: no kernel"
    assert not faults["float16 weights"]
    assert choice.quantization is not None


def test_the_memory_that_a_file_needs_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.onnx").write_bytes(convolutional())
    onnx.save(linear(weight=np.zeros((36, 10**6), np.float32)), tmp_path / "large.onnx")
    small, large = (footprint.needed_mb(tmp_path / f"{name}.onnx") for name in ("small", "large"))
    assert 350 < small < 600
    assert 137 * 2 < large - small < 137 * 4
    (tmp_path / "adopted.onnx").write_bytes(convolutional())
    encode = Encoding((28, 28))
    assert "MemorySize" not in choose(tmp_path, encode, None).sentence
    monkeypatch.setattr(footprint, "DEFAULT_MB", 300)
    assert re.search("deploy it with MemorySize=[45]..", choose(tmp_path, encode, None).sentence)
    monkeypatch.setattr(footprint, "MOST_MB", 300)
    with pytest.raises(ImportRefused, match=r"needs [45].. MB of memory, more than the 300 MB"):
        choose(tmp_path, encode, None)


def test_a_file_whose_memory_can_not_be_measured_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\0")
    with pytest.raises(
        ImportRefused,
        match=r"memory of .*broken\.onnx could not be measured .*\(.*INVALID_PROTOBUF",
    ):
        footprint.needed_mb(tmp_path / "broken.onnx")


@pytest.mark.parametrize(
    ("moved", "sentence"),
    [
        (0.0, ""),
        (0.04, ""),
        (0.07, "changes a probability by 0.070 on average, 0.07 at most; 0.06 on average is"),
        (0.3, "gives the same answer for 50.0% of 100 pictures, so maybe for 40.4%, less than 90%"),
    ],
)
def test_a_candidate_qualifies_by_what_it_changes(moved: float, sentence: str) -> None:
    """Half of the pictures are near the border, the others are not."""
    first = np.repeat([0.6, 0.95], 50)
    original = np.stack([first, 1 - first], axis=1)
    compressed = original + np.array([-moved, moved])
    assert candidates._fault(compare(original, compressed)).startswith(sentence)
    assert bool(sentence) == bool(candidates._fault(compare(original, compressed)))


def test_the_user_sets_how_much_a_candidate_may_change() -> None:
    original = np.tile([0.6, 0.4], (100, 1))
    compressed = original.copy()
    compressed[:3] = [0.49, 0.51]
    found = compare(original, compressed)
    assert str(found) == (
        "the same answer for 97.0% of 100 pictures (95 % interval 91.5% to 99.0%), largest "
        "difference 0.110"
    )
    assert not candidates._fault(found)
    assert candidates._fault(found, min_agreement=0.95).endswith("for 91.5%, less than 95%")
    assert candidates._fault(found, max_difference=0.05) == (
        "changes a probability by 0.110, more than 0.05"
    )


@pytest.mark.usefixtures("_as_quick")
def test_the_next_best_candidate_follows_one_that_fails_the_check(
    tmp_path: Path, mnist: Dataset
) -> None:
    checked: list[Path] = []

    def check(file: Path) -> str:
        checked.append(file)
        return "" if file.stem == "float16-weights" else "is not like the owner's"

    choice = chosen(tmp_path, mnist.train_images[::40], check=check)
    assert choice.file == checked[-1] == tmp_path / "float16-weights.onnx"
    assert len(checked) > 1, "a smaller one was the first"
    faults = [one.fault for one in choice.figures]
    assert faults.count("is not like the owner's") == len(checked) - 1
    assert choice.quantization is not None
    assert choice.quantization["method"] == "weight-only"
    refused = chosen(tmp_path, mnist.train_images[::40], check=lambda _: "is not like them")
    assert (refused.quantization, refused.agreement) == (None, None)
    assert refused.sentence.startswith("kept as it is: the nearest recipe, ")
    assert refused.sentence.endswith(", is not like them")


@pytest.mark.usefixtures("_as_quick")
def test_what_changes_a_probability_too_much_is_not_chosen(tmp_path: Path, mnist: Dataset) -> None:
    choice = chosen(tmp_path, mnist.train_images[::40], max_difference=0.005)
    assert choice.agreement is not None
    assert choice.agreement.largest_difference <= 0.005
    assert any(one.fault.endswith(", more than 0.005") for one in choice.figures)


def test_sure_answers_that_flip_are_a_loss() -> None:
    original = np.tile([0.9, 0.1], (100, 1))
    compressed = original.copy()
    compressed[:2] = [0.1, 0.9]
    assert candidates._fault(compare(original, compressed)).startswith(
        "loses about 1.6% accuracy, at most "
    )


def test_what_is_slower_is_not_compared(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates._Bench, "_time", lambda *_: (1.2, 1.2))
    choice = chosen(tmp_path, mnist.train_images[:320:40])
    assert {one.fault for one in choice.figures} == {"is slower"}
    assert {one.time_ratio for one in choice.figures} == {1.2}
    assert "no recipe makes it smaller or quicker; int8, min-max is slower" in choice.sentence


def test_a_part_of_many_pictures_calibrates(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other picture, up to a number; the others are compared."""
    images, given = mnist.train_images[:300], []

    def spy(_source: Path, _operators: Any, batches: Any, _budget: int) -> None:
        given.extend(batches())
        raise RuntimeError("enough")

    monkeypatch.setattr(candidates, "Ranges", spy)
    monkeypatch.setattr(candidates, "_recipes", lambda _: [("int8", candidates._static())])
    assert chosen(tmp_path, images).figures[0].fault == "failed: enough"
    np.testing.assert_array_equal(np.concatenate(given), images[:256:2])


@pytest.mark.usefixtures("_as_quick")
def test_few_pictures_are_too_few_to_tell(tmp_path: Path, mnist: Dataset) -> None:
    choice = chosen(tmp_path, mnist.train_images[:320:40])
    assert choice.quantization is None
    assert choice.sentence.endswith("agrees, but 8 pictures are too few to tell")


def test_without_pictures_the_original_is_kept(tmp_path: Path) -> None:
    (tmp_path / "adopted.onnx").write_bytes(convolutional())
    choice = choose(tmp_path, Encoding((28, 28)), None)
    assert (choice.quantization, choice.file) == (None, choice.original)
    assert "nothing was compressed" in choice.sentence
    images = np.zeros((1, 28, 28), np.uint8)
    assert answers(choice.file, images).shape == (1, 10)


def test_a_quantised_file_is_kept_as_it_is(tmp_path: Path, mnist: Dataset) -> None:
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    static.quantise(tmp_path / "fp32.onnx", tmp_path / "adopted.onnx", mnist.train_images[:32])
    before = (tmp_path / "adopted.onnx").read_bytes()
    choice = choose(tmp_path, Encoding((28, 28)), lambda: iter([mnist.train_images[:32]]))
    assert choice.quantization == {"method": "as imported", "format": "QOperator"}
    assert choice.file.read_bytes() == before


def test_a_forest_has_nothing_to_compress(tmp_path: Path) -> None:
    samples = noise(64, 64) * 16
    take(forest(samples, np.arange(64) % 10, trees=2), tmp_path, classes=10)
    encode = Encoding((8, 8), "float32")
    choice = choose(tmp_path, encode, lambda: iter([samples.reshape(-1, 8, 8)]))
    assert choice.quantization is None
    assert choice.sentence == "kept as it is: the model has no weights that could be compressed"


@pytest.mark.usefixtures("_as_quick")
def test_a_graph_for_one_picture_at_a_time_is_compressed_too(tmp_path: Path) -> None:
    def one_at_a_time(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    weight = np.random.default_rng(5).normal(0, 1, (784, 10)).astype(np.float32)
    model = linear(shape=("N", 1, 28, 28), weight=weight)
    take(model, tmp_path, classes=10)
    adopted = onnx.load(tmp_path / "adopted.onnx")
    one_at_a_time(adopted)
    onnx.save(adopted, tmp_path / "adopted.onnx")
    encode = Encoding((1, 28, 28), "float32")
    choice = choose(tmp_path, encode, lambda: iter([noise(40, 1, 28, 28)]))
    assert choice.quantization is not None
    assert not [one.fault for one in choice.figures if one.fault.startswith("failed")]


def test_the_expected_loss_is_what_the_original_gives_away() -> None:
    """A near tie that flips costs little; a sure answer that flips costs its certainty."""
    original = np.array([[0.51, 0.49], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    compressed = np.array([[0.45, 0.55], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    found = compare(original, compressed)
    assert (found.pictures, found.top1) == (4, 0.5)
    assert found.expected_loss == pytest.approx((0.02 + 0.6) / 4)
    assert found.largest_difference == pytest.approx(0.4)
    assert found.difference == pytest.approx((0.06 + 0.4) / 4)
    low, high = found.expected_loss_interval
    assert low < found.expected_loss < high <= 0.6
    assert found.top1_interval == pytest.approx((0.15, 0.85), abs=0.005)


def test_weights_in_float16_take_half_and_answer_alike(tmp_path: Path) -> None:
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    half.quantise(tmp_path / "fp32.onnx", tmp_path / "half.onnx")
    sizes = [(tmp_path / name).stat().st_size for name in ("half.onnx", "fp32.onnx")]
    assert sizes[0] < 0.6 * sizes[1]
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    fp32, found = (answers(tmp_path / name, images) for name in ("fp32.onnx", "half.onnx"))
    np.testing.assert_allclose(found, fp32, atol=0.02)


def test_numbers_beyond_float16_stay_in_float32(tmp_path: Path) -> None:
    weight = noise(36, 10) * 1e6
    onnx.save(linear(weight=weight), tmp_path / "fp32.onnx")
    half.quantise(tmp_path / "fp32.onnx", tmp_path / "half.onnx")
    kept = {one.name: one for one in onnx.load(tmp_path / "half.onnx").graph.initializer}
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(kept["weight"]), weight)
