"""preprocessing.py: authors' files are read, and served as the authors' own libraries do it.

`tests/support/authors` has files as torchvision 0.29.1, timm 1.0.31 and transformers 5.24.0 print
and save them, of image processors for small frames. `expected.npz` has what these libraries, with
Pillow 13.0.0 as their backend, make of scikit-learn's `china.jpg`: by the file's name, uint8
[H, W, 3] in RGB, before the numbers are normalised.
"""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from classifier.image.pixels import Picture
from classifier.prepare.encoding import Encoding
from classifier.prepare.pipeline import from_manifest, sample
from model_build.errors import ImportRefused
from model_build.importing import preprocessing
from model_build.importing.publication import input_of
from model_build.store.manifest import SCHEMA
from tests.support import ROOT

AUTHORS = ROOT / "tests/support/authors"
FILES = sorted(path.name for path in AUTHORS.iterdir() if path.suffix in (".json", ".txt"))
IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]


@pytest.fixture(scope="module")
def photo() -> bytes:
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "datasets/images/china.jpg").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_an_author_s_file_gives_the_pixels_of_the_author_s_library(name: str, photo: bytes) -> None:
    with np.load(AUTHORS / "expected.npz") as expected:
        height, width, _ = expected[name].shape
        members = preprocessing.from_file(AUTHORS / name)
        pipeline = from_manifest(["N", height, width, 3], members)
        found = sample(pipeline, Picture(photo, is_whole=True), "auto")
        np.testing.assert_array_equal(found, expected[name])


@pytest.mark.parametrize("name", FILES)
def test_what_is_read_is_a_manifest_s_preprocess(name: str) -> None:
    members = preprocessing.from_file(AUTHORS / name)
    schema = SCHEMA["properties"]["input"]["properties"]["preprocess"]
    jsonschema.validate(members, schema | {"$defs": SCHEMA["$defs"]})
    assert members.keys() - {"box"} <= schema["properties"].keys()


@pytest.mark.parametrize("name", preprocessing.PRESETS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_presets_fit_models_of_any_size(name: str, dtype: str) -> None:
    """A model of bytes normalises them itself: of a preset, it takes the geometry only."""
    shape: list[Any] = ["N", 28, 28] if name == "mnist" else ["N", 3, 384, 384]
    source = input_of(dtype, shape, preprocessing.preset(name), {})
    assert ("scale" in source.preprocess) == (dtype == "float32")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ImportRefused, match="no preset 'vgg'; expected one of imagenet, keras-"):
        preprocessing.preset("vgg")


@pytest.mark.parametrize(
    ("name", "scale", "mean", "std"),
    [
        ("weights.txt", 1 / 255, *IMAGENET),
        ("squash-v2.txt", 1 / 255, [0.0], [1.0]),
        ("timm-wide.json", 1 / 255, *IMAGENET),
        ("vit.json", 1 / 255, [0.5] * 3, [0.5] * 3),
        ("mobilevit.json", 1 / 255, [0.0], [1.0]),
        ("efficientnet.json", 1 / 127.5, [1.5] * 3, [0.25] * 3),
    ],
)
def test_numbers_are_read(name: str, scale: float, mean: list[float], std: list[float]) -> None:
    members = preprocessing.from_file(AUTHORS / name)
    found = [members[key] for key in ("scale", "mean", "std")]
    assert found == [pytest.approx(scale), pytest.approx(mean), pytest.approx(std)]


type Read = Callable[[Any], dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: Any) -> dict[str, Any]:
        path = tmp_path / "author"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return preprocessing.from_file(path)

    return read


