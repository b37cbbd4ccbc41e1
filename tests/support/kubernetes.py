"""The chart as Helm renders it, and Kubernetes' schemas, from `.venv/kubernetes`."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT
from tests.support.helm import PROGRAMS, helm

CHART = ROOT / "infra" / "chart"

type Document = dict[str, Any]


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


def pod_template(resources: dict[str, Document]) -> Document:
    """Template of the Deployment's pods."""
    template: Document = resources["Deployment"]["spec"]["template"]
    return template


def container(resources: dict[str, Document]) -> Document:
    """Container of the Deployment's pods, of which there is one."""
    server: Document
    (server,) = pod_template(resources)["spec"]["containers"]
    return server


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


def check_kserve(value: Any, kind: str = "V1beta1InferenceService") -> None:
    """Fail unless a value has the type that the models of KServe's API give it.

    Types of Kubernetes itself are left to `validate`.
    """
    if element := re.fullmatch(r"list\[(.*)\]", kind):
        for one in value:
            check_kserve(one, element[1])
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind
    elif kind.startswith("V1beta1"):
        types = _kserve_model(kind)
        assert value.keys() <= types.keys(), f"{kind} has no {value.keys() - types.keys()}"
        for key, member in value.items():
            check_kserve(member, types[key])


def _kserve_model(kind: str) -> dict[str, str]:
    """Members of a model with their types. The package itself imports a whole server."""
    name = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    packages = ROOT / ".venv" / "kubernetes" / "lib"
    (file,) = packages.glob(f"python*/site-packages/kserve/models/{name}.py")
    (definition,) = (
        node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)
    )
    tables = {
        target.id: ast.literal_eval(node.value)
        for node in definition.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")
    }
    keys = tables["attribute_map"]
    return {keys[attribute]: of for attribute, of in tables["openapi_types"].items()}
