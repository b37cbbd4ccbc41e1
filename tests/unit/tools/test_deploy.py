"""`make deploy` and `make rollback`: names, records and recovery; tests/e2e runs them whole."""

import hashlib
import http.server
import json
import os
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from model_build.errors import BadSignature, NotInStore
from model_build.store.model_store import MANIFEST, ModelStore
from model_build.store.signing import PrivateKey
from tests.support.keys import write_key
from tests.support.manifests import describe
from tools import deploy, deployment
from tools.deploy import DeployFailed
from tools.stack import Release, Stack, StackFailed

NAME = "classifier-test"
REGION = "us-east-1"
VERSION = "20260131T120000Z-0123abcd"
LABEL = '{{index .Config.Labels "classifier-on-lambda.stand-in"}}'  # how Docker is asked for it


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A name in an account without stacks."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("tools.stack.POLL_SECONDS", 0.01)
    with mock_aws():
        yield Stack(NAME, REGION)


def put(stack: Stack, release: str, package: str = "Image", **parameters: str) -> None:
    """Create or update the stack: a bucket, what stands for the function, and parameters."""
    template = {
        "Parameters": {name: {"Type": "String"} for name in ("Release", *parameters)},
        "Resources": {
            "ModelBucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"},
            "PredictFunction": {"Type": "AWS::SNS::Topic", "Properties": {"PackageType": package}},
        },
        "Outputs": {
            "ModelBucketName": {"Value": {"Ref": "ModelBucket"}},
            "ModelStoreUrl": {"Value": {"Fn::Sub": "s3://${ModelBucket}/models"}},
        },
    }
    cloudformation = boto3.client("cloudformation", REGION)
    values = {"Release": release} | parameters
    action = cloudformation.update_stack if stack.described() else cloudformation.create_stack
    action(
        StackName=NAME,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": n, "ParameterValue": v} for n, v in values.items()],
    )


def set_status(status: str) -> None:
    (found,) = cloudformation_backends["123456789012"][REGION].stacks.values()
    found.status = status


def test_without_a_stack_there_is_nothing_to_repair_and_nothing_to_go_back_to(stack: Stack) -> None:
    assert stack.described() is None
    assert stack.repair() is False
    with pytest.raises(StackFailed, match="run make deploy first"):
        stack.former()


def test_a_stack_whose_creation_failed_is_removed(stack: Stack) -> None:
    """It never worked, and CloudFormation can't update it."""
    put(stack, "a")
    set_status("ROLLBACK_COMPLETE")
    assert stack.repair() is False
    assert stack.described() is None


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"]
)
def test_a_stack_at_rest_is_left_as_it_is(stack: Stack, status: str) -> None:
    put(stack, "a")
    set_status(status)
    assert stack.repair() is True


def test_a_change_set_that_was_never_executed_is_no_stack(stack: Stack) -> None:
    put(stack, "a")
    set_status("REVIEW_IN_PROGRESS")
    assert stack.repair() is False


def test_a_state_that_needs_a_person_is_named(stack: Stack) -> None:
    put(stack, "a")
    set_status("UPDATE_FAILED")
    with pytest.raises(StackFailed, match="is in UPDATE_FAILED; see its events"):
        stack.repair()


