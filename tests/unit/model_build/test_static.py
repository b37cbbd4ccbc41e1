import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod

from model_build.data.datasets import Dataset
from model_build.quantise import static
from model_build.quantise.static import Method, quantise
from tests.support import ROOT
from tests.support.graphs import CONTRACT, answers, convolutional, ends


def test_int8_probabilities_are_not_quantised(variants: Path) -> None:
    """Confidence takes more values than a byte has."""
    graph = onnx.load(variants / "minmax-channel.onnx").graph
    (softmax,) = [node for node in graph.node if node.op_type == "Softmax"]
    assert list(softmax.output) == ["probabilities"]


def test_large_weights_are_int8_and_keep_to_seven_bits(variants: Path) -> None:
    graph = onnx.load(variants / "minmax-channel.onnx").graph
    large = [one for one in graph.initializer if np.prod(one.dims) > 500]
    assert large
    for one in large:
        assert one.data_type == TensorProto.INT8
        values = onnx.numpy_helper.to_array(one)
        assert values.min() >= -64
        assert values.max() <= 64


def test_pairs_of_weights_use_what_seven_bits_leave(
    tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sum of two products leaves 16 bits, and the weights are more precise than with 7 bits."""
    source, ranges = tmp_path / "fp32.onnx", tmp_path / "ranges.json"
    source.write_bytes(convolutional())
    written: dict[bool, Any] = {}
    write = static.write

    def keep_ranges(*paths: Path, **options: Any) -> None:
        ranges.write_bytes(paths[2].read_bytes())

    monkeypatch.setattr(static, "write", lambda *given, **_: keep_ranges(*given[:3]))
    quantise(source, tmp_path / "int8.onnx", mnist.train_images[:64])
    for by_pairs in (False, True):
        target = tmp_path / f"{by_pairs}.onnx"
        with static.quiet():
            write(source, target, ranges, CalibrationMethod.MinMax, by_pairs=by_pairs)
        tensors = {
            one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer
        }
        (name,) = (one for one in tensors if one.startswith("second_quantized"))
        written[by_pairs] = tensors[name].astype(int)
    images = mnist.test_images[:300]
    expected = answers(source, images)
    errors = {
        by_pairs: np.abs(answers(tmp_path / f"{by_pairs}.onnx", images) - expected).mean()
        for by_pairs in written
    }
    assert errors[True] < errors[False]
    rows = np.abs(np.moveaxis(written[True], 1, -1).reshape(16, -1))
    assert rows.max() > 64
    assert (rows[:, 1:] + rows[:, :-1]).max() <= 128


def test_weights_without_a_neighbour_keep_all_bits() -> None:
    """A convolution per channel multiplies in 32 bits: it needs no limit."""
    shapes = {"one": (8, 1, 3, 3), "many": (8, 4, 3, 3), "matrix": (5, 6)}
    nodes = [helper.make_node("Conv", ["x", name], [f"{name}_out"]) for name in ("one", "many")]
    nodes.append(helper.make_node("Gemm", ["x", "matrix"], ["out"], transB=1))
    weights = [
        numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()
    ]
    model = helper.make_model(helper.make_graph(nodes, "weights", [], [], weights))
    limits = static.pair_limits(model)
    assert {name: len(channels) for name, channels in limits.items()} == {"many": 8, "matrix": 5}
    assert {channel["rmax"] for channels in limits.values() for channel in channels} == {2.0}


def test_calibration_sees_the_samples_it_is_given_each_once(
    tmp_path: Path, classifier: bytes, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Spy(static._Batches):
        def get_next(self) -> Any:
            batch = super().get_next()
            if batch is not None:
                seen.append(batch["image"])
            return batch

    monkeypatch.setattr(static, "_Batches", Spy)
    (tmp_path / "fp32.onnx").write_bytes(classifier)
    samples = mnist.train_images[:150]
    found = quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", samples)
    assert np.array_equal(np.concatenate(seen), samples)
    assert found["calibration"]["samples"] == 150


def test_calibration_decides_the_scales(tmp_path: Path, classifier: bytes, mnist: Dataset) -> None:
    (tmp_path / "fp32.onnx").write_bytes(classifier)
    quantise(tmp_path / "fp32.onnx", tmp_path / "dark.onnx", mnist.train_images[:64] // 8)
    quantise(tmp_path / "fp32.onnx", tmp_path / "usual.onnx", mnist.train_images[:64])
    assert (tmp_path / "dark.onnx").read_bytes() != (tmp_path / "usual.onnx").read_bytes()


def test_quantising_leaves_the_parent_and_the_log_level_alone(
    tmp_path: Path, classifier: bytes, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fp32.onnx").write_bytes(classifier)
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    found = quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", mnist.train_images[:64])
    assert (tmp_path / "fp32.onnx").read_bytes() == classifier
    assert logging.getLogger().level == logging.INFO
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp32.onnx", "int8.onnx"]
    assert found["method"] == "static"


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory, mnist: Dataset) -> Path:
    """One network quantised in every way, each file named after its method and granularity."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "fp32.onnx").write_bytes(convolutional())
    samples = mnist.train_images[::36]
    for method in METHODS:
        for grain in GRAINS:
            target = folder / f"{method}-{grain}.onnx"
            quantise(
                folder / "fp32.onnx",
                target,
                samples,
                method=method,
                per_channel=grain == "channel",
                percentile=99,
            )
    return folder


METHODS: list[Method] = ["minmax", "entropy", "percentile"]
GRAINS = ["channel", "tensor"]


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_answers_nearly_as_the_parent_with_the_same_ends(
    method: Method, grain: str, variants: Path, mnist: Dataset
) -> None:
    fp32, int8 = (
        answers(variants / f"{name}.onnx", mnist.test_images)
        for name in ("fp32", f"{method}-{grain}")
    )
    assert np.mean(fp32.argmax(axis=1) == int8.argmax(axis=1)) > 0.95
    assert ends(variants / f"{method}-{grain}.onnx") == CONTRACT


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_the_other_methods_cut_the_tail_of_activations(method: str, variants: Path) -> None:
    """So that their steps are finer. With onnxruntime's default bins, entropy would cut nothing."""
    widest, found = (_scales(variants / f"{name}-channel.onnx") for name in ("minmax", method))
    assert found["r1"] < widest["r1"]
    assert found["r2"] < widest["r2"]


def test_the_range_is_what_the_calibration_samples_show(variants: Path, mnist: Dataset) -> None:
    """Min-max and percentile against the formulas, on the activations themselves."""
    model = onnx.load(variants / "fp32.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info("r1", TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString())
    (seen,) = session.run(["r1"], {"image": mnist.train_images[::36]})
    assert seen.min() == 0
    minmax = _scales(variants / "minmax-channel.onnx")["r1"]
    assert minmax == pytest.approx(seen.max() / 255, rel=1e-5)
    # Half of the 1 % is cut off at the upper end; the histogram has 2,048 bins.
    percentile = _scales(variants / "percentile-channel.onnx")["r1"]
    assert percentile * 255 == pytest.approx(np.quantile(seen, 0.995), abs=float(seen.max()) / 1000)


def test_per_tensor_has_one_scale_and_per_channel_one_each(variants: Path) -> None:
    assert _scales(variants / "minmax-tensor.onnx")["second"].shape == ()
    assert _scales(variants / "minmax-channel.onnx")["second"].shape == (16,)


def test_it_says_how_it_calibrated(tmp_path: Path, classifier: bytes, mnist: Dataset) -> None:
    (tmp_path / "fp32.onnx").write_bytes(classifier)
    samples = mnist.train_images[:64]
    said = quantise(
        tmp_path / "fp32.onnx",
        tmp_path / "int8.onnx",
        samples,
        method="percentile",
        per_channel=False,
        percentile=99.9,
    )
    assert said["calibration"] == {"method": "percentile", "samples": 64, "percentile": 99.9}
    assert said["weights"] == "int8, 7 bits, per tensor"
    usual = quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", samples)
    assert usual["calibration"] == {"method": "minmax", "samples": 64}
    assert usual["weights"] == "int8, 7 bits, per channel"


def test_the_quantiser_prints_nothing(
    tmp_path: Path, classifier: bytes, mnist: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fp32.onnx").write_bytes(classifier)
    samples = mnist.train_images[:64]
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", samples, method="entropy")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"method": "mean"}, "method must be one of minmax, entropy, percentile, got 'mean'"),
        ({"percentile": 0.99}, r"percentile must be in \(50, 100\], got 0.99"),
    ],
)
def test_a_wrong_choice_is_refused_before_anything_is_written(
    wrong: dict[str, Any], sentence: str, tmp_path: Path, mnist: Dataset
) -> None:
    with pytest.raises(ValueError, match=sentence):
        quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", mnist.train_images[:9], **wrong)
    assert list(tmp_path.iterdir()) == []


def _scales(path: Path) -> dict[str, Any]:
    """Scale of each quantised tensor by the tensor's name, float32 [] or [channels]."""
    return {
        one.name.removesuffix("_scale"): onnx.numpy_helper.to_array(one)
        for one in onnx.load(path).graph.initializer
        if one.name.endswith("_scale")
    }


# A whole build, but for the length of its training.
TINY_BUILD = """
import sys
from pathlib import Path
from model_build.data import datasets
from model_build.graph import convert, optimise
from model_build.training import train
from model_build.quantise import static
folder = Path(sys.argv[1])
dataset = datasets.load_mnist_5k()
images, labels = dataset.train_images[::20], dataset.train_labels[::20]
samples = train.Samples(images, labels, 10)
model = train.fit_new("cnn", samples, train.Schedule(epochs=2), 5, lambda *_: None)
convert.convert(model, folder / "converted.onnx")
optimise.optimise(folder / "converted.onnx", folder / "fp32.onnx")
static.quantise(folder / "fp32.onnx", folder / "int8.onnx", images[:64])
"""


@pytest.mark.keras
def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    builds = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", TINY_BUILD, str(tmp_path / name)]
        builds.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE))
    for build in builds:
        _, errors = build.communicate(timeout=300)
        assert build.returncode == 0, errors.decode()
    for file in ("converted.onnx", "fp32.onnx", "int8.onnx"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_calibration_takes_training_samples_alone_and_of_each_class_as_many(
    mnist: Dataset,
) -> None:
    calibration = static.calibration_images(mnist)
    labels = {
        image.tobytes(): int(label)
        for image, label in zip(mnist.train_images, mnist.train_labels, strict=True)
    }
    held_out = {image.tobytes() for image in mnist.test_images}
    assert not [image for image in calibration if image.tobytes() in held_out]
    found = np.bincount([labels[image.tobytes()] for image in calibration])
    assert found.tolist() == [static.CALIBRATION_SAMPLES // 10] * 10
