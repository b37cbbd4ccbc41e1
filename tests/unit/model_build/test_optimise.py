from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.data.datasets import Dataset
from model_build.graph.convert import convert
from model_build.graph.optimise import EXTENDED, name_constants, optimise
from tests.support.networks import trained


def _flatten_of_unknown_batch(*, known_shape: bool) -> onnx.ModelProto:
    """Flatten whose batch size is computed at run time."""
    flat = helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 6])
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["image"], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["batch"], axis=0),
            helper.make_node("Concat", ["batch", "rest"], ["flat_shape"], axis=0),
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["pixels", "flat_shape"], ["flat"]),
            helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
        ],
        "flatten",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 2, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 6])],
        [
            numpy_helper.from_array(np.array([0], dtype=np.int64), "first"),
            numpy_helper.from_array(np.array([6], dtype=np.int64), "rest"),
        ],
        value_info=[flat] if known_shape else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def _answers(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    (answers,) = ort.InferenceSession(path).run(None, {"image": images})
    return np.asarray(answers)


def test_a_graph_without_the_lookup_answers_the_same_with_fewer_nodes(tmp_path: Path) -> None:
    onnx.save(_flatten_of_unknown_batch(known_shape=False), tmp_path / "source.onnx")
    optimise(tmp_path / "source.onnx", tmp_path / "target.onnx")
    assert sorted(_operators(tmp_path / "target.onnx")) == ["Cast", "Reshape", "Softmax"]
    images = np.random.default_rng(0).integers(0, 256, (7, 2, 3), dtype=np.uint8)
    before, after = (_answers(tmp_path / f"{name}.onnx", images) for name in ("source", "target"))
    assert np.array_equal(before, after)


def test_the_source_file_is_left_alone(tmp_path: Path, classifier: bytes) -> None:
    (tmp_path / "source.onnx").write_bytes(classifier)
    optimise(tmp_path / "source.onnx", tmp_path / "target.onnx")
    assert (tmp_path / "source.onnx").read_bytes() == classifier
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.onnx", "target.onnx"]


def test_the_same_file_is_optimised_to_the_same_bytes(tmp_path: Path, classifier: bytes) -> None:
    (tmp_path / "source.onnx").write_bytes(classifier)
    for name in ("one", "two"):
        optimise(tmp_path / "source.onnx", tmp_path / f"{name}.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.keras
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_an_optimised_network_is_smaller_and_answers_the_same(
    architecture: str, tmp_path: Path, mnist: Dataset
) -> None:
    convert(trained(architecture), tmp_path / "source.onnx")
    optimise(tmp_path / "source.onnx", tmp_path / "basic.onnx")
    optimise(tmp_path / "basic.onnx", tmp_path / "extended.onnx", EXTENDED)
    converted = _operators(tmp_path / "source.onnx")
    expected = _answers(tmp_path / "source.onnx", mnist.test_images)
    for level in ("basic", "extended"):
        onnx.checker.check_model(onnx.load(tmp_path / f"{level}.onnx"))
        assert len(_operators(tmp_path / f"{level}.onnx")) <= len(converted)
        answers = _answers(tmp_path / f"{level}.onnx", mnist.test_images)
        assert np.abs(answers - expected).max() < 1e-5
    basic = _operators(tmp_path / "basic.onnx")
    assert "Shape" not in basic, "the batch size is not looked up at run time"
    assert "BatchNormalization" not in basic
    assert {node.domain for node in onnx.load(tmp_path / "basic.onnx").graph.node} == {""}


def _sum_of_constants(names: list[str]) -> onnx.GraphProto:
    """image + 1 + 1 + 2, whose constants have the names given."""
    values = [np.float32(1), np.float32(1), np.float32(2)]
    constants = [
        numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names, strict=True)
    ]
    nodes = [
        helper.make_node(
            "Add", ["image" if index == 0 else f"sum{index}", name], [f"sum{index + 1}"]
        )
        for index, name in enumerate(names)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "sum3")
    ]
    return helper.make_graph(nodes, "sum", ends[:1], ends[1:], constants)


def test_graphs_that_differ_only_in_the_names_of_constants_become_the_same_file() -> None:
    first, second = _sum_of_constants(["a", "b", "c"]), _sum_of_constants(["z", "y", "x"])
    first.initializer.reverse()
    for graph in (first, second):
        name_constants(graph)
    assert first.SerializeToString() == second.SerializeToString()
    assert len(first.initializer) == 2
    model = helper.make_model(first, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"image": np.array([3], np.float32)})[0], [7])
