"""Recipes: what is valid, what is refused, and their order."""

import json
from pathlib import Path

import pytest

from model_build.engine import recipe
from model_build.engine.techniques import TECHNIQUES
from model_build.errors import RecipeError

TRAIN = '[[stage]]\ntechnique = "train"\narchitecture = "cnn"\nepochs = 3\n'


def write(folder: Path, **recipes: str) -> Path:
    for name, text in recipes.items():
        described = text if "description" in text else f'description = "{name}"\n{text}'
        (folder / f"{name}.toml").write_text(described)
    return folder


def test_a_recipe_is_its_stages_in_order_with_their_parameters(tmp_path: Path) -> None:
    """Integers are accepted for floats."""
    prune = '[[stage]]\ntechnique = "prune"\nsparsity = 1\nepochs = 2\n'
    one = recipe.load(write(tmp_path, one=TRAIN + prune))["one"]
    assert [stage.technique for stage in one.stages] == ["train", "prune"]
    assert one.stages[1].parameters == {"sparsity": 1.0, "epochs": 2}
    assert isinstance(one.stages[1].parameters["sparsity"], float)
    assert one.description == "one"


def test_a_recipe_goes_on_where_another_ends(tmp_path: Path) -> None:
    after = 'description = "b"\nafter = "base"\n[[stage]]\ntechnique = "quantise-dynamic"\n'
    loaded = recipe.load(write(tmp_path, a_first=after, base=TRAIN))
    assert list(loaded) == ["base", "a_first"]
    assert loaded["a_first"].stages[:1] == loaded["base"].stages


def test_a_teacher_comes_before_its_pupil(tmp_path: Path) -> None:
    distil = (
        '[[stage]]\ntechnique = "distil"\narchitecture = "mlp"\nteachers = ["old"]\nepochs = 1\n'
        "temperature = 2\nmix = 0.5\n"
    )
    loaded = recipe.load(write(tmp_path, child=distil, old=TRAIN))
    assert list(loaded) == ["old", "child"]
    assert loaded["child"].stages[0].inputs == (loaded["old"].stages,)


def techniques(stages: recipe.Stages) -> list[str]:
    return [stage.technique for stage in stages]


@pytest.mark.parametrize(
    ("added", "model", "candidates"),
    [
        ("", ["train", "convert", "optimise", "calibrate"], ["fp32"]),
        (
            '[[stage]]\ntechnique = "quantise-static"\n',
            ["train", "convert", "optimise", "quantise-static", "calibrate"],
            ["fp32", "int8"],
        ),
        (
            '[[stage]]\ntechnique = "quantise-weights"\nbits = 4\n',
            ["train", "convert", "optimise", "quantise-weights", "calibrate"],
            ["fp32", "int4"],
        ),
        (
            '[[stage]]\ntechnique = "qat"\nepochs = 1\n',
            ["train", "qat", "calibrate"],
            ["fp32", "int8"],
        ),
    ],
)
def test_a_recipe_is_completed_to_a_calibrated_graph_and_its_parent(
    tmp_path: Path, added: str, model: list[str], candidates: list[str]
) -> None:
    one = recipe.load(write(tmp_path, one=TRAIN + added))["one"]
    assert techniques(one.network) == ["train"]
    assert techniques(one.model) == model
    assert techniques(one.parent) == ["train", "convert", "optimise", "calibrate"]
    assert list(one.candidates) == candidates
    assert one.candidates["fp32"] == one.parent
    assert one.evaluation[0].inputs == tuple(one.candidates.values())


def test_the_quick_profile_trains_a_tenth_of_the_epochs_teachers_included() -> None:
    """The full profile is the recipe as written."""
    taught = recipe.load()["cnn-distilled"]
    quick = taught.in_profile("quick")
    assert quick.stages[0].parameters["epochs"] == 6
    assert quick.stages[0].inputs[0][0].parameters["epochs"] == 4
    assert taught.in_profile("full") == taught
    assert recipe.Stage("prune", {"epochs": 3}).in_profile("quick").parameters["epochs"] == 1


def test_stages_go_through_json_unchanged() -> None:
    for one in recipe.load().values():
        document = json.loads(json.dumps(recipe.to_documents(one.evaluation)))
        assert recipe.from_documents(document) == one.evaluation


