"""Import times as a tree: what `python -X importtime` prints, read."""

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
    """Modules that were imported by the program itself, each with what it imported in turn."""
    waiting: dict[int, list[Import]] = {}  # by depth: a module is printed after its children
    for own, total, indent, name in _LINE.findall(printed):
        depth = len(indent) // 2
        found = Import(name, int(own), int(total), waiting.pop(depth + 1, []))
        waiting.setdefault(depth, []).append(found)
    return waiting.get(0, [])


def rows(tree: list[Import], *, least: int, depth: int = 0) -> list[tuple[int, str, int, int]]:
    """Depth, name, total and own microseconds of the modules over a total, as they are imported."""
    found = []
    for module in tree:
        if module.total >= least:
            found.append((depth, module.name, module.total, module.own))
            found += rows(module.children, least=least, depth=depth + 1)
    return found
