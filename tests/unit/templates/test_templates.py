"""template.yaml, and the resources that CloudFormation makes of it.

MiniStack moves aliases at once and raises no alarms: what has to do with those is looked at here.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from cfnlint.data import AdditionalSpecs  # type: ignore[import-untyped]
from cfnlint.decode import decode  # type: ignore[import-untyped]
from cfnlint.helpers import load_resource  # type: ignore[import-untyped]
from cfnlint.schema.manager import (  # type: ignore[import-untyped]
    PROVIDER_SCHEMA_MANAGER,
)
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

import hook as pre_traffic
from tests.support import ROOT
from tests.support.intrinsics import Stack
from tools import openapi, packaging

ROLLING_BACK = [
    "ServerErrorsAlarm",
    "VersionErrorsAlarm",
    "DurationAlarm",
    "ThrottlesAlarm",
    "LowConfidenceAlarm",
    "ModelLoadFailureAlarm",
]
ABOUT_A_DAY = {"DriftAlarm", "DriftCheckFailureAlarm"}  # and not about a release


def snippet() -> Any:
    return yaml.safe_load(openapi.GATEWAY.read_text())


def translated(template: Any, definition: Any, **parameters: str) -> Any:
    """The resources that CloudFormation makes of a template: AWS::Include first, then SAM."""
    template = json.loads(json.dumps(template))
    resources = template["Resources"]
    resources["Api"]["Properties"]["DefinitionBody"] = definition
    for resource in resources.values():  # `sam deploy` puts there what it uploaded
        properties = resource["Properties"]
        if properties.get("PackageType") == "Image":
            properties["ImageUri"] = "000000000000.dkr.ecr.us-east-1.amazonaws.com/predict:1"
        elif resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://artifacts/code"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    return translator.translate(template, parameters)["Resources"]


@pytest.fixture(scope="module")
def template() -> Any:
    template, mistakes = decode(str(ROOT / "template.yaml"))
    assert not mistakes
    return template


@pytest.fixture(scope="module")
def deployed(template: Any) -> Any:
    return translated(template, snippet())


ALIAS = "PredictFunctionAliaslive"


def only(resources: Any, kind: str) -> tuple[str, Any]:
    (found,) = ((name, one) for name, one in resources.items() if one["Type"] == kind)
    return found[0], found[1]["Properties"]


def test_the_deployed_api_is_the_one_made_of_the_interface(deployed: Any) -> None:
    """SAM adds no route to it, and changes no route's authentication."""
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    made = yaml.safe_load(openapi.gateway().replace("PredictFunction.Alias", ALIAS))
    assert {name: api["Body"].get(name) for name in made} == made


def test_the_api_has_exactly_the_definitions_routes_and_the_alarms_name(deployed: Any) -> None:
    """A merging import keeps removed routes; one that overwrites names the API by its title."""
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    assert api["Mode"] == "overwrite"
    assert api["Body"]["info"]["title"] == api["Name"] == {"Ref": "AWS::StackName"}
    assert api["Parameters"] == {
        "endpointConfigurationTypes": "REGIONAL"
    }  # which it overwrites too


def test_the_api_calls_the_function_that_traffic_is_meant_for(deployed: Any) -> None:
    """It calls the alias, and Lambda permits that on every path of this stage only."""
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    _, permission = only(deployed, "AWS::Lambda::Permission")
    calls = {
        method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"].split("/functions/")[1]
        for item in api["Body"]["paths"].values()
        for method in item.values()
        if "Fn::If" not in method  # what browsers ask before a call reaches no function
    }
    assert calls == {f"${{{ALIAS}}}/invocations"}
    assert permission["FunctionName"] == {"Ref": ALIAS}
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


