"""infra/batch.yaml and the handler it calls, which runs here against a real bucket."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cfnlint import api  # type: ignore[import-untyped]
from cfnlint.decode import decode  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import Misconfigured
from tests.support import ROOT
from tests.support.local_s3 import BUCKET, serving

TEMPLATE = ROOT / "infra/batch.yaml"

# Fields inside a state's fields, which cfn-lint does not look into, and what they may hold.
# Source: AWS Step Functions Developer Guide, "Using Map state in Distributed mode" and its pages on
# ItemReader, ItemBatcher and ResultWriter; "Error handling" for Retry.
FIELDS: dict[str, set[str]] = {
    "ItemReader": {"Resource", "ReaderConfig", "Parameters"},
    "ItemReader.Parameters": {"Bucket", "Prefix"},
    "ItemBatcher": {
        "BatchInput",
        *(f"Max{what}PerBatch{path}" for what in ("Items", "InputBytes") for path in ("", "Path")),
    },
    "ItemProcessor": {"ProcessorConfig", "StartAt", "States"},
    "ItemProcessor.ProcessorConfig": {"Mode", "ExecutionType"},
    "ResultWriter": {"Resource", "Parameters", "WriterConfig"},
    "ResultWriter.Parameters": {"Bucket", "Prefix"},
}
ARN = "arn:${Partition}:states:::"  # also in China and GovCloud
VALUES = {
    "ItemReader.Resource": {ARN + "s3:getObject", ARN + "s3:listObjectsV2"},
    "ItemProcessor.ProcessorConfig.Mode": {"INLINE", "DISTRIBUTED"},
    "ItemProcessor.ProcessorConfig.ExecutionType": {"STANDARD", "EXPRESS"},
    "ResultWriter.Resource": {ARN + "s3:putObject"},
}
RETRY = {
    "ErrorEquals",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
    "MaxDelaySeconds",
    "JitterStrategy",
}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    template, mistakes = decode(str(TEMPLATE))
    assert not mistakes
    found: dict[str, Any] = template["Resources"]
    return found


@pytest.fixture(scope="module")
def machine(resources: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = resources["ScoreStateMachine"]["Properties"]
    return found


@pytest.fixture(scope="module")
def scoring(machine: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = machine["Definition"]["States"][machine["Definition"]["StartAt"]]
    return found


@pytest.fixture(scope="module")
def task(scoring: dict[str, Any]) -> dict[str, Any]:
    processor = scoring["ItemProcessor"]
    found: dict[str, Any] = processor["States"][processor["StartAt"]]
    return found


def substituted(machine: dict[str, Any]) -> str:
    """Definition as Step Functions receives it: placeholders replaced inside the JSON text."""
    values = dict.fromkeys(machine["DefinitionSubstitutions"], "a-bucket")
    values["Partition"] = "aws"
    values["FunctionArn"] = "arn:aws:lambda:us-east-1:123456789012:function:score"
    text = json.dumps(machine["Definition"])
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def complaints(definition: str) -> set[str]:
    """Rules of cfn-lint that a definition breaks, E3601 being the language's own schema.

    It does not look into what SAM's transform makes of a definition, so it gets a plain resource.
    """
    role = "arn:aws:iam::123456789012:role/score"
    properties = {"RoleArn": role, "Definition": json.loads(definition)}
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = json.dumps({"Resources": {"Machine": resource}})
    return {one.rule.id for one in api.lint(template, api.ManualArgs(regions=["us-east-1"]))}


def test_the_definition_follows_the_states_language(machine: dict[str, Any]) -> None:
    """A wrong field in each of its parts is detected."""
    definition = substituted(machine)
    assert complaints(definition) == set()
    for right, wrong in (
        ('"Type": "Map"', '"Type": "Mop"'),
        ('"ItemReader": {', '"ItemReadr": {'),
        ('"StartAt": "Classify"', '"StartAt": "Nowhere"'),
    ):
        assert right in definition
        assert "E3601" in complaints(definition.replace(right, wrong, 1)), wrong


def at(state: dict[str, Any], path: str) -> Any:
    found: Any = state
    for name in path.split("."):
        found = found[name]
    return found


def test_fields_inside_fields_are_documented(scoring: dict[str, Any], task: dict[str, Any]) -> None:
    for path, known in FIELDS.items():
        assert {name.removesuffix(".$") for name in at(scoring, path)} <= known, path
    for path, values in VALUES.items():
        assert at(scoring, path) in values, path
    for retry in task["Retry"]:
        assert retry.keys() <= RETRY


def test_a_field_holds_a_path_where_its_name_says_so(scoring: dict[str, Any]) -> None:
    """Step Functions resolves `Name.$`; under a plain name, `$.prefix` is a literal string."""
    places = ["ItemReader.Parameters", "ItemSelector", "ItemBatcher.BatchInput"]
    task_parameters = "ItemProcessor.States.Classify.Parameters"
    for place in [*places, "ResultWriter.Parameters", task_parameters]:
        for name, value in at(scoring, place).items():
            assert name.endswith(".$") == bool(re.match(r"\$(\$?\.|$)", value)), f"{place}.{name}"


def test_the_handler_takes_what_the_batcher_makes(scoring: dict[str, Any]) -> None:
    """The event below, {"BatchInput": …, "Items": […]}, has the documented fields."""
    made = event(["scans/0.png"])
    assert plain(scoring["ItemBatcher"]["BatchInput"]) == made["BatchInput"].keys()
    assert plain(scoring["ItemSelector"]) == made["Items"][0].keys()


def plain(fields: dict[str, Any]) -> set[str]:
    return {name.removesuffix(".$") for name in fields}


def test_numbers_are_numbers(scoring: dict[str, Any], task: dict[str, Any]) -> None:
    """cfn-lint accepts a string here; Step Functions refuses it, and a substitution makes one."""
    for name in ("MaxConcurrency", "ToleratedFailurePercentage"):
        assert type(scoring[name]) is int
    for retry in task["Retry"]:
        for name in {"IntervalSeconds", "BackoffRate", "MaxAttempts"} & retry.keys():
            assert type(retry[name]) is int


def test_a_wrong_setting_is_not_tried_again(task: dict[str, Any]) -> None:
    """A retry can't fix it."""
    permanent, *_ = task["Retry"]
    assert permanent == {"ErrorEquals": [Misconfigured.__name__], "MaxAttempts": 0}


