import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.main import get_command

import session
import store as function_store
from model_build import cli, manifest
from model_build.data import Dataset
from model_build.pipeline import Build
from model_build.store import ModelStore
from tests.unit import local_s3
from tests.unit.manifests import PARENT, describe, training

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["data", "train", "convert", "optimise", "quantise", "evaluate", "gate", "publish"]
COMMANDS += ["promote", "copy", "run"]

type Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; give its exit code, output and errors."""
    monkeypatch.setattr(manifest, "_LIBRARIES", ("onnx", "onnxruntime", "numpy"))  # no TensorFlow

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["model_build", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with local_s3.serving(monkeypatch) as url:
        yield url


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, classifier: bytes, mnist: Dataset) -> Path:
    """Folder of a build that is ready for the gate, and whose accuracy is about 80 %."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "training.json").write_text(json.dumps(training()))
    (folder / "converted.onnx").write_bytes(classifier)
    build = Build(folder)
    build.optimise()
    build.quantise(mnist)
    build.evaluate(mnist)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, run: Run) -> None:
    code, out, err = run(command, "--help")
    assert code == 0
    assert err == ""
    assert re.search(rf"Usage: .*model_build {command}", out)
    options = get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
    assert options
    assert [option.name for option in options if not option.help] == []


def test_all_commands_are_listed_with_what_they_do(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert re.findall(r"^│ ([a-z]+) {2,}[A-Z]", out, re.MULTILINE) == COMMANDS


def test_the_steps_run_one_after_the_other_and_say_what_they_did(
    run: Run, tmp_path: Path, classifier: bytes
) -> None:
    (tmp_path / "training.json").write_text(json.dumps(training()))
    (tmp_path / "converted.onnx").write_bytes(classifier)
    store = (tmp_path / "store").as_uri()
    printed = []
    for arguments in (
        ("data",),
        ("optimise",),
        ("quantise",),
        ("evaluate",),
        ("gate", "--min-accuracy", "0.5"),
        ("publish", "--min-accuracy", "0.5", "--store", store, "--name", "digits"),
    ):
        code, out, err = run(*arguments, "--build", tmp_path)
        assert (code, err) == (0, "")
        printed.append(out)
    assert "4,000 training and 1,000 held-out samples" in printed[0]
    assert printed[1].startswith("optimise: ")
    assert printed[2].startswith("quantise: ")
    for row in ("accuracy", "worst class", "size", "latency, median", "load", "class 9"):
        assert row in printed[3]
    assert printed[4] == "gate: passed\n"
    fp32, int8 = re.findall(r"published digits (?:fp32|int8): (\S+)", printed[5])
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
    assert models.manifest("digits", int8)["lineage"]["parent"] == fp32


def test_publish_to_s3_and_copy_back_to_a_folder(
    run: Run, evaluated: Path, s3_url: str, tmp_path: Path, digits: NDArray[np.uint8]
) -> None:
    code, out, err = run(
        "publish", "--store", s3_url, "--build", evaluated, "--min-accuracy", "0.5"
    )
    assert (code, err) == (0, "")
    int8 = out.split()[-1]
    assert run("promote", int8, "--store", s3_url)[0] == 0
    served = session.load(function_store.open_store(s3_url), "mnist", "production")
    assert served.version == int8
    assert served.probabilities(digits).argmax(axis=1).tolist() == list(range(10))

    folder = (tmp_path / "copied").as_uri()
    code, out, _ = run("copy", folder, "--store", s3_url, "--channel", "production")
    assert code == 0
    assert out == f"copied mnist {int8} to {folder}\nproduction of mnist is {int8}\n"
    served = session.load(function_store.open_store(folder), "mnist", "production")
    assert served.version == int8


def test_a_model_that_is_not_good_enough_exits_1_and_is_not_published(
    run: Run, evaluated: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for arguments in (("gate",), ("publish", "--store", store.as_uri())):
        code, out, err = run(*arguments, "--build", evaluated)
        assert (code, out) == (1, "")
        assert re.fullmatch(r"error: int8 accuracy \d\d\.\d\d% is under the 88\.00% asked\n", err)
    assert not store.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["optimise"], "converted.onnx is missing; run `python -m model_build convert` first"),
        (["quantise"], "fp32.onnx is missing; run `python -m model_build optimise` first"),
        (["evaluate"], "fp32.onnx is missing; run `python -m model_build optimise` first"),
        (["gate"], "training.json is missing; run `python -m model_build train` first"),
        (["publish"], "training.json is missing; run `python -m model_build train` first"),
    ],
)
def test_a_step_without_its_predecessor_is_one_sentence_on_stderr_and_exit_1(
    arguments: list[str], sentence: str, tmp_path: Path, run: Run
) -> None:
    code, out, err = run(*arguments, "--build", tmp_path)
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path}/{sentence}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["promote", PARENT], f"has no mnist/versions/{PARENT}/manifest.json"),
        (["promote", "a/b"], "is no channel name"),
        (["copy", "s3:bucket"], "'s3:bucket' is no model store; write s3://bucket/prefix"),
        (["promote", PARENT, "--store", "[/red][bold]"], "'[/red][bold]' is no model store"),
        (["promote", PARENT, "--name", "../x"], "'../x' "),
    ],
)
def test_a_wrong_store_name_or_version_is_one_sentence_on_stderr_and_exit_1(
    arguments: list[str], sentence: str, tmp_path: Path, run: Run
) -> None:
    store = [] if "--store" in arguments else ["--store", tmp_path.as_uri()]
    code, out, err = run(*arguments, *store)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_process_ends_with_that_sentence_and_that_code(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c"
    folder.mkdir()
    code, out, err = _in_a_process(["promote", "production"], folder)
    assert (code, out) == (1, "")
    store = (folder / "build/model-store").as_uri()
    assert err == f"error: {store} has no channel 'production' of 'mnist'\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train", "--architecture", "vit"],
        ["train", "--dataset", "cifar"],
        ["gate", "--min-accuracy", "98"],
        ["promote"],
    ],
)
def test_a_wrong_argument_exits_2_and_points_to_the_help(arguments: list[str], run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "--help" in err
    assert "Traceback" not in err


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


def test_output_that_is_no_terminal_has_no_colour_and_no_bar(tmp_path: Path) -> None:
    code, out, err = _in_a_process(["data", "--build", str(tmp_path / "build")], tmp_path)
    assert (code, err) == (0, "")
    assert "\x1b" not in out


@pytest.mark.keras
def test_run_goes_from_the_data_to_a_promoted_model_that_answers(
    run: Run, tmp_path: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_build import train

    schedule = train.Schedule(epochs=2, batch=32, learning_rate=1e-3, augmentation=None)
    monkeypatch.setitem(train.SCHEDULES, ("mlp", "quick"), schedule)
    store = (tmp_path / "store").as_uri()
    code, out, err = run(
        "run",
        *("--architecture", "mlp", "--profile", "quick", "--min-accuracy", "0.7", "--seed", "3"),
        *("--store", store, "--build", tmp_path / "build", "--channel", "staging"),
    )
    assert (code, err) == (0, "")
    steps = ["mnist-5k: ", "train mlp, quick: ", "convert: ", "optimise: ", "quantise: "]
    steps += ["Held-out", "gate: passed", "published mnist fp32: ", "published mnist int8: "]
    steps += ["staging of mnist is ", "done in "]
    places = [out.index(step) for step in steps]
    assert places == sorted(places)
    assert "  epoch 2 of 2: loss " in out

    served = session.load(function_store.open_store(store), "mnist", "staging")
    described = ModelStore(store).manifest("mnist", served.version)
    assert described["lineage"]["seed"] == 3
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
