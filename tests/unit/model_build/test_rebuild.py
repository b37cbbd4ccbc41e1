"""Rebuild a version from its lineage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_build.cli.main import main
from model_build.cli.rebuild_command import differences
from model_build.data import datasets
from model_build.engine import recipe
from model_build.engine.build import rebuild
from model_build.engine.engine import library_versions, silent
from model_build.errors import StepError
from model_build.store import manifest
from model_build.store.model_store import ModelStore

RECIPE = """description = "int8"
[[stage]]
technique = "train"
architecture = "mlp"
epochs = 1
augmentation = false
[[stage]]
technique = "quantise-static"
"""

type Edit = Callable[[dict[str, Any]], object]


def lineage(**changes: Any) -> dict[str, Any]:
    dataset = datasets.load_mnist_5k()
    return {
        **manifest.lineage({}, tuple(library_versions())),
        "dataset": {"name": "mnist-5k", "sha256": dataset.sha256},
        "recipe": {"name": "none", "stages": []},
        "profile": "quick",
        "seed": 5,
        "parent": None,
        **changes,
    }


@pytest.mark.keras
def test_a_version_s_lineage_is_enough_to_build_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """fp32 and int8 come out byte for byte, also from a lineage older than recipes.

    With another seed they do not, nor with a schedule that was not recorded.
    """
    monkeypatch.setattr(recipe, "FOLDER", tmp_path)
    (tmp_path / "mlp-static.toml").write_text(RECIPE)
    models = ModelStore((tmp_path / "store").as_uri())

    def command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["model_build", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return code, "".join(capfd.readouterr())

    def again(version: str, edit: Edit = lambda _: None) -> tuple[int, str]:
        path = tmp_path / "store" / "mnist" / "versions" / version / "manifest.json"
        document = json.loads(path.read_text())
        edit(document["lineage"])
        path.write_text(json.dumps(document))
        return command("rebuild", version, "--store", models.url)

    def date_back(described: dict[str, Any]) -> None:
        del described["recipe"]
        described["architecture"] = "mlp"

    folders = ("--build", tmp_path / "build", "--cache", tmp_path / "cache")
    options = ("--architecture", "mlp", "--min-accuracy", "0.5", "--seed", "3")
    code, _ = command("run", *options, "--store", models.url, *folders)
    assert code == 0
    int8 = models.resolve("mnist", "production")
    fp32 = models.manifest("mnist", int8).document["lineage"]["parent"]
    code, out = again(int8)
    assert code == 0
    assert "the same, byte for byte" in out
    assert again(fp32, date_back)[0] == 0
    code, out = again(fp32, lambda described: described.update(seed=4))
    assert code == 1
    assert "expected sha256" in out
    code, out = again(fp32, lambda described: described.update(profile="quick"))
    assert code == 1
    assert "profile is quick" in out


def test_a_lineage_of_another_data_set_is_refused(tmp_path: Path) -> None:
    other = lineage(dataset={"name": "mnist-5k", "sha256": "0" * 64})
    with pytest.raises(StepError, match="has changed: expected sha256"):
        rebuild(other, tmp_path, silent)


@pytest.mark.parametrize("changes", [{}, {"architecture": "mlp", "seed": None}])
def test_a_lineage_that_does_not_tell_how_is_refused(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """Such as the lineage of an imported model."""
    with pytest.raises(StepError, match="the lineage has no recipe"):
        rebuild(lineage(recipe=None, **changes), tmp_path, silent)


def test_what_is_not_as_it_was_is_named() -> None:
    then = lineage(git_commit="f" * 40)
    then["libraries"] = {**then["libraries"], "numpy": "1.0", "gone": "2.0"}
    found = differences(then)
    assert any(line.startswith(f"commit {'f' * 40}, now ") for line in found)
    assert any(line.startswith("numpy 1.0, now ") for line in found)
    assert "gone 2.0, now not installed" in found
    assert len(differences(lineage())) == 0
