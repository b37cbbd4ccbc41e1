"""The function's modules: an image passes through them in order; none imports a later step."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support import ROOT

FUNCTION = ROOT / "functions/predict"

# Steps in the order in which a request goes through them; a name stands for all under it.
STEPS = [
    "classifier.errors",
    "classifier.mode",
    "classifier.http.event",
    "classifier.image.unsupported",
    "classifier.image.formats",
    "classifier.http.mistakes",
    "classifier.http.base64_text",
    "classifier.http.embedded",
    "classifier.http.form",
    "classifier.http.json_body",
    "classifier.http.coding",
    "classifier.http.payload",
    "classifier.image",
    "classifier.prepare",
    "classifier.model",
    "classifier.http.response",
    "classifier.monitoring",
    "classifier.served",
    "classifier.predict",
    "classifier.http",
    "classifier.handler",
    "classifier.batch",
]


def imports() -> dict[str, set[str]]:
    """Modules of the function that each imports, including imports inside functions."""
    paths = {
        ".".join(path.relative_to(FUNCTION).with_suffix("").parts): path
        for path in FUNCTION.rglob("*.py")
        if path.name != "__init__.py"
    }
    return {name: _imported(path) & paths.keys() for name, path in paths.items()}


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def step(module: str) -> int:
    """Position of a module among the steps, by its longest matching prefix."""
    under = [name for name in STEPS if f"{module}.".startswith(f"{name}.")]
    return STEPS.index(max(under, key=len))


def test_no_two_modules_import_each_other() -> None:
    """Neither directly nor indirectly: a cycle raises CycleError."""
    assert len(list(TopologicalSorter(imports()).static_order())) > len(STEPS)


def test_a_module_imports_from_its_own_step_and_earlier_ones() -> None:
    backward = [
        f"{module} imports {name}"
        for module, names in imports().items()
        for name in names
        if module.startswith("classifier.") and step(name) > step(module)
    ]
    assert backward == []
