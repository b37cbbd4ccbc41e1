"""find_preprocess.py: the author's way to prepare pictures is found from labelled ones."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from classifier.prepare.encoding import Encoding
from model_build.importing.find_preprocess import Ranked, find_preprocess

COLOURS = np.array([(200, 60, 40), (40, 60, 200), (60, 180, 90), (150, 150, 60)], dtype=np.uint8)
SIDE = 12


def author_s_model(
    shape: list[int], targets: NDArray[np.floating], batch: int | str
) -> ort.InferenceSession:
    """A session that knows how near a picture's mean [C] is to each class's target [K, C].

    Of numbers in another range, which are near to none, it says that they are of no class.
    """
    axes = [2, 3] if shape[0] in (1, 3) else [1, 2]
    constants: dict[str, NDArray[Any]] = {
        "targets": targets.astype(np.float32),
        "middle": np.array([1], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
        "factor": np.array(-8 / targets.var(), dtype=np.float32),
        "none": np.array(0.01, dtype=np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=axes, keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "middle"], ["means"]),
            helper.make_node("Sub", ["means", "targets"], ["differences"]),
            helper.make_node("Mul", ["differences", "differences"], ["squares"]),
            helper.make_node("ReduceSum", ["squares", "last"], ["distances"], keepdims=0),
            helper.make_node("Mul", ["distances", "factor"], ["logits"]),
            helper.make_node("Exp", ["logits"], ["likelihoods"]),
            helper.make_node("ReduceSum", ["likelihoods", "middle"], ["sum"]),
            helper.make_node("Add", ["sum", "none"], ["total"]),
            helper.make_node("Div", ["likelihoods", "total"], ["probabilities"]),
        ],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, len(targets)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], NDArray[np.int64]]:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    labels = generator.integers(0, len(COLOURS), 40)
    files = []
    for index, label in enumerate(labels):
        noisy = COLOURS[label] + generator.normal(0, 12, (20, 30, 3))
        files.append(folder / f"{index}.png")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(files[-1])
    return files, labels


def found(
    author: dict[str, Any],
    shape: list[int],
    pictures: tuple[list[Path], NDArray[np.int64]],
    batch: int | str = "N",
) -> tuple[list[Ranked], int]:
    """Ranked ways for a model whose author prepared pictures so, and how many steps were told."""
    encode = Encoding.from_manifest("float32", tuple(shape), author)
    plain = np.broadcast_to(COLOURS[:, np.newaxis, np.newaxis], (len(COLOURS), SIDE, SIDE, 3))
    samples = plain if encode.channels == 3 else plain[..., 1]
    session = author_s_model(
        shape, encode(samples).mean(axis=(2, 3) if shape[0] in (1, 3) else (1, 2)), batch
    )
    steps: list[None] = []

    def on_step() -> None:
        steps.append(None)

    files, labels = pictures
    return find_preprocess(session, files, labels, tuple(shape), "float32", on_step), len(steps)


@pytest.mark.parametrize("batch", ["N", 1])
def test_the_order_of_colours_and_the_range_of_numbers_are_found(pictures: Any, batch: Any) -> None:
    author = {"colour": "BGR", "scale": 1 / 255, "mean": [0.5], "std": [0.5]}
    ranked, steps = found(author, [3, SIDE, SIDE], pictures, batch)
    assert len(ranked) == steps
    assert author.items() <= ranked[0].preprocess.items()
    assert ranked[0].accuracy == 1
    assert [way.log_loss for way in ranked] == sorted(way.log_loss for way in ranked)
    assert all(way.low <= way.log_loss <= way.high for way in ranked)


def test_only_ways_that_chance_does_not_tell_apart_are_tied(pictures: Any) -> None:
    """Of pictures of one colour each, every geometry is right; another order of colours is not."""
    author = {"colour": "RGB", "scale": 1 / 255, "mean": [0.5], "std": [0.5]}
    ranked, _ = found(author, [SIDE, SIDE, 3], pictures)
    tied = [way.preprocess for way in ranked if way.is_tied]
    assert ranked[0].preprocess in tied
    assert {way["colour"] for way in tied} == {"RGB"}
    assert {tuple(way["mean"]) for way in tied} == {(0.5,)}
    assert len(tied) < len(ranked)


def test_other_filters_are_tried_in_the_best_way(pictures: Any) -> None:
    author = {"colour": "BGR", "scale": 1 / 255, "mean": [0.5], "std": [0.5]}
    ranked, _ = found(author, [3, SIDE, SIDE], pictures)
    ways = [way.preprocess for way in ranked]
    for name in ("bicubic", "lanczos"):
        (filtered,) = (way for way in ways if way.get("interpolation") == name)
        assert author.items() <= filtered.items()
        assert {key: filtered[key] for key in filtered if key != "interpolation"} in ways


def test_a_model_of_grey_pictures_has_no_order_of_colours(pictures: Any) -> None:
    author = {"scale": 1 / 255, "mean": [0.1307], "std": [0.3081]}
    ranked, _ = found(author, [1, SIDE, SIDE], pictures)
    assert {way.preprocess["colour"] for way in ranked} == {"grey"}
    assert {"dark", "light"} <= {way.preprocess.get("background") for way in ranked}


@pytest.mark.parametrize(
    ("colour", "mean"),
    [("RGB", [123.68, 116.779, 103.939]), ("BGR", [103.939, 116.779, 123.68])],
)
def test_caffe_s_means_follow_the_order_of_colours(
    pictures: Any, colour: str, mean: list[float]
) -> None:
    author = {"colour": colour, "scale": 1.0, "mean": mean, "std": [1.0]}
    ranked, _ = found(author, [SIDE, SIDE, 3], pictures)
    assert author.items() <= ranked[0].preprocess.items()
