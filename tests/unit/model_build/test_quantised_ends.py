"""Graphs whose input or output is quantised: pixels go in, and floats come out."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from model_build.errors import ImportRefused
from tests.support.classifiers import CLASSES, take

KINDS = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8}
WEIGHT = np.random.default_rng(1).normal(0, 0.3, (36, CLASSES)).astype(np.float32)


def quantised(
    kind: str, scale: float, zero: int, tail: list[NodeProto], sink: str = "quantised"
) -> onnx.ModelProto:
    """A linear classifier of 6 x 6 pixels, whose input is quantised; tail: after its scores."""
    constants = {
        "scale": np.float32(scale),
        "zero": np.array(zero, kind),
        "step": np.float32(1 / 256),
        "least": np.array(np.iinfo(kind).min, kind),
        "wide": np.float32(0.05),
        "middle": np.array(np.iinfo(kind).min + 128, kind),
        "rows": np.array([0, -1]),
        "sides": np.array([0, CLASSES, 1, 1]),
        "weight": WEIGHT,
    }
    nodes = [
        helper.make_node("Transpose", ["input"], ["turned"], perm=[0, 1, 2]),
        helper.make_node("DequantizeLinear", ["turned", "scale", "zero"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "rows"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
        *tail,
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("input", KINDS[kind], ["N", 6, 6])],
        [helper.make_tensor_value_info(sink, KINDS[kind], None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def node(operator: str, source: str, sink: str, *constants: str) -> NodeProto:
    return helper.make_node(operator, [source, *constants], [sink])


SOFTMAX = node("Softmax", "scores", "shares")
ROUNDED = node("QuantizeLinear", "shares", "quantised", "step", "least")


def answers(path: Path, batch: NDArray[np.generic]) -> NDArray[np.float32]:
    (found,) = ort.InferenceSession(path).run(None, {"image": batch})
    return np.asarray(found)


def expected(numbers: NDArray[np.floating]) -> NDArray[np.floating]:
    powers = np.exp(numbers.reshape(len(numbers), -1) @ WEIGHT)
    shares: NDArray[np.floating] = powers / powers.sum(axis=1, keepdims=True)
    return shares


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1)])
def test_pixels_go_into_an_input_of_any_usual_range(
    tmp_path: Path, kind: str, low: int, high: int
) -> None:
    scale = (high - low) / 255
    zero = round(np.iinfo(kind).min - low / scale)
    model = quantised(kind, scale, zero, [SOFTMAX, ROUNDED])
    adopted, target = take(model, tmp_path)
    assert adopted.dtype == "uint8"
    pixels = np.random.default_rng(2).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    steps = np.rint((pixels * scale + low) / scale) * scale
    np.testing.assert_allclose(answers(target, pixels), expected(steps), atol=0.02)
    assert any("took the numbers before that" in note for note in adopted.notes)


def test_an_input_of_another_range_takes_prepared_numbers(tmp_path: Path) -> None:
    adopted, target = take(quantised("int8", 0.018, -14, [SOFTMAX, ROUNDED]), tmp_path)
    assert adopted.dtype == "float32"
    assert "the model takes int8: added a conversion from float32" in adopted.notes
    numbers = np.random.default_rng(2).uniform(-2, 2.5, (5, 6, 6)).astype(np.float32)
    steps = np.rint(numbers / 0.018) * 0.018
    np.testing.assert_allclose(answers(target, numbers), expected(steps), atol=1e-3)


TAILS: dict[str, tuple[list[NodeProto], str, float]] = {
    "quantised twice, as from TensorFlow Lite": (
        [
            SOFTMAX,
            ROUNDED,
            node("DequantizeLinear", "quantised", "again", "step", "least"),
            node("QuantizeLinear", "again", "last", "step", "least"),
        ],
        "last",
        1e-5,
    ),
    "reshaped after it is quantised": (
        [SOFTMAX, ROUNDED, node("Reshape", "quantised", "last", "sides")],
        "last",
        1e-5,
    ),
    "logits": (
        [node("QuantizeLinear", "scores", "quantised", "wide", "middle")],
        "quantised",
        1e-5,
    ),
    "an operator in integers": (
        [
            node("QuantizeLinear", "scores", "rounded", "wide", "middle"),
            helper.make_node(
                "QLinearSoftmax",
                ["rounded", "wide", "middle", "step", "least"],
                ["quantised"],
                domain="com.microsoft",
                opset=13,
            ),
        ],
        "quantised",
        0.02,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", TAILS)
def test_an_output_in_integers_becomes_floats(tmp_path: Path, kind: str, case: str) -> None:
    tail, sink, tolerance = TAILS[case]
    zero = int(np.iinfo(kind).min)
    _, target = take(quantised(kind, 1 / 255, zero, tail, sink), tmp_path)
    pixels = np.random.default_rng(2).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    found = answers(target, pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(pixels / 255), atol=tolerance)


def test_integers_of_unknown_meaning_are_refused_by_their_cause(tmp_path: Path) -> None:
    tail = [helper.make_node("Cast", ["scores"], ["quantised"], to=TensorProto.INT8)]
    with pytest.raises(ImportRefused, match=r"output quantised has one number .*in int8.*float32"):
        take(quantised("int8", 1 / 255, -128, tail), tmp_path)