@pytest.mark.parametrize(
    "changed",
    [
        {"AuthMode": "Jwt", "UserPoolArn": "arn:aws:cognito-idp:x:1:userpool/x"},
        {"CorsOrigin": "https://www.example.org"},
    ],
)
def test_changed_parameters_reach_the_stage(
    template: Any, changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment is a snapshot: without a new one, an old user pool's tokens stay valid.

    The definition's text is the same, so only what SAM adds to it can make another deployment.
    """
    names = []
    for moment, parameters in ((1.0, {}), (2.0, changed)):
        monkeypatch.setattr("samtranslator.model.apigateway.time.time", lambda now=moment: now)
        resources = translated(template, snippet(), **parameters)
        name, properties = only(resources, "AWS::ApiGateway::Deployment")
        _, stage = only(resources, "AWS::ApiGateway::Stage")
        assert stage["DeploymentId"] == {"Ref": name}
        assert properties["RestApiId"] == {"Ref": "Api"}  # made after the definition has changed
        names.append(name)
    assert names[0] != names[1]


# Releases


def test_a_replaced_version_is_kept(template: Any, deployed: Any) -> None:
    """A plain `sam deploy` of another model changes only its description, which replaces it."""
    name, version = only(deployed, "AWS::Lambda::Version")
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::Lambda::Version").schema
    assert "/properties/Description" in schema["createOnlyProperties"]
    described = [Stack(template, ModelVersion=one).resolve(version) for one in ("a", "b")]
    assert described[0] != described[1]
    assert deployed[name]["UpdateReplacePolicy"] == "Retain"
    assert deployed[name]["DeletionPolicy"] == "Retain"


def test_a_version_may_read_its_model_while_the_next_one_has_another_name(
    template: Any, deployed: Any
) -> None:
    """Both have the same role, and the earlier one serves until the traffic has shifted."""
    for name in ("mnist", "fashion"):
        stack = Stack(template, ModelName=name, CaptureShare="1")
        for kind, resource in (
            ("s3:GetObject", "${ModelBucket.Arn}/models/*"),
            ("s3:PutObject", "${CaptureBucket.Arn}/*"),
        ):
            allowed = statements(stack.resolve(deployed["PredictRole"]))
            (one,) = (one for one in allowed if one["Action"] == kind)
            assert one["Resource"] == {"Fn::Sub": resource}


@pytest.mark.parametrize("what", ["RELEASE", "Timeout"])
def test_a_version_is_code_and_model(template: Any, what: str) -> None:
    """Any change to the function's properties publishes a version, and old ones are kept."""
    other = json.loads(json.dumps(template))
    properties = other["Resources"]["PredictFunction"]["Properties"]
    if what == "RELEASE":
        properties["Environment"]["Variables"][what] = "b"
    else:
        properties[what] = 27
    before, after = (translated(one, snippet()) for one in (template, other))
    name, _ = only(before, "AWS::Lambda::Version")
    assert name != only(after, "AWS::Lambda::Version")[0]
    assert before[name]["DeletionPolicy"] == "Retain"
    assert before[ALIAS]["Properties"]["FunctionVersion"] == {"Fn::GetAtt": [name, "Version"]}
    variables = before["PredictFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["MODEL_VERSION"] == {"Ref": "ModelVersion"}
    assert variables["MODEL_REFRESH_SECONDS"] == {"Ref": "ModelRefreshSeconds"}
    assert template["Parameters"]["ModelRefreshSeconds"]["Default"] == 0


def test_the_image_is_tagged_with_the_release(template: Any) -> None:
    assert template["Resources"]["PredictFunction"]["Metadata"]["DockerTag"] == {"Ref": "Release"}


@pytest.mark.parametrize("preference", ["AllAtOnce", "Canary10Percent5Minutes"])
def test_codedeploy_moves_the_alias_behind_the_hook(template: Any, preference: str) -> None:
    """By the parameter's preference, and back automatically on a failure or an alarm."""
    resources = translated(template, snippet(), DeploymentPreference=preference)
    policy = resources[ALIAS]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert policy["BeforeAllowTrafficHook"] == {"Ref": "PreTrafficFunction"}
    name, group = only(resources, "AWS::CodeDeploy::DeploymentGroup")
    assert policy["DeploymentGroupName"] == {"Ref": name}
    pattern, values = group["DeploymentConfigName"]["Fn::Sub"]
    assert pattern.replace("${ConfigName}", values["ConfigName"]) == (
        f"CodeDeployDefault.Lambda{preference}"
    )
    assert group["AutoRollbackConfiguration"]["Enabled"]
    assert set(group["AutoRollbackConfiguration"]["Events"]) == {
        "DEPLOYMENT_FAILURE",
        "DEPLOYMENT_STOP_ON_ALARM",
        "DEPLOYMENT_STOP_ON_REQUEST",
    }
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["ShiftRole", "Arn"]}


@pytest.mark.parametrize(
    ("parameter", "expected"), [("true", ROLLING_BACK), ("false", ["VersionErrorsAlarm"])]
)
def test_every_alarm_but_those_of_drift_rolls_a_release_back(
    template: Any, deployed: Any, parameter: str, expected: list[str]
) -> None:
    """Unless an active alarm would block its own fix: then only one about the new version alone.

    CodeDeploy keeps a group's former alarms if an update has none.
    """
    _, group = only(deployed, "AWS::CodeDeploy::DeploymentGroup")
    alarms = Stack(template, RollbackOnAlarm=parameter).resolve(group["AlarmConfiguration"])
    assert alarms["Enabled"]
    assert [alarm["Name"]["Ref"] for alarm in alarms["Alarms"]] == expected
    assert set(ROLLING_BACK) == alarms_of(deployed).keys() - ABOUT_A_DAY


def test_each_version_has_its_own_alarm_on_errors(template: Any) -> None:
    """An updated alarm keeps its state until the next minute, and CodeDeploy refuses to start.

    The name begins with the stack's, as the pipeline's role demands.
    """
    names = set()
    released = json.loads(json.dumps(template))
    function = released["Resources"]["PredictFunction"]["Properties"]
    for release in ("one", "two"):
        function["Environment"]["Variables"]["RELEASE"] = release
        alarm = translated(released, snippet())["VersionErrorsAlarm"]["Properties"]
        version = ".".join(alarm["Dimensions"][2]["Value"]["Fn::GetAtt"])
        name = alarm["AlarmName"]["Fn::Sub"]
        assert name == f"${{AWS::StackName}}-VersionErrors-${{{version}}}"
        names.add(name)
    assert len(names) == 2


def test_the_hook_checks_the_very_version_that_is_to_have_the_traffic(deployed: Any) -> None:
    version, _ = only(deployed, "AWS::Lambda::Version")
    hook = deployed["PreTrafficFunction"]["Properties"]
    assert hook["Environment"]["Variables"]["NEW_VERSION"] == {"Ref": version}
    pattern, values = hook["FunctionName"]["Fn::Sub"]
    assert pattern == "CodeDeployHook_${Id}"  # which CodeDeploy's own policies allow
    assert values == {"Id": {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}}
    assert len(pattern.replace("${Id}", "00000000-0000-0000-0000-000000000000")) <= 64
    # One call may take as long as the version may run, and it stops itself while it can report.
    assert deployed["PredictFunction"]["Properties"]["Timeout"] < pre_traffic.CALL_SECONDS
    calls = pre_traffic.TRIES * (pre_traffic.CONNECT_SECONDS + pre_traffic.CALL_SECONDS)
    assert calls + pre_traffic.REPORT_SECONDS < hook["Timeout"]


def test_the_hook_and_the_function_are_pinned_to_the_same_manifest(
    template: Any, deployed: Any
) -> None:
    """The hook checks its signature, which it may read, and the function loads no other."""
    stack = Stack(template, ModelVersion="a", ManifestSha256="b", ModelSigningKey="c")
    function, hook = (
        stack.resolve(deployed[name])["Properties"]["Environment"]["Variables"]
        for name in ("PredictFunction", "PreTrafficFunction")
    )
    for name, value in (("MODEL_VERSION", "a"), ("MANIFEST_SHA256", "b")):
        assert function[name] == hook[name] == value
    assert hook["MODEL_SIGNING_KEY"] == "c"
    assert hook["MODEL_BUCKET"] == {"Ref": "ModelBucket"}
    allowed = statements(stack.resolve(deployed["PreTrafficRole"]))
    (read,) = (one for one in allowed if one["Action"] == "s3:GetObject")
    (pattern,) = read["Resource"].values()
    for file in ("manifest.json", "manifest.sig"):
        key = f"${{ModelBucket.Arn}}/models/mnist/versions/20260131T120000Z-0123abcd/{file}"
        assert fnmatch.fnmatchcase(key, pattern.replace("[", "[[]"))


# Alarms


def alarms_of(resources: Any) -> dict[str, Any]:
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def test_no_data_is_no_alarm_and_the_topic_hears_of_both_ends(template: Any, deployed: Any) -> None:
    topic = "arn:aws:sns:us-east-1:000000000000:pager"
    for alarm in alarms_of(deployed).values():
        assert alarm["TreatMissingData"] == "notBreaching"
        for actions in ("AlarmActions", "OKActions"):
            assert Stack(template).resolve(alarm[actions]) == []
            assert Stack(template, AlarmTopicArn=topic).resolve(alarm[actions]) == [topic]


def test_each_alarm_is_explained_on_the_operations_page(deployed: Any) -> None:
    """Under the heading that its description links to: meaning, where to look, what to do."""
    page = (ROOT / "docs/operations.md").read_text()
    for name, alarm in alarms_of(deployed).items():
        assert alarm["AlarmDescription"].endswith(f" docs/operations.md#{name.lower()}")
        section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE)
        assert section, name
        for part in ("**Means**", "**Look**", "**Do**"):
            assert part in section[1], (name, part)


