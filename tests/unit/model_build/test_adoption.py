"""Adoption of a user's graph: what is changed, kept and refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.data.datasets import Dataset, load_other_writers
from model_build.errors import ImportRefused
from model_build.importing import adoption, batching, outputs, reading
from model_build.importing.adoption import Adopted, adopt, describe
from model_build.importing.description import Port
from model_build.quantise import dynamic, static, weight_only
from tests.support.classifiers import (
    CLASSES,
    FLOAT,
    UINT8,
    Shape,
    encoder,
    ends,
    forest,
    linear,
    noise,
    take,
)
from tests.support.graphs import convolutional


@pytest.mark.parametrize(
    ("shape", "kind", "dtype"),
    [
        (("N", 6, 7), UINT8, "uint8"),
        (("batch", 6, 7, 3), UINT8, "uint8"),
        (("N", 1, 6, 7), FLOAT, "float32"),
        ((None, 3, 6, 7), FLOAT, "float32"),
        (("N", 6, 7, 1), FLOAT, "float32"),
        (("N", 6, 7), FLOAT, "float32"),
    ],
)
def test_a_model_keeps_its_input_and_gets_the_ends_of_the_contract(
    tmp_path: Path, shape: Shape, kind: int, dtype: str
) -> None:
    adopted, target = take(linear(shape=shape, kind=kind, end="Softmax"), tmp_path)
    content = (tmp_path / "theirs.onnx").read_bytes()
    origin = {"file": "theirs.onnx", "sha256": hashlib.sha256(content).hexdigest()}
    assert adopted == Adopted(dtype, ["N", *shape[1:]], "softmax", [], None, [origin])
    tensor = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[dtype]
    source = ("image", tensor, ["N", *shape[1:]])
    assert ends(target) == (*source, "probabilities", "tensor(float)", ["N", CLASSES])


def test_logits_get_a_softmax_and_answers_stay_in_their_order(tmp_path: Path) -> None:
    model = linear()
    adopted, target = take(model, tmp_path)
    assert adopted.notes == ["the model outputs logits: appended a Softmax"]
    batch = noise(5, 1, 6, 6)
    (logits,) = ort.InferenceSession(model.SerializeToString()).run(None, {"input": batch})
    (answers,) = ort.InferenceSession(target).run(None, {"image": batch})
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(answers, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-6)


def test_probabilities_stay_as_they_are(tmp_path: Path) -> None:
    model = linear(end="Softmax")
    _, target = take(model, tmp_path)
    batch = noise(5, 1, 6, 6)
    (before,) = ort.InferenceSession(model.SerializeToString()).run(None, {"input": batch})
    (after,) = ort.InferenceSession(target).run(None, {"image": batch})
    np.testing.assert_array_equal(before, after)


def test_weights_so_small_that_they_only_make_a_model_slow_are_dropped(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).normal(0, 0.3, (36, CLASSES)).astype(np.float32)
    weight[::5] *= np.float32(1e-36)
    model = linear(weight=weight, end="Softmax")
    adopted, target = take(model, tmp_path)
    assert adopted.notes == ["set 32 weights below 1e-30 to zero: they only made it slow"]
    stored = {one.name: numpy_helper.to_array(one) for one in onnx.load(target).graph.initializer}
    np.testing.assert_array_equal(stored["weight"], np.where(np.abs(weight) < 1e-30, 0, weight))


def test_a_batch_that_is_fixed_to_one_is_made_dynamic(tmp_path: Path) -> None:
    adopted, target = take(linear(shape=(1, 1, 6, 6), end="Softmax"), tmp_path)
    assert adopted.notes == ["changed the fixed batch size of 1 to a dynamic one"]
    (answers,) = ort.InferenceSession(target).run(None, {"image": noise(3, 1, 6, 6)})
    assert answers.shape == (3, CLASSES)


def test_an_old_opset_is_brought_to_one_that_can_be_quantised(tmp_path: Path) -> None:
    adopted, target = take(linear(opset=11), tmp_path)
    assert "converted opset 11 to 13" in adopted.notes
    assert onnx.load(target).opset_import[0].version == 13


def test_names_that_are_taken_inside_make_way(tmp_path: Path) -> None:
    """A model may use the contract's names for inner values."""
    model = linear(names=("numbers_in", "logits"))
    for node in model.graph.node:
        for side in (node.input, node.output):
            for index, name in enumerate(side):
                side[index] = {"rows": "image", "numbers": "probabilities"}.get(name, name)
    _, target = take(model, tmp_path)
    batch = noise(2, 1, 6, 6)
    (answers,) = ort.InferenceSession(target).run(None, {"image": batch})
    assert answers.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_usable_output_is_found_among_others(tmp_path: Path) -> None:
    def with_features(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("ArgMax", ["output"], ["best"], axis=1))
        best = helper.make_tensor_value_info("best", TensorProto.INT64, [None, 1])
        model.graph.output.insert(0, best)

    _, target = take(linear(end="Softmax", edit=with_features), tmp_path)
    assert [one.name for one in onnx.load(target).graph.output] == ["probabilities"]


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["output"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", FLOAT, [None, CLASSES]))


def test_the_output_that_is_named_is_taken(tmp_path: Path) -> None:
    model = linear(edit=two_outputs)
    _, target = take(model, tmp_path, output_name="output")
    batch = noise(2, 1, 6, 6)
    (answers,) = ort.InferenceSession(target).run(None, {"image": batch})
    expected = ort.InferenceSession(model.SerializeToString()).run(["output"], {"input": batch})[0]
    assert answers.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", FLOAT, ["N"]))


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def dangling(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "nowhere"


def random(model: onnx.ModelProto) -> None:
    model.graph.node[2].output[0] = "before"
    dice = helper.make_node("RandomNormalLike", ["before"], ["output"])
    model.graph.node.append(dice)


def tied(model: onnx.ModelProto) -> None:
    """Subtract the batch's mean: each picture's answer depends on the others."""
    model.graph.node[2].output[0] = "before"
    model.graph.node.append(helper.make_node("ReduceMean", ["before"], ["mean"], axes=[0]))
    model.graph.node.append(helper.make_node("Sub", ["before", "mean"], ["output"]))


def shares(model: onnx.ModelProto) -> None:
    """Numbers between 0 and 1 by another way than an activation."""
    model.graph.node[2].output[0] = "before"
    model.graph.node.append(helper.make_node("Sigmoid", ["before"], ["positive"]))
    model.graph.node.append(helper.make_node("Mul", ["positive", "positive"], ["output"]))


def external(model: onnx.ModelProto) -> None:
    weight = next(one for one in model.graph.initializer if one.name == "weight")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")


NAN = np.full((36, CLASSES), np.nan, dtype=np.float32)

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "not ONNX": (b"\x00\x01not a model", {}, "is not an ONNX file"),
    "a pointer": (LFS, {}, "is a Git LFS pointer, not the model; fetch that with git lfs pull"),
    "an empty file": (b"", {}, "is not an ONNX file"),
    "two inputs": (linear(edit=second_input), {}, r"one input, a picture, got 2 \(input, mask\)"),
    "words": (linear(kind=TensorProto.STRING), {}, "must hold numbers, got STRING"),
    "open sides": (linear(shape=("N", 1, "H", 6), weight=noise(36, 4)), {}, "--size 224x224"),
    "a row": (linear(shape=("N", 30)), {}, "rows of 30 numbers; .* --size"),
    "another size": (linear(), {"size": (8, 8)}, "--size 8x8 contradicts .*; omit it"),
    "a size of other rows": (linear(shape=("N", 36)), {"size": (6, 7)}, "the 36 pixels .* got 6x7"),
    "large pictures": (linear(shape=("N", 1, 2, 1025)), {}, "at most 1024 pixels"),
    "batches of 8": (linear(shape=(8, 1, 6, 6), flat=(8, 36), edit=tied), {}, "batches of 8"),
    "batches of 7": (linear(shape=(7, 1, 6, 6)), {}, "batches of 7"),
    "another operator set": (linear(edit=foreign), {}, "operators of com.example, such as Reshape"),
    "a broken graph": (linear(edit=dangling), {}, "is not a valid ONNX model"),
    "a future opset": (linear(opset=99), {}, "opset must be at most .*, got 99"),
    "a random answer": (linear(edit=random), {}, "is random"),
    "NaN": (linear(weight=NAN), {}, "NaN or infinity"),
    "weights elsewhere": (linear(edit=external), {}, "put them next to it"),
    "too few labels": (linear(), {"classes": 3}, "has 4 classes, but the labels file has 3"),
    "no such output": (linear(), {"output_name": "x"}, "has no output 'x'; expected one of output"),
    "two outputs": (linear(edit=two_outputs), {}, "choose one with --output-name"),
    "shares of something": (linear(edit=shares), {}, "--output sigmoid if"),
    "logits, it is said": (linear(end="Softmax"), {"output": "logits"}, "are probabilities"),
    "no probabilities": (linear(), {"output": "probabilities"}, "are not probabilities"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_served_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    model, options, sentence = REFUSED[case]
    with pytest.raises(ImportRefused, match=sentence) as refused:
        take(model, tmp_path, **options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "adopted.onnx").exists()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="is not a file; expected an ONNX model"):
        adopt(tmp_path / "none.onnx", tmp_path / "adopted.onnx", 4, encoder)


def test_a_model_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 500)
    with pytest.raises(ImportRefused, match="must be at most 0 MiB"):
        take(linear(), tmp_path)


def test_weights_in_a_file_beside_the_model_come_along(tmp_path: Path) -> None:
    onnx.save(
        linear(),
        tmp_path / "theirs.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").exists()
    adopt(tmp_path / "theirs.onnx", tmp_path / "adopted.onnx", CLASSES, encoder)
    (tmp_path / "weights.bin").unlink()
    ort.InferenceSession(tmp_path / "adopted.onnx")


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def run(model: onnx.ModelProto | Path, name: str, batch: NDArray[Any]) -> NDArray[np.float32]:
    """First output of a graph."""
    content = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    answer: NDArray[np.float32] = ort.InferenceSession(content).run(None, {name: batch})[0]
    return answer


def last(model: onnx.ModelProto, *nodes: onnx.NodeProto, kind: int = FLOAT) -> None:
    """Let nodes follow the logits: from `scores` to `output`, whose shape is then unknown."""
    model.graph.node[2].output[0] = "scores"
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("output", kind, None))


