from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.data.datasets import Dataset
from model_build.errors import ParityError
from model_build.graph.convert import check_parity, convert, name_input_and_output
from tests.support.networks import trained


@pytest.fixture(scope="module", params=["mlp", "cnn"])
def network(request: pytest.FixtureRequest) -> Any:
    return trained(request.param)


@pytest.fixture(scope="module")
def converted(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp(network.name) / "converted.onnx"
    convert(network, target)
    return target


@pytest.mark.keras
def test_input_and_output_are_those_of_the_contract(converted: Path) -> None:
    session = ort.InferenceSession(converted)
    (source,), (sink,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("image", "tensor(uint8)", ["N", 28, 28])
    assert (sink.name, sink.type, sink.shape) == ("probabilities", "tensor(float)", ["N", 10])


@pytest.mark.keras
def test_the_file_passes_the_full_check_of_onnx(converted: Path) -> None:
    onnx.checker.check_model(onnx.load(converted), full_check=True)


@pytest.mark.keras
@pytest.mark.parametrize("count", [1, 2, 32, 1000])
def test_any_number_of_images_is_answered_and_each_on_its_own(
    count: int, converted: Path, mnist: Dataset
) -> None:
    session = ort.InferenceSession(converted)
    (answers,) = session.run(["probabilities"], {"image": mnist.test_images[:count]})
    assert answers.shape == (count, 10)
    assert answers.dtype == np.float32
    (last,) = session.run(["probabilities"], {"image": mnist.test_images[count - 1 : count]})
    assert np.abs(answers[-1] - last[0]).max() < 1e-5


@pytest.mark.keras
def test_1000_images_are_answered_as_keras_answers_them(
    network: Any, converted: Path, mnist: Dataset
) -> None:
    images = mnist.test_images
    assert len(images) == 1000
    (answers,) = ort.InferenceSession(converted).run(None, {"image": images})
    expected = network.predict(images[..., np.newaxis].astype(np.float32) / 255, verbose=0)
    assert np.abs(answers - expected).max() <= 1e-5
    assert np.unique(expected.argmax(axis=1)).size >= 5, "a degenerate network proves nothing"
    assert check_parity(network, converted, images) <= 1e-5


@pytest.mark.keras
def test_scaling_is_inside_white_is_one(tmp_path: Path) -> None:
    import keras

    image = keras.Input((28, 28, 1))
    corner = keras.layers.Flatten()(image)[:, :2]
    model = keras.Model(image, keras.layers.Dense(2, kernel_initializer="identity")(corner))
    convert(model, tmp_path / "corner.onnx")
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[:, 0, :2] = [[0, 255], [255, 51], [1, 128]]
    (answers,) = ort.InferenceSession(tmp_path / "corner.onnx").run(None, {"image": images})
    expected = np.array([[0, 1], [1, 0.2], [1 / 255, 128 / 255]])
    assert np.abs(answers - expected).max() < 1e-7


@pytest.mark.keras
@pytest.mark.parametrize("size", [(20, 32), (16, 12)])
def test_an_image_size_of_another_model_is_kept(size: tuple[int, int], tmp_path: Path) -> None:
    from model_build.training.architectures import build

    model = build("cnn", size, 4)
    convert(model, tmp_path / "other.onnx")
    session = ort.InferenceSession(tmp_path / "other.onnx")
    assert session.get_inputs()[0].shape == ["N", *size]
    assert session.get_outputs()[0].shape == ["N", 4]


@pytest.mark.keras
@pytest.mark.parametrize("factor", [1.02, np.nan], ids=["a weight off by 2 %", "not a number"])
def test_a_conversion_that_changed_the_model_is_refused(
    factor: float, network: Any, converted: Path, mnist: Dataset, tmp_path: Path
) -> None:
    tampered = onnx.load(converted)
    weights = max(tampered.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(weights) * np.float32(factor)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(tampered, tmp_path / "tampered.onnx")
    with pytest.raises(ParityError, match=r"at most 1e-05, got .* over 1000 images"):
        check_parity(network, tmp_path / "tampered.onnx", mnist.test_images)


@pytest.mark.keras
def test_one_wrong_image_of_many_is_enough_to_refuse(
    network: Any, converted: Path, mnist: Dataset
) -> None:
    class OnceWrong:
        def predict(self, images: Any, verbose: int) -> Any:
            answers = np.array(network.predict(images, verbose=verbose))
            answers[617] = answers[617][::-1]
            return answers

    with pytest.raises(ParityError):
        check_parity(OnceWrong(), converted, mnist.test_images)


def test_ends_are_renamed_wherever_they_are_used() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["old_in"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["pixels"], ["old_out"]),
            helper.make_node("Shape", ["old_in"], ["unused"]),
            helper.make_node("Identity", ["old_out"], ["also_unused"]),
        ],
        "a graph",
        [helper.make_tensor_value_info("old_in", TensorProto.UINT8, ["unk__1", 3, 4])],
        [helper.make_tensor_value_info("old_out", TensorProto.FLOAT, ["unk__2", 12])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    name_input_and_output(
        model,
        helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 3, 4]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 12]),
    )
    onnx.checker.check_model(model, full_check=True)
    assert [list(node.input) for node in model.graph.node] == [
        ["image"],
        ["pixels"],
        ["image"],
        ["probabilities"],
    ]
    session = ort.InferenceSession(model.SerializeToString())
    (answer,) = session.run(["probabilities"], {"image": np.ones((5, 3, 4), np.uint8)})
    assert answer.shape == (5, 12)
