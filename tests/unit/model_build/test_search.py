"""A search: candidates are built and measured side by side, failures listed, one is chosen."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from model_build.data import datasets
from model_build.engine.engine import Engine, silent
from model_build.engine.recipe import Recipe, Stage
from model_build.search.measurements import Search
from model_build.search.search import PICTURES, Sets, search
from model_build.store.model_store import ModelStore

pytestmark = pytest.mark.keras

TRAIN = Stage("train", {"architecture": "mlp", "epochs": 2, "augmentation": False})
FEW = slice(600, 700)
RECIPES = {
    "plain": Recipe("plain", "float", (TRAIN,)),
    "small": Recipe("small", "int8", (TRAIN, Stage("quantise-static", {}))),
    "broken": Recipe(
        "broken", "can't be", (TRAIN, Stage("remove-filters", {"keep": 0.0, "epochs": 1}))
    ),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Search:
    engine = Engine(tmp_path_factory.mktemp("cache"), datasets.load_mnist_5k(), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model_build.search.search.PICTURES", FEW)
        return search(engine, RECIPES, "full", "plain", silent, print)


def test_every_candidate_is_measured_beside_the_reference(found: Search) -> None:
    plain, small = found.candidates
    assert [plain.recipe, small.recipe] == ["plain", "small"]
    assert plain.latency_ratio == plain.load_ratio == 1
    assert small.bytes < 0.4 * plain.bytes
    assert small.latency_ratio_interval[0] <= small.latency_ratio <= small.latency_ratio_interval[1]
    assert small.techniques == ["train", "quantise-static"]
    made = [stage["technique"] for stage in small.stages]
    assert made == ["train", "convert", "optimise", "quantise-static", "calibrate"]
    assert "QLinearConv" not in plain.operators


def test_what_could_not_be_built_is_named_with_the_reason(found: Search) -> None:
    assert [failure["recipe"] for failure in found.failed] == ["broken"]
    assert "keep" in found.failed[0]["error"]


def test_the_figures_agree_with_each_other(found: Search) -> None:
    """Confusion, per-class accuracy, misread samples and reliability are consistent."""
    for one in found.candidates:
        confusion = np.array(one.confusion)
        right = int(confusion.diagonal().sum())
        assert one.accuracy == right / 1000
        assert one.accuracy_interval[0] < one.accuracy < one.accuracy_interval[1]
        assert len(one.misread) == 1000 - right
        assert sum(part["count"] for part in one.reliability) == 1000
        assert np.mean(one.validation_views_right) == pytest.approx(one.validation_views_accuracy)
        assert one.per_class_accuracy == [row[label] / 100 for label, row in enumerate(confusion)]
        assert 0.5 < one.pictures_accuracy < one.pictures_interval[1]
        assert 0.2 < (one.temperature or 0) < 5


def test_a_search_goes_through_json_unchanged(found: Search) -> None:
    assert Search.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_pictures_are_of_writers_that_no_choice_was_made_on() -> None:
    assert PICTURES.start == 600
    assert PICTURES.stop is None


def test_views_are_of_validation_samples() -> None:
    sets = Sets(datasets.load_mnist_5k())
    views, of = sets.views
    assert views.shape == (4000, 28, 28)
    assert np.array_equal(of[:20], np.repeat(sets.dataset.validation_labels[:2], 10))


def test_the_command_reports_chooses_and_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If no candidate is within the limits, the exit code is 1, but the report is written."""
    from model_build.cli.main import main

    monkeypatch.setattr("model_build.search.search.PICTURES", FEW)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    train = '[[stage]]\ntechnique = "train"\narchitecture = "mlp"\nepochs = 1\n'
    (recipes / "mlp.toml").write_text(f'description = "plain"\n{train}augmentation = false\n')
    (recipes / "mlp-dynamic.toml").write_text(
        'description = "int8"\nafter = "mlp"\n[[stage]]\ntechnique = "quantise-dynamic"\n'
    )
    models = ModelStore((tmp_path / "store").as_uri())
    options = ["--recipes", recipes, "--reference", "mlp", "--cache", tmp_path / "cache"]
    options += ["--store", models.url, "--report", tmp_path / "report"]

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["model_build", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    assert run("search", *options, "--max-bytes", 200_000, "--publish") == 0
    out = capfd.readouterr().out
    assert "2 of 2: mlp-dynamic" in out
    assert "  train, built before\n" in out
    assert "chosen: mlp-dynamic" in out
    assert "failed" not in out
    page = (tmp_path / "report" / "index.html").read_text()
    assert "mlp-dynamic" in page
    fp32, int8 = re.findall(r"published mnist (?:fp32|int8): (\S+)", out)
    lineage = models.manifest("mnist", int8).document["lineage"]
    assert lineage["parent"] == fp32
    assert lineage["recipe"]["name"] == "mlp-dynamic"
    assert models.channel("mnist", "production") is None
    assert run("rebuild", int8, "--store", models.url) == 0
    assert "the same, byte for byte" in capfd.readouterr().out

    assert run("search", *options, "--max-bytes", 2000, "--publish") == 1
    assert "--max-bytes" in capfd.readouterr().out
    assert run("search", *options, "--only", "resnet") == 1
    assert "got 'resnet'" in capfd.readouterr().err
    assert len(models.listing("mnist")["mnist"].complete) == 2


def test_a_search_without_its_reference_is_refused(tmp_path: Path) -> None:
    from model_build.errors import BuildError

    engine = Engine(tmp_path, datasets.load_mnist_5k(), 1)
    with pytest.raises(BuildError, match="the reference broken could not be built"):
        search(engine, {"broken": RECIPES["broken"]}, "full", "broken", silent, print)
