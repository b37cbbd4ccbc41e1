"""`python -m model_build import`, from an ONNX file to a version that the function serves."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from classifier.model import session
from classifier.model import store as function_store
from model_build.cli import import_command, import_options
from model_build.data.datasets import Dataset
from model_build.importing import candidates, expected
from model_build.store.model_store import ModelStore
from tests.support import ROOT
from tests.support.classifiers import linear
from tests.support.command_line import Run
from tests.support.handling import handling

pytestmark = pytest.mark.slow

WHOLE = candidates._recipes
RESIZE = ("--preprocess", "resize", "--mean", "0.5", "--std", "0.5")


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def regression(mnist: Dataset) -> onnx.ModelProto:
    """A softmax regression on pixels of -1 to 1, trained in a moment: logits [1, 10]."""
    pixels = (mnist.train_images.reshape(-1, 784).astype(np.float32) / 255 - 0.5) / 0.5
    wanted = np.eye(10, dtype=np.float32)[mnist.train_labels]
    weight = np.zeros((784, 10), np.float32)
    speed = weight
    for _ in range(60):
        powers = np.exp(pixels @ weight - (pixels @ weight).max(axis=1, keepdims=True))
        error = powers / powers.sum(axis=1, keepdims=True) - wanted
        slope = pixels.T @ error / len(pixels) + 0.01 * weight
        speed = (0.9 * speed - 0.002 * slope).astype(np.float32)
        weight = (weight + speed).astype(np.float32)
    return linear(shape=(1, 1, 28, 28), weight=weight)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, mnist: Dataset) -> Path:
    """Folder with a float model of digits in PyTorch's layout, labels and pictures."""
    folder = tmp_path_factory.mktemp("given")
    onnx.save(regression(mnist), folder / "My Digits_v2.onnx")
    (folder / "labels.txt").write_text("\n".join(map(str, range(10))))
    for index, image in enumerate(mnist.train_images[::30]):
        write_picture(folder / "unlabelled" / f"{index}.png", image)
    for index in range(0, 1000, 2):
        label = int(mnist.test_labels[index])
        write_picture(folder / "labelled" / str(label) / f"{index}.png", mnist.test_images[index])
    return folder


