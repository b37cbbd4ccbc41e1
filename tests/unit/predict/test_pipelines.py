"""picture.py, encoding.py: pictures become the input of models that are not MNIST's."""

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
from classifier.image.pixels import Picture
from classifier.mode import Mode
from classifier.model.models import Models
from classifier.model.session import load
from classifier.model.store import FolderStore
from classifier.prepare.encoding import Encoding
from classifier.prepare.picture import PicturePipeline
from classifier.prepare.pipeline import from_manifest
from model_build.store.model_store import ModelStore
from tests.support.manifests import describe

AUTHORS = Path(__file__).parents[2] / "support/authors"

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


def taken(
    sample_shape: list[Any], parameters: dict[str, Any], shown: Sample, mode: Mode = "auto"
) -> Sample:
    """The sample that a pipeline makes of a picture [H, W, C]."""
    pipeline = from_manifest(["N", *sample_shape], parameters)
    assert isinstance(pipeline, PicturePipeline)
    return pipeline(image_of(shown), mode)


def image_of(shown: Sample) -> Image.Image:
    return Image.fromarray(shown[:, :, 0] if shown.shape[2] == 1 else shown)


def test_resize_stretches_the_whole_picture_to_the_frame() -> None:
    shown = picture(60, 90)
    sample = taken([32, 24, 3], {"pipeline": "resize"}, shown)
    expected = Image.fromarray(shown).resize((24, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(sample, np.asarray(expected))


def test_resize_does_not_alias_fine_stripes() -> None:
    """Every second row black: without anti-aliasing a small sample is all black or all white."""
    stripes = np.zeros((280, 280, 1), dtype=np.uint8)
    stripes[::2] = 255
    sample = taken([28, 28], {"pipeline": "resize"}, stripes)
    assert sample.min() > 120
    assert sample.max() < 136


@pytest.mark.parametrize("name", ["resize", "imagenet"])
def test_grey_and_colour_become_what_the_model_takes(name: str) -> None:
    grey, colour = picture(40, 40, 1), picture(40, 40, 3)
    parameters = {"pipeline": name, "crop": 1}
    assert (taken([40, 40, 3], parameters, grey) == grey).all()
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    assert (taken([40, 40], parameters, colour) == expected).all()


@pytest.mark.parametrize("name", ["resize", "imagenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_none_takes_the_model_s_size_pixel_for_pixel(name: str, channels: int) -> None:
    shape = [20, 30] if channels == 1 else [20, 30, 3]
    parameters = {"pipeline": name, "background": "dark", "pad": True}
    shown = picture(20, 30, channels)
    shown[[0, -1]] = 255
    assert (taken(shape, parameters, shown, "none") == shown.reshape(shape)).all()
    with pytest.raises(UnreadableImage, match="of 30 x 20 pixels, this one has 20 x 30"):
        taken(shape, parameters, picture(30, 20, channels), "none")


def shoe(background: int, ink: int, height: int = 56, width: int = 56) -> Sample:
    shown = np.full((height, width, 1), background, dtype=np.uint8)
    shown[height // 3 : height // 2, width // 4 : -width // 4] = ink
    return shown


def test_a_picture_on_the_other_background_is_turned_into_its_negative() -> None:
    dark = {"pipeline": "resize", "background": "dark"}
    negative, positive = (taken([28, 28], dark, shoe(*tones)) for tones in ((255, 40), (0, 215)))
    np.testing.assert_allclose(negative.astype(int), positive, atol=1)
    assert positive[0, 0] == negative[0, 0] == 0
    light = {"pipeline": "picture", "fit": "squash", "background": "light"}
    assert taken([28, 28], light, shoe(0, 215))[0, 0] == 255
    assert taken([28, 28], {"pipeline": "resize"}, shoe(255, 40))[0, 0] == 255


def test_a_sample_of_the_training_set_keeps_every_pixel_through_auto() -> None:
    sample = shoe(0, 215, 28, 28)
    parameters = {"pipeline": "resize", "background": "dark", "pad": True}
    assert (taken([28, 28], parameters, sample) == sample[:, :, 0]).all()


@pytest.mark.parametrize(("height", "width"), [(28, 280), (280, 28), (1, 900), (900, 1), (64, 64)])
def test_pad_keeps_the_proportions_and_fills_with_the_colour_of_the_border(
    height: int, width: int
) -> None:
    parameters = {"pipeline": "resize", "pad": True}
    plain = np.full((height, width, 3), (200, 100, 50), dtype=np.uint8)
    sample = taken([28, 28, 3], parameters, plain)
    assert sample.shape == (28, 28, 3)
    assert (sample == (200, 100, 50)).all()
    striped = np.zeros((40, 80, 1), dtype=np.uint8)
    striped[:, 39:41] = 255
    sample = taken([28, 28], parameters, striped)
    assert (sample[:7] == 0).all()
    assert (sample[21:] == 0).all()
    assert (sample[7:21, 13:15] > 0).all()


@pytest.mark.parametrize(("place", "top"), [("centre", 7), ("start", 0)])
def test_a_letterbox_has_the_colour_and_the_place_that_the_author_chose(
    place: str, top: int
) -> None:
    """In the order R, G, B, whatever the order of the model."""
    parameters = {"fit": "longer", "pad_colour": [10, 20, 30], "pad_place": place}
    white = np.full((40, 80, 1), 255, dtype=np.uint8)
    expected = np.full((28, 28, 3), (10, 20, 30), dtype=np.uint8)
    expected[top : top + 14] = 255
    for colour in ("RGB", "BGR"):
        general = {"pipeline": "picture", "colour": colour, **parameters}
        np.testing.assert_array_equal(taken([28, 28, 3], general, white), expected)


HALF_OVER = (300, 401)  # rows, columns: 256 x 342, whose middle 224 begin at column 59


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
@pytest.mark.parametrize(("height", "width"), [HALF_OVER, (512, 256), (224, 224), (100, 121)])
def test_the_shorter_side_is_scaled_the_longer_cut_to_whole_pixels_and_the_middle_cropped(
    height: int, width: int, interpolation: str
) -> None:
    shown = picture(height, width)
    parameters = {"pipeline": "picture", "fit": "shorter", "size": [256]}
    sample = taken([224, 224, 3], parameters | {"interpolation": interpolation}, shown)
    shorter = min(height, width)
    size = int(256 * width / shorter), int(256 * height / shorter)
    scaled = np.asarray(
        Image.fromarray(shown).resize(size, Image.Resampling[interpolation.upper()])
    )
    top, left = round((size[1] - 224) / 2), round((size[0] - 224) / 2)
    np.testing.assert_array_equal(sample, scaled[top : top + 224, left : left + 224])


def test_the_older_name_of_that_is_imagenet() -> None:
    shown = picture(*HALF_OVER)
    general = {"pipeline": "picture", "fit": "shorter", "size": [256]}
    expected = taken([224, 224, 3], general, shown)
    for parameters in ({}, {"crop": 224 / 256}):
        sample = taken([224, 224, 3], {"pipeline": "imagenet"} | parameters, shown)
        np.testing.assert_array_equal(sample, expected)


@pytest.mark.parametrize(
    ("rounding", "width", "left"), [("even", 31, 2), ("down", 31, 1), ("even", 29, 0)]
)
def test_half_a_pixel_of_a_centre_crop_goes_where_the_author_s_library_has_it(
    rounding: str, width: int, left: int
) -> None:
    """Of 3 spare pixels, torchvision leaves out 2 on the left, of 1 none; others 1 and none."""
    shown = picture(28, width)
    parameters = {"pipeline": "picture", "fit": "shorter", "crop_rounding": rounding}
    sample = taken([28, 28, 3], parameters, shown)
    np.testing.assert_array_equal(sample, shown[:, left : left + 28])


def test_a_frame_that_is_no_square_is_covered() -> None:
    shown = picture(90, 120)
    sample = taken([40, 80, 3], {"pipeline": "picture", "fit": "shorter"}, shown)
    scaled = np.asarray(Image.fromarray(shown).resize((80, 60), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(sample, scaled[10:50])


def test_squash_may_crop_too() -> None:
    shown = picture(90, 120)
    scaled = np.asarray(Image.fromarray(shown).resize((32, 32), Image.Resampling.BILINEAR))
    for more in ({"size": [32, 32]}, {"crop": 0.875}):
        parameters = {"pipeline": "picture", "fit": "squash", **more}
        np.testing.assert_array_equal(taken([28, 28, 3], parameters, shown), scaled[2:30, 2:30])


def test_cover_cuts_out_the_frame_s_proportions_first() -> None:
    shown = picture(90, 121)
    parameters = {"pipeline": "picture", "fit": "cover", "crop_rounding": "down"}
    whole = taken([30, 30, 3], parameters, shown)
    part = Image.fromarray(shown[:, 15:105])
    np.testing.assert_array_equal(
        whole, np.asarray(part.resize((30, 30), Image.Resampling.BILINEAR))
    )
    part = Image.fromarray(shown[22:67, 38:83])
    half = taken([30, 30, 3], parameters | {"crop": 0.5}, shown)
    np.testing.assert_array_equal(
        half, np.asarray(part.resize((30, 30), Image.Resampling.BILINEAR))
    )


def test_without_antialias_only_the_nearest_pixels_count() -> None:
    """Rows 4.5, 14.5 …: halfway between two rows, one of which is black."""
    stripes = np.zeros((280, 280, 1), dtype=np.uint8)
    stripes[5::10] = 200
    parameters = {"pipeline": "picture", "fit": "squash", "antialias": False}
    assert (taken([28, 28], parameters, stripes) == 100).all()
    assert (taken([28, 28], parameters | {"antialias": True}, stripes) < 50).all()


def test_bicubic_without_antialias_is_pytorch_s() -> None:
    """Of tensors of floats, up and down: `interpolate(…, mode="bicubic", antialias=False)`."""
    parameters = {"pipeline": "picture", "fit": "squash", "antialias": False}
    with np.load(AUTHORS / "bicubic-torch-2.14.1.npz") as archive:
        for index in range(3):
            expected = archive[f"sample{index}"].astype(int)
            shape = [*expected.shape]
            shown = archive[f"picture{index}"]
            found = taken(shape, parameters | {"interpolation": "bicubic"}, shown)
            assert np.abs(found - expected).max() <= 1


def test_a_picture_is_filled_up_to_the_frame_s_proportions() -> None:
    """The halves of a frame that a picture half as high does not fill, in the colour asked for."""
    parameters = {"pipeline": "picture", "fit": "pad", "antialias": False}
    shown = np.full((20, 40, 3), 200, np.uint8)
    green = [10, 90, 30]
    sample = taken([40, 40, 3], parameters | {"pad_colour": green}, shown)
    assert (sample[10:30] == 200).all()
    assert (sample[:10] == green).all()
    assert (sample[30:] == green).all()
    assert (taken([40, 40, 3], parameters | {"pad_colour": "border"}, shown) == 200).all()
    assert (taken([40, 40], parameters | {"pad_colour": [7]}, shown)[:10] == 7).all()


@pytest.mark.parametrize(("height", "width"), [(1, 900), (900, 1), (1, 1), (3, 1279)])
def test_any_proportions_give_a_sample(height: int, width: int) -> None:
    for fit in ("shorter", "longer", "squash", "cover"):
        shown = picture(height, width)
        sample = taken([224, 224, 3], {"pipeline": "picture", "fit": fit}, shown)
        assert sample.shape == (224, 224, 3)


def test_the_middle_of_a_hair_is_taken_without_enlarging_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture of 1 x 16,000,000 would need terabytes once its shorter side has 256 pixels."""
    shown = picture(40, 700)
    parameters = {"pipeline": "picture", "fit": "shorter", "size": [32]}
    whole = taken([28, 28, 3], parameters, shown)
    monkeypatch.setattr("classifier.prepare.picture._MOST_PIXELS", 1)
    np.testing.assert_allclose(taken([28, 28, 3], parameters, shown).astype(int), whole, atol=1)
    monkeypatch.undo()
    hair = Image.new("L", (16_000_000, 1), 9)
    pipeline = PicturePipeline.from_manifest(["N", 28, 28], parameters)
    assert (pipeline(hair, "auto") == 9).all()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_deep_pictures_are_rounded_to_bytes() -> None:
    deep = Image.fromarray(np.full((28, 28), round(127.6 * 257), dtype=np.uint16))
    image = Picture(encoded(deep), is_whole=True).image
    assert image.mode == "L"
    assert image.getextrema() == (128, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_whole_picture_is_upright(orientation: int) -> None:
    shown = Image.fromarray(picture(30, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(shown, exif=exif)
    whole = Picture(file, is_whole=True)
    np.testing.assert_array_equal(np.asarray(whole.image), Picture(file).pixels)
    np.testing.assert_array_equal(whole.edges, np.asarray(whole.image)[[0, -1]])
    assert whole.size == whole.image.size[::-1]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_whole_picture_has_all_detail(kind: str) -> None:
    """Pictures for digits are reduced, which a model at 384 pixels would see."""
    file = encoded(Image.fromarray(picture(1400, 1800)), kind)
    with Image.open(io.BytesIO(file)) as expected:
        np.testing.assert_array_equal(Picture(file, is_whole=True).image, np.asarray(expected))


@pytest.mark.parametrize(("ink", "page"), [(0, 255), (255, 0)])
def test_transparency_is_put_on_white_or_on_black_under_light_ink(ink: int, page: int) -> None:
    drawing = Image.new("RGBA", (60, 40), (ink, ink, ink, 0))
    drawing.paste((ink, ink, ink, 255), (10, 10, 30, 20))
    for image in (drawing, drawing.convert("LA")):
        whole = Picture(encoded(image), is_whole=True).image
        assert (whole.mode, whole.getpixel((0, 0)), whole.getpixel((15, 15))) == (
            "RGB",
            (page,) * 3,
            (ink,) * 3,
        )


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_every_kind_of_image_becomes_grey_or_rgb(mode: str) -> None:
    shown = Image.fromarray(picture(30, 40)).convert(mode)
    file = encoded(shown, "TIFF")
    whole = Picture(file, is_whole=True).image
    expected = shown.convert("L" if mode == "1" else "RGB")
    np.testing.assert_array_equal(np.asarray(whole), np.asarray(expected))


PICTURE = {"pipeline": "picture", "fit": "squash"}


@pytest.mark.parametrize(
    ("parameters", "error", "sentence"),
    [
        ({"pipeline": "cifar"}, KeyError, "cifar"),
        ({"pipeline": []}, KeyError, r"\[\]"),
        ({}, KeyError, "pipeline"),
        ({"pipeline": "resize", "background": "grey"}, ValueError, "background must be"),
        ({"pipeline": "imagenet", "crop": 0}, ValueError, "crop must be in"),
        ({"pipeline": "imagenet", "crop": 1.5}, ValueError, "crop must be in"),
        ({"pipeline": "imagenet", "crop": "half"}, ValueError, "half"),
        ({"pipeline": "mnist"}, ValueError, "unpack"),
        ({"pipeline": "picture"}, ValueError, "fit must be one of shorter, longer"),
        (PICTURE | {"fit": "tight"}, ValueError, "fit must be one of"),
        (PICTURE | {"interpolation": "cubic"}, ValueError, "interpolation must be one of"),
        (PICTURE | {"pad_place": "end"}, ValueError, "pad_place must be one of"),
        (PICTURE | {"crop_rounding": "up"}, ValueError, "crop_rounding must be one of"),
        (PICTURE | {"colour": "CMYK"}, ValueError, "colour 'CMYK' does not fit"),
        (PICTURE | {"size": [32]}, ValueError, r"size must be \[height, width\]"),
        (PICTURE | {"size": [32, 27]}, ValueError, "size must be at least the input's"),
        (PICTURE | {"size": [32, 32], "crop": 0.5}, ValueError, "crop does not go with size"),
        (PICTURE | {"fit": "pad"}, ValueError, "fit pad goes with antialias false and bilinear or"),
        (PICTURE | {"fit": "longer", "crop": 0.5}, ValueError, "crop does not go with fit longer"),
        (PICTURE | {"fit": "longer", "size": [28, 28]}, ValueError, "size does not go with fit"),
        (PICTURE | {"fit": "shorter", "size": [27]}, ValueError, "size must be at least"),
        (PICTURE | {"fit": "shorter", "size": [32, 32]}, ValueError, "size must be .shorter side"),
        (PICTURE | {"pad_colour": [1, 2]}, ValueError, "pad_colour must be"),
        (PICTURE | {"pad_colour": [256]}, ValueError, "pad_colour must be"),
        (PICTURE | {"pad_colour": "white"}, ValueError, "pad_colour must be"),
        (
            PICTURE | {"antialias": False, "interpolation": "lanczos"},
            ValueError,
            "antialias must be true for interpolation 'lanczos'",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    parameters: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        from_manifest(["N", 28, 28, 3], parameters)


def test_a_grey_input_has_no_order_of_colours() -> None:
    with pytest.raises(ValueError, match="colour 'BGR' does not fit an input of 1 channels"):
        from_manifest(["N", 28, 28], PICTURE | {"colour": "BGR"})


def test_grey_may_fill_three_channels() -> None:
    shown = picture(28, 28)
    sample = taken([28, 28, 3], PICTURE | {"colour": "grey"}, shown)
    expected = np.asarray(Image.fromarray(shown).convert("L"))
    np.testing.assert_array_equal(sample, np.stack([expected] * 3, axis=2))


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


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [[3, 2, 2], [2, 2, 3]])
def test_bgr_is_the_order_of_the_tensor_and_of_its_numbers(dtype: str, shape: list[int]) -> None:
    colour = np.full((1, 2, 2, 3), (10, 20, 30), dtype=np.uint8)
    tensor = encoding(shape, dtype, colour="BGR", scale=1, mean=[1, 2, 3])(colour)
    first = (tensor[0, :, 0, 0] if shape[0] == 3 else tensor[0, 0, 0]).tolist()
    assert first == ([30, 20, 10] if dtype == "uint8" else [29, 18, 7])
    assert tensor.flags["C_CONTIGUOUS"]


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
        "preprocess": {"pipeline": "picture", "fit": "squash", "mean": [0.5], "std": [0.1]},
    }
    document["output"]["labels"] = LABELS
    document["metrics"]["per_class_accuracy"] = [0.99] * len(LABELS)
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
