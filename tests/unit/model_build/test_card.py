"""Model cards: what they say, and how they stay with their version."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_build.store import card
from model_build.store.garbage_collection import collect
from model_build.store.model_store import CARD, ModelStore, copy
from model_build.store.verify import verify
from tests.support import ROOT
from tests.support.command_line import Run
from tests.support.manifests import describe

SHIPPED = ROOT / "functions/predict/classifier/shipped"
CONTENT = b"a model"
HEADINGS = [
    "Model details",
    "Intended use",
    "Out-of-scope use",
    "Training data",
    "Evaluation",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def imported(**changes: Any) -> dict[str, Any]:
    """Manifest of an imported model of pets."""
    document = describe(CONTENT, name="pets")
    document["input"]["preprocess"] = {"pipeline": "imagenet", "crop": 0.875}
    document["output"]["labels"] = [f"pet {n}" for n in range(9)] + ["a|b"]
    document["lineage"] |= {"imported": {"file": "pets.onnx", "sha256": "0" * 64}}
    return document | changes


def shipped_manifest() -> dict[str, Any]:
    (path,) = SHIPPED.rglob("manifest.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_the_model_that_comes_with_the_project_has_its_card() -> None:
    """`make shipped` copies it with the version."""
    document, (path,) = shipped_manifest(), SHIPPED.rglob(CARD)
    assert path.parent.name == document["version"]
    assert f"\n# mnist {document['version']}\n" in path.read_text()


def test_a_card_has_the_headings_that_readers_of_cards_know() -> None:
    """In their order, after metadata that model hubs read."""
    text = card.render(shipped_manifest())
    _, metadata, body = text.split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "datasets": ["mnist-5k"],
    }
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == HEADINGS
    assert all(section(text, heading).strip() for heading in HEADINGS)


def test_a_card_names_the_data_of_a_recipe_with_their_licences() -> None:
    """The drawn samples add other writers, photographs and fonts; without them it is MNIST."""
    data = section(card.render(shipped_manifest()), "Training data")
    assert "MNIST (LeCun, Cortes and Burges) | CC BY-SA 3.0 |" in data
    assert "Alpaydin and Kaynak 1998) | CC BY 4.0 |" in data
    plain = section(card.render(describe(CONTENT)), "Training data")
    assert "CC BY-SA 3.0" in plain
    assert "Alpaydin" not in plain
    document = describe(CONTENT)
    document["lineage"]["dataset"]["name"] = "fashion-mnist"
    assert "Vollgraf 2017) | MIT |" in section(card.render(document), "Training data")


def test_a_card_has_the_figures_of_the_manifest_and_of_the_parent() -> None:
    """With the interval that the number of samples allows."""
    fp32 = describe(b"fp32!")
    fp32["metrics"]["accuracy"] = 0.995
    int8 = describe(CONTENT, minute=1, parent=fp32["version"])
    evaluation = section(card.render(int8, fp32), "Evaluation")
    assert "On 1,000 held-out samples of `mnist-5k`" in evaluation
    assert "| accuracy | 99.0 % ± 0.8 | 99.5 % ± 0.7 |" in evaluation
    assert "| latency of one picture, median, ms | 0.100 | 0.100 |" in evaluation
    assert "| size, bytes | 7 | 5 |" in evaluation
    assert "| 9 | 99.0 % |" in section(card.render(int8), "Quantitative analyses")


def test_what_was_not_measured_is_said_to_be() -> None:
    """A model may be published without labelled pictures, or with a class that had none."""
    document = imported()
    metrics = document["metrics"]
    metrics["per_class_accuracy"][3] = None
    assert "| pet 3 | not measured |" in section(card.render(document), "Quantitative analyses")
    for name in ("accuracy", "per_class_accuracy", "expected_calibration_error"):
        del metrics[name]
    text = card.render(document)
    assert "Published without labelled pictures." in section(text, "Evaluation")
    assert "| accuracy | not measured |" in text
    assert "| expected calibration error | not measured |" in text
    assert section(text, "Quantitative analyses").strip() == "Accuracy by class: not measured."


def test_a_card_of_many_classes_lists_the_worst() -> None:
    document = imported()
    document["output"]["labels"] = [f"class {n}" for n in range(1000)]
    document["metrics"]["per_class_accuracy"] = [n / 1000 for n in range(999)] + [None]
    listed = section(card.render(document), "Quantitative analyses")
    assert "The 40 worst classes." in listed
    assert "| class 39 |" in listed
    assert "| class 40 |" not in listed


def test_what_only_an_author_knows_is_not_invented() -> None:
    """Use and data of an imported model are stated by its author, or said to be missing."""
    text = card.render(imported())
    assert section(text, "Intended use").strip().startswith("Not stated.")
    assert section(text, "Training data").strip().startswith("Not stated.")
    assert "it names one of them for each" in section(text, "Out-of-scope use")
    assert "| import of pets.onnx, sha256 0000" not in text.partition("## Model details")[0]
    assert "import of pets.onnx" in section(text, "Model details")
    told = card.render(imported(), about="Sorts photos of a shelter.\n")
    assert section(told, "Intended use").strip() == "Sorts photos of a shelter."


def test_a_card_warns_of_doubts_and_of_several_labels() -> None:
    document = imported(doubts=["its preprocessing is a guess"])
    document["output"]["activation"] = "sigmoid"
    text = card.render(document)
    assert "- Not to be promoted: its preprocessing is a guess" in text
    assert "label by label" in text.partition("## Model details")[0]


def test_a_label_can_not_break_a_table() -> None:
    assert "| a\\|b | 99.0 % |" in card.render(imported())


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_every_publish_writes_a_card_and_keeps_the_one_that_is_there(
    where: str, tmp_path: Path, s3_url: str
) -> None:
    """An author's words outlast a repeated publish, and a copy takes them along."""
    models = ModelStore(tmp_path.as_uri() if where == "folder" else s3_url)
    document = describe(CONTENT)
    version = models.publish(document, CONTENT).version
    assert models.file("mnist", version, CARD).decode() == card.render(document)
    models.accompany("mnist", version, CARD, b"the author's own")
    models.publish(document, CONTENT)
    assert models.file("mnist", version, CARD) == b"the author's own"

    target = ModelStore((tmp_path / "target").as_uri())
    target.publish(document, CONTENT)
    copy(models, target, "mnist", version)
    assert target.file("mnist", version, CARD) == b"the author's own"