def metrics_of(alarm: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Namespace, name and dimensions of each metric that an alarm uses."""
    metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    for metric in [*metrics, alarm]:
        if "MetricName" in metric:
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            yield metric["Namespace"], metric["MetricName"], dimensions


_PREDICT_CODE = [
    f"predict/classifier/{name}.py"
    for name in ("handler", "predict", "served", "monitoring/telemetry")
]


def test_alarms_look_at_metrics_that_are_written(deployed: Any) -> None:
    """The function's, by the exact names, namespace and dimension that it writes."""
    code = [(ROOT / "functions" / name).read_text() for name in (*_PREDICT_CODE, "drift/daily.py")]
    written = set(re.findall(r'(?:add_metric|timed)\((?:name=)?"(\w+)"', "".join(code)))
    variables = deployed["PredictFunction"]["Properties"]["Environment"]["Variables"]
    for name in ("POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"):
        daily = deployed["DriftFunction"]["Properties"]["Environment"]["Variables"]
        assert daily[name] == variables[name]
    api = {"ApiName": {"Ref": "AWS::StackName"}, "Stage": {"Ref": "Environment"}}
    assert deployed["Api"]["Properties"]["Name"] == api["ApiName"]
    seen = set()
    for alarm_name, alarm in alarms_of(deployed).items():
        function = "DriftFunction" if alarm_name in ABOUT_A_DAY else "PredictFunction"
        for namespace, name, dimensions in metrics_of(alarm):
            seen.add(name)
            if namespace == "AWS/ApiGateway":
                assert dimensions == api
            elif namespace == "AWS/Lambda":
                assert dimensions["FunctionName"] == {"Ref": function}
            else:
                assert namespace == variables["POWERTOOLS_METRICS_NAMESPACE"]
                assert dimensions["service"] == variables["POWERTOOLS_SERVICE_NAME"]
                # Of an answered request, every metric is written by version, too.
                own = ["function_version"] if name == "Guess" else []
                assert [*dimensions] == ["service", *own]
                assert name in written
    assert seen == {
        *("5XXError", "Count", "Errors", "Duration", "Throttles", "Guess", "ModelLoadFailure"),
        "DriftDetected",
    }


@pytest.mark.parametrize(
    ("alarm", "values", "raised"),
    [
        ("ServerErrorsAlarm", {"requests": 9, "errors": 9}, False),  # too few to tell
        ("ServerErrorsAlarm", {"requests": 1000, "errors": 20}, False),
        ("ServerErrorsAlarm", {"requests": 1000, "errors": 21}, True),
        ("LowConfidenceAlarm", {"answers": 19, "low": 1}, False),
        ("LowConfidenceAlarm", {"answers": 20, "low": 0.3}, False),
        ("LowConfidenceAlarm", {"answers": 20, "low": 0.31}, True),
        ("DurationAlarm", {"": 3000}, False),
        ("DurationAlarm", {"": 3001}, True),
        ("DriftCheckFailureAlarm", {"": 2}, False),  # Lambda's third try may do
        ("DriftCheckFailureAlarm", {"": 3}, True),
    ],
)
def test_an_alarm_is_raised_by(
    template: Any, deployed: Any, alarm: str, values: dict[str, float], *, raised: bool
) -> None:
    """Evaluate an alarm's metric math and threshold on one period's figures."""
    properties = Stack(template).resolve(alarms_of(deployed)[alarm])
    value = values.get("", 0.0)
    for one in properties.get("Metrics", []):
        assert one.get("ReturnData", True) == ("Expression" in one)
        if "Expression" in one:
            condition, then, otherwise = one["Expression"].removeprefix("IF(")[:-1].split(", ")
            value = eval(then if eval(condition, {}, values) else otherwise, {}, values)
        else:
            assert one["Id"] in values
    compare = {
        "GreaterThanThreshold": float.__gt__,
        "GreaterThanOrEqualToThreshold": float.__ge__,
    }[properties["ComparisonOperator"]]
    assert compare(float(value), float(properties["Threshold"])) is raised


@pytest.mark.parametrize(
    ("alarm", "dimension"),
    [("VersionErrorsAlarm", "ExecutedVersion"), ("LowConfidenceAlarm", "function_version")],
)
def test_the_canary_is_judged_by_its_own_answers(deployed: Any, alarm: str, dimension: str) -> None:
    """A tenth of the traffic would be lost in the sum of both versions."""
    version, _ = only(deployed, "AWS::Lambda::Version")
    for _, _, dimensions in metrics_of(alarms_of(deployed)[alarm]):
        assert dimensions[dimension] == {"Fn::GetAtt": [version, "Version"]}
        if "FunctionName" in dimensions:
            assert dimensions["Resource"] == {"Fn::Sub": "${PredictFunction}:live"}


def test_the_dashboard_is_json_and_finds_the_metrics_of_drift(deployed: Any) -> None:
    """A search finds only metrics with these dimensions: see drift/test_drift_function.py."""
    text = deployed["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[\w:]+\}", "1", text))["widgets"]
    assert len({(widget["x"], widget["y"]) for widget in widgets}) == len(widgets)
    assert "SEARCH('{ClassifierOnLambda,preprocess,service,statistic} " in text
    assert "SEARCH('{ClassifierOnLambda,model,preprocess,service,statistic} " in text, "of several"
    assert 'SEARCH(\'{ClassifierOnLambda,model,service} MetricName=\\"Confidence\\" ' in text
    assert 'MetricName=\\"DriftPSI\\" service=\\"${AWS::StackName}\\"' in text