def with_weights_as_inputs(model: onnx.ModelProto) -> None:
    model.ir_version = 3
    weights = [
        helper.make_tensor_value_info(one.name, one.data_type, one.dims)
        for one in model.graph.initializer
    ]
    model.graph.input.extend(weights)


def with_trailing_ones(*shape: int) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        target = numpy_helper.from_array(np.array(shape), "trailing")
        model.graph.initializer.append(target)
        last(model, helper.make_node("Reshape", ["scores", "trailing"], ["output"]))

    return edit


def in_half(model: onnx.ModelProto) -> None:
    last(
        model,
        helper.make_node("Cast", ["scores"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Softmax", ["half"], ["output"]),
        kind=TensorProto.FLOAT16,
    )


def with_its_logits(model: onnx.ModelProto) -> None:
    """Three outputs: logits, their probabilities and the best class."""
    model.graph.node.append(helper.make_node("Softmax", ["output"], ["shares"]))
    model.graph.node.append(helper.make_node("ArgMax", ["output"], ["best"], axis=1))
    model.graph.output.append(helper.make_tensor_value_info("shares", FLOAT, [None, CLASSES]))
    best = helper.make_tensor_value_info("best", TensorProto.INT64, [None, 1])
    model.graph.output.append(best)


AS_THEY_COME: dict[str, tuple[onnx.ModelProto, str]] = {
    "weights among the inputs": (linear(edit=with_weights_as_inputs), "appended a Softmax"),
    "ones after the classes": (linear(edit=with_trailing_ones(-1, 4, 1, 1)), "a Reshape to [N, 4]"),
    "ones before": (linear(edit=with_trailing_ones(-1, 1, 1, 4)), "a Reshape to [N, 4]"),
    "logarithms": (linear(end="LogSoftmax"), "logarithms of probabilities"),
    "its logits too": (
        linear(edit=with_its_logits),
        "took the output shares",
    ),
    "float16 inside": (linear(edit=in_half), ""),
    "a batch fixed inside": (linear(shape=(1, 1, 6, 6), flat=(1, 36)), "batch size of 1 inside"),
    "another one": (linear(shape=(1, 1, 6, 6), flat=(1, -1)), "batch size of 1 inside"),
    "a batch of 8": (linear(shape=(8, 1, 6, 6), flat=(8, 36)), "batch size of 8 inside"),
}


@pytest.mark.parametrize("case", AS_THEY_COME)
def test_graphs_are_adopted_as_exporters_write_them(tmp_path: Path, case: str) -> None:
    """The probabilities are those of the same logits, for any number of pictures."""
    model, note = AS_THEY_COME[case]
    adopted, target = take(model, tmp_path)
    assert (adopted.dtype, adopted.shape) == ("float32", ["N", 1, 6, 6])
    assert adopted.activation == "softmax"
    assert note in "; ".join(adopted.notes)
    batch = noise(5, 1, 6, 6)
    expected = softmax(run(linear(), "input", batch))
    tolerance = 2e-3 if case == "float16 inside" else 1e-5
    np.testing.assert_allclose(run(target, "image", batch), expected, atol=tolerance)
    onnx.checker.check_model(onnx.load(target))
    source, sink = ends(target)[:3], ends(target)[3:]
    assert source == ("image", "tensor(float)", ["N", 1, 6, 6])
    assert sink == ("probabilities", "tensor(float)", ["N", 4])


@pytest.mark.parametrize(
    ("kind", "dtype", "kept"),
    [
        (TensorProto.FLOAT16, "float32", np.float16),
        (TensorProto.DOUBLE, "float32", np.float64),
        (TensorProto.INT64, "uint8", np.int64),
        (TensorProto.INT32, "uint8", np.int32),
    ],
)
def test_other_numbers_are_converted_on_their_way_in(
    tmp_path: Path, kind: int, dtype: str, kept: type[np.generic]
) -> None:
    model = linear(kind=kind, end="Softmax")
    adopted, target = take(model, tmp_path)
    assert (adopted.dtype, adopted.shape) == (dtype, ["N", 1, 6, 6])
    assert f"added a conversion from {dtype}" in adopted.notes[0]
    batch = (noise(3, 1, 6, 6) * 9).astype(dtype)
    expected = run(model, "input", batch.astype(kept))
    np.testing.assert_allclose(run(target, "image", batch), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        (("N", 36), None, [6, 6]),
        (("N", 36), (4, 9), [4, 9]),
        (("N", 108), None, [6, 6, 3]),
        (("N", "pixels"), (4, 9), [4, 9]),
        (("N", 1, "H", "W"), (4, 9), [1, 4, 9]),
        (("N", 3, -1, -1), (4, 3), [3, 4, 3]),
        (("N", "H", "W", 1), (6, 6), [6, 6, 1]),
        (("N", "H", "W"), (6, 6), [6, 6]),
    ],
)
def test_rows_of_pixels_and_open_sides_become_pictures(
    tmp_path: Path, shape: Shape, size: tuple[int, int] | None, expected: list[int]
) -> None:
    weight = noise(int(np.prod(expected)), CLASSES)
    model = linear(shape=shape, weight=weight, end="Softmax")
    adopted, target = take(model, tmp_path, size=size)
    assert adopted.shape == ["N", *expected]
    batch = noise(3, *expected)
    rows = batch.reshape(3, -1) if len(shape) == 2 else batch
    np.testing.assert_array_equal(run(target, "image", batch), run(model, "input", rows))


@pytest.mark.parametrize("shape", [(6, 5, 3), (3, 6, 5)])
def test_a_picture_without_a_batch_gets_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = linear(shape=shape, weight=noise(90, CLASSES), flat=(1, -1), end="Softmax")
    adopted, target = take(model, tmp_path)
    assert adopted.shape[1:] == [*shape]
    assert "one picture" in adopted.notes[0]
    batch = noise(1, *shape)
    np.testing.assert_array_equal(run(target, "image", batch), run(model, "input", batch[0]))


def test_one_number_decides_between_two_classes(tmp_path: Path) -> None:
    weight, batch = noise(36, 1), noise(5, 1, 6, 6)
    for end in (None, "Sigmoid"):
        model = linear(weight=weight, end=end)
        adopted, target = take(model, tmp_path, classes=2)
        kind = "probability" if end else "logit"
        assert f"one {kind}: taken as that of the second label" in adopted.notes[0]
        second = 1 / (1 + np.exp(-batch.reshape(5, 36) @ weight))
        expected = np.hstack([1 - second, second])
        np.testing.assert_allclose(run(target, "image", batch), expected, atol=1e-5)


def test_a_sigmoid_gives_each_class_its_own_probability(tmp_path: Path) -> None:
    batch = noise(5, 1, 6, 6)
    expected = 1 / (1 + np.exp(-run(linear(), "input", batch)))
    for model, options in ((linear(end="Sigmoid"), {}), (linear(), {"output": "sigmoid"})):
        adopted, target = take(model, tmp_path, **options)
        assert adopted.activation == "sigmoid"
        np.testing.assert_allclose(run(target, "image", batch), expected, atol=1e-5)


def test_a_graph_for_one_picture_at_a_time_stays_so(tmp_path: Path) -> None:
    """A row of weights beside the picture's can't be repeated by leaving shapes open."""

    def with_a_token(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(noise(1, CLASSES), "token"))
        last(
            model,
            helper.make_node("Concat", ["scores", "token"], ["both"], axis=0),
            helper.make_node("ReduceMean", ["both"], ["output"], axes=[0], keepdims=1),
        )

    adopted, target = take(linear(shape=(1, 1, 6, 6), edit=with_a_token), tmp_path)
    assert adopted.shape == [1, 1, 6, 6]
    assert "batches run picture by picture: 3 pictures in one batch" in adopted.notes[-1]
    assert ends(target)[2] == [1, 1, 6, 6]


def test_a_forest_over_digits_is_adopted(tmp_path: Path) -> None:
    """What scikit-learn's users bring: rows of 64 pixels, labels, and dictionaries of numbers."""
    images, labels = load_other_writers()
    samples = images.reshape(-1, 64).astype(np.float32)
    model = forest(samples[:1200], labels[:1200])
    adopted, target = take(model, tmp_path, classes=10)
    assert (adopted.shape, adopted.activation) == (["N", 8, 8], "softmax")
    assert "took the output output_probability; dropped output_label" in adopted.notes
    answers = run(target, "image", samples[1200:].reshape(-1, 8, 8))
    theirs = ort.InferenceSession(model.SerializeToString()).run(None, {"X": samples[1200:]})
    assert answers.argmax(axis=1).tolist() == theirs[0].tolist()
    expected = [[one[digit] for digit in range(10)] for one in theirs[1]]
    np.testing.assert_allclose(answers, expected, atol=1e-6)
    assert (answers.argmax(axis=1) == labels[1200:]).mean() > 0.75


def test_what_is_already_quantised_is_recognised(tmp_path: Path, mnist: Dataset) -> None:
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    source.write_bytes(convolutional())
    images = mnist.train_images[:32]
    forms = {}
    ways: dict[str, Callable[[], object]] = {
        "static": lambda: static.quantise(source, target, images),
        "dynamic": lambda: dynamic.quantise(source, target),
        "weights": lambda: weight_only.quantise(source, target),
    }
    for name, make in ways.items():
        make()
        forms[name] = take(target.read_bytes(), tmp_path, classes=10)[0].quantised
    assert forms == {"static": "QOperator", "dynamic": "QOperator", "weights": "MatMulNBits"}


def test_a_model_s_files_are_its_lineage(tmp_path: Path) -> None:
    onnx.save(
        linear(),
        tmp_path / "theirs.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    adopted = adopt(tmp_path / "theirs.onnx", tmp_path / "adopted.onnx", CLASSES, encoder)
    digests = [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("theirs.onnx", "weights.bin")
    ]
    assert [one["file"] for one in adopted.lineage] == ["theirs.onnx", "weights.bin"]
    assert [one["sha256"] for one in adopted.lineage] == digests


def test_a_description_tells_what_a_file_takes_and_is_made_of(tmp_path: Path) -> None:
    onnx.save(linear(end="HardSwish"), tmp_path / "theirs.onnx")
    described = describe(tmp_path / "theirs.onnx")
    assert described.inputs == [Port("input", "FLOAT", ["N", 1, 6, 6])]
    assert described.outputs == [Port("output", "FLOAT", ["N", 4])]
    assert (described.layout, described.opset) == ("[N, C, H, W]", 17)
    assert described.parameters == 36 * 4 + 2
    assert described.bytes == (tmp_path / "theirs.onnx").stat().st_size
    assert described.operators == {"Cast": 1, "Reshape": 1, "MatMul": 1, "HardSwish": 1}
    assert described.without_int8 == {"HardSwish": 1}
    assert described.quantised is None


@pytest.mark.parametrize(
    ("stated", "inferred", "expected"),
    [
        ([1, 36], [1, 36], [-1, 36]),
        ([1, -1], [1, 36], [-1, 36]),
        ([1, -1], [], [0, -1]),
        ([12, 4, 5], [], [-1, 4, 5]),
        ([-1, 36], [1, 36], None),
        ([0, -1], [], None),
    ],
)
def test_a_stated_batch_is_left_open(
    stated: list[int], inferred: list[int], expected: list[int] | None
) -> None:
    found = batching._open(np.array(stated), inferred)
    assert (None if found is None else found.tolist()) == expected


def test_a_graph_in_float16_is_widened(tmp_path: Path) -> None:
    def narrow(model: onnx.ModelProto) -> None:
        weight = next(one for one in model.graph.initializer if one.name == "weight")
        halves = numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(halves, "weight"))
        model.graph.node[0].attribute[0].i = TensorProto.FLOAT16
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16

    adopted, target = take(linear(kind=TensorProto.FLOAT16, edit=narrow, end="Softmax"), tmp_path)
    assert "changed float16 to float32" in adopted.notes[-1]
    model = onnx.load(target)
    assert TensorProto.FLOAT16 not in {one.data_type for one in model.graph.initializer}
    batch = noise(3, 1, 6, 6)
    expected = run(linear(end="Softmax"), "input", batch)
    np.testing.assert_allclose(run(target, "image", batch), expected, atol=2e-3)


def test_probabilities_that_sum_to_about_one_are_normalised(tmp_path: Path) -> None:
    model = linear(end="Softmax", names=("image", "probabilities"))
    notes: list[str] = []
    answers = np.full((8, CLASSES), 0.245, np.float32)
    assert outputs.normalise(model.graph, answers, "auto", notes) == "softmax"
    assert notes == ["the probabilities only sum to about 1: appended a normalisation"]
    batch = noise(3, 1, 6, 6)
    expected = run(linear(end="Softmax"), "input", batch)
    np.testing.assert_allclose(run(model, "image", batch), expected, atol=1e-6)
    with pytest.raises(ImportRefused, match=r"Softmax does not sum to 1 .* \(got 0.8\)"):
        outputs.normalise(linear(end="Softmax").graph, answers / 0.245 * 0.2, "auto", [])


def test_an_old_opset_is_kept_where_its_conversion_changes_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: onnx.ModelProto) -> onnx.ModelProto:
        return onnx.version_converter.convert_version(
            linear(opset=11, weight=noise(36, 4), names=("image", "probabilities"), end="Softmax"),
            13,
        )

    monkeypatch.setattr(adoption, "_upgraded", wrong)
    adopted, target = take(linear(opset=11), tmp_path)
    assert "kept opset 11: converted to 13, the model answers differently" in adopted.notes
    assert onnx.load(target).opset_import[0].version == 11

    def fail(model: onnx.ModelProto) -> None:
        raise ImportRefused("no adapter")

    monkeypatch.setattr(adoption, "_upgraded", fail)
    adopted, _ = take(linear(opset=11), tmp_path)
    assert "kept opset 11, which int8 may not support: no adapter" in adopted.notes


def test_functions_of_the_file_itself_are_inlined(tmp_path: Path) -> None:
    """PyTorch's exporter writes modules as functions."""

    def with_a_function(model: onnx.ModelProto) -> None:
        opsets = [helper.make_opsetid("", 17)]
        body = [helper.make_node("Softmax", ["x"], ["y"], axis=-1)]
        function = helper.make_function("theirs", "Head", ["x"], ["y"], body, opsets)
        model.functions.append(function)
        model.opset_import.append(helper.make_opsetid("theirs", 1))
        last(model, helper.make_node("Head", ["scores"], ["output"], domain="theirs"))

    _, target = take(linear(edit=with_a_function), tmp_path)
    batch = noise(3, 1, 6, 6)
    expected = softmax(run(linear(), "input", batch))
    np.testing.assert_allclose(run(target, "image", batch), expected, atol=1e-6)
