import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.data.datasets import Dataset
from model_build.graph import temperature
from model_build.quantise.arithmetic import dequantise, symmetric
from model_build.quantise.weight_only import BLOCK, quantise
from tests.support.graphs import CONTRACT, answers, convolutional, ends, operators

type Bits = Literal[8, 4]


@pytest.fixture(params=[8, 4])
def bits(request: pytest.FixtureRequest) -> Bits:
    found: Bits = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path, bits: Bits) -> Path:
    """A classifier as fp32.onnx and small.onnx."""
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    quantise(tmp_path / "fp32.onnx", tmp_path / "small.onnx", bits=bits)
    return tmp_path


def test_it_answers_nearly_as_its_parent_with_the_same_ends(
    folder: Path, mnist: Dataset, bits: Bits
) -> None:
    fp32, small = (
        answers(folder / f"{name}.onnx", mnist.test_images) for name in ("fp32", "small")
    )
    assert np.mean(fp32.argmax(axis=1) == small.argmax(axis=1)) > {8: 0.98, 4: 0.9}[bits]
    assert ends(folder / "small.onnx") == CONTRACT


def test_weights_are_stored_in_their_bits(folder: Path, bits: Bits) -> None:
    stored = {one.name: one for one in onnx.load(folder / "small.onnx").graph.initializer}
    for name in ("first", "second"):
        kind = {8: TensorProto.INT8, 4: TensorProto.INT4}[bits]
        assert stored[f"{name}_quantized"].data_type == kind
        weights = np.prod(stored[f"{name}_quantized"].dims)
        assert len(stored[f"{name}_quantized"].raw_data) == weights * bits // 8
    assert stored["matrix_quantized"].dims == [10, -(-400 // BLOCK), BLOCK * bits // 8]
    assert not {"first", "second", "matrix"} & stored.keys()


def test_convolutions_hold_the_weights_that_the_arithmetic_gives(folder: Path, bits: Bits) -> None:
    fp32, small = (
        {
            one.name: numpy_helper.to_array(one)
            for one in onnx.load(folder / f"{name}.onnx").graph.initializer
        }
        for name in ("fp32", "small")
    )
    quantised, scale = symmetric(fp32["second"], bits, axis=0)
    assert np.array_equal(small["second_quantized"].astype(np.int8), quantised)
    assert np.array_equal(small["second_scale"].ravel(), scale)


@pytest.mark.parametrize("depth", [BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("operator", ["MatMul", "Gemm", "transposed Gemm"])
def test_a_product_is_that_with_the_weights_of_each_block(
    tmp_path: Path, bits: Bits, depth: int, operator: str
) -> None:
    generator = np.random.default_rng(depth)
    matrix = generator.normal(0, 1, (depth, 7)).astype(np.float32)
    bias = generator.normal(0, 1, 7).astype(np.float32)
    _save_product(tmp_path / "fp32.onnx", operator, matrix, bias)
    quantise(tmp_path / "fp32.onnx", tmp_path / "small.onnx", bits=bits)
    assert "MatMulNBits" in operators(tmp_path / "small.onnx")
    # The kernel rounds its input to eight bits as well: with 127 in each block, no rounding.
    rows = generator.integers(-127, 128, (3, depth)).astype(np.float32)
    rows[:, ::BLOCK] = 127
    (found,) = ort.InferenceSession(tmp_path / "small.onnx").run(None, {"x": rows})

    padded = np.pad(matrix.T, ((0, 0), (0, -depth % BLOCK))).reshape(-1, BLOCK)
    restored = dequantise(*symmetric(padded, bits, axis=0), axis=0).reshape(7, -1)[:, :depth]
    expected = rows @ restored.T + (0 if operator == "MatMul" else bias)
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-2)


def test_a_product_that_is_scaled_stays_float(tmp_path: Path, bits: Bits) -> None:
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    temperature.apply(tmp_path / "fp32.onnx", tmp_path / "scaled.onnx", 2.0)
    quantise(tmp_path / "scaled.onnx", tmp_path / "small.onnx", bits=bits)
    assert "Gemm" in operators(tmp_path / "small.onnx")


def test_convolutions_are_unfolded_once_as_a_session_opens(folder: Path, tmp_path: Path) -> None:
    """So memory and latency are those of fp32, as the docstring says."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    ort.InferenceSession(folder / "small.onnx", options, providers=["CPUExecutionProvider"])
    opened = onnx.load(tmp_path / "opened.onnx").graph
    kinds = [node.op_type for node in opened.node]
    assert kinds.count("Cast") == 1, "the image's own"
    convolutions = [node for node in opened.node if "Conv" in node.op_type]
    weights = {one.name: one.data_type for one in opened.initializer}
    assert [weights[node.input[1]] for node in convolutions] == [TensorProto.FLOAT] * 2


def test_it_says_what_it_did_and_leaves_the_parent_alone(folder: Path, bits: Bits) -> None:
    said = quantise(folder / "fp32.onnx", folder / "again.onnx", bits=bits)
    assert said["method"] == "weight-only"
    assert said["weights"].startswith(f"int{bits}, per block of 32")
    assert json.dumps(said)
    assert (folder / "fp32.onnx").read_bytes() == convolutional()
    assert (folder / "again.onnx").read_bytes() == (folder / "small.onnx").read_bytes()


def test_other_numbers_of_bits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    with pytest.raises(ValueError, match="bits must be 8 or 4, got 2"):
        quantise(tmp_path / "fp32.onnx", tmp_path / "small.onnx", bits=2)  # type: ignore[arg-type]


def _save_product(
    path: Path, operator: str, matrix: NDArray[np.float32], bias: NDArray[np.float32]
) -> None:
    transposed = operator.startswith("transposed")
    arrays: dict[str, Any] = {"matrix": matrix.T if transposed else matrix, "bias": bias}
    if operator == "MatMul":
        del arrays["bias"]
        node = helper.make_node("MatMul", ["x", "matrix"], ["y"])
    else:
        node = helper.make_node("Gemm", ["x", "matrix", "bias"], ["y"], transB=int(transposed))
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", len(matrix)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 7])],
        [numpy_helper.from_array(np.ascontiguousarray(one), name) for name, one in arrays.items()],
    )
    opset = [helper.make_opsetid("", 15)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