def test_what_the_gate_asks_is_inherited_unless_it_is_said_anew(tmp_path: Path) -> None:
    after = 'after = "base"\n'
    loaded = recipe.load(
        write(
            tmp_path,
            base="min_accuracy = { full = 0.9, quick = 0.8 }\n" + TRAIN,
            same=after,
            own=after + "min_accuracy = { full = 0.95 }\n",
            none=TRAIN,
        )
    )
    assert loaded["same"].min_accuracy == {"full": 0.9, "quick": 0.8}
    assert loaded["own"].min_accuracy == {"full": 0.95, "quick": 0.8}
    assert loaded["none"].min_accuracy == {}


def test_the_accuracy_asked_of_a_full_build_is_that_of_the_contract() -> None:
    """Fashion-MNIST has its own recipes and limits."""
    loaded = recipe.load(recipe.folder_of("mnist-5k"))
    assert loaded["cnn-static"].min_accuracy["full"] == 0.98
    assert loaded["mlp-static"].min_accuracy["full"] == 0.92
    clothes = recipe.load(recipe.folder_of("fashion-mnist"))
    assert clothes.keys() == {"cnn-dense", "cnn-dense-static"}
    assert clothes["cnn-dense-static"].min_accuracy["full"] == 0.91


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"one of .*cnn-static.*, got 'resnet'"):
        recipe.chosen(recipe.load(), "resnet")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("= no", "is not valid TOML"),
        ('description = ""\n' + TRAIN, "description is missing"),
        ("colour = 1\n" + TRAIN, "colour is unknown"),
        ('after = "other"\n' + TRAIN, "there is no recipe 'other'"),
        ("", "there are no stages"),
        ("stage = 3\n", "stage must be a list of tables"),
        ('[[stage]]\ntechnique = "shrink"\n', "got 'shrink'"),
        (TRAIN + "depth = 3\n", "train has no parameter depth; it has architecture, epochs"),
        ('[[stage]]\ntechnique = "train"\nepochs = 3\n', "train needs architecture"),
        ('[[stage]]\ntechnique = "train"\narchitecture = "cnn"\n', "train needs epochs"),
        (TRAIN.replace("3", '"3"'), "epochs of train must be int, got '3'"),
        (TRAIN.replace("3", "true"), "epochs of train must be int, got True"),
        (TRAIN + TRAIN, "train must be the first stage"),
        ('[[stage]]\ntechnique = "quantise-dynamic"\n', "quantise-dynamic needs a graph"),
        (TRAIN + '[[stage]]\ntechnique = "convert"\n', "got 'convert'"),
        ("min_accuracy = 0.9\n" + TRAIN, "got 0.9"),
        ("min_accuracy = { slow = 0.9 }\n" + TRAIN, "must be a table of full and quick"),
        ("min_accuracy = { full = 90.0 }\n" + TRAIN, "with values 0.0 to 1.0"),
        (TRAIN + 'teachers = "cnn"\n', "teachers must be a list of recipe names, got 'cnn'"),
        (
            TRAIN + '[[stage]]\ntechnique = "quantise-dynamic"\n[[stage]]\ntechnique = "prune"\n'
            "epochs = 1\nsparsity = 0.5\n",
            "prune needs a network, but an earlier stage made a graph",
        ),
    ],
)
def test_what_no_recipe_may_hold_is_refused_with_the_file_and_the_reason(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(RecipeError, match=r"bad\.toml") as caught:
        recipe.load(write(tmp_path, bad=text))
    assert sentence in str(caught.value)


def test_recipes_that_need_each_other_are_refused(tmp_path: Path) -> None:
    one = 'description = "1"\nafter = "two"\n'
    two = 'description = "2"\nafter = "one"\n'
    with pytest.raises(RecipeError, match="one → two → one depend on each other"):
        recipe.load(write(tmp_path, one=one, two=two))


def test_a_folder_without_recipes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="has no recipes"):
        recipe.load(tmp_path)


def test_every_technique_stands_in_a_recipe_of_the_project() -> None:
    """`search` measures each of them."""
    used = {stage.technique for one in recipe.load().values() for stage in one.stages}
    assert used == TECHNIQUES.keys()
