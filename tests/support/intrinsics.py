"""Evaluates the CloudFormation functions that the templates use."""

import re
from typing import Any

_GONE: Any = object()


class Stack:
    """A template with values for its parameters."""

    def __init__(self, template: Any, **parameters: Any) -> None:
        self._conditions = template.get("Conditions", {})
        self._parameters = {
            name: parameters.get(name, stated.get("Default"))
            for name, stated in template["Parameters"].items()
        }
        assert parameters.keys() <= self._parameters.keys()

    def condition(self, name: str) -> bool:
        """Whether a condition holds."""
        return bool(self.resolve(self._conditions[name]))

    def resolve(self, node: Any) -> Any:
        """A node with values instead of functions, except those that only a real stack knows."""
        resolved = self._resolve(node)
        assert resolved is not _GONE
        return resolved

    def _resolve(self, node: Any) -> Any:  # noqa: C901, PLR0911 - one for each function
        if isinstance(node, list):
            return [item for item in map(self._resolve, node) if item is not _GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name,) = node
            value = node[name]
            if name == "Ref":
                return _GONE if value == "AWS::NoValue" else self._parameters.get(value, node)
            if name == "Fn::If":
                return self._resolve(value[1] if self.condition(value[0]) else value[2])
            if name == "Fn::Equals":
                left, right = map(self._resolve, value)
                return str(left) == str(right)
            if name == "Fn::And":
                return all(map(self._resolve, value))
            if name == "Condition" and isinstance(value, str):
                return self.condition(value)
            if name == "Fn::Not":
                return not self._resolve(value[0])
            if name == "Fn::Sub" and isinstance(value, str):
                filled = re.sub(
                    r"\$\{(\w+)\}", lambda m: str(self._parameters.get(m[1], m[0])), value
                )
                return {name: filled} if "${" in filled else filled
        pairs = ((name, self._resolve(value)) for name, value in node.items())
        return {name: value for name, value in pairs if value is not _GONE}