VIT = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 384, "width": 384},
    "resample": 2,
    "image_mean": 0.5,
    "image_std": [0.5, 0.5, 0.5],
}
CLIP = VIT | {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 232},
    "crop_size": {"height": 224, "width": 224},
}
CONVNEXT = VIT | {"image_processor_type": "ConvNextImageProcessor"}
PRINTED = """Compose(
    Resize(size=8, interpolation=PIL.Image.BICUBIC)
    CenterCrop(size=(8, 8))
    <function _convert_image_to_rgb at 0x7f0000000000>
    ToTensor()
)"""
OWN = {"pipeline": "picture", "fit": "longer"}
TIMM = {"input_size": [3, 224, 224], "crop_pct": 0.9, "mean": None, "std": None}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (VIT, {"fit": "squash", "frame": [384, 384], "mean": [0.5], "colour": "RGB"}),
        (VIT | {"size": 224}, {"fit": "squash", "frame": [224, 224]}),
        (VIT | {"do_rescale": False}, {"scale": 1.0}),
        (VIT | {"do_normalize": False}, {"mean": [0.0], "std": [1.0]}),
        (VIT | {"image_processor_type": "ViTImageProcessorFast"}, {"fit": "squash"}),
        ({"feature_extractor_type": "ViTFeatureExtractor", **CLIP, "size": 224}, {"size": [224]}),
        (CLIP | {"size": 224, "crop_size": 224}, {"fit": "shorter", "size": [224]}),
        (CLIP, {"size": [232], "frame": [224, 224], "crop_rounding": "down"}),
        (CONVNEXT | {"size": {"shortest_edge": 384}}, {"fit": "squash", "frame": [384, 384]}),
        (CONVNEXT | {"size": 224}, {"fit": "shorter", "size": [256], "frame": [224, 224]}),
        (TIMM, {"interpolation": "bicubic", "size": [248], "mean": IMAGENET[0]}),
        ({"pretrained_cfg": TIMM | {"crop_pct": None}}, {"fit": "shorter", "size": [256]}),
        (TIMM | {"input_size": [1, 28, 28]}, {"colour": "grey", "frame": [28, 28]}),
        (TIMM | {"mean": 0.5, "std": 1}, {"mean": [0.5], "std": [1]}),
        ({"pipeline": "picture", "fit": "cover"}, {"fit": "cover"}),
        (OWN | {"mean": 104, "std": 1.5}, {"mean": [104], "std": [1.5]}),
        (OWN | {"mean": [1, 2, 3], "pad_colour": 9}, {"mean": [1, 2, 3], "pad_colour": [9]}),
        (OWN | {"pad_colour": "border"}, {"pad_colour": "border"}),
        ("Compose([T.Resize((28, 28)), T.Grayscale(1), T.ToTensor()])", {"colour": "grey"}),
        ("Compose([T.Resize(28), T.CenterCrop(28), PILToTensor()])", {"scale": 1.0}),
        ("Compose([Resize((9, 8)), PILToTensor(), ConvertImageDtype()])", {"scale": 1 / 255}),
        (PRINTED, {"interpolation": "bicubic", "frame": [8, 8]}),
        ("Compose([ToTensor(), Resize((9, 9), antialias=False)])", {"antialias": False}),
        (
            "Compose([ToTensor(), Resize((9, 9), interpolation=bicubic, antialias=False)])",
            {"interpolation": "bicubic", "antialias": False},
        ),
        ("Resize(size=(9, 8))", {"frame": [9, 8], "scale": 1.0}),
    ],
)
def test_forms_of_files(read: Read, config: Any, expected: dict[str, Any]) -> None:
    members = read(config)
    assert {key: members[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (VIT | {"do_pad": True}, "do_pad True can't be served"),
        (
            "Compose([PILToTensor(), Resize((9, 9), interpolation=bicubic, antialias=False)])",
            "bicubic Resize of uint8 tensors without antialias can't be served",
        ),
        (VIT | {"do_resize": False}, "do_resize False can't be served"),
        (VIT | {"size": {"longest_edge": 9}}, "size {'longest_edge': 9} can't be served"),
        (VIT | {"size": {"shortest_edge": 9}}, "can't be served without do_center_crop"),
        (VIT | {"resample": 9}, "resample 9 is unknown"),
        (VIT | {"image_mean": None}, "image_mean None must be numbers"),
        (VIT | {"image_processor_type": "SamImageProcessor"}, "'SamImageProcessor' is unknown"),
        (CLIP | {"crop_size": {"height": 240, "width": 240}}, "larger than size"),
        (CLIP | {"crop_size": {"longest_edge": 9}}, "crop_size {'longest_edge': 9} can't be"),
        (CONVNEXT, "expected shortest_edge"),
        (
            CLIP | {"image_processor_type": "PerceiverImageProcessor", "size": [9, 8]},
            "crop_size .* can't be served unless it and size are square",
        ),
        (TIMM | {"crop_mode": "border"}, "crop_mode 'border' with crop_pct 0.9 can't be served"),
        (TIMM | {"interpolation": "random"}, "interpolation 'random' can't be served"),
        (TIMM | {"input_size": [224]}, r"input_size is \[224\]; expected \[channels, height"),
        (TIMM | {"std": "a"}, 'std is "a"; expected a number or a list of 1 to 3 numbers'),
        ({"pretrained_cfg": None}, "has a member that makes no sense"),
        (OWN | {"mean": True}, "mean is true; expected a number or a list of 1 to 3 numbers"),
        (OWN | {"size": 256}, "size is 256; expected a list of 1 to 2 whole numbers of at least 1"),
        (OWN | {"pad_colour": [127.5] * 3}, r"pad_colour is \[127.5, 127.5, 127.5\]; expected .*"),
        (OWN | {"pad_colour": 300}, 'whole numbers of at least 0, at most 255, or "border"'),
        (OWN | {"crop": 2}, "crop is 2; expected a number of more than 0, at most 1"),
        (OWN | {"frame": [8]}, "expected a list of 2 whole numbers of at least 1"),
        (OWN | {"fit": "fill"}, 'fit is "fill"; expected one of "shorter", "longer", "squash"'),
        (OWN | {"antialias": 1}, "antialias is 1; expected true or false"),
        (OWN | {"interpolate": "box"}, "interpolate is unknown; expected members among pipeline"),
        (OWN | {"scale": float("nan")}, "scale is NaN; expected finite numbers"),
        ({"model_type": "vit"}, "does not say how pictures are prepared"),
        ("[1]", "is not a JSON object"),
        ("Compose(", "is neither JSON nor a printed transform"),
        ("3 + 4", "is not a printed transform"),
        ("Compose([Resize(9), CenterCrop(9), Lambda()])", "Lambda can't be served"),
        ("Compose([RandomResizedCrop(9), ToTensor()])", "RandomResizedCrop can't be served"),
        ("Compose([CenterCrop(9), Resize(9)])", "CenterCrop can't be served here"),
        ("Compose([Resize(9, max_size=20), CenterCrop(9)])", "max_size 20 of Resize can't be"),
        ("Compose([Resize((1, 2, 3)), CenterCrop(9)])", "of Resize can't be served"),
        ("Compose([Resize(9), ToTensor()])", "CenterCrop is missing"),
        ("Compose([ToTensor()])", "Resize is missing"),
    ],
)
def test_what_can_t_be_served_is_refused_by_the_member_s_name(
    read: Read, config: Any, sentence: str
) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        read(config)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImportRefused, match="is not a text file"):
        preprocessing.from_file(tmp_path / "model.onnx")


