"""The two packagings deploy the same stack around the function."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
# What differs, and nothing else may: a zip carries no model, and its dependencies are a layer.
OF_THE_IMAGE = {"ModelSource", "ModelInImage"}
OF_THE_ZIP = {"OnnxruntimeLayer"}


@pytest.fixture(scope="module")
def image() -> Any:
    return read("template.yaml")


@pytest.fixture(scope="module")
def zipped() -> Any:
    return read("template-zip.yaml")


def read(name: str) -> Any:
    template, mistakes = decode(str(ROOT / name))
    assert not mistakes
    return template


def entries(template: Any, section: str) -> Iterator[tuple[str, Any]]:
    for name, content in template.get(section, {}).items():
        if name not in OF_THE_IMAGE | OF_THE_ZIP | {"PredictFunction", "Architecture"}:
            yield name, content


@pytest.mark.parametrize("section", ["Parameters", "Conditions", "Globals", "Resources", "Outputs"])
def test_all_but_the_function_is_the_same(image: Any, zipped: Any, section: str) -> None:
    """Every shared parameter, resource and output is equal in both templates."""
    assert dict(entries(zipped, section)) == dict(entries(image, section))


def test_function_differs_in_its_packaging_only(image: Any, zipped: Any) -> None:
    """Memory, timeout, role, routes and environment are equal but for the model in the image."""
    functions = [
        dict(template["Resources"]["PredictFunction"]["Properties"]) for template in (image, zipped)
    ]
    only = [set(functions[0]) - set(functions[1]), set(functions[1]) - set(functions[0])]
    assert only == [{"PackageType"}, {"CodeUri", "Handler", "Runtime", "Layers"}]
    variables = [function.pop("Environment")["Variables"] for function in functions]
    store = variables[0].pop("MODEL_STORE_URL")["Fn::If"]
    assert store[2] == variables[1].pop("MODEL_STORE_URL")
    assert variables[0] == variables[1]
    shared = set(functions[0]) & set(functions[1])
    assert {name: functions[0][name] for name in shared} == {
        name: functions[1][name] for name in shared
    }
