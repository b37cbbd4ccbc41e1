"""infra/function-url.yaml and infra/http-api.yaml, as CloudFormation reads them."""

from typing import Any

import boto3
import pytest
from cfnlint.decode import decode  # type: ignore[import-untyped]
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from tests.support import ROOT
from tests.support.intrinsics import Stack
from tools import openapi

FRONTS = ("function-url", "http-api")
GIVEN = {"FunctionName": "predict-1"}
ALIAS = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:predict-1:live"


def resources(front: str) -> dict[str, Any]:
    """The resources of a front, by type, as `sam deploy` hands them to CloudFormation."""
    template, mistakes = decode(str(ROOT / f"infra/{front}.yaml"))
    assert not mistakes
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    translated = translator.translate(template, GIVEN)
    found: dict[str, Any] = {}
    for resource in Stack(template, **GIVEN).resolve(translated["Resources"]).values():
        found.setdefault(resource["Type"], []).append(resource["Properties"])
    return found


@pytest.mark.parametrize("front", FRONTS)
def test_a_front_is_small_and_has_no_conditions(front: str) -> None:
    """Two plain templates instead of one with switches."""
    path = ROOT / f"infra/{front}.yaml"
    assert len(path.read_text().splitlines()) < 150
    template, _ = decode(str(path))
    assert "Conditions" not in template


def test_a_function_url_calls_the_alias_for_callers_with_credentials_alone() -> None:
    """Releases move the alias; the function itself has no hook and no canary."""
    found = resources("function-url")
    (url,) = found["AWS::Lambda::Url"]
    assert url == {
        "TargetFunctionArn": "predict-1",
        "Qualifier": "live",
        "AuthType": "AWS_IAM",
    }
    assert "AWS::Lambda::Permission" not in found  # which could open it to everyone


def test_the_call_policy_permits_the_url_and_no_direct_invocation() -> None:
    """A URL asks for both actions, and each is limited to calls by URL."""
    (policy,) = resources("function-url")["AWS::IAM::ManagedPolicy"]
    statements = policy["PolicyDocument"]["Statement"]
    by_action = {one["Action"]: one["Condition"] for one in statements}
    assert by_action == {
        "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
    }
    assert [one["Resource"] for one in statements] == [
        {"Fn::Sub": ALIAS},
    ] * 2


def test_an_http_api_calls_the_alias_with_events_of_version_two() -> None:
    """And Lambda permits that to this API alone."""
    found = resources("http-api")
    (integration,) = found["AWS::ApiGatewayV2::Integration"]
    assert integration["IntegrationUri"] == {"Fn::Sub": ALIAS}
    assert integration["PayloadFormatVersion"] == "2.0"
    (permission,) = found["AWS::Lambda::Permission"]
    assert permission["FunctionName"] == "predict-1:live"
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/*")


def test_an_http_api_opens_the_paths_that_the_interface_opens() -> None:
    """And preflights, which carry no token; whatever else there is needs one."""
    routes = resources("http-api")["AWS::ApiGatewayV2::Route"]
    closed = {one["RouteKey"] for one in routes if one.get("AuthorizationType") == "JWT"}
    opened = {one["RouteKey"] for one in routes} - closed
    assert closed == {"$default"}
    paths = {f"GET {path}" for path in openapi.open_paths(openapi.read())}
    assert opened == paths | {"OPTIONS /{proxy+}"}
