"""Building a version once more from its lineage."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_build.cli.rebuild_command import again, differences
from model_build.data import datasets
from model_build.engine.pipeline import Build
from model_build.errors import StepError
from model_build.store import manifest
from model_build.store.model_store import ModelStore

pytestmark = pytest.mark.keras


def lineage(**changes: Any) -> dict[str, Any]:
    dataset = datasets.load_mnist_5k()
    return {
        **manifest.lineage({}),
        "dataset": {"name": "mnist-5k", "sha256": dataset.sha256},
        "architecture": "mlp",
        "profile": "quick",
        "seed": 5,
        **changes,
    }


def test_a_version_s_lineage_is_enough_to_build_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """fp32 and int8 come out byte for byte; a lineage with another seed does not."""
    from model_build.cli.main import main
    from model_build.training import train

    schedule = train.Schedule(epochs=1, batch=32, learning_rate=1e-3, augmentation=None)
    monkeypatch.setitem(train.SCHEDULES, ("mlp", "quick"), schedule)
    store = (tmp_path / "store").as_uri()

    def command(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["model_build", *map(str, arguments)])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    built = ("--architecture", "mlp", "--profile", "quick", "--min-accuracy", "0.5", "--seed", "3")
    assert command("run", *built, "--store", store, "--build", tmp_path / "build") == 0
    models = ModelStore(store)
    int8 = models.manifest("mnist", models.resolve("mnist", "production")).document
    fp32 = models.manifest("mnist", int8["lineage"]["parent"]).document
    assert command("rebuild", "production", "--store", store) == 0
    assert "the same, byte for byte" in capfd.readouterr().out
    assert again(fp32, Build(tmp_path / "again")) == fp32["file"]["sha256"]

    int8["lineage"]["seed"] = 4
    path = tmp_path / "store" / "mnist" / "versions" / int8["version"] / "manifest.json"
    path.write_text(json.dumps(int8))
    assert command("rebuild", int8["version"], "--store", store) == 1
    assert "came out as" in capfd.readouterr().out


def test_a_lineage_of_another_data_set_is_refused(tmp_path: Path) -> None:
    described = {
        "version": "v",
        "lineage": lineage(dataset={"name": "mnist-5k", "sha256": "0" * 64}),
    }
    with pytest.raises(StepError, match="not the one of then"):
        again(described, Build(tmp_path))


def test_a_lineage_that_does_not_tell_how_is_refused(tmp_path: Path) -> None:
    described = {"version": "v", "lineage": lineage(seed=None)}
    with pytest.raises(StepError, match="the lineage of v has no seed"):
        again(described, Build(tmp_path))


def test_what_is_not_as_it_was_is_named() -> None:
    then = lineage(git_commit="f" * 40)
    then["libraries"] = {**then["libraries"], "numpy": "1.0", "gone": "2.0"}
    found = differences(then)
    assert any(line.startswith(f"commit {'f' * 40}, now ") for line in found)
    assert any(line.startswith("numpy 1.0, now ") for line in found)
    assert "gone 2.0, now not installed" in found
    assert len(differences(lineage())) == 0