def test_an_operation_under_way_is_waited_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a limit that leaves time for a canary and its rollback."""
    put(stack, "a")
    set_status("UPDATE_IN_PROGRESS")
    monkeypatch.setattr("tools.stack.PATIENCE_SECONDS", 0.1)
    with pytest.raises(StackFailed, match="still changes"):
        stack.repair()


def test_rollback_goes_back_one_release_at_a_time(stack: Stack) -> None:
    """Each with its parameters; the records of later releases are deleted."""
    for before, name in ((None, "a"), ("a", "b"), ("b", "c")):
        if before:
            stack.remember({})
        put(stack, name, ModelVersion=f"model-{name}")
    for expected in ("b", "a"):
        release, keys = stack.former()
        assert release.name == expected
        assert release.overrides == [f"ModelVersion=model-{expected}", f"Release={expected}"]
        put(stack, release.name, ModelVersion=release.parameters["ModelVersion"])
        stack.forget(keys)
    with pytest.raises(StackFailed, match="has no release before a"):
        stack.former()


def test_a_deploy_that_failed_leaves_no_release_to_go_back_to(stack: Stack) -> None:
    """Its record equals the deployed release, and is skipped."""
    put(stack, "a")
    stack.remember({})
    put(stack, "b")
    stack.remember({})  # and then `sam deploy` was rolled back, or never got there
    release, keys = stack.former()
    assert release.name == "a"
    assert len(keys) == 2


def test_a_release_is_named_by_commit_model_and_parameters() -> None:
    """A change to any of them gives another name, which is a valid image tag."""
    parameters = {"Environment": "dev", "MemorySize": "1769"}
    version = "20260131T120000Z-0123abcd"
    name = deploy.release_name("1a2b3c4", version, parameters)
    assert name.startswith(f"1a2b3c4-{version}-")
    assert name == deploy.release_name("1a2b3c4", version, {**parameters, "Release": "x"})
    assert name != deploy.release_name("1a2b3c4", version, parameters | {"MemorySize": "3008"})
    assert deploy.release_name("1a2b3c4", None, {}).startswith("1a2b3c4-no-model-")
    assert len(name) <= 100


def test_what_is_released_is_what_the_channel_points_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named version must exist; without a promoted one, a message says what to run."""
    store = ModelStore(f"file://{tmp_path}")
    assert deploy.resolve(store, "mnist", "production") is None
    assert "run make model" in capsys.readouterr().out
    with pytest.raises(NotInStore):
        deploy.resolve(store, "mnist", "20260131T120000Z-0123abcd")
    document = describe(b"a model")
    store.publish(document, b"a model")
    store.promote("mnist", document["version"], "production")
    assert deploy.resolve(store, "mnist", "production") == document["version"]
    assert deploy.resolve(store, "mnist", document["version"]) == document["version"]


def test_a_version_with_doubts_is_released_once_it_was_promoted_in_spite_of_them(
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path.as_uri())
    document = describe(b"a model") | {"doubts": ["2 of 10 answers are right"]}
    version = store.publish(document, b"a model").version
    with pytest.raises(deploy.DeployFailed, match="has doubts: 2 of 10 answers are right"):
        deploy.resolve(store, "mnist", version)
    store.promote("mnist", version, "production", force=True)
    assert deploy.resolve(store, "mnist", version) == version


def unpinned(version: str, key: str = "") -> dict[str, str]:
    """Parameters of a stack, before a deploy pins a manifest."""
    return {"ModelName": "mnist", "ModelVersion": version, "ModelSigningKey": key}


def test_a_deploy_pins_the_manifest_of_a_version_and_none_of_a_channel(tmp_path: Path) -> None:
    store = ModelStore(tmp_path.as_uri())
    version = store.publish(describe(b"a model"), b"a model").version
    digest = hashlib.sha256(store.file("mnist", version, MANIFEST)).hexdigest()
    assert deploy.pin(store, unpinned(version)) == digest
    assert deploy.pin(store, unpinned("production")) == ""


def test_a_stack_with_a_key_is_deployed_with_signed_versions_alone(tmp_path: Path) -> None:
    """And not with a channel, whose version could be another tomorrow."""
    key = PrivateKey(write_key(tmp_path / "key.pem"))
    store = ModelStore((tmp_path / "store").as_uri(), signing_key=key.public)
    version = store.publish(describe(b"a model"), b"a model").version
    with pytest.raises(BadSignature, match="python -m model_build sign"):
        deploy.resolve(store, "mnist", version)
    with pytest.raises(DeployFailed, match="would follow the channel production"):
        deploy.pin(store, unpinned("production", key.public))
    store.sign("mnist", version, key.sign)
    assert deploy.resolve(store, "mnist", version) == version
    assert len(deploy.pin(store, unpinned(version, key.public))) == 64