def test_the_tries_of_a_batch_end_before_its_execution_does(
    resources: dict[str, Any], task: dict[str, Any]
) -> None:
    """Express executions end after five minutes, whatever is left to retry.

    The worst case: each attempt times out or is throttled, and each pause is as long as it can be.
    """
    seconds = float(resources["ScoreFunction"]["Properties"]["Timeout"])
    for retry in task["Retry"]:
        for attempt in range(retry["MaxAttempts"]):
            pause = retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt
            seconds += min(pause, retry.get("MaxDelaySeconds", pause))
            if "States.Timeout" in retry["ErrorEquals"]:
                seconds += resources["ScoreFunction"]["Properties"]["Timeout"]
    assert seconds < 5 * 60


def test_nothing_is_fixed_to_one_partition(machine: dict[str, Any]) -> None:
    """AWS in China and GovCloud have ARNs of their own."""
    assert machine["DefinitionSubstitutions"]["Partition"] == {"Ref": "AWS::Partition"}
    for path in (TEMPLATE, ROOT / "template.yaml", ROOT / "infra/zip.yaml"):
        assert not re.search(r"arn:aws:(?!wafv2|sns|cognito|iam)", path.read_text()), path


def test_every_substitution_is_given_and_used(machine: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(machine["Definition"])))
    assert used == set(machine["DefinitionSubstitutions"])


def test_no_role_may_more_than_it_needs(resources: dict[str, Any]) -> None:
    """Only X-Ray's statement has the resource `*`; no action is a pattern."""
    for name in ("ScoreRole", "ScoreStateMachineRole"):
        for policy in resources[name]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                for action in [actions] if isinstance(actions, str) else actions:
                    assert "*" not in action
                    assert statement["Resource"] != "*" or action.startswith("xray:")


def test_the_function_runs_with_the_settings_of_the_http_function(
    resources: dict[str, Any],
) -> None:
    """Those that concern neither the model nor HTTP."""
    http, _ = decode(str(ROOT / "template.yaml"))
    for name in ("ORT_DISABLE_TELEMETRY", "OPENBLAS_NUM_THREADS"):
        ours, theirs = (
            function["Properties"]["Environment"]["Variables"][name]
            for function in (resources["ScoreFunction"], http["Resources"]["PredictFunction"])
        )
        assert ours == theirs


def event(keys: list[str], preprocess: str = "auto") -> dict[str, Any]:
    """What a child execution passes on: items as ItemSelector makes them, and BatchInput."""
    return {
        "BatchInput": {"bucket": BUCKET, "preprocess": preprocess},
        "Items": [{"key": key} for key in keys],
    }


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_handler_answers_every_object_or_says_what_is_wrong_with_it(
    model_store: Path, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier import batch
    from classifier.model import session

    monkeypatch.setattr(batch, "model", session.LazyModel())
    with serving(monkeypatch):
        import boto3

        client = boto3.client("s3")
        contents = {f"scans/ä {place}.png": png(digit) for place, digit in enumerate(digits)}
        contents |= {"scans/folder/": b"", "scans/text.txt": b"text", "scans/huge.png": b"0" * 900}
        contents |= dict.fromkeys(
            (f"scans{odd}0.png" for odd in ("//", "/./", "\t")), png(digits[0])
        )
        for key, content in contents.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=content)
        monkeypatch.setattr(batch, "MAX_BYTES", 899)
        keys = [*contents, "scans/none.png"]
        answer = json.loads(json.dumps(batch.handler(event(keys, "none"), None)))
        client.close()
    assert answer["model"]["name"] == "mnist"
    results = answer["results"]
    assert [one["key"] for one in results] == keys
    assert not any("probabilities" in one for one in results)
    assert [one["prediction"] for one in results[:10]] == list(range(10))
    assert ["error" in one for one in results] == [False] * 10 + [True] * 7
    assert "at most 899 bytes" in results[12]["error"]
    for index in (13, 14, 15):
        assert "key must be a path" in results[index]["error"]
    assert "does not exist" in results[16]["error"]


def test_what_another_try_may_mend_is_raised(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifier import batch
    from classifier.errors import ModelUnavailable
    from classifier.model import session

    monkeypatch.setattr(batch, "model", session.LazyModel())
    with serving(monkeypatch):
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(Exception, match=r"(?i)connect|error sending"):
        batch.handler(event(["a.png"]), None)
    monkeypatch.setenv("MODEL_NAME", "another")
    monkeypatch.setattr(batch, "model", session.LazyModel())
    with pytest.raises(ModelUnavailable):
        batch.handler(event(["a.png"]), None)