# Who may call


@pytest.mark.parametrize(
    ("mode", "scheme", "kind"),
    [("ApiKey", "api_key", None), ("Iam", "iam", "awsSigv4"), ("Jwt", "jwt", "cognito_user_pools")],
)
def test_each_auth_mode_closes_what_is_closed(
    template: Any, deployed: Any, mode: str, scheme: str, kind: str | None
) -> None:
    """Every method of every closed path, documented or not; open paths stay open."""
    pool = "arn:aws:cognito-idp:eu-west-1:000000000000:userpool/eu-west-1_abc"
    chosen = {"AuthMode": mode} | ({"UserPoolArn": pool} if mode == "Jwt" else {})
    body = Stack(template, **chosen).resolve(only(deployed, "AWS::ApiGateway::RestApi")[1]["Body"])
    open_paths = openapi.open_paths(openapi.read())
    for path, item in body["paths"].items():
        expected: list[Any] = [] if path in open_paths else [{scheme: []}]
        for method in item.values():
            assert method["security"] == expected, path
    schemes = body["components"]["securitySchemes"]
    assert schemes[scheme].get("x-amazon-apigateway-authtype") == kind
    assert ("jwt" in schemes) == (mode == "Jwt")
    if mode == "Jwt":
        assert schemes["jwt"]["x-amazon-apigateway-authorizer"] == {
            "type": "cognito_user_pools",
            "providerARNs": [pool],
        }


def test_the_key_and_its_plan_are_there_in_their_mode_alone(template: Any, deployed: Any) -> None:
    for kind in ("ApiKey", "UsagePlan", "UsagePlanKey"):
        (one,) = (r for r in deployed.values() if r["Type"] == f"AWS::ApiGateway::{kind}")
        assert one["Condition"] == "AuthIsApiKey"
    assert template["Outputs"]["ApiKeyId"]["Condition"] == "AuthIsApiKey"
    assert [Stack(template, AuthMode=m).condition("AuthIsApiKey") for m in ("ApiKey", "Iam")] == [
        True,
        False,
    ]


def test_no_mode_is_without_a_limit(template: Any, deployed: Any) -> None:
    """The stage's rate and burst apply to all callers of a method together, the plan's to a key.

    Open routes have low ones of their own.
    """
    open_routes = {"HttpMethod": "GET", "ThrottlingRateLimit": 20, "ThrottlingBurstLimit": 40}
    paths = sorted(openapi.open_paths(openapi.read()))
    assert paths[0] == "/"
    encoded = ["/", *("/" + path.replace("/", "~1") for path in paths[1:])]  # CloudFormation's way
    limits = {"StageRateLimit": 7, "StageBurstLimit": 8, "ApiRateLimit": 3, "ApiBurstLimit": 4}
    stack = Stack(template, **limits, ApiDailyQuota=5)
    _, stage = only(deployed, "AWS::ApiGateway::Stage")
    assert stack.resolve(stage["MethodSettings"]) == [
        {
            "HttpMethod": "*",
            "ResourcePath": "/*",
            "ThrottlingRateLimit": 7,
            "ThrottlingBurstLimit": 8,
        },
        *({"ResourcePath": path} | open_routes for path in encoded),
    ]
    _, plan = only(deployed, "AWS::ApiGateway::UsagePlan")
    assert stack.resolve(plan["Throttle"]) == {"RateLimit": 3, "BurstLimit": 4}
    assert stack.resolve(plan["Quota"]) == {"Limit": 5, "Period": "DAY"}


