"""Import of a user's ONNX model: what is checked, changed and refused."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from classifier.model import session
from classifier.model import store as function_store
from classifier.prepare import encoding
from model_build.data import image_folders
from model_build.data.datasets import Dataset
from model_build.errors import GateError, ImportRefused
from model_build.evaluation.evaluate import Evaluation
from model_build.importing import adoption
from model_build.importing.adoption import Adopted, adopt
from model_build.importing.publication import calibration_choice, input_of, may_publish_int8
from model_build.store.model_store import ModelStore
from tests.support.manifests import evaluation

type Shape = Sequence[int | str | None]
FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
CLASSES = 4


def linear(
    *,
    shape: Shape = ("N", 1, 6, 6),
    kind: int = FLOAT,
    end: str | None = None,
    opset: int = 17,
    weight: NDArray[np.float32] | None = None,
    flat: Sequence[int] = (0, -1),
    names: tuple[str, str] = ("input", "output"),
    edit: Callable[[onnx.ModelProto], object] = lambda model: None,
) -> onnx.ModelProto:
    """A linear classifier of four classes; `end` is an operator after its logits."""
    if weight is None:
        size = int(np.prod([side for side in shape[1:] if isinstance(side, int)]))
        weight = np.random.default_rng(1).normal(0, 0.3, (size, CLASSES)).astype(np.float32)
    source, sink = names
    nodes = [
        helper.make_node("Cast", [source], ["numbers"], to=FLOAT),
        helper.make_node("Reshape", ["numbers", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["scores" if end else sink]),
    ]
    if end:
        nodes.append(helper.make_node(end, ["scores"], [sink]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(source, kind, shape)],
        [helper.make_tensor_value_info(sink, FLOAT, [shape[0], weight.shape[1]])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array(flat), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    edit(model)
    return model


def encoder(dtype: str, shape: list[Any]) -> encoding.Encoding:
    return encoding.Encoding.from_manifest(dtype, tuple(shape[1:]), {})


def take(model: onnx.ModelProto | bytes, folder: Path, **options: Any) -> tuple[Adopted, Path]:
    """Adopt a model; return the result and the file."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "theirs.onnx").write_bytes(content)
    target = folder / "adopted.onnx"
    classes = options.pop("classes", CLASSES)
    return adopt(folder / "theirs.onnx", target, classes, encoder, **options), target


def ends(path: Path) -> tuple[Any, ...]:
    (source,), (sink,) = (
        ort.InferenceSession(path).get_inputs(),
        ort.InferenceSession(path).get_outputs(),
    )
    return source.name, source.type, source.shape, sink.name, sink.type, sink.shape


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


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
    assert adopted == Adopted(dtype, ["N", *shape[1:]], [])
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


def external(model: onnx.ModelProto) -> None:
    weight = next(one for one in model.graph.initializer if one.name == "weight")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")


NAN = np.full((36, CLASSES), np.nan, dtype=np.float32)

REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "not ONNX": (b"\x00\x01not a model", {}, "is not an ONNX file"),
    "an empty file": (b"", {}, "is not an ONNX file"),
    "two inputs": (linear(edit=second_input), {}, r"one input, a picture, got 2 \(input, mask\)"),
    "integers": (linear(kind=TensorProto.INT64), {}, "FLOAT or UINT8, got INT64"),
    "dynamic sides": (linear(shape=("N", 1, "H", 6), weight=noise(36, 4)), {}, "fixed height"),
    "a row": (linear(shape=("N", 36)), {}, r"got \['N', 36\]"),
    "large pictures": (linear(shape=("N", 1, 2, 641)), {}, "at most 640 pixels"),
    "batches of 8": (linear(shape=(8, 1, 6, 6)), {}, "batches of 8"),
    "a batch fixed inside": (linear(shape=(1, 1, 6, 6), flat=(1, 36)), {}, "a batch of 2"),
    "another operator set": (linear(edit=foreign), {}, "operators of com.example"),
    "a broken graph": (linear(edit=dangling), {}, "is not a valid ONNX model"),
    "a future opset": (linear(opset=99), {}, "opset must be at most .*, got 99"),
    "a random answer": (linear(edit=random), {}, "is random"),
    "NaN": (linear(weight=NAN), {}, "NaN or infinity"),
    "weights elsewhere": (linear(edit=external), {}, "put them next to it"),
    "too few labels": (linear(), {"classes": 3}, "has 4 classes, but the labels file has 3"),
    "no such output": (linear(), {"output_name": "x"}, "has no output 'x'; expected one of output"),
    "two outputs": (linear(edit=two_outputs), {}, "choose one with --output-name"),
    "a Sigmoid": (linear(end="Sigmoid"), {}, "as after a Sigmoid"),
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
    monkeypatch.setattr(adoption, "MAX_BYTES", 500)
    with pytest.raises(ImportRefused, match="fit into the function"):
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


