"""`model_build export --to kserve` writes what the APIs of KServe and Kubernetes describe."""

import copy
from pathlib import Path

import pytest
import yaml

from classifier.model.manifest import Manifest
from model_build.exporting import kserve
from tests.support.kubernetes import Document, check_kserve, container, render, validate
from tests.support.manifests import describe

pytestmark = pytest.mark.kubernetes

MANIFEST = Manifest.from_document(describe(b"model"))


def export(*, triton: str = "", service_account: str = "") -> Document:
    files = kserve.files(
        MANIFEST,
        "s3://models/all",
        image="mnist-serving:1",
        service_account=service_account,
        triton=triton,
    )
    document: Document = yaml.safe_load(files["inference-service.yaml"])
    return document


@pytest.mark.parametrize("triton", ["", "s3://models/triton"])
@pytest.mark.parametrize("service_account", ["", "reader"])
def test_kserve_knows_every_field(triton: str, service_account: str) -> None:
    check_kserve(export(triton=triton, service_account=service_account))


def test_a_field_that_kserve_lacks_or_a_wrong_type_fails() -> None:
    wrong = export(triton="s3://models/triton")
    for key, value in (("storageUrl", "s3://models"), ("protocolVersion", 2)):
        document = copy.deepcopy(wrong)
        document["spec"]["predictor"]["model"][key] = value
        with pytest.raises(AssertionError):
            check_kserve(document)


@pytest.mark.parametrize("version", ["1.35", "1.36", "1.37"])
def test_kubernetes_takes_the_container(version: str, tmp_path: Path) -> None:
    predictor = export(service_account="reader")["spec"]["predictor"]
    spec = {key: value for key, value in predictor.items() if key != "minReplicas"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mnist"}, "spec": spec}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    assert validate(version, tmp_path / "pod.yaml") == []


def test_the_container_is_confined_as_the_chart_s_is() -> None:
    """KServe's has in its own security context what the chart states for the whole pod."""
    (exported,) = export()["spec"]["predictor"]["containers"]
    resources = render()
    pod = resources["Deployment"]["spec"]["template"]["spec"]["securityContext"]
    confined = container(resources)["securityContext"] | {
        key: pod[key] for key in ("runAsNonRoot", "runAsUser", "seccompProfile")
    }
    assert exported["securityContext"] == confined
    assert exported["resources"] == container(resources)["resources"]
    for probe in ("readinessProbe", "livenessProbe"):
        path = container(resources)[probe]["httpGet"]["path"]
        assert exported[probe]["httpGet"] == {"path": path, "port": 5000}
