"""Ship the stack: build it, publish a model to its bucket, release both; or go one release back.

    python -m tools.deploy deploy --env dev|staging|prod [--model VERSION] [NAME=VALUE ...]
    python -m tools.deploy rollback --env dev|staging|prod

Parameters you leave out keep the stack's current value, unless samconfig.toml sets them. Either
command can be interrupted and run again: a model is published before the release that pins it. The
exception is the first deploy, when the bucket does not exist yet: the release returns 503 until
the model is there. Account and region come from the environment.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.exceptions

from classifier.model.manifest import VERSION
from model_build.errors import BuildError, NotInStore
from model_build.store.model_store import ModelStore, copy
from tools import deployment, packaging
from tools.emulator import PROJECT
from tools.stack import Release, Stack, StackFailed

FOLDER = PROJECT / "build/deploy"
SETTINGS = PROJECT / "samconfig.toml"
LOCAL_STORE = f"file://{PROJECT}/build/model-store"
CHANNEL = "production"
GOLDEN = PROJECT / "functions/pre_traffic/golden"
ENVIRONMENTS = {"dev": "default", "staging": "staging", "prod": "prod"}  # samconfig.toml's names
STAND_IN = "classifier-on-lambda.stand-in"  # the label that .ci/base-image/build gives its image
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 2.0


class DeployFailed(Exception):
    """The release failed or does not respond correctly; the message says what to do next."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0 if the stack responds correctly."""
    options = _parser().parse_intermixed_args(arguments)
    settings = tomllib.loads(options.settings.read_text())[ENVIRONMENTS[options.env]]["deploy"]
    stack = Stack(settings["parameters"]["stack_name"], settings["parameters"].get("region"))
    try:
        if options.command == "rollback":
            rollback(stack, options)
        else:
            deploy(stack, options, settings["parameters"].get("parameter_overrides", ""))
    except subprocess.CalledProcessError as error:
        # Its output is above.
        print(f"{shlex.join(map(str, error.cmd[:2]))} exited with {error.returncode}; ", end="")
        print("fix the error above, then run the same command again", file=sys.stderr)
        return 1
    except (
        DeployFailed,
        StackFailed,
        BuildError,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        print(f"Not released: {error}", file=sys.stderr)
        return 1
    return 0


def deploy(stack: Stack, options: argparse.Namespace, overrides: str | list[str]) -> None:
    """Build, publish, release, and check that the stack responds.

    Raises StackFailed, DeployFailed, BuildError, or CalledProcessError.
    """
    template = deployment.template(options.package)
    configured = overrides if isinstance(overrides, list) else shlex.split(overrides)
    exists = stack.repair()
    if exists:
        refuse_other_packaging(stack, options.package)
    parameters = effective(
        packaging.load(template), stack.parameters(), configured, options.parameters
    )
    source = ModelStore(options.store, signing_key=parameters.get("ModelSigningKey", ""))
    versions = {
        name: resolve(source, name, options.model) for name in parameters["ModelName"].split(",")
    }
    default, *others = versions
    follows = bool(others) or float(parameters["ModelRefreshSeconds"]) > 0
    parameters["ModelVersion"] = CHANNEL if follows else versions[default] or CHANNEL
    parameters["ManifestSha256"] = pin(source, parameters)
    parameters["Release"] = release_name(commit(), versions[default], {**parameters, **versions})
    built = build(template, options.package, parameters)
    if not stack.is_local:
        refuse_stand_in(built)
    if exists:
        publish(source, stack, versions)
        stack.remember(channels(stack, stack.parameters().get("ModelName", default).split(",")))
    release = Release(built.read_text(), parameters)
    with promotion(stack, versions if exists and follows else {}):
        sam_deploy(stack, built, release, options)
    if not exists:
        publish(source, stack, versions)
    promote(stack, versions)
    smoke(stack, default, versions[default])
    print(f"Released {release.name} as {stack.name}: {stack.outputs()['PredictUrl']}")


def rollback(stack: Stack, options: argparse.Namespace) -> None:
    """Deploy the previous release again: its code, its parameters, and its models.

    Raises as `deploy` does.
    """
    if not stack.repair():
        raise StackFailed(f"there is no stack {stack.name}; run make deploy first")
    release, records = stack.former()
    refuse_other_packaging(stack, packaging.package(packaging.parse(release.template)))
    release = still_signed(stack, release)
    print(f"Rolling back from {stack.current().name} to {release.name}")
    template = FOLDER / "former.yaml"
    template.parent.mkdir(parents=True, exist_ok=True)
    template.write_text(release.template)
    default = release.parameters.get("ModelName", "mnist").split(",")[0]
    version = release.parameters.get("ModelVersion", CHANNEL)
    pinned = VERSION.fullmatch(version)
    with promotion(stack, {} if pinned else release.models):
        sam_deploy(stack, template, release, options)
    stack.forget(records)
    if pinned:
        promote(stack, {default: version})
    smoke(stack, default, promoted(stack, default))
    print(f"Rolled back to {release.name}: {stack.outputs()['PredictUrl']}")


def effective(
    template: Any, deployed: dict[str, str], configured: list[str], requested: list[str]
) -> dict[str, str]:
    """Each parameter's value: requested, else samconfig.toml's, else as deployed, else default.

    Raises DeployFailed if the template has no such parameter.
    """
    declared = template["Parameters"]
    explicit = dict(assignment.split("=", 1) for assignment in requested)
    if unknown := explicit.keys() - declared.keys():
        raise DeployFailed(
            f"the template has no parameter {', '.join(sorted(unknown))}; "
            f"expected one of {', '.join(sorted(declared))}"
        )
    defaults = {name: str(declared[name]["Default"]) for name in declared}
    kept = {name: value for name, value in deployed.items() if name in declared}
    return defaults | kept | dict(assignment.split("=", 1) for assignment in configured) | explicit


def resolve(store: ModelStore, name: str, requested: str) -> str | None:
    """The version to release, named itself or by a channel; None if nothing was ever promoted.

    Raises NotInStore if the store lacks the requested version, StoreError if `check` refuses it,
    and DeployFailed for a version with doubts that was not promoted in spite of them.
    """
    try:
        version = store.resolve(name, requested)
        store.check(name, version)
        doubts = store.manifest(name, version).doubts
        promoted = store.channel(name, CHANNEL)
    except NotInStore:
        if requested != CHANNEL:
            raise
        print(
            f"No {name} model is promoted in {store.url}: run make model, then make deploy again."
        )
        return None
    if doubts and (promoted is None or promoted["version"] != version):
        raise DeployFailed(
            f"{name} {version} has doubts: {'; '.join(doubts)}. If you know better, promote it "
            "with --force, then deploy again"
        )
    return version


def pin(store: ModelStore, parameters: dict[str, str]) -> str:
    """SHA-256 of the manifest that the function may load; empty if it follows a channel.

    Raises DeployFailed if it follows one although there is a signing key, and as the store's
    `check`.
    """
    version = parameters["ModelVersion"]
    if VERSION.fullmatch(version):
        return hashlib.sha256(store.check(parameters["ModelName"], version)).hexdigest()
    if parameters.get("ModelSigningKey"):
        raise DeployFailed(
            f"a stack with a ModelSigningKey serves one signed version, and this would follow the "
            f"channel {version}, which whoever can write to the bucket may move; promote a signed "
            "version, or pass ModelSigningKey= to serve unsigned ones"
        )
    return ""


def still_signed(stack: Stack, release: Release) -> Release:
    """The release with the stack's own signing key, if it has one, and a model signed by it.

    The records of releases are in the bucket too: they don't decide which models are trusted.
    Raises DeployFailed if the release can't check signatures, and as the store's `check`.
    """
    if not (key := stack.parameters().get("ModelSigningKey")):
        return release
    if "ModelSigningKey" not in packaging.parse(release.template)["Parameters"]:
        raise DeployFailed(
            f"release {release.name} is older than ModelSigningKey and would serve any model; "
            "deploy a signed version of that model instead: make deploy MODEL=<version>"
        )
    parameters = release.parameters | {"ModelSigningKey": key}
    store = ModelStore(stack.outputs()["ModelStoreUrl"], signing_key=key)
    return Release(release.template, parameters | {"ManifestSha256": pin(store, parameters)})


def commit() -> str:
    """Short hash of the checked-out commit, with -dirty if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    return done.stdout.strip() or "no-commit"


def release_name(code: str, version: str | None, parameters: Mapping[str, str | None]) -> str:
    """Name of a release: commit, default model's version, and a digest of all it consists of."""
    others = {name: value for name, value in parameters.items() if name != "Release"}
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()
    return f"{code}-{version or 'no-model'}-{digest[:6]}"


def build(template: Path, package: str, parameters: dict[str, str]) -> Path:
    """Build the function, and write the release into its template.

    SAM hashes the template's text, which has parameter names and not values, to decide whether to
    publish a version: without this, a new model or memory size alone would publish none.
    """
    folder = FOLDER / package
    command = deployment.build_command(template, folder, Release("", parameters).overrides)
    subprocess.run(command, check=True, cwd=folder, env=_environment(parameters))
    built = folder / "build/template.yaml"
    content = packaging.load(built)
    variables = content["Resources"]["PredictFunction"]["Properties"]["Environment"]["Variables"]
    variables["RELEASE"] = parameters["Release"]
    built.write_text(packaging.dump(content))
    return built


def refuse_stand_in(template: Path) -> None:
    """Refuse to deploy an image that was not built on Lambda's own base image.

    Raises DeployFailed if an image of the built template inherited the stand-in's label.
    """
    for resource in packaging.load(template)["Resources"].values():
        if image := resource.get("Properties", {}).get("ImageUri"):
            label = f'{{{{index .Config.Labels "{STAND_IN}"}}}}'
            command = ["docker", "image", "inspect", "--format", label, image]
            shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            if shown.strip() == "true":
                raise DeployFailed(
                    f"image {image} was built on the stand-in of .ci/base-image, which is only "
                    "for tests; pull AWS's base image, leave BaseImage empty, and deploy again"
                )


def refuse_other_packaging(stack: Stack, wanted: str | None) -> None:
    """Refuse to deploy the function in another packaging than the stack's.

    CloudFormation would replace the function without a canary, and SAM delete the repository that
    holds the images to go back to.
    Raises DeployFailed.
    """
    deployed = packaging.package(packaging.parse(stack.current().template))
    if wanted and deployed and wanted != deployed:
        raise DeployFailed(
            f"stack {stack.name} has its function as {deployed}; deploying it as {wanted} would "
            f"replace the function without a canary and without a way back. Deploy it with "
            f"PACKAGE={deployed}, or set another stack_name in samconfig.toml for a second stack"
        )


def publish(source: ModelStore, stack: Stack, versions: Mapping[str, str | None]) -> None:
    """Copy versions of models to the stack's bucket, unless they are already there."""
    for name, version in versions.items():
        if version is not None:
            url = stack.outputs()["ModelStoreUrl"]
            copy(source, ModelStore(url), name, version)
            print(f"Model {name} {version} is in {url}")


def sam_deploy(stack: Stack, template: Path, release: Release, options: argparse.Namespace) -> None:
    """Create or update the stack; CodeDeploy shifts the traffic, or rolls back.

    Raises CalledProcessError if it was rolled back.
    """
    command: list[str | Path] = [deployment.SAM, "deploy", "--template-file", template]
    settings = settings_for(packaging.package(packaging.load(template)), options.settings)
    command += ["--config-file", settings, "--config-env", ENVIRONMENTS[options.env]]
    command += ["--stack-name", stack.name, "--no-fail-on-empty-changeset"]
    if options.yes or not sys.stdin.isatty():
        command += ["--no-confirm-changeset"]
    if options.role:
        command += ["--role-arn", options.role]
    command += ["--parameter-overrides", *release.overrides]
    subprocess.run(command, check=True, cwd=PROJECT, env=_environment(release.parameters))


def settings_for(package: str | None, settings: Path) -> Path:
    """Settings for `sam deploy` of a packaging.

    For a zip, a copy without image repositories: SAM would delete those of the stack's images.
    """
    if package != "zip":
        return settings
    lines = settings.read_text().splitlines(keepends=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    copied = FOLDER / "samconfig-zip.toml"
    copied.write_text(
        "".join(line for line in lines if "image_repos" not in line.partition("=")[0])
    )
    return copied


def promote(stack: Stack, versions: Mapping[str, str | None]) -> None:
    """Point the bucket's channels to the served versions of models."""
    for name, version in versions.items():
        if version is not None and promoted(stack, name) != version:
            key = stack.parameters().get("ModelSigningKey", "")
            store = ModelStore(stack.outputs()["ModelStoreUrl"], signing_key=key)
            store.promote(name, version, CHANNEL, force=True)  # `resolve` has checked it


@contextlib.contextmanager
def promotion(stack: Stack, versions: Mapping[str, str | None]) -> Iterator[None]:
    """Promote versions before the deploy in this context, and point back if that fails.

    For a stack that follows its channels: the new version's hook asks for what they point to.
    """
    former = channels(stack, versions) if versions else {}
    try:
        promote(stack, versions)
        yield
    except Exception:
        for name, version in channels(stack, former).items() if former else ():
            if version == versions[name] != former[name]:
                store = ModelStore(stack.outputs()["ModelStoreUrl"])
                store.rollback(name, CHANNEL, to=former[name])
                print(f"Channel {CHANNEL} of {name} points back to {former[name]}")
        raise


def channels(stack: Stack, names: Iterable[str]) -> dict[str, str]:
    """Versions that the bucket's channels point to, of models that have one."""
    store = ModelStore(stack.outputs()["ModelStoreUrl"])
    pointers = {name: store.channel(name, CHANNEL) for name in names}
    return {name: pointer["version"] for name, pointer in pointers.items() if pointer}


def promoted(stack: Stack, name: str) -> str | None:
    """Version of a model that the bucket's channel points to, if any."""
    return channels(stack, [name]).get(name)


def smoke(stack: Stack, name: str, version: str | None) -> None:
    """POST a golden image as a user would; without an API key or a model, GET /health instead.

    Raises DeployFailed unless the released version responds.
    """
    url, key = stack.outputs()["PredictUrl"], stack.api_key()
    golden = sorted((GOLDEN / name).glob("*.png"))
    if key is None or version is None or not golden:
        status, answer = _settled(url.removesuffix("predict") + "health")
        if status != 200:
            raise DeployFailed(
                f"GET /health returned {status}, expected 200: {answer}; see the logs"
            )
        if version is None:
            print("The stack has no model: POST /predict returns 503 until one is published.")
        return
    status, answer = _settled(url, golden[0].read_bytes(), key)
    served = answer.get("model", {}).get("version")
    if status != 200 or served != version:
        raise DeployFailed(
            f"POST {url} returned {status} from model {served}, expected 200 from {version}: "
            f"{answer.get('detail', '')}; see the logs, or run make rollback"
        )
    prediction = answer["prediction"]
    reading = "none of its classes" if prediction is None else prediction
    print(f"Smoke test: model {served} reads {golden[0].name} as {reading}")


def _settled(url: str, body: bytes | None = None, key: str = "") -> tuple[int, dict[str, Any]]:
    """The answer once API Gateway knows the API and its key, which takes up to a minute.

    Until then it is 403, 404 or 5xx.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        status, answer = _ask(url, body, key)
        if (status not in {403, 404} and status < 500) or time.monotonic() > deadline:
            return status, answer
        time.sleep(PAUSE_SECONDS)


def _ask(url: str, body: bytes | None = None, key: str = "") -> tuple[int, dict[str, Any]]:
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        url = deployment.local_address(url, endpoint)
    headers = {"Content-Type": "image/png", "x-api-key": key} if body else {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the stack's own
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        content = error.read()
        try:
            return error.code, json.loads(content)
        except ValueError:
            return error.code, {"detail": content.decode(errors="replace")}
    except OSError as error:
        raise DeployFailed(f"can't reach {url}: {error}; try again") from error


def _environment(parameters: dict[str, str]) -> dict[str, str]:
    arch = {"ARCH": parameters.get("Architecture", "x86_64")}  # for layers/onnxruntime/Makefile
    path = f"{deployment.BOOTSTRAP}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **arch, "SAM_CLI_TELEMETRY": "0"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.deploy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", choices=["deploy", "rollback"])
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", type=_assignment)
    parser.add_argument("--env", choices=ENVIRONMENTS, required=True)
    parser.add_argument("--package", choices=deployment.PACKAGES, default="image")
    parser.add_argument(
        "--model", default=CHANNEL, help=f"version or channel to release (default: {CHANNEL})"
    )
    parser.add_argument("--store", default=LOCAL_STORE, help="model store to release from")
    parser.add_argument("--role", help="ARN of the role for CloudFormation to assume")
    parser.add_argument("--yes", action="store_true", help="skip the confirmation prompt")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="default: samconfig.toml")
    return parser


def _assignment(text: str) -> str:
    if not re.fullmatch(r"\w+=.*", text):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
