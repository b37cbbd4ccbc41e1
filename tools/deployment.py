"""Builds and deploys the stack with the SAM CLI to the local AWS, and reads how to call it."""

import base64
import dataclasses
import json
import os
import platform
import subprocess
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import boto3

from tools import processes
from tools.emulator import PROJECT, Emulator, without_aws

FOLDER = PROJECT / "build/demo"
BOOTSTRAP = PROJECT / ".venv/bootstrap/bin"  # has the Python that `sam build` looks for
SAM = PROJECT / ".venv/sam/bin/sam"
PACKAGES = ("zip", "image")
STACK = "classifier-demo"
ARTIFACTS = f"{STACK}-artifacts"
REGION = "us-east-1"


def template(package: str) -> Path:
    """The template of a packaging; that of the zip is written anew."""
    if package == "image":
        return PROJECT / "template.yaml"
    python = SAM.with_name("python")  # has PyYAML
    command: list[str | Path] = [python, "-m", "tools.packaging"]
    subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)
    return PROJECT / "build/template-zip.yaml"


def build_command(template: Path, folder: Path, parameters: list[str]) -> list[str | Path]:
    """`sam build` into a folder, of what has changed; samconfig.toml has no say in it.

    It is to be run in that folder: SAM keeps fetched packages in .aws-sam/deps of where it runs,
    and removes those of other builds there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [SAM, "build", "--template", template]
    command += ["--build-dir", folder / "build", "--cached", "--cache-dir", folder / "cache"]
    command += ["--config-file", empty_settings(folder), "--parameter-overrides", *parameters]
    return command


def sam_build(package: str, base: str = "") -> Path:
    """Build the functions and the layer, away from .aws-sam, and give the built template.

    base: the image to build the function's on, if it is not to be AWS's own.
    """
    folder = FOLDER / f"{package}-{architecture()}"
    parameters = [f"Architecture={architecture()}", *([f"BaseImage={base}"] if base else [])]
    command = build_command(template(package), folder, parameters)
    environment = sam_environment(without_aws(os.environ))
    processes.run(command, log=FOLDER / "sam-build.log", env=environment, cwd=folder)
    return folder / "build/template.yaml"


def sam_deploy(package: str, template: Path, aws: Emulator) -> None:
    """Deploy the built template as a stack to the emulator."""
    client("s3", aws).create_bucket(Bucket=ARTIFACTS)
    environment = sam_environment(aws.environment())
    command: list[str | Path] = [SAM, "deploy", "--template-file", template, "--stack-name", STACK]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-progressbar"]
    command += ["--s3-bucket", ARTIFACTS]  # quicker than --resolve-s3, which deploys a stack for it
    command += ["--no-confirm-changeset", "--config-file", empty_settings(FOLDER)]
    command += ["--parameter-overrides", f"Architecture={architecture()}"]
    if package == "image":
        client("ecr", aws).create_repository(repositoryName=STACK)
        command += ["--image-repository", f"localhost:{aws.port}/{STACK}"]
        environment |= docker_environment()
    processes.run(command, log=FOLDER / "sam-deploy.log", env=environment, cwd=PROJECT)


def sam_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What SAM runs in: it finds the functions' Python; its own files go to the build folder."""
    return {
        **environment,
        "PATH": f"{BOOTSTRAP}{os.pathsep}{environment['PATH']}",
        "ARCH": architecture(),  # for layers/onnxruntime/Makefile
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(FOLDER / "sam"),
    }


def empty_settings(folder: Path) -> Path:
    """A samconfig.toml that says nothing: the project's own is for deployments to an account."""
    path = folder / "samconfig.toml"
    path.write_text("version = 0.1\n")
    return path


def docker_environment() -> dict[str, str]:
    """Docker settings with which SAM pushes to the emulator's registry.

    SAM logs in to the account's real registry unless a login is there already, so here is one.
    """
    folder = FOLDER / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    login = {"auth": base64.b64encode(b"AWS:none").decode()}
    registry = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
    (folder / "config.json").write_text(json.dumps({"auths": {registry: login}}))
    host = os.environ.get("DOCKER_HOST")
    if not host:  # the user's context, which is in the settings that these replace
        command = ["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        host = shown.stdout.strip()
    return {"DOCKER_CONFIG": str(folder)} | ({"DOCKER_HOST": host} if host else {})


def architecture() -> str:
    """The processor of this machine, as Lambda calls it."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


@dataclasses.dataclass(frozen=True)
class Stack:
    """What a client of the deployed stack needs to know."""

    url: str
    certificate: Path  # that the URL is to be trusted by
    key: str
    store_url: str
    function: str

    @classmethod
    def of(cls, aws: Emulator) -> Self:
        """Read the stack's outputs and the value of its API key."""
        (stack,) = client("cloudformation", aws).describe_stacks(StackName=STACK)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        keys = client("apigateway", aws)
        return cls(
            url=local_url(outputs["PredictUrl"], aws),
            certificate=aws.certificate,
            key=keys.get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"],
            store_url=outputs["ModelStoreUrl"],
            function=outputs["FunctionName"],
        )


def local_url(url: str, aws: Emulator) -> str:
    """Where the emulator answers for an API's URL in the cloud.

    By path, as not every system resolves the <api>.execute-api.localhost that it also takes.
    """
    return local_address(url, aws.https_url)


def local_address(url: str, endpoint: str) -> str:
    """The same for the emulator at this endpoint."""
    parts = urllib.parse.urlsplit(url)
    api = parts.netloc.partition(".")[0]
    return f"{endpoint}/_aws/execute-api/{api}{parts.path}"


def client(service: str, aws: Emulator) -> Any:
    """A boto3 client of the emulator."""
    session: Any = boto3.Session("test", "test", region_name=REGION)  # it takes any credentials
    return session.client(service, endpoint_url=aws.url)


def function_log(stack: Stack, aws: Emulator, lines: int = 20) -> str:
    """The last lines that the function wrote to its log group."""
    events: list[dict[str, Any]] = []
    for group in client("logs", aws).describe_log_groups()["logGroups"]:
        if stack.function in group["logGroupName"] or STACK in group["logGroupName"]:
            name = group["logGroupName"]
            events += client("logs", aws).filter_log_events(logGroupName=name)["events"]
    said = "".join(f"    {event['message'].rstrip()[:400]}\n" for event in events[-lines:])
    return f"The end of the function's log:\n{said or '    (empty)'}\nMiniStack's own: {aws.log}"
