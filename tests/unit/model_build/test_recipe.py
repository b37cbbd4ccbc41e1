"""Recipes: what is read, what is refused, and in which order they are built."""

from pathlib import Path

import pytest

from model_build.engine import recipe
from model_build.errors import RecipeError

TRAIN = '[[stage]]\ntechnique = "train"\narchitecture = "cnn"\nepochs = 3\n'


def write(folder: Path, **recipes: str) -> Path:
    for name, text in recipes.items():
        described = text if "description" in text else f'description = "{name}"\n{text}'
        (folder / f"{name}.toml").write_text(described)
    return folder


def test_a_recipe_is_its_stages_in_order_with_their_parameters(tmp_path: Path) -> None:
    """Whole numbers are taken where a float is asked for."""
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
    )
    loaded = recipe.load(write(tmp_path, child=distil, old=TRAIN))
    assert list(loaded) == ["old", "child"]
    assert loaded["child"].teachers == ["old"]


def test_a_teacher_teaches_by_what_it_was_before_it_became_a_graph(tmp_path: Path) -> None:
    quantised = TRAIN + '[[stage]]\ntechnique = "quantise-static"\n'
    one = recipe.load(write(tmp_path, one=quantised))["one"]
    assert [stage.technique for stage in recipe.network_stages(one)] == ["train"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("= no", "no TOML"),
        ('description = ""\n' + TRAIN, "a description is missing"),
        ("colour = 1\n" + TRAIN, "colour is not known"),
        ('after = "other"\n' + TRAIN, "there is no recipe 'other'"),
        ("", "there is no stage"),
        ("stage = 3\n", "stages are tables"),
        ('[[stage]]\ntechnique = "shrink"\n', "technique 'shrink' is not known; choose one of"),
        (TRAIN + "depth = 3\n", "train has no parameter depth; it has epochs"),
        ('[[stage]]\ntechnique = "train"\nepochs = 3\n', "train needs architecture"),
        ('[[stage]]\ntechnique = "train"\narchitecture = "cnn"\n', "train needs epochs"),
        (TRAIN.replace("3", '"3"'), "epochs of train is '3', not int"),
        (TRAIN.replace("3", "true"), "epochs of train is True, not int"),
        (TRAIN + TRAIN, "train starts anew and can only stand first"),
        ('[[stage]]\ntechnique = "quantise-dynamic"\n', "quantise-dynamic needs a graph"),
        (
            TRAIN + '[[stage]]\ntechnique = "convert"\n[[stage]]\ntechnique = "prune"\n'
            "epochs = 1\nsparsity = 0.5\n",
            "prune needs a network, but a stage before it made a graph",
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
    with pytest.raises(RecipeError, match="one → two → one need each other"):
        recipe.load(write(tmp_path, one=one, two=two))


def test_a_folder_without_recipes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no recipe"):
        recipe.load(tmp_path)


def test_every_technique_stands_in_a_recipe_of_the_project() -> None:
    """Each is measured by `search`; `convert` is put in where it is needed."""
    used = {stage.technique for one in recipe.load().values() for stage in one.stages}
    assert used == recipe.TECHNIQUES.keys() - {"convert"}
