"""The two packagings deploy the same stack around the function."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from cfnlint.decode import decode  # type: ignore[import-untyped]
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from tools import openapi

ROOT = Path(__file__).parents[2]
# What differs, and nothing else may: a zip carries no model, and its dependencies are a layer.
OF_THE_IMAGE = {"ModelSource", "ModelInImage"}
OF_THE_ZIP = {"OnnxruntimeLayer"}


@pytest.fixture(scope="module")
def image() -> Any:
    return read("template.yaml")


@pytest.fixture(scope="module")
def zipped() -> Any:
    return read("template-zip.yaml")


def read(name: str) -> Any:
    template, mistakes = decode(str(ROOT / name))
    assert not mistakes
    return template


def entries(template: Any, section: str) -> Iterator[tuple[str, Any]]:
    for name, content in template.get(section, {}).items():
        if name not in OF_THE_IMAGE | OF_THE_ZIP | {"PredictFunction", "Architecture"}:
            yield name, content


@pytest.mark.parametrize("section", ["Parameters", "Conditions", "Globals", "Resources", "Outputs"])
def test_all_but_the_function_is_the_same(image: Any, zipped: Any, section: str) -> None:
    """Every shared parameter, resource and output is equal in both templates."""
    assert dict(entries(zipped, section)) == dict(entries(image, section))


def test_function_differs_in_its_packaging_only(image: Any, zipped: Any) -> None:
    """Memory, timeout, role, routes and environment are equal but for the model in the image."""
    functions = [
        dict(template["Resources"]["PredictFunction"]["Properties"]) for template in (image, zipped)
    ]
    only = [set(functions[0]) - set(functions[1]), set(functions[1]) - set(functions[0])]
    assert only == [{"PackageType"}, {"CodeUri", "Handler", "Runtime", "Layers"}]
    variables = [function.pop("Environment")["Variables"] for function in functions]
    store = variables[0].pop("MODEL_STORE_URL")["Fn::If"]
    assert store[2] == variables[1].pop("MODEL_STORE_URL")
    assert variables[0] == variables[1]
    shared = set(functions[0]) & set(functions[1])
    assert {name: functions[0][name] for name in shared} == {
        name: functions[1][name] for name in shared
    }


def snippet() -> Any:
    return yaml.safe_load(openapi.GATEWAY.read_text())


def translated(template: Any, definition: Any) -> Any:
    """The resources that CloudFormation makes of a template: AWS::Include first, then SAM."""
    template = json.loads(json.dumps(template))
    resources = template["Resources"]
    resources["Api"]["Properties"]["DefinitionBody"] = definition
    function = resources["PredictFunction"]["Properties"]
    if function.get("PackageType") == "Image":  # `sam deploy` puts here what it uploaded
        function["ImageUri"] = "000000000000.dkr.ecr.us-east-1.amazonaws.com/predict:1"
    else:
        function["CodeUri"] = "s3://artifacts/code"
        resources["OnnxruntimeLayer"]["Properties"]["ContentUri"] = "s3://artifacts/layer"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    return translator.translate(template, {})["Resources"]


@pytest.fixture(scope="module", params=["template.yaml", "template-zip.yaml"])
def deployed(request: pytest.FixtureRequest) -> Any:
    return translated(read(request.param), snippet())


def only(resources: Any, kind: str) -> tuple[str, Any]:
    (found,) = ((name, one) for name, one in resources.items() if one["Type"] == kind)
    return found[0], found[1]["Properties"]


def test_the_api_is_included_from_what_is_made_of_the_interface(image: Any) -> None:
    """One file for both packagings."""
    include = image["Resources"]["Api"]["Properties"]["DefinitionBody"]["Fn::Transform"]
    assert include["Name"] == "AWS::Include"
    assert ROOT / include["Parameters"]["Location"] == openapi.GATEWAY


def test_the_deployed_api_is_the_one_made_of_the_interface(deployed: Any) -> None:
    """SAM adds no route to it, and opens or closes none."""
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    made = yaml.safe_load(openapi.gateway())
    assert {name: api["Body"].get(name) for name in made} == made


def test_the_api_calls_the_function_that_traffic_is_meant_for(deployed: Any) -> None:
    """The alias, once there is one; and Lambda lets it, on every path of this stage alone."""
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    aliases = [name for name, one in deployed.items() if one["Type"] == "AWS::Lambda::Alias"]
    _, permission = only(deployed, "AWS::Lambda::Permission")
    calls = {
        method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"].split("/functions/")[1]
        for item in api["Body"]["paths"].values()
        for method in item.values()
    }
    target = aliases[0] if aliases else "PredictFunction.Arn"
    assert calls == {f"${{{target}}}/invocations"}
    assert permission["FunctionName"] == {"Ref": aliases[0] if aliases else "PredictFunction"}
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/${Environment}/*")


def test_the_api_has_one_stage_and_a_key_with_a_usage_plan(deployed: Any) -> None:
    stage, properties = only(deployed, "AWS::ApiGateway::Stage")
    assert properties["StageName"] == {"Ref": "Environment"}
    _, plan = only(deployed, "AWS::ApiGateway::UsagePlan")
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": stage}}]
    assert {"Throttle", "Quota"} <= plan.keys()
    key, _ = only(deployed, "AWS::ApiGateway::ApiKey")
    _, link = only(deployed, "AWS::ApiGateway::UsagePlanKey")
    assert link["KeyId"] == {"Ref": key}


def test_a_changed_interface_is_deployed(image: Any) -> None:
    """A deployment of API Gateway's is a snapshot: SAM names it after the definition."""
    one, another = snippet(), snippet()
    another["paths"]["/new"] = another["paths"]["/predict"]
    before, after = (translated(image, definition) for definition in (one, another))
    deployment = "AWS::ApiGateway::Deployment"
    assert only(before, deployment)[0] != only(after, deployment)[0]
