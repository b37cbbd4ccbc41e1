"""Files of other frameworks: converted where the framework is installed, else what to type."""

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from model_build.errors import ImportRefused
from model_build.importing import conversion, reading
from model_build.importing.adoption import adopt, describe
from tests.support.classifiers import encoder


def archive(path: Path, *names: str) -> Path:
    """Zip file with empty members, as PyTorch writes its files."""
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(f"{path.stem}/{name}", b"")
    return path


def plain(path: Path) -> Path:
    path.write_bytes(b"anything")
    return path


def saved_model(path: Path) -> Path:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")
    return path


ELSEWHERE: dict[str, tuple[Any, str]] = {
    "net.keras": (plain, r"has no keras .* keras.saving.load_model\('net.keras'\).export"),
    "net.h5": (plain, "is a Keras model, and this Python has no keras"),
    "net.tflite": (plain, r"has no tensorflow .* --tflite net\.tflite --output my\.onnx"),
    "net": (saved_model, "has no tensorflow .* -m tf2onnx.convert --saved-model net --output"),
    "net.pt2": (
        lambda path: archive(path, "archive_format", "models/model.json"),
        r"is a torch.export program, .* no torch .*torch.export.load\('net.pt2'\)",
    ),
    "net.pt": (
        lambda path: archive(path, "data.pkl", "constants.pkl", "code/__torch__.py"),
        r"is a TorchScript module, .*torch.jit.load\('net.pt'\)",
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_without_the_framework_it_is_said_what_to_type(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sentence = ELSEWHERE[name]

    def missing(package: str) -> None:
        raise ImportError(package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportRefused, match=sentence):
        reading.read(make(tmp_path / name))


USELESS: dict[str, tuple[Any, str]] = {
    "net.pth": (lambda path: archive(path, "data.pkl", "data/0"), "weights without their network"),
    "net.safetensors": (plain, "weights without their network"),
    "forest.joblib": (plain, "is not an ONNX file; convert it first: skl2onnx.to_onnx"),
    "folder": (Path.mkdir, "a folder without a saved_model.pb"),
}


@pytest.mark.parametrize("name", USELESS)
def test_what_no_framework_can_read_is_refused(tmp_path: Path, name: str) -> None:
    make, sentence = USELESS[name]
    make(tmp_path / name)
    with pytest.raises(ImportRefused, match=sentence):
        reading.read(tmp_path / name)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An untrained Keras network of three classes for pictures of any size."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.keras
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_keras_model_is_converted_and_compared(tmp_path: Path, network: Any, name: str) -> None:
    network.save(tmp_path / name)
    with pytest.raises(ImportRefused, match="how large its pictures are; say it, as in --size"):
        describe(tmp_path / name)
    size = (12, 16)
    assert describe(tmp_path / name, size).parameters > 4 * 27 + 15
    adopted = adopt(tmp_path / name, tmp_path / "adopted.onnx", 3, encoder, size=size)
    assert adopted.notes[0].startswith("converted from a Keras model: outputs differ by at most ")
    assert (adopted.dtype, adopted.shape) == ("float32", ["N", 12, 16, 3])
    assert [one["file"] for one in adopted.lineage] == [name]
    batch = np.random.default_rng(0).random((4, 12, 16, 3), dtype=np.float32) * 255
    (answers,) = ort.InferenceSession(tmp_path / "adopted.onnx").run(None, {"image": batch})
    np.testing.assert_allclose(answers, network(batch), atol=1e-5)


@pytest.mark.keras
def test_depthwise_convolutions_of_keras_2_are_read(tmp_path: Path, network: Any) -> None:
    """It wrote `groups` for them, as MobileNets in files of that time still say."""
    import h5py  # type: ignore[import-not-found]
    import keras

    depthwise = keras.layers.DepthwiseConv2D(3)
    old = keras.Sequential([keras.Input((12, 16, 3)), depthwise, *network.layers])
    old.save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (layer,) = (
            one for one in config["config"]["layers"] if one["class_name"] == "DepthwiseConv2D"
        )
        layer["config"]["groups"] = 1
        file.attrs["model_config"] = json.dumps(config)
    assert describe(tmp_path / "old.h5").operators["Conv"] == 2


@pytest.mark.keras
def test_a_conversion_that_changes_the_answers_is_refused(
    tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.save(tmp_path / "net.keras")
    monkeypatch.setattr(conversion, "PARITY", -1.0)
    with pytest.raises(ImportRefused, match="answers differently once converted"):
        describe(tmp_path / "net.keras", (12, 16))


@pytest.mark.keras
def test_a_file_that_the_framework_can_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(b"no Keras model")
    with pytest.raises(ImportRefused, match="could not be converted from a Keras"):
        describe(tmp_path / "net.keras")


@pytest.mark.keras
@pytest.mark.slow
def test_a_saved_model_is_converted_and_compared(tmp_path: Path, network: Any) -> None:
    network.export(tmp_path / "net", verbose=False)
    size = (12, 16)
    adopted = adopt(tmp_path / "net", tmp_path / "adopted.onnx", 3, encoder, size=size)
    assert "TensorFlow SavedModel: outputs differ by at most" in adopted.notes[0]
    assert adopted.shape == ["N", 12, 16, 3]
    assert "saved_model.pb" in [one["file"] for one in adopted.lineage]
    batch = np.random.default_rng(0).random((4, 12, 16, 3), dtype=np.float32) * 255
    (answers,) = ort.InferenceSession(tmp_path / "adopted.onnx").run(None, {"image": batch})
    np.testing.assert_allclose(answers, network(batch), atol=1e-5)


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_a_tensorflow_lite_model_of_integers_is_converted_and_compared(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels get what its own runtime answers, before that is rounded to a step of 256."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 16, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    generator = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [generator.random((1, 12, 16, 3), dtype=np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
    (tmp_path / "net.tflite").write_bytes(converter.convert())
    adopted = adopt(tmp_path / "net.tflite", tmp_path / "adopted.onnx", 3, encoder)
    assert "TensorFlow Lite model: outputs differ by at most" in adopted.notes[0]
    assert (adopted.dtype, adopted.shape) == ("uint8", ["N", 12, 16, 3])
    pixels = generator.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8)
    (answers,) = ort.InferenceSession(tmp_path / "adopted.onnx").run(None, {"image": pixels})
    lite = tf.lite.Interpreter(str(tmp_path / "net.tflite"))
    lite.allocate_tensors()
    (given,), (result,) = lite.get_input_details(), lite.get_output_details()
    scale, zero = result["quantization"]
    for picture, answer in zip(pixels, answers, strict=True):
        numbers = picture.astype(np.int16) - (0 if kind == "uint8" else 128)
        lite.set_tensor(given["index"], numbers[np.newaxis].astype(kind))
        lite.invoke()
        theirs = (lite.get_tensor(result["index"])[0].astype(np.float32) - zero) * scale
        np.testing.assert_allclose(answer, theirs, atol=0.02)