def test_requests_are_logged_if_asked_for(template: Any, deployed: Any) -> None:
    """As JSON, by the id that the caller and the function's log have, and without its key."""
    _, stage = only(deployed, "AWS::ApiGateway::Stage")
    assert "AccessLogSetting" not in Stack(template).resolve(stage)
    setting = Stack(template, AccessLog="true").resolve(stage)["AccessLogSetting"]
    assert setting["DestinationArn"]["Fn::Sub"].endswith(":log-group:${AccessLogGroup}")
    assert deployed["AccessLogGroup"]["Condition"] == "LogsAccess"
    logged = json.loads(setting["Format"])
    assert logged["request_id"] == "$context.requestId"
    assert "\n" not in setting["Format"]  # API Gateway refuses more than one line
    assert "$context.identity.apiKey" not in logged.values()


def test_other_sites_may_not_call_it_unless_one_is_named(template: Any, deployed: Any) -> None:
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    closed = Stack(template).resolve(api["Body"])
    assert "Access-Control" not in json.dumps(closed)
    assert not any("options" in item for item in closed["paths"].values())

    site = "https://www.example.org"
    opened = Stack(template, CorsOrigin=site).resolve(api["Body"])
    allow = "Access-Control-Allow-Origin"
    for path in openapi.read()["paths"]:
        ask = opened["paths"][path]["options"]
        assert ask["security"] == []
        integration = ask["x-amazon-apigateway-integration"]
        assert integration["type"] == "mock"
        sent = integration["responses"]["default"]["responseParameters"]
        assert sent[f"method.response.header.{allow}"] == f"'{site}'"
        granted = sent["method.response.header.Access-Control-Allow-Headers"]
        assert {"x-api-key", "authorization"} <= set(granted.strip("'").split(","))
        # What a signed request has, in mode Iam, besides Authorization.
        signed = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
        # What binary tensors and compressed bodies have.
        coded = {"content-encoding", "inference-header-content-length"}
        assert signed | coded <= set(granted.strip("'").split(","))
        declared = {f"method.response.header.{name}" for name in ask["responses"]["204"]["headers"]}
        assert declared == sent.keys()
    for response in opened["x-amazon-apigateway-gateway-responses"].values():
        assert response["responseParameters"][f"gatewayresponse.header.{allow}"] == f"'{site}'"
    variables = deployed["PredictFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["CORS_ORIGIN"] == {"Ref": "CorsOrigin"}
    assert variables["BASE_PATH"] == {"Ref": "BasePath"}


def test_a_web_acl_stands_before_the_stage_if_one_is_named(template: Any, deployed: Any) -> None:
    association = deployed["WebAclAssociation"]
    assert association["Condition"] == "HasWebAcl"
    stage, _ = only(deployed, "AWS::ApiGateway::Stage")
    arn = association["Properties"]["ResourceArn"]["Fn::Sub"]
    assert arn.endswith(f":/restapis/${{Api}}/stages/${{{stage}}}")
    acl = "arn:aws:wafv2:us-east-1:000000000000:regional/webacl/a/00000000-0000"
    assert Stack(template, WebAclArn=acl).condition("HasWebAcl")
    assert not Stack(template).condition("HasWebAcl")


# Drift, and captured inputs


def conditions_of(resources: Any, start: str) -> set[str]:
    """Conditions of the resources with this prefix, including those that SAM derives from them."""
    return {one.get("Condition") for name, one in resources.items() if name.startswith(start)}


def test_drift_is_checked_every_day(template: Any, deployed: Any) -> None:
    """By a schedule that any number of stacks can have, because CloudFormation names it."""
    _, schedule = only(deployed, "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(1 day)"
    assert "Name" not in schedule
    assert schedule["Target"] == {
        "Arn": {"Fn::GetAtt": ["DriftFunction", "Arn"]},
        "RoleArn": {"Fn::GetAtt": ["DriftScheduleRole", "Arn"]},
    }
    variables = deployed["DriftFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["LOG_GROUP"] == {"Ref": "PredictLogGroup"}
    assert variables["MODEL_STORE_URL"] == {"Fn::Sub": "s3://${ModelBucket}/models"}
    assert variables["MODEL_NAME"] == {"Ref": "ModelName"}
    assert alarms_of(deployed)["DriftCheckFailureAlarm"]["Period"] == 24 * 3600


def test_the_alarm_on_drift_lasts_from_one_check_to_the_next(deployed: Any) -> None:
    """Whose value is a day old when the next one comes, and later if Lambda tries it three times.

    CloudWatch allows seven days in periods of an hour, and looks at one value of any of them.
    """
    alarm = alarms_of(deployed)["DriftAlarm"]
    late = 3 * deployed["DriftFunction"]["Properties"]["Timeout"] + 60 + 120  # and its pauses
    assert 24 * 3600 + late < alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 24 * 3600
    assert alarm["Period"] >= 3600
    assert alarm["DatapointsToAlarm"] == 1
    assert alarm["TreatMissingData"] == "notBreaching"


def test_drift_can_go_unchecked(template: Any, deployed: Any) -> None:
    """Then it leaves no resource, not even its schedule and alarms."""
    assert conditions_of(deployed, "Drift") == {"ChecksDrift"}
    assert template["Outputs"]["DriftFunctionName"]["Condition"] == "ChecksDrift"
    assert Stack(template).condition("ChecksDrift")
    assert not Stack(template, DriftCheck="false").condition("ChecksDrift")


def test_drift_is_not_checked_where_the_bucket_has_no_model(template: Any) -> None:
    assert not Stack(template, ModelSource="image").condition("ChecksDrift")


def test_the_check_may_read_answers_and_manifests_alone(template: Any, deployed: Any) -> None:
    stack = Stack(template)
    read_logs, read_manifests, write_logs = statements(stack.resolve(deployed["DriftRole"]))
    assert read_logs["Action"] == "logs:FilterLogEvents"
    assert read_logs["Resource"] == {"Fn::GetAtt": ["PredictLogGroup", "Arn"]}
    assert read_manifests["Action"] == "s3:GetObject"
    assert read_manifests["Resource"] == {
        "Fn::Sub": "${ModelBucket.Arn}/models/*/versions/*/manifest.json"
    }
    assert write_logs["Resource"] == {"Fn::GetAtt": ["DriftLogGroup", "Arn"]}


def test_the_schedule_may_call_the_check_alone(deployed: Any) -> None:
    """And no other account's schedule can assume its role."""
    role = deployed["DriftScheduleRole"]
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"] == {"StringEquals": account}
    (call,) = statements(role)
    assert call["Action"] == "lambda:InvokeFunction"
    assert call["Resource"] == {"Fn::GetAtt": ["DriftFunction", "Arn"]}


def captures(stack: Stack, deployed: Any) -> tuple[Any, list[Any]]:
    """The predict function's environment, and what it may write to S3."""
    variables = deployed["PredictFunction"]["Properties"]["Environment"]["Variables"]
    allowed = statements(stack.resolve(deployed["PredictRole"]))
    return stack.resolve(variables), [one for one in allowed if one["Action"] == "s3:PutObject"]


def test_nothing_is_captured_unless_a_share_is_asked_for(template: Any, deployed: Any) -> None:
    """No address, no permission, no bucket."""
    stack = Stack(template)
    variables, writes = captures(stack, deployed)
    assert variables["CAPTURE_URL"] == ""
    assert writes == []
    assert not stack.condition("Captures")
    assert conditions_of(deployed, "Capture") == {"Captures"}
    assert template["Outputs"]["CaptureBucketName"]["Condition"] == "Captures"


def test_captured_inputs_are_written_to_a_bucket_of_their_own(template: Any, deployed: Any) -> None:
    stack = Stack(template, CaptureShare="0.01")
    assert stack.condition("Captures")
    variables, writes = captures(stack, deployed)
    assert variables["CAPTURE_URL"] == {"Fn::Sub": "s3://${CaptureBucket}"}
    assert variables["CAPTURE_SHARE"] == "0.01"
    assert [one["Resource"] for one in writes] == [{"Fn::Sub": "${CaptureBucket.Arn}/*"}]


def test_captured_inputs_expire_and_nothing_of_them_is_public(template: Any, deployed: Any) -> None:
    """Even after the stack is deleted. There is no versioning: old versions would remain."""
    bucket = Stack(template, CaptureExpiryDays="7").resolve(deployed["CaptureBucket"])
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", "7")
    assert not {"Prefix", "TagFilters"} & rule.keys()  # all of it
    assert "VersioningConfiguration" not in properties
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}


@pytest.mark.parametrize("bucket", ["ModelBucket", "CaptureBucket"])
def test_a_bucket_takes_no_request_without_tls(deployed: Any, bucket: str) -> None:
    policy = deployed[f"{bucket}Policy"]
    assert policy["DeletionPolicy"] == policy["UpdateReplacePolicy"] == "Retain"
    assert policy["Properties"]["Bucket"] == {"Ref": bucket}
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {"Fn::Sub": f"${{{bucket}.Arn}}/*"} in statement["Resource"]


@pytest.mark.parametrize("name", ["DriftFunction", "PreTrafficFunction"])
def test_what_a_small_function_carries_is_what_is_tested(template: Any, name: str) -> None:
    """Its handler exists, and its packages are pinned to the versions that the tests use."""
    properties = template["Resources"][name]["Properties"]
    folder = ROOT / properties["CodeUri"]
    module, function = properties["Handler"].split(".")
    assert f"def {function}(" in (folder / f"{module}.py").read_text()
    pin = re.compile(r"^[a-z0-9-]+==\S+", re.MULTILINE)
    carried = set(pin.findall((folder / "requirements.txt").read_text()))
    expected = {"aws-lambda-powertools", "jmespath", "typing-extensions"}
    if name == "PreTrafficFunction":
        expected |= {"cryptography", "cffi", "pycparser"}  # verify signatures
    # And no boto3, which Lambda has.
    assert {one.partition("==")[0] for one in carried} == expected
    assert carried <= set(pin.findall((ROOT / "requirements/test.txt").read_text()))


# Parameters


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("Release", ["latest", "1a2b3c4-20260101T000000Z-0123abcd"], ["", "a b", "-a"]),
        ("ModelName", ["mnist", "mnist,clothes"], ["", "../x", "Mnist", "a,", ",a", "a, b"]),
        ("ModelVersion", ["production", "20260101T000000Z-0123abcd"], ["", "20260101", "a/b"]),
        ("BaseImage", ["", "a.example:5000/lambda/python:3@sha256:0a"], ["a b", "-a", "$(a)"]),
        (
            "UserPoolArn",
            ["", "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_aBc"],
            ["eu-west-1_aBc"],
        ),
        (
            "CorsOrigin",
            ["", "*", "https://www.example.org", "http://localhost:8080"],
            ["example.org", "https://example.org/", "https://a https://b", "'"],
        ),
        (
            "BasePath",
            ["", "/digits", "/api/v1.0/digits"],
            ["digits", "/", "/digits/", "//digits", "/a b"],
        ),
        (
            "WebAclArn",
            ["", "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/a/0a-1b"],
            ["arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/0a-1b"],
        ),
        ("AlarmTopicArn", ["", "arn:aws:sns:us-east-1:123456789012:pager"], ["pager"]),
    ],
)
def test_a_parameters_pattern_refuses_what_would_fail_later(
    template: Any, name: str, good: list[str], bad: list[str]
) -> None:
    """CloudFormation checks them before it changes anything."""
    pattern = re.compile(template["Parameters"][name]["AllowedPattern"])
    assert all(map(pattern.fullmatch, [*good, template["Parameters"][name]["Default"]]))
    assert not any(map(pattern.fullmatch, bad))