def test_a_first_deploy_with_a_key_refuses_an_unsigned_model_before_it_builds(
    make_deploy: Callable[..., tuple[int, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs no hook, which would check the signature otherwise."""
    key = PrivateKey(write_key(tmp_path / "key.pem"))
    store = ModelStore(tmp_path.as_uri())
    version = store.publish(describe(b"a model"), b"a model").version
    store.promote("mnist", version, "production")
    signing = f"ModelSigningKey={key.public}"
    assert make_deploy("", "deploy", signing) == (1, "")
    assert "has no manifest.sig" in capsys.readouterr().err
    store.sign("mnist", version, key.sign)
    status, log = make_deploy("", "deploy", signing)
    assert status == 1  # the SAM CLI of this test deploys nothing
    assert f" ManifestSha256={deploy.pin(store, unpinned(version))} " in log.splitlines()[-1]


def test_a_record_in_the_bucket_does_not_decide_what_a_rollback_trusts(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can write records could leave out the key, or name one of their own."""
    key, own = (PrivateKey(write_key(tmp_path / name)) for name in ("key.pem", "own.pem"))
    store = ModelStore((tmp_path / "store").as_uri(), signer=own.sign)
    version = store.publish(describe(b"a model"), b"a model").version
    put(stack, "a", ModelSigningKey=key.public)
    monkeypatch.setattr(Stack, "outputs", lambda _: {"ModelStoreUrl": store.url})
    template = json.dumps({"Parameters": {"ModelSigningKey": {}, "ManifestSha256": {}}})
    for claimed in ("", own.public):
        record = Release(template, unpinned(version, claimed) | {"ManifestSha256": "0" * 64})
        with pytest.raises(BadSignature, match="is not a signature by the key"):
            deploy.still_signed(stack, record)
    store.sign("mnist", version, key.sign)
    parameters = deploy.still_signed(stack, record).parameters
    digest = hashlib.sha256(store.file("mnist", version, MANIFEST)).hexdigest()
    assert parameters == unpinned(version, key.public) | {"ManifestSha256": digest}
    with pytest.raises(DeployFailed, match="is older than ModelSigningKey"):
        deploy.still_signed(stack, Release('{"Parameters": {}}', unpinned(version)))


def test_a_stack_without_a_key_rolls_back_as_recorded(stack: Stack) -> None:
    put(stack, "a")
    release = Release("{}", {"ModelVersion": "production"})
    assert deploy.still_signed(stack, release) is release


TEMPLATE = {
    "Parameters": {
        "Architecture": {"Default": "x86_64"},
        "MemorySize": {"Default": 1769},
        "ModelName": {"Default": "mnist"},
    }
}


@pytest.mark.parametrize(
    ("deployed", "configured", "requested", "expected"),
    [
        ({}, [], [], ("x86_64", "1769", "mnist")),
        ({"Architecture": "arm64", "ModelName": "a"}, [], [], ("arm64", "1769", "a")),
        ({"Architecture": "arm64"}, ["Architecture=x86_64"], [], ("x86_64", "1769", "mnist")),
        ({"MemorySize": "1"}, ["MemorySize=2"], ["MemorySize=3"], ("x86_64", "3", "mnist")),
        ({"Former": "1"}, [], ["ModelName=a=b"], ("x86_64", "1769", "a=b")),
    ],
)
def test_a_parameter_that_is_not_set_stays_as_deployed(
    deployed: dict[str, str],
    configured: list[str],
    requested: list[str],
    expected: tuple[str, ...],
) -> None:
    """Command line, samconfig.toml, stack, template: the first that has a value wins."""
    parameters = deploy.effective(TEMPLATE, deployed, configured, requested)
    assert parameters == dict(zip(TEMPLATE["Parameters"], expected, strict=True))


def test_a_parameter_that_the_template_lacks_is_refused() -> None:
    """The SAM CLI would ignore it."""
    with pytest.raises(deploy.DeployFailed, match=r"no parameter Architektur; .* Architecture, "):
        deploy.effective(TEMPLATE, {}, [], ["Architektur=arm64"])


BUILT = {
    "Resources": {
        "PredictFunction": {
            "Properties": {
                "ImageUri": "predictfunction:a",
                "Environment": {"Variables": {"RELEASE": {"Ref": "Release"}}},
            }
        }
    }
}


@pytest.fixture
def make_deploy(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Returns a function that deploys with this label on the base image: exit status, SAM's log.

    The SAM CLI and Docker are scripts that log how they are called: `sam build` has built
    an image, `sam deploy` fails.
    """
    (tmp_path / "built.yaml").write_text(json.dumps(BUILT))
    log = tmp_path / "log"
    programs = {
        "sam": f"""echo "ARCH=$ARCH $@" >> {log}
            [ "$1" = build ] || exit ${{SAM_DEPLOY_STATUS-3}}
            mkdir -p {tmp_path}/build/image/build
            cp {tmp_path}/built.yaml {tmp_path}/build/image/build/template.yaml""",
        "docker": f"""[ "$5" = predictfunction:a ] && [ "$4" = '{LABEL}' ] && echo "$LABEL" """,
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    settings = tmp_path / "samconfig.toml"
    settings.write_text(f'[default.deploy.parameters]\nstack_name = "{NAME}"\n')
    monkeypatch.setattr(deploy, "FOLDER", tmp_path / "build")
    monkeypatch.setattr(deployment, "SAM", tmp_path / "sam")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)

    def run(label: str, command: str = "deploy", *parameters: str) -> tuple[int, str]:
        monkeypatch.setenv("LABEL", label)
        options = ["--env", "dev", "--settings", str(settings), "--store", f"file://{tmp_path}"]
        log.touch()
        return deploy.main([command, *options, *parameters]), log.read_text()

    return run


def test_the_second_deploy_builds_with_the_parameters_of_the_first(
    stack: Stack, make_deploy: Callable[..., tuple[int, str]]
) -> None:
    """`make deploy PARAMETERS="Architecture=arm64 ModelName=fashion"`, then `make deploy`."""
    put(stack, "a", Architecture="arm64", ModelName="fashion")
    _, log = make_deploy("")
    build, release = log.splitlines()
    for line in (build, release):
        assert line.startswith("ARCH=arm64 ")  # which the layer's Makefile reads
        assert " Architecture=arm64 " in line
        assert " ModelName=fashion " in line


FOLLOWING = [
    pytest.param({"ModelName": "mnist,clothes"}, id="several models"),
    pytest.param(
        {"ModelName": "mnist", "ModelRefreshSeconds": "300"}, id="a refresh", marks=pytest.mark.slow
    ),
]


@pytest.fixture(params=FOLLOWING)
def following(
    request: pytest.FixtureRequest, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Parameters of a stack that follows its channels, which is there; `sam deploy` works."""
    parameters: dict[str, str] = {"ModelVersion": "production"} | request.param
    put(stack, "a", **parameters)
    monkeypatch.setenv("SAM_DEPLOY_STATUS", "0")
    monkeypatch.setattr(deploy, "smoke", lambda *_: None)
    monkeypatch.setattr(
        Stack, "outputs", lambda self: outputs(self) | {"PredictUrl": "https://api.example.org"}
    )
    return parameters


outputs = Stack.outputs


def to_release(store: ModelStore, parameters: dict[str, str], minute: int) -> dict[str, str]:
    """Publish and promote a version of each model."""
    versions = {}
    for name in parameters["ModelName"].split(","):
        document = describe(name.encode(), name=name, minute=minute)
        store.publish(document, name.encode())
        store.promote(name, document["version"], "production")
        versions[name] = document["version"]
    return versions


def test_a_stack_with_several_models_or_a_refresh_follows_the_channel(
    stack: Stack,
    make_deploy: Callable[..., tuple[int, str]],
    tmp_path: Path,
    following: dict[str, str],
) -> None:
    """New models are a new release, for environments to start again."""
    releases = set()
    for minute in (0, 1):
        versions = to_release(ModelStore(tmp_path.as_uri()), following, minute)
        status, log = make_deploy("")
        assert status == 0
        *_, line = log.splitlines()
        assert " ModelVersion=production " in line
        releases.add(line.partition(" Release=")[2])
        assert deploy.channels(stack, versions) == versions
    assert len(releases) == 2
    put(stack, "b", **following)
    release, _ = stack.former()
    assert release.models.keys() == versions.keys()
    assert release.models != versions, "those that the new ones took the place of"


@pytest.mark.parametrize("following", FOLLOWING[:1], indirect=True)
def test_after_a_release_that_failed_the_channels_point_back(
    stack: Stack,
    make_deploy: Callable[..., tuple[int, str]],
    tmp_path: Path,
    following: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They pointed to the new models before it began: the hook asks for these."""
    target = ModelStore(stack.outputs()["ModelStoreUrl"])
    served = to_release(target, following, 0)
    refused = to_release(ModelStore(tmp_path.as_uri()), following, 1)
    monkeypatch.setenv("SAM_DEPLOY_STATUS", "3")
    assert make_deploy("")[0] == 1
    assert deploy.channels(stack, served) == served
    for name, version in refused.items():
        pointer = target.channel(name, "production")
        assert pointer
        assert pointer["rolled_back"] == [version]


@pytest.mark.parametrize("following", FOLLOWING[:1], indirect=True)
@pytest.mark.parametrize("status", [0, 1])
def test_a_rollback_takes_models_on_channels_back_too(
    stack: Stack,
    make_deploy: Callable[..., tuple[int, str]],
    following: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    """Unless it fails."""
    target = ModelStore(stack.outputs()["ModelStoreUrl"])
    former = to_release(target, following, 0)
    stack.remember(former)
    current = to_release(target, following, 1)
    put(stack, "b", **following)
    monkeypatch.setenv("SAM_DEPLOY_STATUS", str(status))
    assert make_deploy("", "rollback")[0] == status
    assert deploy.channels(stack, former) == (current if status else former)


def test_one_model_is_pinned_and_promoted_once_it_has_the_traffic(
    stack: Stack, make_deploy: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    document = describe(b"a model")
    source = ModelStore(tmp_path.as_uri())
    source.publish(document, b"a model")
    source.promote("mnist", document["version"], "production")
    put(stack, "a")
    _, log = make_deploy("")
    assert f" ModelVersion={document['version']} " in log
    assert ModelStore(stack.outputs()["ModelStoreUrl"]).channel("mnist", "production") is None


def test_an_image_on_the_stand_in_is_not_shipped(
    stack: Stack,
    make_deploy: Callable[..., tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To an account; an image on AWS's own base, which lacks the label, is deployed."""
    status, log = make_deploy("true")
    assert status == 1
    assert "predictfunction:a was built on the stand-in" in capsys.readouterr().err
    assert " deploy " not in log
    _, log = make_deploy("")
    assert " deploy " in log


def test_another_packaging_of_a_stack_is_refused(
    stack: Stack,
    make_deploy: Callable[..., tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is built: the replaced function would be without a canary and a way back."""
    put(stack, "a", package="Zip")
    status, log = make_deploy("")
    assert status == 1
    assert log == ""
    said = capsys.readouterr().err
    assert f"stack {NAME} has its function as zip; deploying it as image would replace" in said
    assert "PACKAGE=zip" in said

    # Nor does a rollback go back to it.
    stack.remember({})
    put(stack, "b", package="Image")
    status, log = make_deploy("", "rollback")
    assert status == 1
    assert log == ""
    assert "PACKAGE=image" in capsys.readouterr().err


def test_a_zip_is_deployed_without_image_repositories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `resolve_image_repos` and no image, SAM deletes the repositories that it made before."""
    monkeypatch.setattr(deploy, "FOLDER", tmp_path)
    settings = tomllib.loads(deploy.SETTINGS.read_text())
    assert tomllib.loads(deploy.settings_for("image", deploy.SETTINGS).read_text()) == settings
    for section in (*deploy.ENVIRONMENTS.values(), "batch"):
        del settings[section]["deploy"]["parameters"]["resolve_image_repos"]
    assert tomllib.loads(deploy.settings_for("zip", deploy.SETTINGS).read_text()) == settings


@pytest.fixture
def ask_gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[int]], int]]:
    """Returns a function that smoke-tests a gateway with these statuses, and counts requests."""
    asked: list[str | None] = []
    statuses: list[int] = []

    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses[min(len(asked), len(statuses) - 1)]
            asked.append(self.headers["x-api-key"])
            answer = {"prediction": 0, "model": {"version": VERSION}} if status == 200 else {}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(deploy, "PAUSE_SECONDS", 0.0)
    outputs = {"PredictUrl": f"http://127.0.0.1:{server.server_port}/predict"}
    deployed: Any = SimpleNamespace(outputs=lambda: outputs, api_key=lambda: "sesame")

    def run(given: list[int]) -> int:
        statuses[:] = given
        deploy.smoke(deployed, "mnist", VERSION)
        assert set(asked) == {"sesame"}
        return len(asked)

    yield run
    server.shutdown()
    server.server_close()


def test_the_smoke_test_waits_for_the_gateway_to_know_its_key(
    ask_gateway: Callable[[list[int]], int],
) -> None:
    """A new key, path or deployment takes up to a minute to reach it."""
    assert ask_gateway([403, 404, 502, 503, 200]) == 5


@pytest.mark.parametrize("status", [403, 503, 422])
def test_the_smoke_test_fails_in_the_end(
    ask_gateway: Callable[[list[int]], int], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once if waiting does not help."""
    if status != 422:
        monkeypatch.setattr(deploy, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(deploy.DeployFailed, match=f"returned {status} .*, expected 200"):
        ask_gateway([status])


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("https://cloudformation.eu-west-1.amazonaws.com", False),
        ("https://localhost.example.org", False),
    ],
)
def test_an_emulator_is_not_an_account(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, *, expected: bool
) -> None:
    """There, an image on the stand-in does no harm."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert Stack(NAME, REGION).is_local is expected


@pytest.mark.parametrize("environment", deploy.ENVIRONMENTS)
def test_each_environment_has_settings(environment: str) -> None:
    settings = tomllib.loads(deploy.SETTINGS.read_text())
    parameters = settings[deploy.ENVIRONMENTS[environment]]["deploy"]["parameters"]
    assert parameters["stack_name"] == f"classifier-{environment}"
    assert f"Environment={environment}" in parameters["parameter_overrides"].split()


def test_a_parameter_is_name_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deploy.main(["deploy", "--env", "dev", "MemorySize"])
    assert "expected NAME=VALUE, got 'MemorySize'" in capsys.readouterr().err


def test_a_rollback_without_a_stack_says_what_to_run(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert deploy.main(["rollback", "--env", "dev"]) == 1
    assert "there is no stack classifier-dev" in capsys.readouterr().err


def test_an_empty_parameter_is_quoted_for_the_sam_cli() -> None:
    """It rejects a bare NAME=."""
    release = Release("", {"CorsOrigin": "", "AuthMode": "Iam"})
    assert release.overrides == ["AuthMode=Iam", 'CorsOrigin=""']