def test_the_numbers_of_a_float_model_stand_in_its_manifest() -> None:
    imagenet: dict[str, Any] = {"pipeline": "imagenet", "crop": 0.875}
    given = input_of("float32", ["N", 3, 224, 224], imagenet, {}).preprocess
    assert given["mean"] == [0.485, 0.456, 0.406]
    assert given["std"] == [0.229, 0.224, 0.225]
    resize: dict[str, Any] = {"pipeline": "resize"}
    own = input_of("float32", ["N", 28, 28, 1], resize, {"mean": [0.13]}).preprocess
    assert own == {"pipeline": "resize", "scale": 1 / 255, "mean": [0.13], "std": [1.0]}
    assert input_of("uint8", ["N", 28, 28], resize, {}).preprocess == resize


@pytest.mark.parametrize(
    ("dtype", "shape", "pipeline", "numbers", "sentence"),
    [
        ("uint8", ["N", 28, 28], "resize", {"scale": 1.0}, "omit scale"),
        ("float32", ["N", 3, 28, 28], "mnist", {}, "mnist does not fit"),
        ("float32", ["N", 2, 28, 28], "resize", {}, "shape must be"),
        (
            "float32",
            ["N", 1, 28, 28],
            "resize",
            {"mean": [0.1, 0.2, 0.3]},
            "mean must have 1 value",
        ),
        ("float32", ["N", 1, 28, 28], "resize", {"std": [0.0]}, "std must not be 0"),
        ("float32", ["N", 1, 28, 28], "imagenet", {}, r"one per channel \(1\), got 3"),
    ],
)
def test_a_pipeline_that_does_not_fit_the_input_is_refused(
    dtype: str, shape: list[Any], pipeline: str, numbers: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImportRefused, match=sentence):
        input_of(dtype, shape, {"pipeline": pipeline}, numbers)


def both(fp32: float, int8: float) -> dict[str, Evaluation]:
    return {"fp32": evaluation(fp32), "int8": evaluation(int8)}


def test_int8_is_published_if_it_keeps_its_accuracy() -> None:
    assert may_publish_int8(both(0.90, 0.897), 0, 0.003, allow_fp32=False) is None


def test_int8_that_lost_too_much_stops_the_import_or_leaves_fp32_alone() -> None:
    with pytest.raises(GateError, match=r"got 0\.50% .* nothing was published"):
        may_publish_int8(both(0.90, 0.895), 0, 0.003, allow_fp32=False)
    reason = may_publish_int8(both(0.90, 0.895), 0, 0.003, allow_fp32=True)
    assert reason is not None
    assert "got 0.50%" in reason


def test_fp32_alone_must_reach_the_least_accuracy_too() -> None:
    with pytest.raises(GateError, match=r"accuracy must be at least 95\.00%"):
        may_publish_int8(both(0.90, 0.85), 0.95, 0.003, allow_fp32=True)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("T-shirt/top\nBag\n", ["T-shirt/top", "Bag"]),
        ("\ufeff 0 \r\n1\r\n\r\n", [0, 1]),
        ("0\n01\n", ["0", "01"]),
        ("7\nseven\n", ["7", "seven"]),
    ],
)
def test_labels_are_lines_and_integers_if_all_are(
    tmp_path: Path, text: str, labels: list[Any]
) -> None:
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert image_folders.read_labels(tmp_path / "labels.txt") == labels


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a\nb\na\n", "lists a more than once"),
        (b"a\n", "two or more labels, one per line, got 1"),
        (b"\xff\xfe", "text file"),
    ],
)
def test_a_file_of_labels_that_is_none_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ImportRefused, match=sentence):
        image_folders.read_labels(tmp_path / "labels.txt")


