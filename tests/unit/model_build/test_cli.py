import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image
from typer.main import get_command

from classifier.model import session
from classifier.model import store as function_store
from model_build.cli import main
from model_build.data.datasets import Dataset
from model_build.engine.engine import silent
from model_build.store.model_store import ModelStore
from tests.support import ROOT, given_network
from tests.support.command_line import Run
from tests.support.keys import public_key, write_key
from tests.support.manifests import PARENT, describe

COMMANDS = ["data", "train", "convert", "optimise", "quantise", "calibrate", "evaluate"]
COMMANDS += [
    "gate",
    "publish",
    "run",
    "drift",
    "export",
    "import",
    "rebuild",
    "robustness",
    "score",
    "search",
]
STORE_COMMANDS = ["list", "show", "diff", "promote", "rollback", "verify", "gc", "copy"]
COMPANION_COMMANDS = ["card", "sign"]

SMALL = """description = "a network that is trained in seconds"
min_accuracy = { quick = 0.7 }
[[stage]]
technique = "train"
architecture = "mlp"
epochs = 20
learning_rate = 1e-3
augmentation = false
[[stage]]
technique = "quantise-static"
"""


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, classifier: bytes, mnist: Dataset
) -> Iterator[Path]:
    """Folder of a build that is ready for the gate, with an accuracy of about 80 %."""
    folder = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        given_network.give(patch, classifier)
        build = given_network.build(folder / "cache", mnist)
        build.save(folder)
        build.evaluate(silent)
        yield folder


@pytest.mark.parametrize("command", [*COMMANDS, *STORE_COMMANDS, *COMPANION_COMMANDS])
def test_each_command_explains_itself(command: str, run: Run) -> None:
    code, out, err = run(command, "--help")
    assert code == 0
    assert err == ""
    assert re.search(rf"Usage: .*model_build {command}", out)
    options = get_command(main.app).commands[command].params  # type: ignore[attr-defined]
    assert options
    assert [option.name for option in options if not option.help] == []


