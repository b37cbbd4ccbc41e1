"""Helm, and the schemas of Kubernetes, from the environment `.venv/kubernetes`."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT

PROGRAMS = ROOT / ".venv" / "kubernetes" / "bin"
CHART = ROOT / "infra" / "chart"

type Document = dict[str, Any]


@cache
def helm() -> str:
    """Path of a Helm that runs here, or empty: the environment's, or the one on the PATH."""
    for path in (str(PROGRAMS / "helm"), shutil.which("helm") or ""):
        try:
            subprocess.run([path, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    return ""


def run_helm(
    *arguments: str | Path, values: Document | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Helm with values from standard input."""
    return subprocess.run(
        [helm(), *arguments, "--values", "-"],
        input=yaml.safe_dump(values or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def render(release: str = "mnist", values: Document | None = None) -> dict[str, Document]:
    """Render the chart in the namespace `digits`; return its resources by kind."""
    done = run_helm("template", release, CHART, "--namespace", "digits", values=values)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    resources = {document["kind"]: document for document in documents}
    assert len(resources) == len(documents)
    return resources


def validate(version: str, file: Path) -> list[str]:
    """Validate a file against the strict schemas of a version of Kubernetes; return complaints."""
    done = subprocess.run(
        [PROGRAMS / "kubernetes-validate", "-k", version, "--strict", "--quiet", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()