def write_picture(path: Path, pixels: NDArray[np.uint8] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((6, 6), np.uint8) if pixels is None else pixels).save(path)


def test_a_labelled_folder_has_a_sub_folder_a_label(tmp_path: Path) -> None:
    for name in ("Bag/2.png", "Bag/1.JPG", "T-shirt_top/deep/3.webp"):
        write_picture(tmp_path / name)
    (tmp_path / "Bag" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "Bag" / ".hidden.png").write_bytes(b"")
    files, labels = image_folders.labelled(tmp_path, ["T-shirt/top", "Coat", "Bag"])
    assert [path.name for path in files] == ["1.JPG", "2.png", "3.webp"]
    assert labels.tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "has no pictures"),
        (["1.png"], "outside its sub-folders, such as 1.png"),
        (
            ["Bag/1.png", "Shoe/1.png"],
            "sub-folders without a label: Shoe; the labels are",
        ),
    ],
)
def test_a_labelled_folder_that_is_none_is_refused(
    tmp_path: Path, files: list[str], sentence: str
) -> None:
    for name in files:
        write_picture(tmp_path / name)
    with pytest.raises(ImportRefused, match=sentence):
        image_folders.labelled(tmp_path, ["Bag", "Coat"])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="is not a folder"):
        image_folders.pictures(tmp_path / "none")


def test_pictures_that_can_not_be_read_are_listed(tmp_path: Path) -> None:
    for index in range(14):
        (tmp_path / f"{index:02}.png").write_bytes(b"no picture")
    write_picture(tmp_path / "good.png")
    files = image_folders.pictures(tmp_path)
    seen: list[None] = []
    pipeline = importing_pipeline()
    with pytest.raises(ImportRefused) as refused:
        list(image_folders.samples(files, pipeline, lambda: seen.append(None)))
    assert len(seen) == 15
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("14 of 15 pictures can't be read")
    assert "00.png: there is no image in the bytes" in lines[1]
    assert lines[-1] == "  and 4 more"


def importing_pipeline() -> Any:
    from classifier.prepare.pipeline import from_manifest

    return from_manifest(["N", 6, 6], {"pipeline": "resize"})


def test_the_digest_of_a_folder_changes_with_a_name_or_a_byte(tmp_path: Path) -> None:
    def digest() -> str:
        return image_folders.digest(tmp_path, image_folders.pictures(tmp_path))

    write_picture(tmp_path / "a" / "1.png")
    before = digest()
    assert digest() == before
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "2.png")
    renamed = digest()
    write_picture(tmp_path / "a" / "2.png", np.ones((6, 6), np.uint8))
    assert len({before, renamed, digest()}) == 3


def test_calibration_takes_512_pictures_the_same_each_time() -> None:
    files = [Path(f"{index:04}.png") for index in range(2000)]
    chosen = calibration_choice(files)
    assert len(set(chosen)) == 512
    assert chosen == calibration_choice(files) == sorted(chosen)
    assert calibration_choice(files[:9]) == files[:9]


@pytest.fixture
def theirs(tmp_path: Path, mnist: Dataset) -> Path:
    """Folder with a float model of digits in PyTorch's layout, labels and pictures."""
    means = np.stack([mnist.train_images[mnist.train_labels == d].mean(axis=0) for d in range(10)])
    means = (means.reshape(10, 784) / 255 - 0.5) / 0.5
    rows = np.vstack([2 * means.T, -np.square(means).sum(axis=1)]).astype(np.float32)

    def add_bias(model: onnx.ModelProto) -> None:
        model.graph.node[2].output[0] = "products"
        model.graph.node.append(helper.make_node("Add", ["products", "bias"], ["output"]))
        model.graph.initializer.append(numpy_helper.from_array(rows[784], "bias"))

    model = linear(shape=(1, 1, 28, 28), weight=rows[:784], edit=add_bias)
    onnx.save(model, tmp_path / "digits.onnx")
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(10))))
    for index, image in enumerate(mnist.train_images[::30]):
        write_picture(tmp_path / "calibration" / f"{index}.png", image)
    for index in range(0, 1000, 4):
        label = int(mnist.test_labels[index])
        write_picture(tmp_path / "held-out" / str(label) / f"{index}.png", mnist.test_images[index])
    return tmp_path


