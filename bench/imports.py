"""Parse the output of `python -X importtime` into a tree."""

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


@dataclass
class Import:
    """One module: microseconds of its own and with all that it imported."""

    name: str
    own: int
    total: int
    children: list["Import"] = field(default_factory=list)


def parse(printed: str) -> list[Import]:
    """Modules that the program itself imported, each with its own imports as children."""
    waiting: dict[int, list[Import]] = {}  # by depth: a module is printed after its children
    for own, total, indent, name in _LINE.findall(printed):
        depth = len(indent) // 2
        module = Import(name, int(own), int(total), waiting.pop(depth + 1, []))
        waiting.setdefault(depth, []).append(module)
    return waiting.get(0, [])


def rows(tree: list[Import], *, least: int, depth: int = 0) -> list[tuple[int, str, int, int]]:
    """Depth, name, total and own microseconds of modules that took `least` or more, in order."""
    selected = []
    for module in tree:
        if module.total >= least:
            selected.append((depth, module.name, module.total, module.own))
            selected += rows(module.children, least=least, depth=depth + 1)
    return selected
