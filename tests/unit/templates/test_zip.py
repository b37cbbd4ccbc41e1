"""The zip packaging: template.yaml with infra/zip.yaml applied to it."""

from typing import Any

import pytest

from tests.support.intrinsics import Stack
from tools import packaging

SECTIONS = {  # and what differs in each
    "Parameters": {"BaseImage", "ModelSource", "SnapStart"},
    "Rules": {"ProductionServesFromTheBucket", "SnapStartOrProvisionedConcurrency"},
    "Conditions": {"ModelInImage", "SnapStarts", "ChecksDrift"},
    # The last three for the paths in them.
    "Resources": {"PredictFunction", "OnnxruntimeLayer", "Api"}
    | {"PreTrafficFunction", "DriftFunction"},
}


@pytest.fixture(scope="module")
def image() -> Any:
    return packaging.load(packaging.IMAGE)


@pytest.fixture(scope="module")
def zipped(image: Any) -> Any:
    return packaging.zipped(image, packaging.load(packaging.PATCH))


def differing(one: Any, other: Any) -> set[str]:
    """Keys that only one of two mappings has, or whose values differ."""
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def test_a_function_is_replaced_and_not_merged() -> None:
    target = {"a": {"b": {"Fn::If": [1]}, "c": 1}, "d": [1, 2]}
    patch = {"a": {"b": {"Fn::Sub": "x"}}, "d": [3], "e": {"f": 4}}
    expected = {"a": {"b": {"Fn::Sub": "x"}, "c": 1}, "d": [3], "e": {"f": 4}}
    assert packaging.merged(target, patch) == expected


def test_what_a_patch_removes_must_be_there() -> None:
    """The patch would otherwise go stale unnoticed; RFC 7396 ignores it."""
    assert packaging.merged({"a": 1, "b": 2}, {"a": None}) == {"b": 2}
    with pytest.raises(KeyError, match="c"):
        packaging.merged({"a": 1}, {"c": None})


def test_the_zip_differs_in_its_packaging_alone(image: Any, zipped: Any) -> None:
    """A zip contains no model and has no base image; its dependencies are a layer."""
    assert differing(image, zipped) == {
        "Metadata",
        "Parameters",
        "Rules",
        "Conditions",
        "Resources",
    }
    for section, names in SECTIONS.items():
        assert differing(image[section], zipped[section]) == names
    functions = [
        template["Resources"]["PredictFunction"]["Properties"] for template in (image, zipped)
    ]
    assert differing(*functions) == {
        *("PackageType", "CodeUri", "Handler", "Layers", "SnapStart", "Environment")
    }


def referred(node: Any) -> set[str]:
    """Names that a part of a template refers to."""
    if isinstance(node, list):
        return set().union(*map(referred, node))
    if not isinstance(node, dict):
        return set()
    own = {node["Ref"]} if node.keys() == {"Ref"} else set()
    return own.union(*map(referred, node.values()))


@pytest.mark.parametrize("section", ["Rules", "Conditions"])
def test_the_zip_template_asks_for_no_parameter_that_it_lacks(zipped: Any, section: str) -> None:
    """CloudFormation refuses it as a whole, which the image's template does not show."""
    names = referred(zipped[section])
    assert names
    assert names <= zipped["Parameters"].keys()


def test_the_zip_template_parses_to_what_was_made(zipped: Any) -> None:
    """A string such as "true" or "2012-10-17" is still a string after it was written."""
    packaging.main()
    assert packaging.load(packaging.ZIP) == zipped


def paths(node: Any) -> Any:
    """Every path of a template, relative to it."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from [value] if name in packaging.PATHS else paths(value)
    elif isinstance(node, list):
        for item in node:
            yield from paths(item)


def test_the_paths_of_the_zip_template_lead_somewhere(zipped: Any) -> None:
    """From its own folder, as `sam build -t build/template-zip.yaml` reads them."""
    found = [packaging.ZIP.parent / path for path in paths(zipped)]
    assert len(found) == 5  # three functions, the layer, the API
    for path in found:
        assert path.exists(), path


def test_snapstart_excludes_provisioned_concurrency(zipped: Any) -> None:
    """Lambda would refuse both after minutes; the rule does so before anything changes."""
    rule = zipped["Rules"]["SnapStartOrProvisionedConcurrency"]
    (assertion,) = rule["Assertions"]
    for snapstart, provisioned, allowed in (
        ("true", 1, False),
        ("true", 0, True),
        ("false", 1, True),
    ):
        stack = Stack(zipped, SnapStart=snapstart, ProvisionedConcurrency=provisioned)
        applies = stack.resolve(rule["RuleCondition"])
        assert (not applies or stack.resolve(assertion["Assert"])) is allowed
    snapstart = zipped["Resources"]["PredictFunction"]["Properties"]["SnapStart"]
    for value, expected in (("true", "PublishedVersions"), ("false", "None")):
        assert Stack(zipped, SnapStart=value).resolve(snapstart) == {"ApplyOn": expected}