def arguments(theirs: Path, **other: Any) -> list[object]:
    given = {
        "labels": theirs / "labels.txt",
        "preprocess": "resize",
        "mean": 0.5,
        "std": 0.5,
        "calibration": theirs / "calibration",
        "evaluation": theirs / "held-out",
        "store": (theirs / "store").as_uri(),
        "build": theirs / "build",
    } | other
    named = [[f"--{key.replace('_', '-')}", value] for key, value in given.items()]
    return ["import", theirs / "digits.onnx", *(part for one in named for part in one)]


def test_an_imported_model_is_served_by_the_function_as_it_is(
    theirs: Path, run: Callable[..., Any], mnist: Dataset
) -> None:
    code, out, err = run(*arguments(theirs, channel="production"))
    assert (code, err) == (0, "")
    assert "changed the fixed batch size of 1 to a dynamic one" in out
    assert "appended a Softmax" in out
    models = ModelStore((theirs / "store").as_uri())
    version = models.resolve("digits", "production")
    described = models.manifest("digits", version).document
    assert described["input"] == {
        "name": "image",
        "dtype": "float32",
        "shape": ["N", 1, 28, 28],
        "preprocess": {
            "pipeline": "resize",
            "pad": False,
            "scale": 1 / 255,
            "mean": [0.5],
            "std": [0.5],
        },
    }
    assert described["output"]["labels"] == list(range(10))
    assert described["quantization"]["method"] == "static"
    parent = models.manifest("digits", described["lineage"]["parent"]).document
    assert parent["quantization"] is None
    assert parent["metrics"]["accuracy"] - described["metrics"]["accuracy"] <= 0.003

    reader = function_store.open_store((theirs / "store").as_uri())
    served = session.load(reader, "digits", "production")
    samples = np.stack([mnist.test_images[index] for index in range(0, 1000, 4)])
    answers = served.probabilities(served.encode(samples)).argmax(axis=1)
    accuracy = float((answers == mnist.test_labels[::4]).mean())
    assert accuracy == pytest.approx(described["metrics"]["accuracy"], abs=0.005)
    assert accuracy > 0.7


def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_published(
    theirs: Path, run: Callable[..., Any]
) -> None:
    (theirs / "labels.txt").write_text("\n".join("abcdefghij"))
    code, _, err = run(*arguments(theirs))
    assert (code, err[:6]) == (1, "error:")
    assert "sub-folders without a label: 0, 1" in err
    for other, sentence in (
        ({"name": "a b"}, "'a b' is not a name"),
        ({"labels": theirs / "missing"}, "does not exist"),
        ({"mean": "half"}, "expected a number, or three separated by commas, got 'half'"),
        ({"preprocess": "mnist", "background": "dark"}, "require --preprocess resize"),
    ):
        code, _, err = run(*arguments(theirs, **other))
        assert code == 2
        assert sentence in re.sub(r"[\s│]+", " ", err)
    assert not (theirs / "store").exists()


def test_int8_under_the_gate_is_not_published_unless_fp32_is_allowed(
    theirs: Path, run: Callable[..., Any]
) -> None:
    """A single black picture is useless for calibration: int8 then predicts at random."""
    write_picture(theirs / "black" / "1.png", np.zeros((28, 28), np.uint8))
    other = {"calibration": theirs / "black", "channel": "production"}
    code, _, err = run(*arguments(theirs, **other))
    assert code == 1
    assert "int8 must lose" in err
    assert not (theirs / "store").exists()
    code, out, _ = run(*arguments(theirs, **other), "--allow-fp32")
    assert code == 0
    assert "int8 is not published: int8 must lose" in out
    pointer = json.loads((theirs / "store/digits/channels/production.json").read_text())
    described = ModelStore((theirs / "store").as_uri()).manifest("digits", pointer["version"])
    assert described.quantization is None
