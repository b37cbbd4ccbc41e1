"""What tests need beyond Python packages: marked by name, checked once, skipped if missing.

A test that asks for a fixture of a need's name (`docker`) has its mark. Where CI is set nothing may
be skipped: whatever is, for this reason or another, fails.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from functools import cache
from importlib.util import find_spec

import pytest

from tests.support import ROOT
from tests.support.helm import helm

CI = os.environ.get("CI", "").lower() in {"1", "true"}


def _keras() -> str:
    return "" if find_spec("tensorflow") else "TensorFlow is in .venv/model: `make test-all`"


def _docker() -> str:
    try:
        engine = subprocess.run(
            ["docker", "info"], capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return "there is no `docker` command"
    except subprocess.TimeoutExpired:
        return "`docker info` took more than 30 s"
    return f"no Docker engine answers: {engine.stderr.strip()}" if engine.returncode else ""


def _browser() -> str:
    browser = shutil.which("chromium") and shutil.which("chromedriver")
    return "" if browser else "no browser: install Debian's `chromium` and `chromium-driver`"


def _program(name: str, hint: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"there is no `{name}` command: {hint}"


def _environment(name: str) -> Callable[[], str]:
    folder = ROOT / ".venv" / name
    return lambda: "" if folder.exists() else f"run `make .venv/{name}/.installed`"


def _linters() -> str:
    if missing := _environment("node")():
        return missing
    return "" if shutil.which("node") else "there is no `node` command: install Node.js 20 or later"


def _kubernetes() -> str:
    if missing := _environment("kubernetes")():
        return missing
    return "" if helm() else "the environment's Helm is for Linux on x86-64: install `helm`"


# Each gives the sentence that says what is missing, or nothing.
NEEDS: dict[str, Callable[[], str]] = {
    name: cache(probe)
    for name, probe in {
        "keras": _keras,
        "docker": _docker,
        "browser": _browser,
        "curl": _program("curl", "install it to run the examples of the shell"),
        "node": _program("node", "install Node.js 20 or later to run the JavaScript"),
        "sam": _environment("sam"),
        "clients": _environment("clients"),
        "linters": _linters,
        "emulator": _environment("emulator"),
        "kubernetes": _kubernetes,
    }.items()
}


def pytest_configure(config: pytest.Config) -> None:
    for name in NEEDS:
        config.addinivalue_line("markers", f"{name}: needs it; skipped by name without it")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in NEEDS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in sorted(NEEDS.keys() & {mark.name for mark in item.iter_markers()}):
        if missing := NEEDS[name]():
            pytest.skip(f"{name}: {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{reason} (CI is set: nothing may be skipped)"
    return report
