"""Small ONNX classifiers of real digits for tests, made without Keras."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from model_build.data.datasets import load_mnist_5k


@cache
def convolutional() -> bytes:
    """Two convolutions with random weights, then the nearest class mean by Gemm: 80 % accurate."""
    dataset = load_mnist_5k()
    images, labels = dataset.train_images, dataset.train_labels
    generator = np.random.default_rng(3)
    arrays: dict[str, NDArray[np.generic]] = {
        "recip": np.float32(1 / 255) * np.ones((), np.float32),
        "shape": np.array([-1, 1, 28, 28]),
        "first": generator.normal(0, 0.2, (8, 1, 5, 5)).astype(np.float32),
        "first_bias": np.zeros(8, np.float32),
        "second": generator.normal(0, 0.1, (16, 8, 3, 3)).astype(np.float32),
        "second_bias": np.full(16, 0.05, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "recip"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], ["planes"]),
        helper.make_node("Conv", ["planes", "first", "first_bias"], ["c1"], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "second", "second_bias"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["features"]),
    ]
    session = ort.InferenceSession(_model(nodes, arrays, "features").SerializeToString())
    (features,) = session.run(None, {"image": images})
    means = np.stack([features[labels == digit].mean(axis=0) for digit in range(10)])
    arrays["matrix"] = (2 * means.T).astype(np.float32)
    arrays["bias"] = -np.square(means).sum(axis=1).astype(np.float32)
    nodes += [
        helper.make_node("Gemm", ["features", "matrix", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    content: bytes = _model(nodes, arrays, "probabilities").SerializeToString()
    return content


def answers(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [N, 10] of a model file."""
    (probabilities,) = ort.InferenceSession(path).run(["probabilities"], {"image": images})
    return np.asarray(probabilities)


def operators(path: Path) -> list[str]:
    """Operators of a model file's nodes, in order."""
    return [node.op_type for node in onnx.load(path).graph.node]


def ends(path: Path) -> list[tuple[str, str, list[int | str]]]:
    """Name, type and shape of a model file's inputs and outputs."""
    session = ort.InferenceSession(path)
    return [
        (end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())
    ]


CONTRACT = [
    ("image", "tensor(uint8)", ["N", 28, 28]),
    ("probabilities", "tensor(float)", ["N", 10]),
]


def _model(
    nodes: list[NodeProto], arrays: dict[str, NDArray[np.generic]], output: str
) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "convolutional",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [
            helper.make_tensor_value_info(
                output, TensorProto.FLOAT, ["N", 10 if output == "probabilities" else 400]
            )
        ],
        [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return model