def broken_rules(template: Any, **parameters: Any) -> list[str]:
    stack = Stack(template, **parameters)
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if stack.resolve(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not stack.resolve(assertion["Assert"])
    ]


def test_the_defaults_keep_the_rules(template: Any) -> None:
    assert broken_rules(template) == []


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"AuthMode": "Jwt"}, "needs UserPoolArn"),
        ({"UserPoolArn": "arn:aws:cognito-idp:x:1:userpool/x"}, "set AuthMode=Jwt"),
        ({"Environment": "prod"}, "use DeploymentPreference=Canary10Percent5Minutes"),
        ({"ModelSigningKey": "a key"}, "must be pinned to one manifest"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    template: Any, parameters: dict[str, str], words: str
) -> None:
    (sentence,) = broken_rules(template, **parameters)
    assert words in sentence


def test_prod_does_not_serve_from_the_image(template: Any) -> None:
    canary = {"Environment": "prod", "DeploymentPreference": "Canary10Percent5Minutes"}
    (sentence,) = broken_rules(template, **canary, ModelSource="image")
    assert "use ModelSource=bucket" in sentence


# What is not lost, and what is not allowed


def test_models_outlive_the_stack_and_nothing_of_them_is_public(deployed: Any) -> None:
    for name in ("ModelBucket", "ModelBucketPolicy"):
        assert deployed[name]["DeletionPolicy"] == "Retain"
        assert deployed[name]["UpdateReplacePolicy"] == "Retain"
    bucket = deployed["ModelBucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    for resource in deployed.values():
        assert resource["Type"] != "AWS::Lambda::Url"


def statements(role: Any) -> list[Any]:
    """What a role allows, with conditions resolved."""
    policies = [policy["PolicyDocument"]["Statement"] for policy in role["Properties"]["Policies"]]
    return [statement for policy in policies for statement in policy]


UNRESTRICTABLE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "cloudwatch:DescribeAlarms",
}