def test_a_file_for_another_size_than_the_model_s_is_refused() -> None:
    with pytest.raises(ImportRefused, match=r"frame must be the input's \[224, 224\], got"):
        input_of("float32", ["N", 3, 224, 224], preprocessing.from_file(AUTHORS / "vit.json"), {})


@pytest.mark.keras
@pytest.mark.parametrize(
    ("preset", "module"),
    [("keras-caffe", "vgg16"), ("keras-tf", "mobilenet_v2"), ("keras-torch", "densenet")],
)
def test_presets_of_keras_give_what_keras_gives(
    preset: str, module: str, photo: bytes, tmp_path: Path
) -> None:
    import keras

    (tmp_path / "photo.jpg").write_bytes(photo)
    loaded = keras.utils.load_img(tmp_path / "photo.jpg", target_size=(96, 80))
    author = getattr(keras.applications, module).preprocess_input
    expected = author(keras.utils.img_to_array(loaded))
    members = preprocessing.preset(preset)
    encode = Encoding.from_manifest("float32", (96, 80, 3), members)
    pipeline = from_manifest(encode.samples_shape, members)
    (found,) = encode([sample(pipeline, Picture(photo, is_whole=True), "auto")])
    np.testing.assert_allclose(found, expected, atol=members["scale"] / 1000)


@pytest.mark.keras
@pytest.mark.parametrize("crops", [False, True])
def test_without_antialias_a_picture_is_scaled_as_in_keras_s_data_sets(
    crops: bool,  # noqa: FBT001 - a parameter of the test
    photo: bytes,
) -> None:
    import keras

    whole = Picture(photo, is_whole=True)
    resizing = keras.layers.Resizing(96, 80, crop_to_aspect_ratio=crops)
    expected = np.asarray(resizing(np.asarray(whole.image, dtype=np.float32)))
    fit = "cover" if crops else "squash"
    members = {"pipeline": "picture", "fit": fit, "antialias": False, "crop_rounding": "down"}
    found = sample(from_manifest(["N", 96, 80, 3], members), whole, "auto")
    assert np.abs(found - expected).max() < 0.51


@pytest.mark.keras
@pytest.mark.parametrize("fill", [0, 77])
@pytest.mark.parametrize(("height", "width"), [(96, 80), (200, 64), (24, 301)])
def test_a_picture_is_filled_up_as_keras_s_pad_to_aspect_ratio_does_it(
    height: int, width: int, fill: int, photo: bytes
) -> None:
    import keras

    whole = Picture(photo, is_whole=True)
    resizing = keras.layers.Resizing(height, width, pad_to_aspect_ratio=True, fill_value=fill)
    expected = np.asarray(resizing(np.asarray(whole.image, dtype=np.float32)))
    members = {"pipeline": "picture", "fit": "pad", "antialias": False, "pad_colour": [fill]}
    found = sample(from_manifest(["N", height, width, 3], members), whole, "auto")
    assert np.abs(found - expected).max() < 0.53  # it counts places in float32