def test_all_commands_are_listed_with_what_they_do(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    listed = re.findall(r"^│ ([a-z]+) {2,}[A-Z]", out, re.MULTILINE)
    assert listed == [*COMMANDS, *STORE_COMMANDS, *COMPANION_COMMANDS]


@pytest.mark.slow
def test_the_steps_run_one_after_the_other_and_say_what_they_did(
    run: Run, tmp_path: Path, classifier: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_network.give(monkeypatch, classifier)
    store = (tmp_path / "store").as_uri()
    printed = []
    for arguments in (
        ("data",),
        ("train", "--architecture", "mlp", "--cache", tmp_path / "cache"),
        ("convert",),
        ("optimise",),
        ("quantise", "--dataset", "mnist-5k"),
        ("calibrate",),
        ("evaluate",),
        ("gate", "--min-accuracy", "0.5"),
        ("publish", "--min-accuracy", "0.5", "--store", store, "--name", "digits"),
        ("convert",),
    ):
        code, out, err = run(*arguments, "--build", tmp_path)
        assert (code, err) == (0, "")
        printed.append(out)
    assert "3,600 training and 1,000 held-out samples" in printed[0]
    assert printed[1].startswith("train mlp-static, full: ")
    assert "largest difference to Keras" in printed[2]
    assert re.fullmatch(r"optimise: \d+\.\d s\n", printed[3])
    assert printed[4].startswith("quantise: ")
    assert re.search(r"temperature of int8: \d\.\d{3}\n$", printed[5])
    for row in ("accuracy", "worst class", "size", "latency, median", "load", "class 9"):
        assert row in printed[6]
    assert printed[7] == "gate: passed\n"
    fp32, int8 = re.findall(r"published digits (?:fp32|int8): (\S+)", printed[8])
    assert printed[9].startswith("convert: built before\n")
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (20 * 28, 10 * 28)

    code, out, _ = run("promote", int8, "--store", store, "--name", "digits")
    assert (code, out) == (0, f"production of digits is {int8}\n")
    code, out, _ = run(
        "promote", "production", "--channel", "staging", "--store", store, "--name", "digits"
    )
    assert (code, out) == (0, f"staging of digits is {int8}\n")
    models = ModelStore(store)
    assert models.resolve("digits", "staging") == int8
    assert models.manifest("digits", int8).lineage.parent == fp32


def test_a_model_that_is_not_good_enough_exits_1_and_is_not_published(
    run: Run, evaluated: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for arguments in (("gate",), ("publish", "--store", store.as_uri())):
        code, out, err = run(*arguments, "--build", evaluated)
        assert (code, out) == (1, "")
        assert re.fullmatch(r"error: int8 accuracy .* 92\.00%, got \d\d\.\d\d%\n", err)
    assert not store.exists()


def test_publish_signs_every_version_that_it_writes(
    run: Run, evaluated: Path, tmp_path: Path
) -> None:
    """fp32 too, as a stack may be rolled back to it."""
    key = write_key(tmp_path / "key.pem")
    url = (tmp_path / "store").as_uri()
    arguments = ("--min-accuracy", "0.5", "--store", url, "--sign", key)
    code, out, err = run("publish", "--build", evaluated, *arguments)
    assert (code, err) == (0, "")
    models = ModelStore(url, signing_key=public_key(key))
    versions = re.findall(r"published mnist (?:fp32|int8): (\S+)", out)
    assert len(versions) == 2
    for version in versions:
        models.check("mnist", version)


@pytest.mark.parametrize(
    "step", ["convert", "optimise", "quantise", "calibrate", "evaluate", "gate", "publish"]
)
def test_a_step_before_train_is_one_sentence_on_stderr_and_exit_1(
    step: str, tmp_path: Path, run: Run
) -> None:
    code, out, err = run(step, "--build", tmp_path)
    assert (code, out) == (1, "")
    sentence = "build.json is missing; run `python -m model_build train` first"
    assert err == f"error: {tmp_path}/{sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_bug_shows_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not reported as a user's error."""
    for bug in (ValueError("of ours"), OSError("of ours")):
        monkeypatch.setattr(ModelStore, "resolve", Mock(side_effect=bug))
        with pytest.raises(type(bug), match="of ours"):
            run("show")


def test_a_folder_that_can_not_be_used_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("not a folder")
    code, out, err = run("promote", PARENT, "--store", tmp_path.as_uri())
    assert (code, out) == (1, "")
    assert re.fullmatch(r"error: the store's folder can't be used: .* Not a directory: .*\n", err)


def test_the_process_ends_with_that_sentence_and_that_code(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c"
    folder.mkdir()
    code, out, err = _in_a_process(["promote", "production"], folder)
    assert (code, out) == (1, "")
    store = (folder / "build/model-store").as_uri()
    assert err == (
        f"error: {store} has no channel 'production' of 'mnist'; "
        "`python -m model_build list` shows what it has\n"
    )
    assert list(folder.iterdir()) == []


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str, str]:
    """Address of a store with an fp32 version and its int8 child, which is in production."""
    url = (tmp_path / "store").as_uri()
    models = ModelStore(url)
    fp32 = describe(b"fp32 model")
    int8 = describe(b"int8", minute=1, parent=fp32["version"])
    int8["metrics"]["accuracy"] = 0.985
    int8["quantization"]["weights"] = "int8, per channel"
    for document, content in ((fp32, b"fp32 model"), (int8, b"int8")):
        models.publish(document, content)
        models.promote("mnist", document["version"], "production")
    return url, fp32["version"], int8["version"]


def test_list_shows_versions_newest_first_in_80_columns(run: Run, two: tuple[str, ...]) -> None:
    url, fp32, int8 = two
    ModelStore(url).promote("mnist", fp32, "staging")
    code, out, err = run("list", "--store", url)
    assert (code, err) == (0, "")
    title, head, *rows = [line.rstrip() for line in out.splitlines()]
    assert title == "mnist: 2 versions"
    assert head.split() == ["version", "created", "size", "weights", "accuracy", "channels"]
    assert [row.split() for row in rows] == [
        [int8, "2026-01-31", "12:01", "0", "KiB", "int8", "98.50%", "production"],
        [fp32, "2026-01-31", "12:00", "0", "KiB", "fp32", "99.00%", "staging"],
    ]
    assert max(map(len, out.splitlines())) <= 80

    found = json.loads(run("list", "--store", url, "--json")[1])["mnist"]
    assert [one["version"] for one in found["versions"]] == [int8, fp32]
    assert found["versions"][1] | {"created": 0} == {
        "version": fp32,
        "created": 0,
        "bytes": 10,
        "quantization": None,
        "accuracy": 0.99,
        "channels": ["staging"],
        "histories": ["production"],
    }
    assert found["incomplete"] == []


def test_a_version_with_doubts_is_promoted_by_force_alone(run: Run, tmp_path: Path) -> None:
    url, other = (tmp_path / "store").as_uri(), (tmp_path / "other").as_uri()
    document = describe(b"a model") | {"doubts": ["3 of 10 answers are right"]}
    for member in ("accuracy", "expected_calibration_error"):
        del document["metrics"][member]
    document["metrics"]["per_class_accuracy"] = [None, *[0.5] * 9]
    version = ModelStore(url).publish(document, b"a model").version
    commands = (
        (("promote", version), url),
        (("copy", other, "--version", version, "--channel", "production"), other),
    )
    for command, target in commands:
        code, _, err = run(*command, "--store", url)
        assert code == 1
        assert err == (
            f"error: mnist {version} is not promoted, because 3 of 10 answers are right. If you "
            "know better, promote it with --force\n"
        )
        assert ModelStore(target).channel("mnist", "production") is None
        assert run(*command, "--store", url, "--force")[0] == 0
        assert ModelStore(target).resolve("mnist", "production") == version
    shown = run("show", version, "--store", url)[1]
    assert re.search(r"doubt +3 of 10 answers are right", shown)
    assert re.search(r"class 0 +no pictures *\n +class 1 +50.00%", shown)
    (row,) = [line for line in run("list", "--store", url)[1].splitlines() if version in line]
    assert row.split() == [version, "2026-01-31", "12:00", "0", "KiB", "fp32", "production"]


def test_list_counts_what_is_incomplete_and_marks_what_is_corrupt(
    run: Run, two: tuple[str, ...], tmp_path: Path
) -> None:
    url, fp32, int8 = two
    (tmp_path / f"store/mnist/versions/{fp32}/manifest.json").unlink()
    (tmp_path / f"store/mnist/versions/{int8}/manifest.json").write_text("{}")
    code, out, _ = run("list", "--store", url)
    assert code == 0
    assert fp32 not in out
    assert re.search(rf"{int8} corrupt .*production", out)
    assert "and 1 incomplete" in out


def test_list_of_an_empty_store_says_how_to_fill_it(run: Run, tmp_path: Path) -> None:
    code, out, err = run("list", "--store", tmp_path.as_uri())
    assert (code, err) == (0, "")
    assert out == f"{tmp_path.as_uri()} is empty; `python -m model_build publish` fills it\n"


def test_show_tells_all_of_a_version_and_who_names_it(run: Run, two: tuple[str, ...]) -> None:
    url, fp32, int8 = two
    code, out, err = run("show", "production", "--store", url)
    assert (code, err) == (0, "")
    assert out.startswith(f"mnist {int8}\n")
    for row in (r"channels +production", r"accuracy +98\.50%", rf"parent +{fp32}", r"seed +7"):
        assert re.search(row, out)
    found = json.loads(run("show", fp32, "--store", url, "--json")[1])
    assert found["manifest"]["version"] == fp32
    assert (found["channels"], found["histories"]) == ([], ["production"])


def test_diff_puts_two_versions_side_by_side_and_marks_changes(
    run: Run, two: tuple[str, ...]
) -> None:
    url, fp32, int8 = two
    code, out, err = run("diff", fp32, "production", "--store", url)
    assert (code, err) == (0, "")
    assert f"A: mnist {fp32}\nB: mnist {int8}\n" in out
    for row in (
        r"~   accuracy +99\.00% +98\.50% +-0\.50 points",
        r"    class 0 +99\.00% +99\.00%",
        r"\+   method +static",
        r"~   bytes +10 +4 +-6",
        r"    seed +7 +7",
        r"    shape +N, 28, 28 +N, 28, 28",
    ):
        assert re.search(f"^{row} *$", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"^-   method", run("diff", int8, fp32, "--store", url)[1], re.MULTILINE)

    found = json.loads(run("diff", fp32, int8, "--store", url, "--json")[1])
    assert (found["a"], found["b"]) == (fp32, int8)
    (accuracy,) = [one for one in found["fields"] if one["field"] == "accuracy"]
    assert (accuracy["a"], accuracy["b"], accuracy["sign"]) == (0.99, 0.985, "~")
    assert accuracy["difference"] == pytest.approx(-0.005)


def test_rollback_says_from_where_to_where_and_when_there_is_no_further(
    run: Run, two: tuple[str, ...]
) -> None:
    url, fp32, int8 = two
    code, out, err = run("rollback", "--store", url)
    assert (code, err) == (0, "")
    assert out == f"production of mnist was {int8}\nproduction of mnist is  {fp32}\n"
    code, out, err = run("rollback", "--store", url)
    assert (code, out) == (1, "")
    assert err.startswith("error: channel production of mnist has no previous version; ")
    assert run("promote", int8, "--store", url)[0] == 0
    assert run("rollback", "--to", fp32, "--store", url)[0] == 0
    assert ModelStore(url).resolve("mnist", "production") == fp32


def test_verify_exits_1_if_there_is_a_problem_and_lists_it(
    run: Run, two: tuple[str, ...], tmp_path: Path
) -> None:
    url, fp32, _ = two
    code, out, err = run("verify", "--store", url)
    assert (code, err) == (0, "")
    assert out == "1 model, 2 versions (0 KiB hashed), 1 channel: 0 problems, 0 notes\n"
    (tmp_path / f"store/mnist/versions/{fp32}/model.onnx").write_bytes(b"fp32 MODEL")
    code, out, _ = run("verify", "--store", url)
    assert code == 1
    assert f"problem: mnist {fp32}: model.onnx has sha256 " in out
    code, out, _ = run("verify", "--store", url, "--json")
    assert code == 1
    assert len(json.loads(out)["problems"]) == 1


def test_gc_only_says_what_it_would_remove_until_it_is_told_to(
    run: Run, two: tuple[str, ...]
) -> None:
    url, fp32, int8 = two
    models = ModelStore(url)
    other = describe(b"other", minute=2)
    models.publish(other, b"other")
    code, out, err = run("gc", "--store", url)
    assert (code, err) == (0, "")
    assert f"keep mnist {int8}: production points to it\n" in out
    assert f"would remove mnist {other['version']}: " in out
    assert out.endswith("mnist: would remove 1 version, 4 KiB; pass --delete to remove them\n")
    assert len(models.listing("mnist")["mnist"].complete) == 3
    assert "would remove 0 versions" in run("gc", "--keep", "1", "--store", url)[1]

    code, out, _ = run("gc", "--delete", "--store", url)
    assert code == 0
    assert out.endswith("mnist: removed 1 version, 4 KiB\n")
    assert models.listing("mnist")["mnist"].complete == [int8, fp32]


@pytest.mark.parametrize("command", ["list", "verify", "gc"])
def test_a_model_that_is_not_there_is_one_sentence_and_exit_1(
    command: str, run: Run, two: tuple[str, ...]
) -> None:
    code, out, err = run(command, "--name", "letters", "--store", two[0])
    assert (code, out) == (1, "")
    assert "has no model 'letters'" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["train", "--architecture", "vit"], "'vit' is not one of"),
        (["train", "--seed", "-1"], "should be greater than or equal to 0"),
        (["gate", "--min-accuracy", "98"], "should be less than or equal to 1"),
        (["promote"], "Missing argument 'version'"),
        (["promote", "a/b"], "'a/b' is not a name; expected letters, digits,"),
        (["promote", PARENT, "--channel", "a b"], "'a b' is not a name"),
        (["promote", PARENT, "--name", "../x"], "'../x' is not a name"),
        (["promote", PARENT, "--store", "[/red]"], "'[/red]' is not an address; expected s3://buc"),
        (["copy", "s3:bucket"], "'s3:bucket' is not an address"),
        (["score", "s3:/bucket", "out"], "'s3:/bucket' is not an address"),
        (["search", "--recipes", "missing"], "'missing' does not exist"),
    ],
)
def test_wrong_use_exits_2_and_says_what_was_expected(
    arguments: list[str], sentence: str, run: Run
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "--help" in err
    assert sentence in re.sub(r"[\s│]+", " ", err)


def test_the_usual_store_is_in_the_folder_one_works_in(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c%20d"
    manifest = describe(b"a model file")
    ModelStore((folder / "build/model-store").as_uri()).publish(manifest, b"a model file")
    code, out, err = _in_a_process(["promote", manifest["version"]], folder)
    assert (code, err) == (0, "")
    assert out == f"production of mnist is {manifest['version']}\n"
    assert (folder / "build/model-store/mnist/channels/production.json").exists()


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colour_unless_it_wants_none(
    settings: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a parameter of the table
    tmp_path: Path,
) -> None:
    main, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | settings
    command = [sys.executable, "-m", "model_build", "promote", PARENT]
    subprocess.run(command, cwd=tmp_path, env=environment, stderr=terminal, check=False, timeout=60)
    os.close(terminal)
    printed = os.read(main, 4096).decode()
    os.close(main)
    assert ("\x1b[31m" in printed) is coloured
    assert "error:" in printed


@pytest.mark.keras
def test_run_goes_from_the_data_to_a_promoted_model_that_answers(
    run: Run, tmp_path: Path, mnist: Dataset
) -> None:
    """With a folder of own recipes; a second run uses the cache."""
    (tmp_path / "small.toml").write_text(SMALL)
    store = (tmp_path / "store").as_uri()
    arguments = [
        "run",
        *("--recipes", tmp_path, "--recipe", "small", "--profile", "quick", "--seed", "3"),
        *("--store", store, "--build", tmp_path / "build", "--cache", tmp_path / "cache"),
        *("--channel", "staging"),
    ]
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    steps = ["mnist-5k: ", "train small, quick: ", "convert: ", "optimise: ", "quantise: "]
    steps += ["calibrate: ", "Held-out", "gate: passed"]
    steps += ["published mnist fp32: ", "published mnist int8: "]
    steps += ["staging of mnist is ", "done in "]
    places = [out.index(step) for step in steps]
    assert places == sorted(places)
    assert "  epoch 2 of 2: loss " in out

    served = session.load(function_store.open_store(store), "mnist", "staging")
    described = ModelStore(store).manifest("mnist", served.version).document
    assert described["lineage"]["seed"] == 3
    assert described["lineage"]["recipe"]["stages"][0]["parameters"]["epochs"] == 2
    right = served.probabilities(mnist.test_images).argmax(axis=1) == mnist.test_labels
    assert described["metrics"]["accuracy"] == pytest.approx(float(right.mean()), abs=0.003)


def _in_a_process(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "model_build", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr
