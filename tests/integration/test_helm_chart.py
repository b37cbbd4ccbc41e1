"""The chart as Helm renders it: valid for three versions of Kubernetes, and coherent."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT
from tests.support.kubernetes import (
    CHART,
    Document,
    container,
    pod_template,
    render,
    run_helm,
    validate,
)

pytestmark = pytest.mark.kubernetes

VERSIONS = ["1.35", "1.36", "1.37"]
LONGEST = "n" * 63
DIGEST = "sha256:" + 64 * "0"
NO_AUTOSCALING = {"autoscaling": {"enabled": False}}
IN_S3 = {"storeUrl": "s3://models/all", "version": "20260131T120000Z-0123abcd"}
ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/classifier"}
SELECTING = {"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "other"}

# Name of the release, and values.
CASES: dict[str, tuple[str, Document]] = {
    "defaults": ("mnist", {}),
    "longest release": ("r" * 53, {}),
    "longest release, like a number": ("1" * 53, {}),
    "release with dots": ("1.5e3", {}),
    "release like a boolean": ("true", {}),
    "longest name": ("mnist", {"fullnameOverride": LONGEST}),
    "no pods": ("mnist", NO_AUTOSCALING | {"replicas": 0}),
    "one pod": ("mnist", NO_AUTOSCALING | {"replicas": 1}),
    "one pod at least": ("mnist", {"autoscaling": {"minReplicas": 1}}),
    "fixed number of pods": ("mnist", NO_AUTOSCALING | {"replicas": 3}),
    "share of pods disrupted": ("mnist", {"podDisruptionBudget": {"maxUnavailable": "50%"}}),
    "private registry": (
        "mnist",
        {
            "image": {"repository": "registry.example:5443/team/mnist", "digest": DIGEST},
            "imagePullSecrets": [{"name": "login"}],
        },
    ),
    "model in S3": ("mnist", {"model": IN_S3, "serviceAccount": {"annotations": ROLE}}),
    "own service account": ("mnist", {"serviceAccount": {"create": False, "name": "given"}}),
    "no service account": ("mnist", {"serviceAccount": {"create": False}}),
    "IPv6": ("mnist", {"host": "::", "service": {"ipFamilyPolicy": "RequireDualStack"}}),
    "load balancer": (
        "mnist",
        {"service": {"type": "LoadBalancer", "annotations": {"example.org/internal": "true"}}},
    ),
    "no gRPC": ("mnist", {"grpc": {"enabled": False}}),
    "other ports": ("mnist", {"ports": {"http": 8080, "grpc": 9090}}),
    "Prometheus operator": (
        "mnist",
        {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    ),
    "no callers": ("mnist", {"networkPolicy": {"allowFrom": [], "metricsFrom": []}}),
    "no network policy": ("mnist", {"networkPolicy": {"enabled": False}}),
    "chosen nodes": (
        "mnist",
        {
            "nodeSelector": {"kubernetes.io/arch": "arm64"},
            "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
            "priorityClassName": "high",
            "topologySpread": {"keys": [], "whenUnsatisfiable": "DoNotSchedule"},
        },
    ),
    "own settings": (
        "mnist",
        {
            "extraArgs": ["--workers", "2"],
            "extraEnv": [
                {"name": "AWS_REGION", "value": "eu-west-1"},
                {
                    "name": "AWS_ENDPOINT_URL",
                    "valueFrom": {"configMapKeyRef": {"name": "minio", "key": "url"}},
                },
            ],
            "podAnnotations": {"example.org/on": "true"},
            "podLabels": SELECTING | {"team": "7"},
            "resources": {"limits": {"cpu": None, "memory": "2Gi"}},
        },
    ),
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, dict[str, Document]]:
    return {case: render(release, values) for case, (release, values) in CASES.items()}


@pytest.fixture(params=CASES)
def resources(
    request: pytest.FixtureRequest, rendered: dict[str, dict[str, Document]]
) -> dict[str, Document]:
    return rendered[request.param]


@pytest.mark.parametrize("version", VERSIONS)
def test_all_resources_are_valid(
    version: str, rendered: dict[str, dict[str, Document]], tmp_path: Path
) -> None:
    distinct = {
        yaml.safe_dump(document)
        for resources in rendered.values()
        for kind, document in resources.items()
        if kind != "ServiceMonitor"  # the operator's own, which Kubernetes has no schema for
    }
    (tmp_path / "all.yaml").write_text("---\n".join(distinct))
    assert validate(version, tmp_path / "all.yaml") == []


def test_the_validation_finds_an_unknown_field_and_a_wrong_type(tmp_path: Path) -> None:
    deployment = render()["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["probe"] = {}
    service = render()["Service"]
    service["spec"]["ports"][0]["port"] = "http"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump_all([deployment, service]))
    unknown, wrong = validate(VERSIONS[0], tmp_path / "wrong.yaml")
    assert "'probe' was unexpected" in unknown
    assert "'http' is not of type 'integer'" in wrong


def test_helm_lints_the_chart_without_a_warning() -> None:
    done = run_helm("lint", "--strict", CHART)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"\[(?:WARNING|ERROR)\].*", done.stdout) == []


def test_every_name_is_valid(resources: dict[str, Document]) -> None:
    """A Service's name is a label that begins with a letter, the strictest of all."""
    for document in resources.values():
        assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])
        assert document["metadata"]["namespace"] == "digits"


