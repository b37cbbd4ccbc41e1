"""The GitHub workflows and the roles they assume: valid, pinned, with least privilege."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode import decode  # type: ignore[import-untyped]

from tests.support import ROOT
from tools import packaging

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> Any:
    return yaml.safe_load(request.param.read_text())


@pytest.fixture(scope="module")
def roles() -> Any:
    template, mistakes = decode(str(ROOT / ".github/oidc-role.yaml"))
    assert not mistakes
    return template["Resources"]


def test_workflows_pass_actionlint() -> None:
    """Names of jobs, expressions and their contexts, inputs of the called workflow."""
    done = actionlint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout


def actionlint(*workflows: Path) -> subprocess.CompletedProcess[str]:
    """By its own rules alone, whatever other linters are on the PATH."""
    program = Path(sys.executable).with_name("actionlint")
    command = [str(program), "-shellcheck=", "-pyflakes=", *map(str, workflows)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """With the release in a comment; a tag or a branch could be moved."""
    for line in re.findall(r"uses: (.*)", path.read_text()):
        commit = re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
        assert commit or line.startswith("./.github/workflows/"), line


def test_nothing_is_allowed_but_what_a_job_needs(workflow: Any) -> None:
    """The release job gets a token for AWS; there is no stored key."""
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        allowed = {"contents": "read"} | ({} if name == "check" else {"id-token": "write"})
        assert job.get("permissions", {"contents": "read"}) == allowed
    assert "secrets." not in yaml.dump(workflow)


def test_what_others_type_is_no_part_of_a_command(workflow: Any) -> None:
    for job in workflow["jobs"].values():
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", "")


def test_commands_are_tasks_of_the_makefile(workflow: Any) -> None:
    tasks = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [s.get("run", "") for job in workflow["jobs"].values() for s in job.get("steps", [])]
    called = re.findall(r"^ *make ([a-z0-9-]+)", "\n".join(commands), re.MULTILINE)
    assert set(called) <= set(tasks)


def test_prod_comes_after_staging_and_staging_after_the_checks() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]
    assert jobs["staging"]["needs"] == "check"
    assert jobs["prod"]["needs"] == "staging"
    assert "pull_request" in jobs["staging"]["if"]
    assert "refs/heads/main" in jobs["staging"]["if"]


def test_the_role_is_taken_by_one_environment_of_one_repository(roles: Any) -> None:
    """Exactly, without a wildcard: a fork, a branch or a pull request has another subject."""
    (trust,) = roles["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    issuer = "token.actions.githubusercontent.com"
    assert trust["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": {"Fn::Sub": "repo:${Repository}:environment:${GithubEnvironment}"},
        }
    }


def test_the_role_with_the_rights_is_cloudformations_alone(roles: Any) -> None:
    (trust,) = roles["ExecutionRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    assert "Condition" not in trust  # CloudFormation's call may have no aws:SourceAccount


def test_api_gateway_may_make_its_role_for_tracing(roles: Any) -> None:
    """The service-linked role that it makes when a stage with tracing is the account's first.

    Source: API Gateway Developer Guide, "Set up AWS X-Ray with API Gateway REST APIs".
    """
    (policy,) = roles["ExecutionRole"]["Properties"]["Policies"]
    (made,) = (
        one
        for one in policy["PolicyDocument"]["Statement"]
        if one["Action"] == "iam:CreateServiceLinkedRole"
    )
    service = "ops.apigateway.amazonaws.com"
    path = f"/aws-service-role/{service}/AWSServiceRoleForAPIGateway"
    assert made["Resource"]["Fn::Sub"].endswith(f":role{path}")
    assert made["Condition"] == {"StringEquals": {"iam:AWSServiceName": service}}


def test_a_star_stands_only_where_there_is_nothing_narrower(roles: Any) -> None:
    """And roles can be created, changed and passed only under the stack's name."""
    stars = {"LogInToImages", "WithoutNarrowerResource"}
    for role in ("DeployRole", "ExecutionRole"):
        for policy in roles[role]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                actions = actions if isinstance(actions, list) else [actions]
                assert (statement["Resource"] == "*") == (statement["Sid"] in stars)
                assert "*" not in actions
                assert "iam:*" not in actions
                if any(action.startswith("iam:") for action in actions):
                    resource = statement["Resource"]
                    name = resource.get("Fn::Sub", "").rpartition(":role/")[2]
                    narrow = name == "${StackName}-*" or name.startswith("aws-service-role/")
                    assert narrow or resource == {"Fn::GetAtt": ["ExecutionRole", "Arn"]}
                if "iam:PassRole" in actions:
                    assert "iam:PassedToService" in statement["Condition"]["StringEquals"]


def test_a_role_is_given_rights_within_the_boundary_alone(roles: Any) -> None:
    """Otherwise a role with any content could be passed to a function, whose code is ours."""
    granting = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}
    never = re.compile(r"iam:(Attach\w+|\w*PolicyVersion|DeleteRolePermissionsBoundary|\*)")
    for name in ("DeployRole", "ExecutionRole"):
        (policy,) = roles[name]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            stated = statement["Action"]
            actions = {stated} if isinstance(stated, str) else set(stated)
            assert not any(map(never.fullmatch, actions))
            if actions & granting:
                condition = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
                assert statement["Condition"] == condition


def test_a_release_passes_the_boundary_on() -> None:
    """Without it, the stack's roles could not be created."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    environment = workflow["jobs"]["release"]["steps"][-1]["env"]
    assert environment["PARAMETERS"] == (
        "PermissionsBoundaryArn=${{ vars.PERMISSIONS_BOUNDARY_ARN }}"
    )


def test_what_the_roles_reach_beyond_the_stack_is_said_first() -> None:
    first, *_ = (ROOT / ".github/oidc-role.yaml").read_text().splitlines()
    assert first.startswith("# Use one AWS account per environment")
    page = (ROOT / "docs/release.md").read_text()
    section = page.split("## From GitHub\n\n")[1]
    assert section.startswith("Use one AWS account per environment")


def test_layers_are_the_stacks_own(roles: Any) -> None:
    """By a name that begins with the stack's, as the pipeline's role demands."""
    zipped = packaging.load(packaging.PATCH)["Resources"]["OnnxruntimeLayer"]["Properties"]
    assert zipped["LayerName"]["Fn::Sub"].startswith("${AWS::StackName}-")
    (policy,) = roles["ExecutionRole"]["Properties"]["Policies"]
    (functions,) = (s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "Functions")
    layers = [one["Fn::Sub"] for one in functions["Resource"] if ":layer:" in one["Fn::Sub"]]
    assert [one.partition(":layer:")[2] for one in layers] == ["${StackName}-*"]