def test_a_version_goes_with_its_card(tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    models.promote("mnist", models.publish(describe(CONTENT), CONTENT).version, "production")
    models.publish(describe(b"other", minute=1), b"other")
    report = verify(models)
    assert (report.problems, report.notes) == ([], [])
    assert len(list(tmp_path.rglob(CARD))) == 2
    collect(models, "mnist")
    assert len(list(tmp_path.rglob(CARD))) == 1


def test_show_prints_the_card_of_any_version(run: Run, tmp_path: Path) -> None:
    """As it is where it goes to a file; versions published without one get a new one."""
    models = ModelStore(tmp_path.as_uri())
    version = models.publish(describe(CONTENT), CONTENT).version
    expected = card.render(describe(CONTENT))
    arguments = ("show", version, "--card", "--store", models.url)
    assert run(*arguments) == (0, expected, "")
    (path,) = tmp_path.rglob(CARD)
    path.unlink()
    assert run(*arguments) == (0, expected, "")
    code, _, err = run(*arguments, "--json")
    assert (code, "omit --json" in err) == (2, True)


def test_an_author_adds_what_the_manifest_does_not_know(run: Run, tmp_path: Path) -> None:
    models = ModelStore(tmp_path.as_uri())
    version = models.publish(describe(CONTENT), CONTENT).version
    about = tmp_path / "about.md"
    about.write_text("For the sorting desk.\n")
    code, out, _ = run("card", version, "--about", about, "--store", models.url)
    assert (code, out.startswith(f"wrote the card of mnist {version}")) == (0, True)
    shown = run("show", version, "--card", "--store", models.url)[1]
    assert section(shown, "Intended use").strip() == "For the sorting desk."
