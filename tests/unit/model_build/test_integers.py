import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.graph.integer_fusion import optimise_integers
from model_build.graph.optimise import EXTENDED, optimise
from model_build.quantise import static
from tests.support.graphs import answers, convolutional, operators

IDLE = {"Cast", "Mul", "QuantizeLinear", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}


def _images(rows: int, columns: int, brightest: int = 255) -> NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    return generator.integers(0, brightest, (64, rows, columns), np.uint8, endpoint=True)


class First(NamedTuple):
    """A first convolution, and the size of the image that it is for."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int]
    strides: tuple[int, int]


USUAL = First((28, 28), (5, 5), (1, 1, 2, 2), (2, 2))


def _network(first: First) -> bytes:
    """Two convolutions, a mean over all places, ten classes."""
    generator = np.random.default_rng(1)

    def weights(*shape: int) -> NDArray[np.float32]:
        return generator.normal(0, 0.3, shape).astype(np.float32)

    arrays: dict[str, NDArray[np.generic]] = {
        "recip": np.ones((), np.float32) * np.float32(1 / 255),
        "axis": np.array([1]),
        "places": np.array([2, 3]),
        "first": weights(8, 1, *first.kernel),
        "first_bias": weights(8),
        "second": weights(8, 8, 3, 3),
        "matrix": weights(8, 10),
        "bias": weights(10),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "recip"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "axis"], ["planes"]),
        helper.make_node(
            "Conv",
            ["planes", "first", "first_bias"],
            ["c1"],
            pads=first.pads,
            strides=first.strides,
        ),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "second"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["mean"]),
        helper.make_node("Squeeze", ["mean", "places"], ["features"]),
        helper.make_node("Gemm", ["features", "matrix", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *first.size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(one, name) for name, one in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def quantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that `_both` writes to, with the quantiser's own QDQ graph left as it is."""
    monkeypatch.setattr(static, "optimise_integers", shutil.copy)
    return tmp_path


def _both(folder: Path, network: bytes, images: NDArray[np.uint8]) -> tuple[Path, Path]:
    """QDQ graph of a network, fused by onnxruntime alone, and with the rewrites."""
    (folder / "fp32.onnx").write_bytes(network)
    optimise(folder / "fp32.onnx", folder / "basic.onnx")
    static.quantise(folder / "basic.onnx", folder / "qdq.onnx", images)
    optimise(folder / "qdq.onnx", folder / "fused.onnx", EXTENDED)
    optimise_integers(folder / "qdq.onnx", folder / "lean.onnx")
    return folder / "fused.onnx", folder / "lean.onnx"


def _answers_stay(folder: Path, first: First) -> Path:
    """File with the rewrites, which answers bit by bit as the one without."""
    images = _images(*first.size)
    fused, lean = _both(folder, _network(first), images)
    assert np.array_equal(answers(fused, images), answers(lean, images))
    return lean


@pytest.mark.parametrize(
    "first",
    [
        USUAL,
        First((28, 28), (5, 5), (2, 2, 2, 2), (2, 2)),
        First((28, 28), (3, 3), (0, 0, 1, 1), (2, 2)),
        First((28, 28), (7, 7), (3, 3, 3, 3), (2, 2)),
        First((28, 28), (4, 2), (0, 0, 0, 0), (2, 2)),
        First((30, 12), (3, 5), (1, 1, 1, 2), (1, 2)),
        First((9, 64), (5, 6), (2, 4, 2, 0), (3, 2)),
    ],
)
def test_a_grey_image_comes_in_cells_and_every_answer_stays(first: First, quantised: Path) -> None:
    lean = _answers_stay(quantised, first)
    assert not IDLE.intersection(operators(lean))
    graph = onnx.load(lean).graph
    convolution = next(node for node in graph.node if node.op_type == "QLinearConv")
    shapes = {one.name: list(one.dims) for one in graph.initializer}
    assert shapes[convolution.input[3]] == [16, 4, first.kernel[0], 3]


@pytest.mark.parametrize(
    "first",
    [
        USUAL._replace(strides=(1, 1)),
        USUAL._replace(size=(28, 26)),
        USUAL._replace(pads=(0, 0, 0, 0)),
        First((28, 28), (5, 12), (1, 4, 1, 6), (2, 2)),
        First((28, 28), (5, 6), (1, 5, 1, 0), (2, 2)),
    ],
    ids=["stride 1", "no whole cells", "a place less", "too wide", "too far left"],
)
def test_another_first_convolution_stays_as_it_is(first: First, quantised: Path) -> None:
    graph = onnx.load(_answers_stay(quantised, first)).graph
    assert [8, 1, *first.kernel] in [list(one.dims) for one in graph.initializer]


def test_pixels_that_are_scaled_on_the_way_are_still_scaled(quantised: Path) -> None:
    network = _network(USUAL)
    fused, lean = _both(quantised, network, _images(28, 28, brightest=180))
    images = _images(28, 28)
    assert np.array_equal(answers(fused, images), answers(lean, images))
    assert "QuantizeLinear" in operators(lean)


def test_channels_that_must_change_places_do(quantised: Path) -> None:
    fused, lean = _both(quantised, convolutional(), _images(28, 28))
    images = _images(28, 28)
    assert np.array_equal(answers(fused, images), answers(lean, images))
    assert "Transpose" in operators(lean)


def test_the_same_graph_is_written_as_the_same_bytes(quantised: Path) -> None:
    network = _network(USUAL)
    _, lean = _both(quantised, network, _images(28, 28))
    optimise_integers(quantised / "qdq.onnx", quantised / "again.onnx")
    assert lean.read_bytes() == (quantised / "again.onnx").read_bytes()
