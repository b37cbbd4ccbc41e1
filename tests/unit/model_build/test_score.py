"""score: from a folder of images to answers in parts, with real processes and a real bucket."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from model_build.cli import main  # noqa: F401 - cli registers the commands
from model_build.cli.console import app
from model_build.errors import StepError, StoreError
from model_build.scoring import score_part
from model_build.store.model_store import ModelStore
from tests.support.local_s3 import BUCKET, serving
from tests.support.manifests import describe


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, classifier: bytes) -> tuple[ModelStore, str]:
    models = ModelStore(tmp_path_factory.mktemp("models").as_uri())
    manifest = describe(classifier)
    models.publish(manifest, classifier)
    models.promote("mnist", manifest["version"], "production")
    return models, manifest["version"]


@pytest.fixture
def images(tmp_path: Path, digits: NDArray[np.uint8]) -> Path:
    """Folder of the ten digits in two sub-folders, and a file that is not an image."""
    folder = tmp_path / "in"
    for place, digit in enumerate(digits):
        path = folder / ("even" if place % 2 == 0 else "odd") / f"ä,{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).save(path)
    (folder / "notes, etc.txt").write_text("no image")
    return folder


def run(store: ModelStore, *arguments: str | Path) -> tuple[int, str]:
    options = ("--store", store.url, "--preprocess", "none", "--workers", "1")
    result = CliRunner().invoke(
        app, ["score", *map(str, arguments), *options], catch_exceptions=False
    )
    return result.exit_code, result.output


def answers(folder: Path, form: str = "jsonl") -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(folder.glob(f"part-*.{form}")):
        for row in score_part.rows_of(path.read_bytes(), form):
            found[row["key"]] = row
    return found


def test_every_image_has_an_answer_and_a_bad_one_an_error(
    store: tuple[ModelStore, str], images: Path, tmp_path: Path
) -> None:
    models, version = store
    code, output = run(models, images, tmp_path / "out", "--part-size", "4")
    assert code == 0
    assert "11 images" in output
    assert "1 of 11 have errors" in output
    assert version in output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["part-00000.jsonl", "part-00001.jsonl", "part-00002.jsonl", "plan.json"]
    found = answers(tmp_path / "out")
    assert len(found) == 11
    for place in range(10):
        row = found[f"{'even' if place % 2 == 0 else 'odd'}/ä,{place}.png"]
        assert row.keys() == {"key", "prediction", "confidence"}
        assert row["prediction"] == place
    assert found["notes, etc.txt"].keys() == {"key", "error"}


def test_a_model_that_can_reject_says_how_likely_each_is_a_digit(
    classifier: bytes, images: Path, tmp_path: Path
) -> None:
    """In both formats, and beside the nearest class, which is never left out."""
    models = ModelStore((tmp_path / "models").as_uri())
    manifest = describe(classifier) | {"rejection": {"threshold": 0.9, "slope": 1, "offset": -20}}
    models.publish(manifest, classifier)
    models.promote("mnist", manifest["version"], "production")
    for form in ("jsonl", "csv"):
        out = tmp_path / form
        run(models, images, out, "--format", form)
        found = answers(out, form)
        assert found["notes, etc.txt"].keys() == {"key", "error"}
        row = found["odd/ä,7.png"]
        assert list(row) == ["key", "prediction", "confidence", "digit_probability"]
        assert str(row["prediction"]) == "7"
        assert float(row["digit_probability"]) < 0.9


def test_a_rerun_does_what_is_left_and_gives_the_same(
    store: tuple[ModelStore, str], images: Path, tmp_path: Path, classifier: bytes
) -> None:
    """Even if the channel has moved to another version."""
    models, version = store
    out = tmp_path / "out"
    run(models, images, out, "--part-size", "4")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    kept = (out / "part-00000.jsonl").stat().st_mtime_ns
    (out / "part-00001.jsonl").unlink()

    other = describe(classifier, minute=30)
    models.publish(other, classifier)
    models.promote("mnist", other["version"], "production")
    try:
        code, output = run(models, images, out, "--part-size", "4")
    finally:
        models.promote("mnist", version, "production")
    assert (code, "4 images in" in output, "7 done earlier" in output) == (0, True, True)
    assert "1 of 11 have errors" in output
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert (out / "part-00000.jsonl").stat().st_mtime_ns == kept


def test_other_images_or_options_are_no_rerun(
    store: tuple[ModelStore, str], images: Path, tmp_path: Path
) -> None:
    models, _ = store
    out = tmp_path / "out"
    run(models, images, out)
    with pytest.raises(StepError, match=r"another job \(probabilities differ\)"):
        run(models, images, out, "--probabilities")
    (images / "more.png").write_bytes(b"")
    with pytest.raises(StepError, match=r"another job \(source differ\)"):
        run(models, images, out)


def test_csv_has_a_column_a_class_if_asked(
    store: tuple[ModelStore, str], images: Path, tmp_path: Path
) -> None:
    models, _ = store
    run(models, images, tmp_path / "out", "--format", "csv", "--probabilities")
    text = (tmp_path / "out" / "part-00000.csv").read_text()
    classes = ",".join(f"p_{label}" for label in range(10))
    assert text.splitlines()[0] == f"key,prediction,confidence,{classes},error"
    found = answers(tmp_path / "out", "csv")
    row = found["odd/ä,7.png"]
    assert row["prediction"] == "7"
    assert sum(float(row[f"p_{label}"]) for label in range(10)) == pytest.approx(1, abs=1e-4)
    assert "error" in found["notes, etc.txt"]


def test_images_of_a_bucket_are_scored_into_a_bucket(
    store: tuple[ModelStore, str], digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    models, _ = store
    with serving(monkeypatch):
        import boto3

        client = boto3.client("s3")
        for place in range(10):
            file = io.BytesIO()
            Image.fromarray(digits[place]).save(file, "PNG")
            client.put_object(Bucket=BUCKET, Key=f"in/{place}.png", Body=file.getvalue())
        client.put_object(Bucket=BUCKET, Key="in//9.png", Body=file.getvalue())  # another object
        client.put_object(Bucket=BUCKET, Key="in/", Body=b"")
        code, _ = run(models, f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/")
        content = client.get_object(Bucket=BUCKET, Key="out/part-00000.jsonl")["Body"].read()
        client.close()
    assert code == 0
    rows = [json.loads(line) for line in content.splitlines()]
    assert [(row["key"], row["prediction"]) for row in rows] == [
        ("/9.png", 9),
        *((f"{place}.png", place) for place in range(10)),
    ]


def test_only_where_all_images_are_bad_the_exit_code_says_so(
    store: tuple[ModelStore, str], tmp_path: Path
) -> None:
    models, _ = store
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    assert run(models, tmp_path / "in", tmp_path / "out")[0] == 1


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [("empty", "out", "has no files"), ("in", "in/out", "must not be inside IN")],
)
def test_what_can_not_be_scored_is_said(
    store: tuple[ModelStore, str],
    images: Path,
    tmp_path: Path,
    source: str,
    target: str,
    message: str,
) -> None:
    models, _ = store
    with pytest.raises(StepError, match=message):
        run(models, tmp_path / source, tmp_path / target)


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_what_is_gone_since_it_was_listed_is_an_error_in_its_place(
    store: tuple[ModelStore, str], images: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a chunk of others."""
    models, version = store
    folder = f"mnist/versions/{version}"
    model = {
        f"{folder}/manifest.json": json.dumps(models.manifest("mnist", version).document).encode(),
        f"{folder}/model.onnx": models.model("mnist", version),
    }
    keys = ["even/ä,0.png"] * 70 + ["gone.png"] + ["odd/ä,7.png"] * 70
    with serving(monkeypatch):
        import boto3

        client = boto3.client("s3")
        for key in {*keys} - {"gone.png"}:
            client.put_object(Bucket=BUCKET, Key=f"in/{key}", Body=(images / key).read_bytes())
        client.close()
        source = images.as_uri() if place == "folder" else f"s3://{BUCKET}/in"
        job = score_part.Job(source, "file:///nowhere", "mnist", version, mode="none")
        score_part.start(job, model, score_part.endpoint_of(source))
        content, failed = score_part.classify(keys)
    rows = list(score_part.rows_of(content, "jsonl"))
    assert failed == 1
    assert [row["key"] for row in rows] == keys
    assert [row.get("prediction") for row in rows] == [0] * 70 + [None] + [7] * 70
    assert "removed" in rows[70]["error"]


def test_a_bucket_that_can_not_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch), pytest.raises(StoreError, match="s3://another"):
        score_part.endpoint_of("s3://another/in")


def test_no_process_outlives_a_run_that_is_killed(
    store: tuple[ModelStore, str], images: Path, tmp_path: Path
) -> None:
    """Its output is closed when the last process that holds it has exited."""
    models, _ = store
    os.mkfifo(images / "waits.png")  # nobody writes to it: the run does not end
    command = ["-m", "model_build", "score", images, tmp_path / "out", "--store", models.url]
    with subprocess.Popen(
        [sys.executable, *map(str, command), "--part-size", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out" / "part-00000.jsonl").exists():
            assert process.poll() is None
            if time.monotonic() > deadline:
                process.kill()
                pytest.fail("no part was written")
            time.sleep(0.1)
        process.kill()
        process.communicate(timeout=30)
