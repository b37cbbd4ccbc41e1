"""Write build/template-zip.yaml: template.yaml with infra/zip.yaml applied to it.

    python -m tools.packaging

Needs only PyYAML, so any environment that has it will do.
"""

from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
IMAGE = PROJECT / "template.yaml"
PATCH = PROJECT / "infra/zip.yaml"
ZIP = PROJECT / "build/template-zip.yaml"
PATHS = {"CodeUri", "ContentUri", "Location"}  # relative to the template


def main() -> None:
    """Write the template."""
    ZIP.parent.mkdir(exist_ok=True)
    header = "# Generated from template.yaml and infra/zip.yaml by `python -m tools.packaging`.\n"
    ZIP.write_text(header + dump(zipped(load(IMAGE), load(PATCH))))
    print(f"wrote {ZIP.relative_to(PROJECT)}")


def load(path: Path) -> Any:
    """Load a template, with CloudFormation's functions in long form: `!Ref X` is {"Ref": "X"}."""
    return parse(path.read_text())


def parse(text: str) -> Any:
    """The same for a template's text, YAML or JSON."""
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


def package(template: Any) -> str | None:
    """Packaging of a template's predict function, zip or image; None if it has no such function."""
    function = template["Resources"].get("PredictFunction", {"Properties": {}})
    kind = function["Properties"].get("PackageType")
    return str(kind).lower() if kind else None


def dump(template: Any) -> str:
    """The template as YAML, its functions in long form."""
    return yaml.safe_dump(template, sort_keys=False, width=120)


def zipped(template: Any, patch: Any) -> Any:
    """The template with the function as a zip, for a file one folder deeper."""
    template = _relocated(merged(template, patch))
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        group["Parameters"] = [
            name for name in group["Parameters"] if name in template["Parameters"]
        ]
    return template


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch (RFC 7396), except that CloudFormation functions are replaced whole.

    Raises KeyError if the patch removes a key that is not there.
    """
    if not isinstance(patch, dict) or not isinstance(target, dict) or _is_function(patch):
        return patch
    target = dict(target)
    for name, value in patch.items():
        if value is None:
            del target[name]
        else:
            target[name] = merged(target.get(name), value)
    return target


def _is_function(node: dict[str, Any]) -> bool:
    return len(node) == 1 and all(key == "Ref" or key.startswith("Fn::") for key in node)


def _relocated(node: Any) -> Any:
    if isinstance(node, list):
        return [_relocated(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: f"../{value}" if name in PATHS and isinstance(value, str) else _relocated(value)
        for name, value in node.items()
    }


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms."""


def _function(
    loader: yaml.SafeLoader, name: str, node: yaml.ScalarNode | yaml.SequenceNode
) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if name == "GetAtt" else value
    else:
        value = loader.construct_sequence(node, deep=True)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


if __name__ == "__main__":
    main()
