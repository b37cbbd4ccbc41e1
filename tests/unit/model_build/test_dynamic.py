from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from model_build.data.datasets import Dataset
from model_build.quantise.dynamic import quantise
from tests.support.graphs import CONTRACT, answers, convolutional, ends, operators


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier as fp32.onnx and dynamic.onnx."""
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    quantise(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx")
    return tmp_path


def test_it_answers_nearly_as_its_parent_with_the_same_ends(folder: Path, mnist: Dataset) -> None:
    fp32, dynamic = (
        answers(folder / f"{name}.onnx", mnist.test_images) for name in ("fp32", "dynamic")
    )
    assert np.mean(fp32.argmax(axis=1) == dynamic.argmax(axis=1)) > 0.98
    assert np.abs(fp32 - dynamic).mean() < 0.01
    assert ends(folder / "dynamic.onnx") == CONTRACT


def test_weights_are_stored_in_a_byte_and_the_file_is_smaller(folder: Path) -> None:
    large = [
        one.data_type
        for one in onnx.load(folder / "dynamic.onnx").graph.initializer
        if np.prod(one.dims) >= 200
    ]
    assert large == [TensorProto.UINT8] * 3
    assert (folder / "dynamic.onnx").stat().st_size < (folder / "fp32.onnx").stat().st_size / 1.5


def test_each_product_looks_for_the_range_of_its_input_at_every_call(folder: Path) -> None:
    kinds = operators(folder / "dynamic.onnx")
    assert kinds.count("ConvInteger") == 2
    ranges = kinds.count("DynamicQuantizeLinear") + kinds.count("DynamicQuantizeMatMul")
    assert ranges == 3


def test_an_image_is_quantised_by_its_own_batch(folder: Path, mnist: Dataset) -> None:
    """The definition of dynamic: a brighter image in the batch changes the scale of a faint one."""
    faint, bright = mnist.test_images[:1] // 4, mnist.test_images[1:2]
    alone = answers(folder / "dynamic.onnx", faint)
    together = answers(folder / "dynamic.onnx", np.concatenate([faint, bright]))
    assert not np.array_equal(alone[0], together[0])


def test_it_says_what_it_did_and_leaves_the_parent_alone(folder: Path) -> None:
    said = quantise(folder / "fp32.onnx", folder / "again.onnx")
    assert said["method"] == "dynamic"
    assert said["weights"] == "uint8, per tensor"
    assert (folder / "fp32.onnx").read_bytes() == convolutional()
    assert (folder / "again.onnx").read_bytes() == (folder / "dynamic.onnx").read_bytes()
