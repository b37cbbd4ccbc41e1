"""Build the stack with the SAM CLI, deploy it to the local AWS, and look up how to call it."""

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
    """Path of the template for a packaging; the zip's is generated first."""
    if package == "image":
        return PROJECT / "template.yaml"
    python = SAM.with_name("python")  # has PyYAML
    command: list[str | Path] = [python, "-m", "tools.packaging"]
    subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)
    return PROJECT / "build/template-zip.yaml"


def build_command(template: Path, folder: Path, parameters: list[str]) -> list[str | Path]:
    """Command for a cached `sam build` into a folder, ignoring samconfig.toml.

    Run it in that folder: SAM keeps downloaded packages in .aws-sam/deps of its working directory,
    and removes those of other builds there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [SAM, "build", "--template", template]
    command += ["--build-dir", folder / "build", "--cached", "--cache-dir", folder / "cache"]
    command += ["--config-file", empty_settings(folder), "--parameter-overrides", *parameters]
    return command


def sam_build(package: str, base: str = "") -> Path:
    """Build the functions and the layer outside .aws-sam, and return the built template.

    base: base image of the function's image; "" for AWS's own.
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
    """Environment for the SAM CLI: the functions' Python on PATH, SAM's own files in build/."""
    return {
        **environment,
        "PATH": f"{BOOTSTRAP}{os.pathsep}{environment['PATH']}",
        "ARCH": architecture(),  # for layers/onnxruntime/Makefile
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(FOLDER / "sam"),
    }


def empty_settings(folder: Path) -> Path:
    """Write an empty samconfig.toml: the project's own is for deployments to an account."""
    path = folder / "samconfig.toml"
    path.write_text("version = 0.1\n")
    return path


def docker_environment() -> dict[str, str]:
    """Docker settings with which SAM pushes to the emulator's registry.

    SAM logs in to the account's real registry unless it finds a login, so this writes one.
    """
    folder = FOLDER / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    login = {"auth": base64.b64encode(b"AWS:none").decode()}
    registry = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
    (folder / "config.json").write_text(json.dumps({"auths": {registry: login}}))
    host = os.environ.get("DOCKER_HOST")
    if not host:  # of the user's context, which the settings here replace
        command = ["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        host = shown.stdout.strip()
    return {"DOCKER_CONFIG": str(folder)} | ({"DOCKER_HOST": host} if host else {})


def architecture() -> str:
    """Processor architecture of this machine, by the name Lambda uses."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


@dataclasses.dataclass(frozen=True)
class Stack:
    """What a client of the deployed stack needs to know."""

    url: str
    certificate: Path  # to verify the URL with
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
    """The emulator's equivalent of an API's URL in the cloud.

    Addressed by path, as not every system resolves <api>.execute-api.localhost.
    """
    return local_address(url, aws.https_url)


def local_address(url: str, endpoint: str) -> str:
    """The same, for an emulator at `endpoint`."""
    parts = urllib.parse.urlsplit(url)
    api = parts.netloc.partition(".")[0]
    return f"{endpoint}/_aws/execute-api/{api}{parts.path}"


def client(service: str, aws: Emulator) -> Any:
    """A boto3 client for the emulator."""
    session: Any = boto3.Session("test", "test", region_name=REGION)  # any credentials do
    return session.client(service, endpoint_url=aws.url)


def function_log(stack: Stack, aws: Emulator) -> str:
    """The last lines that the function wrote to its log group."""
    events: list[dict[str, Any]] = []
    for group in client("logs", aws).describe_log_groups()["logGroups"]:
        if stack.function in group["logGroupName"] or STACK in group["logGroupName"]:
            name = group["logGroupName"]
            events += client("logs", aws).filter_log_events(logGroupName=name)["events"]
    tail = "".join(f"    {event['message'].rstrip()[:400]}\n" for event in events[-20:])
    return f"The end of the function's log:\n{tail or '    (empty)'}\nMiniStack's log: {aws.log}"