@pytest.fixture
def bring(given: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the digits with arguments; return the exit code, the output and the errors.

    The first recipe alone is tried, and no time decides: test_candidates.py has the others.
    """
    monkeypatch.setattr(candidates, "_recipes", lambda model: WHOLE(model)[:1])
    monkeypatch.setattr(candidates._Bench, "_time", lambda bench, path: (1.0, 0.5))

    def command(*arguments: object, model: Path | None = None, labels: Path | None = None) -> Any:
        return run(
            *("import", model or given / "My Digits_v2.onnx"),
            *("--labels", labels or given / "labels.txt"),
            *("--store", (tmp_path / "store").as_uri(), "--build", tmp_path / "build"),
            *arguments,
        )

    return command


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore((tmp_path / "store").as_uri())


def newest(models: ModelStore, name: str = "my-digits-v2") -> dict[str, Any]:
    """Manifest of the version that was published last."""
    versions = models.listing(name)[name].complete
    documents = [models.manifest(name, version).document for version in versions]
    children = [one for one in documents if one["lineage"]["parent"]]
    (document,) = children or documents
    return document


def joined(out: str) -> str:
    """Output with the lines of each table's row as one."""
    return re.sub(r"\s+", " ", out)


def owners_answers(given: Path, pictures: list[Path]) -> NDArray[np.float32]:
    """Logits as the owner computes them, without this project's code."""
    own = ort.InferenceSession(given / "My Digits_v2.onnx")
    tensors = [
        (np.asarray(Image.open(path), np.float32)[np.newaxis, np.newaxis] / 255 - 0.5) / 0.5
        for path in pictures
    ]
    return np.concatenate([own.run(None, {"input": tensor})[0] for tensor in tensors])


def black(folder: Path) -> Path:
    """Folder of nearly black pictures, useless for calibration: int8 agrees on them alone."""
    for number in range(40):
        shades = np.zeros((28, 28), np.uint8)
        shades[0, 0] = number
        write_picture(folder / f"{number}.png", shades)
    return folder


def test_labelled_pictures_calibrate_and_evaluate(
    bring: Any, models: ModelStore, mnist: Dataset, given: Path
) -> None:
    code, _, err = bring(given / "labelled", *RESIZE, "--channel", "production")
    assert (code, err) == (0, "")
    document = newest(models)
    assert document["version"] == models.resolve("my-digits-v2", "production")
    assert document["input"] == {
        "name": "image",
        "dtype": "float32",
        "shape": ["N", 1, 28, 28],
        "preprocess": {
            "pipeline": "picture",
            "fit": "squash",
            "scale": 1 / 255,
            "mean": [0.5],
            "std": [0.5],
        },
    }
    assert document["output"] == {"name": "probabilities", "labels": list(range(10))}
    assert document["quantization"]["calibration"]["samples"] == 125, "a half"
    assert document["metrics"]["calibration"]["samples"] == 250
    assert sum(document["baseline"]["predicted_counts"]) == 250, "the other half"
    assert document["baseline"]["pictures"]["classes"] == document["baseline"]["predicted_counts"]
    assert document["lineage"]["dataset"]["name"] == "labelled"
    assert document["lineage"]["imported"]["file"] == "My Digits_v2.onnx"
    assert "doubts" not in document
    assert "rejection" in document
    assert 0.7 < document["metrics"]["accuracy"] < 0.9
    assert document["metrics"]["expected_calibration_error"] < 0.1

    served = session.load(function_store.open_store(models.url), "my-digits-v2", "production")
    answers = served.probabilities(served.encode(mnist.test_images)).argmax(axis=1)
    right = float((answers == mnist.test_labels).mean())
    assert right == pytest.approx(document["metrics"]["accuracy"], abs=0.06)


def test_the_graph_is_described_before_and_the_next_commands_after(
    bring: Any, models: ModelStore, given: Path
) -> None:
    out = bring(given / "labelled", *RESIZE)[1]
    lines = [line.strip(" │") for line in out.splitlines()]
    assert re.search(r"inputs +│ input: FLOAT \[1, 1, 28, 28\], \[N, C, H, W\]", out)
    assert re.search(r"parameters +│ 7,84\d", out)
    assert "changed the fixed batch size of 1 to a dynamic one" in lines
    assert "the model outputs logits: appended a Softmax" in lines
    assert any(
        re.fullmatch(r"the temperature that fits 250 pictures is \d\.\d\d and \d\.\d\d", x)
        for x in lines
    )
    version = newest(models)["version"]
    chosen = f"MODEL_STORE_URL={models.url} MODEL_NAME=my-digits-v2 MODEL_VERSION={version}"
    asked = f"promote {version} --name my-digits-v2 --store {models.url}"
    assert lines[lines.index("next:") + 1 :] == [
        f"serve    {chosen} make serve",
        f"promote  python -m model_build {asked}",
        f'deploy   make deploy PARAMETERS="ModelName=my-digits-v2" STORE={models.url}',
    ]
    assert "missing: a proof that your framework answers the same: --expected answers.npz" in lines


def test_without_pictures_the_model_is_published_as_it_is(bring: Any, models: ModelStore) -> None:
    code, out, err = bring(*RESIZE, "--channel", "production")
    assert (code, err) == (0, "")
    document = newest(models)
    assert document["quantization"] is None
    assert document["metrics"].keys() == {"latency_p50_ms", "latency_p99_ms", "load_ms"}
    assert document["baseline"]["predicted_counts"] == [0] * 10
    assert "missing: int8, which needs a hundred pictures like those the model will see" in out
    assert "missing: accuracy, a temperature and a threshold" in out
    assert models.resolve("my-digits-v2", "production") == document["version"]


def test_pictures_without_labels_calibrate(bring: Any, models: ModelStore, given: Path) -> None:
    code, out, _ = bring(given / "unlabelled", *RESIZE)
    assert code == 0
    document = newest(models)
    count = len(list((given / "unlabelled").iterdir()))
    assert document["quantization"]["calibration"]["samples"] == count
    assert "accuracy" not in document["metrics"]
    assert sum(document["baseline"]["pictures"]["classes"]) == count
    assert "rejection" not in document, "nobody said that they show digits"
    assert "missing: accuracy" in out
    told = rf"int8 against fp32: the same answer for \d+\.\d% of {count} pictures \(95 % interval "
    assert re.search(told + r"\d+\.\d% to \d+\.\d%\), largest difference 0\.\d{3}\n", out)


def test_an_agreement_that_the_user_asks_for_decides(
    bring: Any, models: ModelStore, given: Path
) -> None:
    code, out, _ = bring(given / "labelled", *RESIZE, "--min-agreement", 0.97)
    assert code == 0
    assert re.search(r"same answer for .*, less than 97%", joined(out))
    assert newest(models)["quantization"] is None
    assert "against fp32: the same" not in out
    code, out, _ = bring(given / "labelled", *RESIZE, "--min-agreement", 1, "--name", "whole")
    assert (code, newest(models, "whole")["quantization"]) == (0, None)
    assert "they don't show an agreement of 100%" in out


def test_separate_folders_calibrate_and_evaluate(
    bring: Any, models: ModelStore, given: Path
) -> None:
    folders = ("--calibration", given / "unlabelled", "--evaluation", given / "labelled")
    assert bring(*folders, *RESIZE)[0] == 0
    document = newest(models)
    assert sum(document["baseline"]["predicted_counts"]) == 500
    assert "calibration" not in document["metrics"], "the calibration pictures have no labels"


def test_preprocessing_that_is_a_guess_is_a_doubt_until_something_confirms_it(
    bring: Any, models: ModelStore, given: Path
) -> None:
    code, out, err = bring(given / "unlabelled", "--channel", "production")
    assert code == 1
    assert "is not promoted, because its preprocessing is a guess" in err
    assert newest(models)["doubts"][0].startswith("its preprocessing is a guess")
    assert models.channel("my-digits-v2", "production") is None
    assert "doubt: its preprocessing is a guess" in out
    numbers = ("--mean", 0.5, "--std", 0.5)
    asked = ("--name", "confirmed", "--channel", "production")
    code, out, _ = bring(given / "labelled", *numbers, *asked)
    assert (code, "doubt" in out) == (0, False)


def test_answers_like_the_owner_s_are_proof(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    pictures = sorted((given / "labelled").rglob("*.png"))[::10]
    names = [path.relative_to(given / "labelled").as_posix() for path in pictures]
    rows = owners_answers(given, pictures)
    np.savez(tmp_path / "answers.npz", names=names, outputs=rows)
    proof = ("--expected", tmp_path / "answers.npz")
    code, out, _ = bring(given / "labelled", *RESIZE, *proof, "--tolerance", 0.2)
    assert code == 0
    first, int8 = re.findall(r"top-1 agreement ([\d.]+)%, largest difference ([\d.]+)", out)
    assert (float(first[0]), float(first[1]) < 1e-4) == (100, True)
    assert 0 < float(int8[1]) < 0.2
    recorded = newest(models)["lineage"]["expected"]
    assert (recorded["pictures"], recorded["agreement"] > 0.9) == (50, True)
    assert "missing: a proof" not in out

    assert "no temperature is fitted: the probabilities stay those of answers.npz" in out
    assert "calibration" not in newest(models)["metrics"]
    served = session.load(
        function_store.open_store(models.url), "my-digits-v2", newest(models)["version"]
    )
    samples = np.stack([np.asarray(Image.open(path)) for path in pictures])
    found = served.probabilities(served.encode(samples))
    assert np.abs(found - expected.softmax(rows)).max() == pytest.approx(
        recorded["largest_difference"], abs=1e-4
    )

    code, out, _ = bring(given / "labelled", *RESIZE, *proof, "--tolerance", 1e-4, "--name", "fp32")
    assert code == 0
    assert re.search(r"int8, min-max, changes a probability by 0\.\d+, more than 0\.0001", out)
    assert newest(models, "fp32")["quantization"] is None


def test_the_best_recipe_that_passes_the_owner_s_answers_is_served(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int8 is smaller, and answers the pictures well, but not those of the proof."""

    def recipes(model: onnx.ModelProto) -> Any:
        return [("int8", candidates._static()), *WHOLE(model)[-1:]]

    monkeypatch.setattr(candidates, "_recipes", recipes)
    pictures = sorted((given / "labelled").rglob("*.png"))[::5]
    names = [path.relative_to(given / "labelled").as_posix() for path in pictures]
    np.savez(tmp_path / "answers.npz", names=names, outputs=owners_answers(given, pictures))
    folders = ("--calibration", black(tmp_path / "black"), "--evaluation", given / "labelled")
    code, out, _ = bring(*folders, *RESIZE, "--expected", tmp_path / "answers.npz")
    assert code == 0
    assert "the served answers differ from answers.npz by up to 0." in joined(out)
    assert re.search("compressed: top-1 agreement 100.0%, largest difference 0.00", out)
    assert newest(models)["quantization"]["weights"].startswith("float16")
    assert newest(models)["lineage"]["expected"]["largest_difference"] < 0.01


def test_other_answers_than_the_owner_s_are_not_published(
    bring: Any, given: Path, tmp_path: Path
) -> None:
    pictures = sorted((given / "unlabelled").iterdir())[:5]
    rows = owners_answers(given, pictures)
    rows[2] = np.roll(rows[2], 1)
    np.savez(tmp_path / "answers.npz", **dict(zip((p.name for p in pictures), rows, strict=True)))
    code, out, err = bring(given / "unlabelled", *RESIZE, "--expected", tmp_path / "answers.npz")
    assert code == 1
    assert "top-1 agreement 80.0%" in out
    assert re.search(
        rf"differ from answers\.npz by up to \d\.\d+, more than 0\.05; .* worst: "
        rf"{pictures[2].name} \(\d\.\d+: \d, not \d\).*; nothing was published: check --preprocess",
        err,
    )
    assert not (tmp_path / "store").exists()


def test_labels_in_another_order_are_published_and_not_promoted(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join("1023456789"))
    asked = (given / "labelled", *RESIZE, "--channel", "production")
    code, out, err = bring(*asked, labels=tmp_path / "labels.txt")
    assert code == 1
    assert re.search(r"because it returns \d for \d+ of \d+ pictures of [01], it returns", err)
    assert newest(models)["doubts"]
    assert models.channel("my-digits-v2", "production") is None
    code, out, _ = bring(*asked, "--force", "--name", "forced", labels=tmp_path / "labels.txt")
    assert code == 0
    assert models.resolve("forced", "production") == newest(models, "forced")["version"]
    assert "doubt: " in out


def test_a_model_near_chance_is_published_and_not_promoted(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    weight = np.random.default_rng(3).normal(0, 1e-4, (784, 10)).astype(np.float32)
    onnx.save(linear(shape=("N", 28, 28), weight=weight), tmp_path / "untrained.onnx")
    asked = (given / "labelled", *RESIZE, "--channel", "production")
    code, _, err = bring(*asked, model=tmp_path / "untrained.onnx")
    assert code == 1
    assert re.search(r"because \d+ of 250 answers are right, which may be chance \(\d+\.\d%\)", err)
    assert models.channel("untrained", "production") is None


def test_a_picture_in_two_sub_folders_is_a_doubt(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    for label in range(10):
        for path in sorted((given / "labelled" / str(label)).iterdir())[:12]:
            write_picture(tmp_path / "p" / str(label) / path.name, np.asarray(Image.open(path)))
    copied = tmp_path / "p" / "3" / "copy.png"
    copied.write_bytes(next((tmp_path / "p" / "7").iterdir()).read_bytes())
    assert bring(tmp_path / "p", *RESIZE)[0] == 0
    (doubt,) = newest(models)["doubts"]
    assert doubt == f"1 pictures are in the sub-folders of several labels, such as {copied}"


def test_int8_that_lost_its_accuracy_leaves_fp32(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    folders = ("--calibration", black(tmp_path / "black"), "--evaluation", given / "labelled")
    code, out, _ = bring(*folders, *RESIZE, "--channel", "production")
    assert code == 0
    assert "int8 is not published: it loses" in out
    assert newest(models)["quantization"] is None
    assert models.resolve("my-digits-v2", "production") == newest(models)["version"]


def test_a_least_accuracy_stops_the_import(bring: Any, given: Path, tmp_path: Path) -> None:
    code, _, err = bring(given / "labelled", *RESIZE, "--min-accuracy", 0.99)
    assert code == 1
    assert re.search(r"accuracy must be at least 99\.00%, got .*; nothing was published", err)
    code, _, err = bring(*RESIZE, "--min-accuracy", 0.5)
    assert (code, "--min-accuracy needs labelled pictures" in err) == (1, True)
    assert not (tmp_path / "store").exists()


def test_a_model_of_many_labels_answers_the_best_five(
    bring: Any, models: ModelStore, tmp_path: Path
) -> None:
    weight = np.random.default_rng(1).normal(0, 0.3, (36, 21)).astype(np.float32)
    onnx.save(linear(weight=weight), tmp_path / "many.onnx")
    (tmp_path / "labels.json").write_text(json.dumps(["crane", *"abcdefghijklmnopqrs", "crane"]))
    asked = {"model": tmp_path / "many.onnx", "labels": tmp_path / "labels.json"}
    code, out, _ = bring("--preprocess", "resize", **asked)
    assert code == 0
    output = newest(models, "many")["output"]
    assert output["top_k"] == 5
    assert output["labels"][-1] == "crane (20)"
    assert "labels that occur twice got their index: crane (20)" in out


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """A model that finds bright and dark pictures, both at once if half is bright."""
    left, right = np.zeros((6, 6), np.float32), np.zeros((6, 6), np.float32)
    left[:, :3] = right[:, 3:] = 1 / 18
    weight = np.stack([left.ravel(), right.ravel()], axis=1) * 10
    onnx.save(linear(shape=("N", 6, 6), weight=weight, end="Sigmoid"), tmp_path / "tones.onnx")
    (tmp_path / "labels.txt").write_text("left\nright")
    generator = np.random.default_rng(5)
    for number in range(60):
        halves = generator.random(2) < 0.5
        picture = np.full((6, 6), number, np.uint8)
        picture[:, :3] += 120 * halves[0].astype(np.uint8)
        picture[:, 3:] += 120 * halves[1].astype(np.uint8)
        for label, is_true in zip(("left", "right"), halves, strict=True):
            if is_true:
                write_picture(tmp_path / "pictures" / label / f"{number}.png", picture)
    return tmp_path


def test_thresholds_of_a_multi_label_model_are_fitted(
    bring: Any, models: ModelStore, tones: Path
) -> None:
    asked = {"model": tones / "tones.onnx", "labels": tones / "labels.txt"}
    code, out, _ = bring(tones / "pictures", "--preprocess", "resize", **asked)
    assert code == 0
    document = newest(models, "tones")
    assert document["output"]["activation"] == "sigmoid"
    # A sixtieth of noise to 120 and more: logits of about 0 to 2.3 are dark, from 4.7 bright.
    assert all(0.9 < threshold < 1 for threshold in document["output"]["thresholds"])
    assert document["metrics"]["accuracy"] == 1
    assert "rejection" not in document
    assert "thresholds are fitted to" in out
    picture = np.full((6, 6), 30, np.uint8)
    picture[:, 3:] = 150
    write_picture(tones / "right.png", picture)
    with handling("tones", document["version"], models.url) as send:
        (answer,) = send([(tones / "right.png").read_bytes()], "auto")
    assert answer["labels"] == ["right"]
    assert bring("--preprocess", "resize", "--name", "plain", **asked)[0] == 0
    assert newest(models, "plain")["output"]["thresholds"] == [0.5, 0.5]


def test_a_file_that_is_quantised_already_is_published_as_it_is(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    assert bring(given / "labelled", *RESIZE)[0] == 0
    (tmp_path / "int8.onnx").write_bytes(models.model("my-digits-v2", newest(models)["version"]))
    code, out, _ = bring(given / "labelled", *RESIZE, model=tmp_path / "int8.onnx")
    assert code == 0
    document = newest(models, "int8")
    assert document["quantization"]["method"] == "as imported"
    assert document["metrics"]["accuracy"] == newest(models)["metrics"]["accuracy"]
    assert "published as it is" in out


def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_published(
    bring: Any, given: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join("abcdefghij"))
    code, _, err = bring(given / "labelled", *RESIZE, labels=tmp_path / "labels.txt")
    assert (code, err[:6]) == (1, "error:")
    assert "sub-folders without a label: 0, 1" in err
    (tmp_path / "-_-.onnx").write_bytes(b"")
    usage: list[tuple[tuple[object, ...], dict[str, Any], str]] = [
        (("--name", "a_b"), {}, "'a_b' is not a model's name; expected 1 to 63 lower-case letters"),
        ((), {"labels": tmp_path / "missing"}, "does not exist"),
        (("--mean", "half"), {}, "expected a number, or three separated by commas, got 'half'"),
        (("--pad",), {}, "--background and --pad require --preprocess resize"),
        ((given / "labelled", "--calibration", given), {}, "either PICTURES or --calibration"),
        (("--evaluation", given / "labelled"), {}, "--evaluation requires --calibration"),
        ((), {"model": tmp_path / "-_-.onnx"}, "has no letters to name the model by; pass --name"),
    ]
    for arguments, files, sentence in usage:
        code, _, err = bring(*arguments, **files)
        assert code == 2
        assert sentence in re.sub(r"[\s│]+", " ", err)
    assert not (tmp_path / "store").exists()


def test_answers_to_pictures_that_are_not_there_are_refused_before_any_work(
    bring: Any, given: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "answers.npz", names=["none.png"], outputs=np.zeros((1, 10)))
    code, out, err = bring(given / "unlabelled", *RESIZE, "--expected", tmp_path / "answers.npz")
    assert (code, "none.png" in err, "check" in out) == (1, True, False)


def test_names_are_those_that_the_stack_s_template_accepts() -> None:
    template = (ROOT / "template.yaml").read_text()
    (pattern,) = re.findall(r'\n  ModelName:\n(?:    .*\n)*?    AllowedPattern: "(.*)"', template)
    one = import_options.MODEL_NAME.pattern
    assert pattern == f"{one}(,{one})*"


def test_a_handful_of_pictures_can_not_tell_candidates_apart(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    for path in sorted((given / "unlabelled").iterdir())[:15]:
        write_picture(tmp_path / "few" / path.name, np.asarray(Image.open(path)))
    code, out, _ = bring(tmp_path / "few", *RESIZE)
    assert (code, "trying" in out) == (0, False)
    assert "15 pictures are too few to compare compressed models on" in out
    assert "missing: int8" in out
    assert sum(newest(models)["baseline"]["predicted_counts"]) == 15


def test_pictures_that_can_not_be_read_are_left_out_by_name(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    for folder, label in (("calibration", ""), ("evaluation", "7")):
        pictures = sorted((given / "labelled" / "7").iterdir())[:: 1 if label else -1][:9]
        for path in pictures:
            write_picture(tmp_path / folder / label / path.name, np.asarray(Image.open(path)))
        (tmp_path / folder / label / "page.jpg").write_bytes(folder.encode())
    parts = ("--calibration", tmp_path / "calibration", "--evaluation", tmp_path / "evaluation")
    code, out, _ = bring(*parts, *RESIZE)
    assert code == 0
    assert out.count("left out 1 of 10 pictures, which the function can't read") == 2
    assert "7/page.jpg: there is no image in the bytes" in joined(out)
    assert "9 pictures are too few" in out
    assert sum(newest(models)["baseline"]["predicted_counts"]) == 9


def test_likely_preprocessing_is_suggested_and_nothing_is_published(
    bring: Any, given: Path, tmp_path: Path
) -> None:
    code, out, _ = bring(given / "labelled", "--find-preprocess")
    assert code == 0
    best = tmp_path / "build" / "my-digits-v2" / "preprocess.json"
    found = json.loads(best.read_text())
    assert (found["pipeline"], found["colour"]) == ("picture", "grey")
    assert re.search(
        r"\d\.\d{3} \d\.\d{3} to \d\.\d{3} +\d\d\.\d% .*mean 0\.5, *std 0\.5", joined(out)
    )
    assert f"add --preprocess {best}" in out
    assert "labels seldom tell one filter from another" in out
    assert not (tmp_path / "store").exists()
    code, _, err = bring(given / "unlabelled", "--find-preprocess")
    assert (code, "--find-preprocess needs labelled pictures" in err) == (1, True)


def test_the_author_s_file_beside_the_model_is_read(
    bring: Any, models: ModelStore, tmp_path: Path
) -> None:
    onnx.save(linear(shape=("N", 3, 28, 28)), tmp_path / "photos.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd")
    author = {
        "do_resize": True,
        "size": {"height": 28, "width": 28},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5],
        "image_std": [0.5],
        "image_processor_type": "ViTImageProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(author))
    asked = {"model": tmp_path / "photos.onnx", "labels": tmp_path / "labels.txt"}
    code, out, _ = bring("--channel", "production", **asked)
    assert code == 0, "nothing is guessed"
    assert "preprocessing: preprocessor_config.json beside the model" in out
    prepared = newest(models, "photos")["input"]["preprocess"]
    assert (prepared["fit"], prepared["mean"]) == ("squash", [0.5])


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--preprocess", "image-net", "no file and no preset 'image-net'; expected a file, or one"),
        ("--size", "0", "expected height x width in pixels, as in 224x224, or one side, got '0'"),
        ("--size", "224x224x3", "or one side, got '224x224x3'"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(
    bring: Any, option: str, value: str, sentence: str
) -> None:
    code, _, err = bring(option, value)
    assert code == 2
    assert sentence in re.sub(r"[\s│]+", " ", err)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", None), ("224", (224, 224)), ("224x192", (224, 192)), ("224,192", (224, 192))],
)
def test_a_size_is_a_side_or_height_x_width(text: str, size: tuple[int, int] | None) -> None:
    assert import_command._size(text) == size


def test_a_temperature_does_not_hide_that_a_model_was_too_sure(
    bring: Any, models: ModelStore, given: Path, tmp_path: Path
) -> None:
    sure = onnx.load(given / "My Digits_v2.onnx")
    (weight,) = [one for one in sure.graph.initializer if one.name == "weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 20, "weight"))
    onnx.save(sure, tmp_path / "sure.onnx")
    (tmp_path / "labels.txt").write_text("\n".join("0123467895"))
    asked = {"model": tmp_path / "sure.onnx", "labels": tmp_path / "labels.txt"}
    assert bring(given / "labelled", *RESIZE, **asked)[0] == 0
    document = newest(models, "sure")
    assert document["metrics"]["calibration"]["temperature"] > 5
    assert any("% sure on average, and right in" in doubt for doubt in document["doubts"])
