"""Compare two manifests field by field."""

from dataclasses import dataclass
from typing import Any

ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One field of two manifests; `ABSENT` where a manifest has no such field."""

    section: str
    field: str
    left: Any
    right: Any

    @property
    def sign(self) -> str:
        """`+` right only, `-` left only, `~` changed, blank if equal."""
        if self.left is ABSENT:
            return "+"
        if self.right is ABSENT:
            return "-"
        return " " if self.left == self.right else "~"

    @property
    def change(self) -> float | None:
        """Right minus left, if both are numbers and differ."""
        numbers = all(
            isinstance(value, int | float) and not isinstance(value, bool)
            for value in (self.left, self.right)
        )
        return self.right - self.left if numbers and self.left != self.right else None


def compare(left: dict[str, Any], right: dict[str, Any]) -> list[Difference]:
    """Every field of two manifests side by side, except the baseline's histograms."""
    differences = []
    for section in ("metrics", "quantization", "file", "lineage", "input", "output"):
        left_fields, right_fields = _flat(left[section]), _flat(right[section])
        for name in dict.fromkeys([*left_fields, *right_fields]):
            values = left_fields.get(name, ABSENT), right_fields.get(name, ABSENT)
            differences.append(Difference(section, name, *values))
    return differences


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        flat: dict[str, Any] = {}
        for key, inner in value.items():
            flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
        return flat
    if prefix == "per_class_accuracy":
        return {f"class {label}": share for label, share in enumerate(value)}
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        return _flat({str(index): inner for index, inner in enumerate(value, 1)}, prefix)
    return {prefix: value} if prefix else {}
