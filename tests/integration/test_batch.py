"""infra/batch.yaml on MiniStack: deployed, and run over real pictures in a bucket.

MiniStack lists the prefix and runs a distributed map, but knows neither ItemBatcher nor
ResultWriter: it gets batches of one, and returns the answers as the execution's output.
docs/batch.md says what is left to AWS.
"""

import io
import json
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped]
from PIL import Image

from model_build.data.datasets import load_mnist_5k
from tests.support import ROOT
from tools import deployment, emulator

pytestmark = pytest.mark.emulator

CLEAR = [40, 183, 259, 344, 487, 565, 603, 745, 845, 924]  # held-out samples, one of each digit
PATIENCE_SECONDS = 120


def for_ministack() -> dict[str, Any]:
    """The template, with the function as a zip and one image per batch."""
    template: dict[str, Any]
    template, _ = decode(str(ROOT / "infra/batch.yaml"))
    function = template["Resources"]["ScoreFunction"]
    (handler,) = function["Properties"].pop("ImageConfig")["Command"]
    del function["Metadata"]
    packages = sysconfig.get_path("purelib")  # of the same Python, instead of a layer
    function["Properties"]["Environment"]["Variables"]["PYTHONPATH"] = packages
    function["Properties"] |= {
        "PackageType": "Zip",
        "Runtime": f"python{(ROOT / '.python-version').read_text().strip()}",
        "Handler": handler,
        "CodeUri": "s3://pictures/function.zip",
    }
    definition = template["Resources"]["ScoreStateMachine"]["Properties"]["Definition"]
    images = definition["States"]["ScoreImages"]
    batch = images.pop("ItemBatcher")["BatchInput"]
    images["ItemSelector"] = {"BatchInput": batch, "Items": [images["ItemSelector"]]}
    return template


def zipped_function() -> bytes:
    file = io.BytesIO()
    folder = ROOT / "functions/predict"
    with zipfile.ZipFile(file, "w") as archive:
        for path in folder.rglob("*"):
            if path.suffix != ".pyc":
                archive.write(path, path.relative_to(folder))
    return file.getvalue()


def wait(state: Any, ended: set[str]) -> dict[str, Any]:
    """Poll `state` until it returns one of these statuses."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found: dict[str, Any] = state()
        if (found.get("status") or found.get("StackStatus")) in ended:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cloud(model_version: str) -> Iterator[emulator.Emulator]:
    """A local AWS with a model, ten digits and the function in its buckets."""
    version = ROOT / "build" / "model-store" / "mnist" / "versions" / model_version
    digits = load_mnist_5k().test_images[CLEAR]
    with emulator.running() as aws:
        s3 = deployment.client("s3", aws)
        for bucket in ("models", "pictures", "answers"):
            s3.create_bucket(Bucket=bucket)
        for path in version.iterdir():
            key = f"models/mnist/versions/{model_version}/{path.name}"
            s3.put_object(Bucket="models", Key=key, Body=path.read_bytes())
        for digit, pixels in enumerate(digits):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            s3.put_object(Bucket="pictures", Key=f"scans/{digit}.png", Body=file.getvalue())
        s3.put_object(Bucket="pictures", Key="scans/text.txt", Body=b"text")
        s3.put_object(Bucket="pictures", Key="other/0.png", Body=file.getvalue())
        s3.put_object(Bucket="pictures", Key="function.zip", Body=zipped_function())
        yield aws


def deployed(aws: emulator.Emulator, version: str) -> str:
    """Deploy a stack that scores with this version; return its state machine's ARN."""
    name = f"batch-{version.lower()}"
    cloudformation = deployment.client("cloudformation", aws)
    values = {
        "ModelBucketName": "models",
        "ModelVersion": version,
        "ImagesBucketName": "pictures",
        "ResultsBucketName": "answers",
    }
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(for_ministack()),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in values.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def state() -> dict[str, Any]:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return dict(found)

    stack = wait(state, {"CREATE_COMPLETE", "ROLLBACK_COMPLETE", "CREATE_FAILED"})
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return str(
        next(
            one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == "StateMachineArn"
        )
    )


def run(aws: emulator.Emulator, version: str, prefix: str) -> tuple[Any, dict[str, Any]]:
    """Score with a version; return the finished execution and its map run."""
    client = deployment.client("stepfunctions", aws)
    started = client.start_execution(
        stateMachineArn=deployed(aws, version),
        input=json.dumps({"prefix": prefix, "preprocess": "none"}),
    )["executionArn"]
    ended = wait(lambda: client.describe_execution(executionArn=started), {"SUCCEEDED", "FAILED"})
    (listed,) = client.list_map_runs(executionArn=started)["mapRuns"]
    return ended, client.describe_map_run(mapRunArn=listed["mapRunArn"])


def test_every_object_under_the_prefix_is_answered(
    cloud: emulator.Emulator, model_version: str
) -> None:
    """Listed by the item reader and answered by the function, whose answer is the batch's."""
    execution, map_run = run(cloud, model_version, "scans/")
    assert execution["status"] == "SUCCEEDED", execution
    answers = json.loads(execution["output"])
    assert {answer["model"]["version"] for answer in answers} == {model_version}
    (*read, text) = [answer["results"][0] for answer in answers]
    assert [(one["key"], one["prediction"]) for one in read] == [
        (f"scans/{digit}.png", digit) for digit in range(10)
    ]
    assert text.keys() == {"key", "error"}
    assert map_run["maxConcurrency"] == 100
    assert map_run["itemCounts"]["succeeded"] == 11


def test_a_run_whose_batches_fail_fails(cloud: emulator.Emulator) -> None:
    """Here because the version does not exist, which the function raises and no retry fixes."""
    execution, map_run = run(cloud, "20260101T000000Z-00000000", "other/")
    assert execution["status"] == "FAILED", execution
    assert execution["error"] == "States.ExceedToleratedFailureThreshold"
    assert map_run["itemCounts"]["failed"] == 1
