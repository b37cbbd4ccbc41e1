"""resize.py, encoding.py: pictures become the input of models that are not MNIST's."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from classifier.errors import ModelUnavailable, UnreadableImage
from classifier.model.models import Models
from classifier.model.session import load
from classifier.model.store import FolderStore
from classifier.prepare.encoding import Encoding
from classifier.prepare.pipeline import Pipeline, from_manifest
from classifier.prepare.resize import ImagenetPipeline, ResizePipeline
from model_build.store.model_store import ModelStore
from tests.support.manifests import describe

type Sample = NDArray[np.uint8]


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Sample:
    """A smooth picture [H, W, C] of blobs, and no two of its corners alike."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 5, channels), dtype=np.uint8)
    planes = [
        np.asarray(
            Image.fromarray(coarse[:, :, c]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(channels)
    ]
    return np.stack(planes, axis=2)


def made(sample_shape: list[Any], parameters: dict[str, Any]) -> Pipeline:
    return from_manifest(["N", *sample_shape], parameters)


def test_resize_stretches_the_whole_picture_to_the_frame() -> None:
    shown = picture(60, 90)
    sample = made([32, 24, 3], {"pipeline": "resize"})(shown, "auto")
    expected = Image.fromarray(shown).resize((24, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(sample, np.asarray(expected))


def test_resize_does_not_alias_fine_stripes() -> None:
    """Every second row black: without anti-aliasing a small sample is all black or all white."""
    stripes = np.zeros((280, 280, 1), dtype=np.uint8)
    stripes[::2] = 255
    sample = made([28, 28], {"pipeline": "resize"})(stripes, "auto")
    assert sample.min() > 120
    assert sample.max() < 136


@pytest.mark.parametrize("name", ["resize", "imagenet"])
def test_grey_and_colour_become_what_the_model_takes(name: str) -> None:
    grey, colour = picture(40, 40, 1), picture(40, 40, 3)
    of_grey = made([40, 40, 3], {"pipeline": name, "crop": 1})(grey, "auto")
    assert (of_grey == grey).all()
    of_colour = made([40, 40], {"pipeline": name, "crop": 1})(colour, "auto")
    expected = np.asarray(Image.fromarray(colour).convert("L"), dtype=int)
    assert np.abs(of_colour.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["resize", "imagenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_none_takes_the_model_s_size_pixel_for_pixel(name: str, channels: int) -> None:
    shape = [20, 30] if channels == 1 else [20, 30, 3]
    take = made(shape, {"pipeline": name, "background": "dark", "pad": True})
    shown = picture(20, 30, channels)
    shown[[0, -1]] = 255
    assert (take(shown, "none") == shown.reshape(shape)).all()
    with pytest.raises(UnreadableImage, match="of 30 x 20 pixels, this one has 20 x 30"):
        take(picture(30, 20, channels), "none")


def shoe(background: int, ink: int, height: int = 56, width: int = 56) -> Sample:
    shown = np.full((height, width, 1), background, dtype=np.uint8)
    shown[height // 3 : height // 2, width // 4 : -width // 4] = ink
    return shown


def test_a_picture_on_the_other_background_is_turned_into_its_negative() -> None:
    take = made([28, 28], {"pipeline": "resize", "background": "dark"})
    np.testing.assert_array_equal(take(shoe(255, 40), "auto"), take(shoe(0, 215), "auto"))
    assert take(shoe(0, 215), "auto")[0, 0] == 0
    take = made([28, 28], {"pipeline": "resize", "background": "light"})
    assert take(shoe(0, 215), "auto")[0, 0] == 255
    take = made([28, 28], {"pipeline": "resize"})
    assert take(shoe(255, 40), "auto")[0, 0] == 255


def test_a_sample_of_the_training_set_keeps_every_pixel_through_auto() -> None:
    take = made([28, 28], {"pipeline": "resize", "background": "dark", "pad": True})
    sample = shoe(0, 215, 28, 28)
    assert (take(sample, "auto") == sample[:, :, 0]).all()


@pytest.mark.parametrize(("height", "width"), [(28, 280), (280, 28), (1, 900), (900, 1), (64, 64)])
def test_pad_keeps_the_proportions_and_fills_with_the_colour_of_the_border(
    height: int, width: int
) -> None:
    take = made([28, 28, 3], {"pipeline": "resize", "pad": True})
    sample = take(np.full((height, width, 3), (200, 100, 50), dtype=np.uint8), "auto")
    assert sample.shape == (28, 28, 3)
    assert (sample == (200, 100, 50)).all()
    striped = np.zeros((40, 80, 1), dtype=np.uint8)
    striped[:, 39:41] = 255
    sample = made([28, 28], {"pipeline": "resize", "pad": True})(striped, "auto")
    assert (sample[:7] == 0).all()
    assert (sample[21:] == 0).all()
    assert (sample[7:21, 13:15] > 0).all()


@pytest.mark.parametrize(("height", "width"), [(300, 400), (512, 256), (224, 224), (100, 120)])
def test_imagenet_is_the_centre_of_the_picture_scaled_to_256(height: int, width: int) -> None:
    """As torchvision does it in two steps; at the crop's edge these see a pixel further."""
    shown = picture(height, width)
    sample = made([224, 224, 3], {"pipeline": "imagenet"})(shown, "auto")
    scale = 256 / min(height, width)
    size = round(width * scale), round(height * scale)
    scaled = Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - 224) / 2, (size[1] - 224) / 2
    expected = np.asarray(
        scaled.crop((round(left), round(top), round(left) + 224, round(top) + 224))
    )
    difference = np.abs(sample.astype(int) - expected)[2:-2, 2:-2]
    assert difference.mean() < 1.5
    assert difference.max() <= 8


@pytest.mark.parametrize(("height", "width"), [(1, 900), (900, 1), (1, 1), (3, 1279)])
def test_any_proportions_give_a_sample(height: int, width: int) -> None:
    for parameters in ({"pipeline": "imagenet"}, {"pipeline": "resize"}):
        sample = made([224, 224, 3], parameters)(picture(height, width), "auto")
        assert sample.shape == (224, 224, 3)


def test_deep_pictures_are_rounded_to_bytes() -> None:
    deep = np.full((28, 28, 1), 127.6, dtype=np.float32)
    for name in ("resize", "imagenet"):
        for mode in ("auto", "none"):
            sample = made([28, 28], {"pipeline": name})(deep, mode)
            assert sample.dtype == np.uint8
            assert (sample == 128).all()


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"pipeline": "cifar"}, KeyError),
        ({"pipeline": []}, TypeError),
        ({}, KeyError),
        ({"pipeline": "resize", "background": "grey"}, ValueError),
        ({"pipeline": "imagenet", "crop": 0}, ValueError),
        ({"pipeline": "imagenet", "crop": 1.5}, ValueError),
        ({"pipeline": "imagenet", "crop": "half"}, ValueError),
        ({"pipeline": "mnist"}, ValueError),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    parameters: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        made([28, 28, 3], parameters)


def test_pipelines_are_told_by_their_names() -> None:
    assert made([28, 30], {"pipeline": "resize", "pad": True}) == ResizePipeline(28, 30, pad=True)
    assert made([28, 30, 3], {"pipeline": "imagenet"}) == ImagenetPipeline(28, 30, 3)


def encoding(shape: list[Any], dtype: str = "float32", **numbers: Any) -> Encoding:
    return Encoding.from_manifest(dtype, tuple(shape), numbers)


@pytest.mark.parametrize(
    ("shape", "samples"),
    [
        ([4, 5], ["N", 4, 5]),
        ([1, 4, 5], ["N", 4, 5]),
        ([4, 5, 1], ["N", 4, 5]),
        ([3, 4, 5], ["N", 4, 5, 3]),
        ([4, 5, 3], ["N", 4, 5, 3]),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_layout_is_told_from_the_shape(
    shape: list[int], samples: list[Any], dtype: str
) -> None:
    """Channels first is PyTorch's [N, C, H, W], channels last Keras's [N, H, W, C]."""
    encode = encoding(shape, dtype, scale=1)
    assert encode.samples_shape == samples
    assert encode.blank.shape == (1, *shape)
    assert encode.blank.dtype == dtype
    batch = np.arange(2 * np.prod(samples[1:]), dtype=np.uint8).reshape(2, *samples[1:])
    tensor = encode(batch)
    assert tensor.shape == (2, *shape)
    assert tensor.flags["C_CONTIGUOUS"]
    for row in range(4):
        for column in range(5):
            expected = np.ravel(batch[1, row, column])
            first = shape[0] in (1, 3)
            found = (
                tensor[1, ..., row, column] if first or len(shape) == 2 else tensor[1, row, column]
            )
            assert np.ravel(found).tolist() == expected.tolist()


def test_raw_bytes_are_handed_on_as_they_are() -> None:
    batch = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    tensor = encoding([4, 4], "uint8")(batch)
    assert tensor.dtype == np.uint8
    assert np.shares_memory(tensor, batch)


@given(st.integers(0, 255), st.floats(0, 1), st.floats(0.01, 10), st.floats(1e-3, 1))
def test_floats_are_scaled_then_centred(value: int, mean: float, std: float, scale: float) -> None:
    encode = encoding([1, 1], scale=scale, mean=[mean], std=[std])
    tensor = encode(np.array([[[value]]], dtype=np.uint8))
    assert tensor.dtype == np.float32
    expected = (value * scale - mean) / std
    assert tensor.item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_colours_are_centred_by_channel() -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    grey = np.full((1, 2, 2, 3), 255, dtype=np.uint8)
    first = encoding([3, 2, 2], mean=mean, std=std)(grey)
    assert first[0, :, 0, 0].tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)
    last = encoding([2, 2, 3], mean=mean, std=std)(grey)
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))


def test_without_numbers_floats_are_0_to_1() -> None:
    ends = np.array([[[0, 255]]], dtype=np.uint8)
    assert encoding([1, 2])(ends).tolist() == [[[0, 1]]]


@pytest.mark.parametrize(
    ("shape", "dtype", "numbers"),
    [
        ([4], "float32", {}),
        ([2, 4, 5], "float32", {}),
        ([4, 5, 6, 3], "float32", {}),
        ([0, 4], "float32", {}),
        ([4, 5], "float16", {}),
        ([4, 5], "float32", {"std": [0]}),
        ([4, 5], "float32", {"mean": [0.1, 0.2, 0.3]}),
        ([4, 5], "float32", {"mean": "grey"}),
        ([4, 5], "float32", {"scale": None}),
        ([3, 4, 5], "float32", {"mean": [0.1, 0.2]}),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(
    shape: list[Any], dtype: str, numbers: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        encoding(shape, dtype, **numbers)


LABELS = ["red thing", "green/thing", "blue thing"]


@pytest.fixture(params=["channels first", "channels last"])
def colours(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Model store with a float model that says which of the three colours is strongest."""
    first = request.param == "channels first"
    shape: list[str | int | None] = ["N", 3, 8, 8] if first else ["N", 8, 8, 3]
    axes = [2, 3] if first else [1, 2]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
            helper.make_node("Softmax", ["means"], ["probabilities"], axis=1),
        ],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
    )
    opset = [helper.make_opsetid("", 13)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    document = describe(content, name="colours")
    document["input"] |= {
        "dtype": "float32",
        "shape": shape,
        "preprocess": {"pipeline": "resize", "mean": [0.5], "std": [0.1]},
    }
    document["output"]["labels"] = LABELS
    models = ModelStore(tmp_path.as_uri())
    models.promote("colours", models.publish(document, content).version, "production")
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    monkeypatch.setenv("MODEL_NAME", "colours")
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    return tmp_path


@pytest.fixture
def call(colours: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    """The handler with that model; give a response's status and body."""
    from classifier import handler

    monkeypatch.setattr(handler, "models", Models())

    class Context:
        aws_request_id = "test"

    def send(path: str, body: bytes | None = None, **query: str) -> tuple[int, Any]:
        event = {
            "httpMethod": "GET" if body is None else "POST",
            "path": path,
            "headers": {"content-type": "" if path == "/predict" else "application/json"},
            "queryStringParameters": query,
            "requestContext": {"requestId": "gateway-1"},
            "body": None if body is None else base64.b64encode(body).decode(),
            "isBase64Encoded": body is not None,
        }
        response = handler.handler(event, Context())
        return response["statusCode"], json.loads(response["body"])

    return send


def png(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("colour", "label"),
    [((200, 40, 40), LABELS[0]), ((40, 200, 40), LABELS[1]), ((40, 40, 200), LABELS[2])],
)
def test_a_model_of_colours_answers_in_its_own_words(
    call: Callable[..., tuple[int, Any]], colour: tuple[int, int, int], label: str
) -> None:
    status, body = call("/predict", png(colour), input="true")
    assert (status, body["prediction"]) == (200, label)
    assert len(body["probabilities"]) == 3
    seen = base64.b64decode(body["input"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(seen)) as shown:
        assert (shown.mode, shown.size, shown.getpixel((4, 4))) == ("RGB", (8, 8), colour)
    status, as_is = call("/predict", png(colour, (8, 8)), preprocess="none")
    assert (status, as_is["probabilities"]) == (200, body["probabilities"])
    status, problem = call("/predict", png(colour), preprocess="none")
    assert (status, "of 8 x 8 pixels" in problem["detail"]) == (422, True)


def test_the_inference_protocol_tells_and_takes_float_tensors(
    call: Callable[..., tuple[int, Any]],
) -> None:
    status, body = call("/v2/models/colours")
    shape = body["inputs"][0]["shape"]
    assert status == 200
    assert body["inputs"][0]["datatype"] == "FP32"
    assert sorted(shape) == [-1, 3, 8, 8]
    assert body["outputs"][0]["shape"] == [-1, 3]

    values = np.zeros((1, 8, 8, 3), dtype=np.float32)
    values[..., 2] = 2.5
    if shape[1] == 3:
        values = values.transpose(0, 3, 1, 2)
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, *shape[1:]]}

    def infer(**changes: Any) -> tuple[int, Any]:
        document = {"inputs": [tensor | {"data": values.tolist()} | changes]}
        return call("/v2/models/colours/infer", json.dumps(document).encode())

    status, body = infer()
    assert status == 200
    exponents = np.exp([0, 0, 2.5])
    assert body["outputs"][0]["data"] == pytest.approx(exponents / exponents.sum(), abs=1e-5)
    for changes, sentence in (
        ({"datatype": "UINT8", "data": [255] * 192}, "but this model takes -5 to 5; normalise"),
        ({"shape": [1, 28, 28]}, "does not fit"),
        ({"data": [1e39] * 192}, "finite numbers"),
        ({"data": [10**400] * 192}, "finite numbers"),
        ({"data": [float("nan")] * 192}, "finite numbers"),
    ):
        status, body = infer(**changes)
        assert status == 400
        assert sentence in body["error"]


def test_a_file_that_does_not_take_its_manifest_s_tensor_is_unavailable(colours: Path) -> None:
    (folder,) = (colours / "colours" / "versions").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    for edit in ({"dtype": "uint8"}, {"shape": ["N", 8, 8]}, {"shape": ["N", 3, 9, 9, 3]}):
        changed = manifest | {"input": manifest["input"] | edit}
        (folder / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(ModelUnavailable):
            load(FolderStore(colours), "colours", "production")