def test_all_selectors_match_the_pods(resources: dict[str, Document]) -> None:
    labels = pod_template(resources)["metadata"]["labels"]
    selectors = [resources["Deployment"]["spec"]["selector"]["matchLabels"]]
    selectors += [resources["Service"]["spec"]["selector"]]
    selectors += [
        resources[kind]["spec"][key]["matchLabels"]
        for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"))
        if kind in resources
    ]
    selectors += [
        constraint["labelSelector"]["matchLabels"]
        for constraint in pod_template(resources)["spec"].get("topologySpreadConstraints", [])
    ]
    for selector in selectors:
        assert selector == selectors[0]
        assert selector.items() <= labels.items()
        assert len(selector) == 2


def test_references_name_what_exists(resources: dict[str, Document]) -> None:
    pod = pod_template(resources)["spec"]
    if "ServiceAccount" in resources:
        assert pod["serviceAccountName"] == resources["ServiceAccount"]["metadata"]["name"]
    if "HorizontalPodAutoscaler" in resources:
        target = resources["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        deployment = resources["Deployment"]
        assert target == {
            "apiVersion": deployment["apiVersion"],
            "kind": deployment["kind"],
            "name": deployment["metadata"]["name"],
        }
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert [mount["name"] for mount in container(resources)["volumeMounts"]] == volumes
    ports = {port["name"] for port in container(resources)["ports"]}
    assert {port["targetPort"] for port in resources["Service"]["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(resources)[probe]["httpGet"]["port"] in ports
    if "ServiceMonitor" in resources:
        monitor = resources["ServiceMonitor"]["spec"]
        labels = resources["Service"]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports


def test_either_the_autoscaler_or_the_deployment_states_how_many_pods(
    resources: dict[str, Document],
) -> None:
    states = "replicas" in resources["Deployment"]["spec"]
    assert states is ("HorizontalPodAutoscaler" not in resources)


def test_the_container_has_no_privileges(resources: dict[str, Document]) -> None:
    """The Pod Security Standard `restricted`, and a root file system that can't be written."""
    pod = pod_template(resources)["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000  # no user of a node
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container(resources)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_policy_allows_every_port_of_the_service_and_no_other(
    resources: dict[str, Document],
) -> None:
    if "NetworkPolicy" not in resources:
        return
    ports = {port["name"] for port in container(resources)["ports"]}
    policy = resources["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for rule in policy.get("ingress", []):
        assert rule["from"]
        assert {port["port"] for port in rule["ports"]} <= ports
    if "ingress" in policy:
        assert {port["port"] for port in policy["ingress"][0]["ports"]} == ports


def test_the_defaults_keep_two_pods_and_disrupt_one_at_a_time() -> None:
    resources = render()
    assert resources.keys() == {
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    assert resources["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    scaler = resources["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    keys = [
        constraint["topologyKey"]
        for constraint in pod_template(resources)["spec"]["topologySpreadConstraints"]
    ]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_the_defaults_probe_health_and_readiness_and_declare_resources() -> None:
    server = container(render())
    assert server["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert server["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert server["startupProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    for kind in ("requests", "limits"):
        assert server["resources"][kind].keys() == {"cpu", "memory"}


def test_a_pod_stops_after_requests_have_stopped_arriving() -> None:
    pod = pod_template(render())["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause + 29  # the longest a request may take


@pytest.mark.parametrize("case", ["no pods", "one pod", "one pod at least"])
def test_a_budget_does_not_keep_a_node_from_being_drained(
    case: str, rendered: dict[str, dict[str, Document]]
) -> None:
    assert "PodDisruptionBudget" not in rendered[case]


def test_the_server_gets_the_model_and_its_ports() -> None:
    server = container(render(values={"model": IN_S3} | CASES["own settings"][1]))
    arguments = dict(zip(server["args"][::2], server["args"][1::2], strict=True))
    assert arguments == {
        "--host": "0.0.0.0",
        "--port": "5000",
        "--grpc-port": "5001",
        "--workers": "2",
    }
    assert {port["name"]: port["containerPort"] for port in server["ports"]} == {
        "http": 5000,
        "grpc": 5001,
    }
    environment = {variable["name"]: variable.get("value") for variable in server["env"]}
    assert environment == {
        "MODEL_STORE_URL": "s3://models/all",
        "MODEL_NAME": "mnist",
        "MODEL_VERSION": "20260131T120000Z-0123abcd",
        "MODEL_REFRESH_SECONDS": "0",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": None,
    }


def test_without_a_store_the_image_uses_its_own_and_reaches_nothing() -> None:
    resources = render()
    names = [variable["name"] for variable in container(resources)["env"]]
    assert names == ["MODEL_NAME", "MODEL_VERSION", "MODEL_REFRESH_SECONDS"]
    assert "egress" not in resources["NetworkPolicy"]["spec"]


def test_with_a_store_in_s3_pods_reach_dns_and_https() -> None:
    egress = render(values={"model": IN_S3})["NetworkPolicy"]["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in egress] == [[53, 53], [443]]


def test_prometheus_reaches_http_but_not_grpc() -> None:
    _, metrics = render()["NetworkPolicy"]["spec"]["ingress"]
    namespace = {"kubernetes.io/metadata.name": "monitoring"}
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": namespace}}]
    assert [port["port"] for port in metrics["ports"]] == ["http"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "mnist-serving:{version}"),
        ({"tag": "2"}, "mnist-serving:2"),
        ({"repository": "a.example:5000/b", "digest": DIGEST}, f"a.example:5000/b@{DIGEST}"),
    ],
)
def test_the_image_is_named_by_tag_or_digest(image: Document, expected: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = container(render(values={"image": image}))["image"]
    assert named == expected.format(version=project["version"])


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"replicas": -1}, "'/replicas': minimum: got -1, want 0"),
        ({"replicas": "2"}, "'/replicas': got string, want integer"),
        ({"autoscaling": {"minReplicas": 0}}, "'/autoscaling/minReplicas': minimum: got 0"),
        (
            {"autoscaling": {"minReplicas": 11}},
            "minReplicas must be at most autoscaling.maxReplicas, got 11 and 10",
        ),
        (
            {"resources": {"requests": {"cpu": None}, "limits": {"cpu": None}}},
            "resources.requests.cpu, which is missing",
        ),
        ({"resources": {"limits": {"memory": "1 GB"}}}, "'1 GB' does not match pattern"),
        ({"resources": None}, "missing property 'resources'"),
        ({"fullnameOverride": "n" * 64}, "maxLength: got 64, want 63"),
        ({"fullnameOverride": "Mnist"}, "'/fullnameOverride': 'Mnist' does not match pattern"),
        ({"model": {"storeUrl": "models"}}, "'/model/storeUrl': 'models' does not match pattern"),
        ({"model": {"version": ""}}, "'/model/version': '' does not match pattern"),
        ({"ports": {"http": 80}}, "'/ports/http': minimum: got 80, want 1,024"),
        ({"ports": {"grpc": 5000}}, "ports.http and ports.grpc must differ, got 5000 for both"),
        ({"image": {"digest": "sha256:12"}}, "'/image/digest': 'sha256:12' does not match"),
        ({"image": {"pullPolicy": "Sometimes"}}, "'/image/pullPolicy': value must be one of"),
        ({"podLabels": {"on": True}}, "'/podLabels/on': got boolean, want string"),
        ({"extraEnv": {"AWS_REGION": "eu-west-1"}}, "'/extraEnv': got object, want array"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "'/podDisruptionBudget/maxUnavailable'"),
        ({"networkPolicy": {"allowFrom": ["10.0.0.0/8"]}}, "got string, want object"),
        ({"terminationGracePeriodSeconds": 5}, "minimum: got 5, want 6"),
    ],
)
def test_helm_refuses_odd_values(values: Document, complaint: str) -> None:
    done = run_helm("template", "mnist", CHART, values=values)
    assert done.returncode == 1
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("values", "told", "untold"),
    [
        (
            {},
            ["from the store inside its image", "mnist.digits:5001", "Only pods of the namespace"],
            ["need permission"],
        ),
        (
            {"model": IN_S3, "grpc": {"enabled": False}},
            ["from s3://models/all", "The pods need permission to read s3://models/all"],
            ["gRPC", "comes with a new image"],
        ),
        (
            {"model": IN_S3, "networkPolicy": {"enabled": False}},
            ["-n digits port-forward service/mnist 5000:5000"],
            ["Only pods"],
        ),
    ],
)
def test_the_notes_say_what_to_do_next(
    values: Document, told: list[str], untold: list[str]
) -> None:
    arguments = ("install", "mnist", CHART, "--namespace", "digits", "--dry-run=client")
    done = run_helm(*arguments, values=values)
    notes = done.stdout.partition("NOTES:")[2]
    assert [phrase for phrase in told if phrase not in notes] == []
    assert [phrase for phrase in untold if phrase in notes] == []


def test_helm_takes_the_commands_and_values_of_the_page() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    commands = re.findall(
        r"^helm (?:install|upgrade) (.+)$", page.replace("\\\n", ""), re.MULTILINE
    )
    values = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert (len(commands), len(values)) == (2, 1)
    for command in commands:
        arguments = command.replace("--reset-then-reuse-values", "").replace(
            "infra", f"{ROOT}/infra"
        )
        done = run_helm("template", *shlex.split(arguments), values=values[0])
        assert done.returncode == 0, done.stderr
    assert "port: 9000" in done.stdout
    assert '"s3://my-models/models"' in done.stdout
    assert "eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/classifier" in done.stdout