def actions(statement: Any) -> set[str]:
    """Actions of a statement, of which it may have one or a list."""
    stated = statement["Action"]
    return {stated} if isinstance(stated, str) else set(stated)


def pipeline() -> Any:
    """The resources of .github/oidc-role.yaml."""
    document, mistakes = decode(str(ROOT / ".github/oidc-role.yaml"))
    assert not mistakes
    return document["Resources"]


UNUSED = {  # by resource handlers, as no resource here has the property that it is for
    "a network, a file system, a key": r"(ec2|elasticfilesystem|s3files|kms):.*",
    "a log group's key or policies": r"logs:(A|Disa)ssociateKmsKey|logs:(Put|Delete)"
    r"(DataProtection|Index|Resource)Policy|logs:Put(BearerTokenAuthentication|LogGroupDeletionProtection)",
    "delivery of logs": r"logs:CreateLogDelivery|firehose:.*|s3:REST\.PUT\.OBJECT",
    "servers on premises": r"codedeploy:RegisterOnPremisesInstance",
    "managed policies, no boundary": r"iam:((At|De)tachRolePolicy|DeleteRolePermissionsBoundary)",
    "other features of a bucket": r"s3tables:.*|s3:(Put|Delete|Create|Update)\w*(Abac|Accelerate|"
    r"Analytics|CORS|Cors|Inventory|Logging|Metadata|Metrics|Notification|ObjectLock|Replication|"
    r"Tiering|Website)\w*|s3:Put(Bucket|Object)Acl",
    "removal from a bucket, or of it": r"s3:Delete(Bucket(Encryption|Lifecycle|Policy)?|Object)",
    "a firewall for others": r"wafv2:(Get|Put)PermissionPolicy|(amplify|apprunner|appsync|"
    r"bedrock-agentcore|cognito-idp|elasticloadbalancing):.*",
}


def test_the_role_of_a_pipeline_has_the_rights_of_the_resource_handlers(template: Any) -> None:
    """Which CloudFormation publishes with the schema of each type of resource.

    A missing one would fail a deploy half-way, and its rollback too.
    """
    zipped = packaging.zipped(packaging.load(packaging.IMAGE), packaging.load(packaging.PATCH))
    zipped["Resources"]["OnnxruntimeLayer"]["Properties"]["ContentUri"] = "s3://artifacts/layer"
    types = {
        resource["Type"]
        for packaged in (template, zipped)
        for resource in translated(packaged, snippet()).values()
    }
    assert {"AWS::Lambda::LayerVersion", "AWS::WAFv2::WebACLAssociation"} <= types
    (policy,) = pipeline()["ExecutionRole"]["Properties"]["Policies"]
    allowed = {one for stated in policy["PolicyDocument"]["Statement"] for one in actions(stated)}
    idle = set(UNUSED)
    for kind in sorted(types):
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        for name in {"create", "read", "update", "delete"} & handlers.keys():
            for needed in handlers[name]["permissions"]:
                unused = {why for why, what in UNUSED.items() if re.fullmatch(what, needed)}
                idle -= unused
                may = any(fnmatch.fnmatchcase(needed.lower(), one.lower()) for one in allowed)
                assert may or unused, f"{needed}, to {name} {kind}"
    assert not idle


def grants(node: Any) -> Iterator[Any]:
    """The statements of all policies in a template."""
    if isinstance(node, dict) and {"Action", "Resource"} <= node.keys():
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from grants(child)


