"""`make deploy` and `make rollback` as they are, on MiniStack: `sam build`, `sam deploy`, a POST.

MiniStack shifts no traffic and raises no alarms: tests/unit/templates looks at resources
for it, and the tests call the hook themselves, as CodeDeploy would.
"""

import dataclasses
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_build.store.model_store import MANIFEST, ModelStore, copy
from model_build.store.signing import PrivateKey
from tests.support import ROOT
from tests.support.keys import public_key, write_key
from tests.support.manifests import describe
from tools import deploy, deployment, emulator
from tools.stack import Stack

pytestmark = [pytest.mark.sam, pytest.mark.emulator]

NAME = "classifier-e2e"
TIMEOUT = 900.0


@dataclasses.dataclass
class Cloud:
    """A local AWS, the settings for deploys to it, and a store with models to ship."""

    aws: emulator.Emulator
    package: str
    folder: Path
    built_for: list[str]  # parameters of the first deploy, which the later ones keep
    good: str
    newer: str
    poisoned: str

    def make(self, task: str, *parameters: str, model: str = "", fails: bool = False) -> str:
        """Run `make deploy` or `make rollback`, and return what it printed."""
        variables = [f"SETTINGS={self.folder}/samconfig.toml", f"PARAMETERS={' '.join(parameters)}"]
        variables += [f"PACKAGE={self.package}", f"STORE=file://{self.folder}/store"]
        variables += [f"MODEL={model}"] if model else []
        done = subprocess.run(
            ["make", task, *variables],
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, printed
        return printed

    def refuses(self, sentence: str, *parameters: str) -> None:
        """Deploy what says this and changes nothing."""
        before = Stack(NAME).current()
        assert sentence in self.make("deploy", *parameters, model=self.newer, fails=True)
        assert Stack(NAME).current() == before

    def client(self, service: str) -> Any:
        return deployment.client(service, self.aws)

    def live(self) -> str:
        """The version that the alias points to."""
        name = Stack(NAME).outputs()["FunctionName"]
        alias = self.client("lambda").get_alias(FunctionName=name, Name="live")
        return str(alias["FunctionVersion"])

    def documents(self, bucket: str) -> list[dict[str, Any]]:
        """The JSON documents in a bucket."""
        s3 = self.client("s3")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        bodies = [s3.get_object(Bucket=bucket, Key=k)["Body"] for k in keys if k.endswith(".json")]
        return [json.loads(body.read()) for body in bodies]

    def post(self, *, key: bool = True) -> tuple[int, dict[str, Any]]:
        """Status and answer of POST /predict through API Gateway."""
        stack = Stack(NAME)
        url = deployment.local_url(stack.outputs()["PredictUrl"], self.aws)
        headers = {"Content-Type": "image/png"}
        if key:
            headers["x-api-key"] = stack.api_key() or ""
        picture = (deploy.GOLDEN / "mnist/7-a.png").read_bytes()
        request = urllib.request.Request(url, picture, headers)
        try:
            tls = ssl.create_default_context(cafile=self.aws.certificate)
            with urllib.request.urlopen(request, timeout=60, context=tls) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def verdict(self) -> dict[str, Any]:
        """The hook's verdict on the newest version."""
        return self.ask("PreTrafficFunctionName")

    def ask(self, output: str) -> dict[str, Any]:
        """Invoke one of the small functions and return its response."""
        name = Stack(NAME).outputs()[output]
        answer = self.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        said: dict[str, Any] = json.loads(answer["Payload"].read())
        return said


@pytest.fixture(params=["zip", pytest.param("image", marks=pytest.mark.docker)])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """An empty account, and a store with three versions of one model, the last one poisoned."""
    built_for = [f"Architecture={deployment.architecture()}"]
    if request.param == "image":
        built_for += [f"BaseImage={request.getfixturevalue('base_image')}"]
    local = ModelStore(deploy.LOCAL_STORE)
    if deploy.resolve(local, "mnist", "production") is None:
        subprocess.run(["make", "model", "PROFILE=quick"], cwd=ROOT, check=True, timeout=TIMEOUT)
    good = local.resolve("mnist", "production")
    content = local.model("mnist", good)
    store = ModelStore(f"file://{tmp_path}/store")
    copy(local, store, "mnist", good)
    made = []
    for minute in (1, 2):
        document = describe(content, minute=minute)
        document["input"] = local.manifest("mnist", good).document["input"]
        if minute == 2:
            document["output"]["labels"] = [*range(1, 10), 0]
        store.publish(document, content)
        made.append(document["version"])
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        with emulator.running(docker=request.param == "image") as aws:
            for name, value in (aws.environment() | deployment.docker_environment()).items():
                patch.setenv(name, value)
            cloud = Cloud(aws, request.param, tmp_path, built_for, good, *made)
            settings = {
                "stack_name": NAME,
                "s3_bucket": f"{NAME}-artifacts",
                "capabilities": "CAPABILITY_IAM",
                "parameter_overrides": "Environment=dev",
            }
            cloud.client("s3").create_bucket(Bucket=settings["s3_bucket"])
            if request.param == "image":
                cloud.client("ecr").create_repository(repositoryName=NAME)
                settings["image_repository"] = f"localhost:{aws.port}/{NAME}"
            lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
            text = "version = 0.1\n[default.deploy.parameters]\n" + "\n".join(lines) + "\n"
            (tmp_path / "samconfig.toml").write_text(text)
            yield cloud


def serves_signed_models_alone(cloud: Cloud, bucket: str) -> None:
    """With a key, from deploy to rollback; the stack serves unsigned ones before."""
    # WHEN an unsigned model is released, it is refused; once it is signed, it is not
    key = write_key(cloud.folder / "key.pem")
    signing = f"ModelSigningKey={public_key(key)}"
    cloud.refuses("has no manifest.sig", signing)
    source = ModelStore(f"file://{cloud.folder}/store")
    source.sign("mnist", cloud.newer, PrivateKey(key).sign)
    cloud.make("deploy", signing, model=cloud.newer)
    assert cloud.post()[1]["model"]["version"] == cloud.newer
    if cloud.package == "zip":
        assert cloud.verdict()["status"] == "Succeeded"

    # THEN what someone writes over it is noticed, and no rollback goes to an unsigned one
    folder = f"models/mnist/versions/{cloud.newer}"
    forged = source.file("mnist", cloud.newer, MANIFEST) + b" "
    cloud.client("s3").put_object(Bucket=bucket, Key=f"{folder}/{MANIFEST}", Body=forged)
    if cloud.package == "zip":
        assert "is not a signature of the manifest" in cloud.verdict()["reason"]
    assert "has no manifest.sig" in cloud.make("rollback", fails=True)


def test_a_stack_lives_from_its_first_release_to_its_end(cloud: Cloud) -> None:
    """No model, a model, a newer one, a poisoned one, back, back again, gone; the bucket stays."""
    # GIVEN a store in which nothing is promoted
    said = cloud.make("deploy", *cloud.built_for)
    # THEN the stack is there, closed, and says what is missing
    assert "run make model, then make deploy again" in said
    assert cloud.post(key=False)[0] == 403
    status, problem = cloud.post()
    assert status == 503
    assert problem["detail"]
    bucket = Stack(NAME).outputs()["ModelBucketName"]

    # WHEN a version is released
    first = cloud.make("deploy", model=cloud.good)
    # THEN it answers by that version, and the alias points to a new version of the function
    assert f"model {cloud.good} reads" in first
    status, answer = cloud.post()
    assert (status, answer["prediction"], answer["model"]["version"]) == (200, 7, cloud.good)
    one = cloud.live()
    store = ModelStore(Stack(NAME).outputs()["ModelStoreUrl"])
    assert store.resolve("mnist", "production") == cloud.good

    # WHEN the same is released again, nothing is
    cloud.make("deploy", model=cloud.good)
    assert cloud.live() == one

    # WHEN the model changes, and inputs are to be captured
    assert "CaptureBucketName" not in Stack(NAME).outputs()
    cloud.make("deploy", "CaptureShare=1", model=cloud.newer)
    two = cloud.live()
    assert two != one
    answer = cloud.post()[1]
    assert answer["model"]["version"] == cloud.newer
    captures = Stack(NAME).outputs()["CaptureBucketName"]
    assert answer["request_id"] in {one["request_id"] for one in cloud.documents(captures)}
    if cloud.package == "zip":  # its runtime has boto3, as Lambda's has
        verdict = cloud.verdict()
        assert verdict["status"] == "Succeeded", verdict
        assert verdict["accuracy"] == 1

        # THEN the check for drift has seen an answer of each model, and can't tell of so few
        drift = cloud.ask("DriftFunctionName")
        found = {one["model_version"]: one["verdict"] for one in drift["verdicts"]}
        assert found == {cloud.good: "too few", cloud.newer: "too few"}, drift

    # WHEN a bad model is released, the hook, which CodeDeploy would have asked, refuses it
    cloud.make("deploy", model=cloud.poisoned)
    if cloud.package == "zip":
        verdict = cloud.verdict()
        assert verdict["status"] == "Failed"
        assert "accuracy on the golden images" in verdict["reason"]

    # WHEN it is rolled back, one release at a time
    for version in (cloud.newer, cloud.good):
        assert "Rolled back to " in cloud.make("rollback")
        assert cloud.post()[1]["model"]["version"] == version
        assert store.resolve("mnist", "production") == version
    assert int(cloud.live()) > int(two)

    # WHEN parameters contradict each other, or the packaging is another, there is but a sentence
    cloud.refuses("AuthMode Jwt needs UserPoolArn", "AuthMode=Jwt")
    other = {"zip": "image", "image": "zip"}[cloud.package]
    dataclasses.replace(cloud, package=other).refuses(f"has its function as {cloud.package}")

    serves_signed_models_alone(cloud, bucket)

    # WHEN the stack is deleted, the models stay
    cloud.client("cloudformation").delete_stack(StackName=NAME)
    assert Stack(NAME).repair() is False
    kept = ModelStore(f"s3://{bucket}/models").listing("mnist")["mnist"]
    assert set(kept.complete) >= {cloud.good, cloud.newer, cloud.poisoned}
