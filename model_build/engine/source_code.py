"""The project's source code that a module runs: its import closure, without importing it."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

PACKAGES: Mapping[str, Path] = {
    package: Path(str(files(package))) for package in ("model_build", "classifier", "drift_check")
}


def import_closure(module: str, packages: Mapping[str, Path] = PACKAGES) -> dict[str, Path]:
    """Source files by module: the module and everything it imports, directly or not.

    Imports inside functions count, those for type checkers alone do not. packages: folders of the
    packages to follow; imports from elsewhere are ignored.
    """
    closure: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = _file(name, packages)
        if path is None or name in closure:
            continue
        closure[name] = path
        pending += [name.rpartition(".")[0], *_imports(ast.parse(path.read_bytes()))]
    return dict(sorted(closure.items()))


@cache
def source_digest(module: str, packages: tuple[tuple[str, Path], ...]) -> str:
    """SHA-256 of the import closure's source.

    Computed once per process: modules that are imported do not change either.
    """
    digest = hashlib.sha256()
    for name, path in import_closure(module, dict(packages)).items():
        digest.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _file(module: str, packages: Mapping[str, Path]) -> Path | None:
    """File of a module; None for anything else, such as a function or a module elsewhere."""
    package, *parts = module.split(".")
    if package not in packages:
        return None
    base = packages[package].joinpath(*parts)
    candidates = (base / "__init__.py", base.parent / f"{base.name}.py")
    return next((path for path in candidates if path.is_file()), None)


def _imports(node: ast.AST) -> Iterator[str]:
    """Names that may be modules; `from a import b` may import the module a.b."""
    children = ast.iter_child_nodes(node)
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            children = iter(node.orelse)
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            yield module
            yield from (f"{module}.{alias.name}" for alias in names)
        case ast.ImportFrom(lineno=line):
            raise ValueError(f"line {line} has a relative import; the project's are absolute")
    for child in children:
        yield from _imports(child)