@pytest.mark.parametrize(
    "path",
    [
        "template.yaml",
        ".github/oidc-role.yaml",
        *("infra/batch.yaml", "infra/function-url.yaml"),
    ],
)
def test_a_resource_is_named_only_where_the_action_knows_resources(path: str) -> None:
    """Elsewhere it would match nothing: the action would be denied.

    Source: the Service Authorization Reference, as cfn-lint carries it.
    """
    reference = load_resource(AdditionalSpecs, "Policies.json")
    document, _ = decode(str(ROOT / path))
    found = [one for one in grants(document["Resources"]) if one["Resource"] != "*"]
    assert found
    for action in sorted({action for one in found for action in actions(one)}):
        service, _, name = action.lower().partition(":")
        known = reference[service]["Actions"]
        matching = [one for one in known if fnmatch.fnmatchcase(one, name)]
        narrow = any(known[one].get("Resources") for one in matching)
        assert narrow or action in BY_DEPLOYMENT_GROUP, action


# SAM's own documentation limits it to the deployment group, which the reference does not list.
BY_DEPLOYMENT_GROUP = {"codedeploy:PutLifecycleEventHookExecutionStatus"}

LONGEST_NAMES = {  # in characters, of what CloudFormation names and a role finds by its name
    "AWS::CodeDeploy::Application": 100,
    "AWS::CodeDeploy::DeploymentGroup": 100,
    "AWS::IAM::Role": 64,
    "AWS::Lambda::Function": 64,
    "AWS::S3::Bucket": 63,
    "AWS::Scheduler::Schedule": 64,
}


def test_no_name_is_shortened_so_that_a_role_would_not_match_it(deployed: Any) -> None:
    """A name is <stack>-<logical id>-<13 characters>; to fit, the stack's part is shortened."""
    document, _ = decode(str(ROOT / ".github/oidc-role.yaml"))
    pattern = document["Parameters"]["StackName"]["AllowedPattern"]
    longest = next(n for n in range(100, 0, -1) if re.fullmatch(pattern, "a" * n))
    for name, resource in deployed.items():
        limit = LONGEST_NAMES.get(resource["Type"])
        if limit and not {"FunctionName", "Name"} & resource["Properties"].keys():
            assert longest + len(f"-{name}-") + 13 <= limit, name


@pytest.mark.parametrize("share", ["0", "0.01"])
def test_roles_may_do_what_they_need(template: Any, deployed: Any, share: str) -> None:
    """Actions are listed individually; a resource is `*` only if AWS supports no narrower one."""
    stack = Stack(template, CaptureShare=share)
    roles = {n: stack.resolve(r) for n, r in deployed.items() if r["Type"] == "AWS::IAM::Role"}
    assert set(roles) == {  # and none of SAM's
        *("PredictRole", "PreTrafficRole", "ShiftRole", "DriftRole", "DriftScheduleRole")
    }
    for role in roles.values():
        assert "ManagedPolicyArns" not in role["Properties"]
        for statement in statements(role):
            allowed = actions(statement)
            assert not any("*" in action for action in allowed)
            if statement["Resource"] == "*":
                assert allowed <= UNRESTRICTABLE


def test_every_role_has_the_boundary_that_is_named(template: Any, deployed: Any) -> None:
    arn = "arn:aws:iam::000000000000:policy/boundary"
    batch, _ = decode(str(ROOT / "infra/batch.yaml"))
    for document, resources in ((template, deployed), (batch, batch["Resources"])):
        roles = [one for one in resources.values() if one["Type"] == "AWS::IAM::Role"]
        assert roles
        for role in roles:
            bounded = Stack(document, PermissionsBoundaryArn=arn).resolve(role["Properties"])
            assert bounded["PermissionsBoundary"] == arn
            assert "PermissionsBoundary" not in Stack(document).resolve(role["Properties"])


def test_the_boundary_of_a_pipeline_holds_all_that_the_stacks_roles_need(
    template: Any, deployed: Any
) -> None:
    """A role can do what both its policies and the boundary allow."""
    boundary = pipeline()["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    most = {action for one in boundary for action in actions(one)}
    stack = Stack(template, CaptureShare="1")
    roles = [stack.resolve(r) for r in deployed.values() if r["Type"] == "AWS::IAM::Role"]
    assert {a for role in roles for one in statements(role) for a in actions(one)} == most
    for one in boundary:
        if one["Resource"] == "*":
            assert actions(one) <= UNRESTRICTABLE


def test_every_log_group_is_kept_for_as_long_as_is_asked(deployed: Any) -> None:
    groups = [r for r in deployed.values() if r["Type"] == "AWS::Logs::LogGroup"]
    functions = [r for r in deployed.values() if r["Type"] == "AWS::Lambda::Function"]
    assert len(groups) == len(functions) + 1  # the access log's
    for group in groups:
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    for function in functions:
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"].endswith("LogGroup")
    assert deployed["PredictFunction"]["Properties"]["TracingConfig"] == {"Mode": "Active"}


def test_the_role_of_a_pipeline_may_make_what_the_stack_has(deployed: Any) -> None:
    """A service that it may not use, or pass a role to, would fail a deploy half-way."""
    (policy,) = pipeline()["ExecutionRole"]["Properties"]["Policies"]
    statements = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}
    allowed = {action.partition(":")[0] for one in statements.values() for action in actions(one)}
    used = {resource["Type"].split("::")[1].lower() for resource in deployed.values()}
    assert used <= allowed
    passed = statements["RolesToServices"]["Condition"]["StringEquals"]["iam:PassedToService"]
    trusted = {
        statement["Principal"]["Service"]
        for role in deployed.values()
        if role["Type"] == "AWS::IAM::Role"
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }
    assert trusted == set(passed)
    buckets = {name.lower() for name, one in deployed.items() if one["Type"] == "AWS::S3::Bucket"}
    named = [one["Fn::Sub"] for one in statements["Buckets"]["Resource"]]
    assert {name.split("${StackName}-")[1].removesuffix("-*") for name in named} == buckets
