"""Which source a cache key covers, and what a change to it rebuilds."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from model_build.data.datasets import Dataset
from model_build.engine.engine import silent
from model_build.engine.recipe import load
from model_build.engine.source_code import PACKAGES, import_closure
from model_build.engine.stage import OnEpoch
from model_build.engine.techniques import ALL
from tests.support import given_network

FILES = {
    "__init__.py": "",
    "start.py": """
        from typing import TYPE_CHECKING
        import package.plain
        from package import module, name
        if TYPE_CHECKING:
            from package import types_alone
        else:
            from package import at_run_time
        def later():
            from package.inner.deep import something
            import elsewhere.module
    """,
    "plain.py": "import package.start",
    "module.py": "",
    "at_run_time.py": "",
    "types_alone.py": "",
    "unrelated.py": "",
    "inner/__init__.py": "from package import of_init",
    "inner/deep.py": "",
    "of_init.py": "",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source.replace("\n        ", "\n"))
    return tmp_path


def test_the_closure_is_what_is_imported_at_run_time_wherever_it_is_written(package: Path) -> None:
    """Parent packages and imports in functions count; imports for types and other code do not."""
    closure = import_closure("package.start", {"package": package})
    assert list(closure) == [
        "package",
        "package.at_run_time",
        "package.inner",
        "package.inner.deep",
        "package.module",
        "package.of_init",
        "package.plain",
        "package.start",
    ]
    assert closure["package.inner"] == package / "inner" / "__init__.py"


def test_an_import_that_can_not_be_followed_is_refused(package: Path) -> None:
    (package / "module.py").write_text("\nfrom . import plain")
    with pytest.raises(ValueError, match=r"line 2 .*relative"):
        import_closure("package.start", {"package": package})


@pytest.mark.parametrize("technique", ALL)
def test_a_technique_does_not_depend_on_commands_or_the_store(technique: str) -> None:
    closure = import_closure(f"model_build.{ALL[technique].module}")
    folders = {module.split(".")[1] for module in closure if module.count(".") > 1}
    assert folders.isdisjoint({"cli", "store", "search", "report", "importing", "scoring", "http"})
    assert not {"model_build.engine.engine", "model_build.engine.recipe"} & closure.keys()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        (("model_build", "quantise/arithmetic.py"), ["quantise-weights", "calibrate"]),
        (("model_build", "graph/temperature.py"), ["calibrate"]),
        (
            ("classifier", "prepare/mnist.py"),  # augmentation crops by the code that serves
            ["train", "convert", "optimise", "quantise-weights", "calibrate"],
        ),
        (("model_build", "cli/main.py"), []),
        (("model_build", "store/model_store.py"), []),
        (("classifier", "http/event.py"), []),
    ],
)
def test_what_runs_changed_code_is_built_anew_and_nothing_else(
    changed: tuple[str, str],
    anew: list[str],
    cache: Path,
    tmp_path: Path,
    mnist: Dataset,
    classifier: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_network.give(monkeypatch, classifier)
    stages = load()["mlp-weights-int8"].model
    engine = given_network.build(cache, mnist).engine
    engine.build(stages, silent)
    package, file = changed
    copied = copy(PACKAGES, tmp_path)
    with (copied[package] / file).open("a") as source:
        source.write("\n# changed\n")
    built = []

    def on_stage(technique: str, cached: bool) -> OnEpoch:  # noqa: FBT001
        if not cached:
            built.append(technique)
        return silent(technique, cached)

    replace(engine, packages=copied).build(stages, on_stage)
    assert built == anew


def copy(packages: Mapping[str, Path], target: Path) -> dict[str, Path]:
    """Copies of the packages' source."""
    for name, folder in packages.items():
        shutil.copytree(folder, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return {name: target / name for name in packages}
