"""The deployed API: routes, keys and the gateway's own answers, on MiniStack over HTTPS."""

import http.client
import json
import os
import shlex
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tools import deployment, emulator, openapi, processes
from tools.deployment import Stack
from tools.emulator import PROJECT

pytestmark = [pytest.mark.sam, pytest.mark.emulator]

DOCUMENT = openapi.read()
OPEN = openapi.open_paths(DOCUMENT)
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
UNKNOWN = ("/nothing", "/nothing/at/all", "/predict/more", "/v2/nothing", "/v2/models/mnist/a/b")


@pytest.fixture(scope="module")
def aws() -> Iterator[emulator.Emulator]:
    """The zip packaging, deployed by `sam deploy`; its bucket is empty, so there is no model."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        template = deployment.sam_build("zip")
        with emulator.running() as aws:
            deployment.sam_deploy("zip", template, aws)
            yield aws


@pytest.fixture(scope="module")
def stack(aws: emulator.Emulator) -> Stack:
    return Stack.of(aws)


class Answer:
    """An HTTP answer, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.type = response.headers.get_content_type()
        self.body = response.read()

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def ask(
    stack: Stack,
    method: str,
    path: str,
    *,
    key: str | None = None,
    base: str | None = None,
    signed: bool = False,
) -> Answer:
    """Send a request to the stack's API, or to a path of the emulator; signed: as for Lambda."""
    url = urlsplit(stack.url)
    stage = url.path.removesuffix("/predict") if base is None else base
    tls = ssl.create_default_context(cafile=stack.certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", url.port, timeout=60, context=tls)
    headers = {"Host": url.netloc, "Content-Type": "image/png"}
    if key is not None:
        headers["x-api-key"] = key
    body = b"\x89PNG\r\n\x1a\n\xff" if method == "POST" else None
    if signed:
        request = AWSRequest(method, f"https://{url.netloc}{path}", headers, body)
        SigV4Auth(Credentials("test", "test"), "lambda", deployment.REGION).add_auth(request)
        headers = dict(request.headers)
    try:
        connection.request(method, stage + path, body, headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def filled(path: str) -> str:
    return path.replace("{name}", "mnist").replace("{version}", "20260101T000000Z-00000000")


@pytest.mark.parametrize("key", [None, "wrong"])
@pytest.mark.parametrize("path", [*sorted(DOCUMENT["paths"].keys() - OPEN), *UNKNOWN])
def test_a_closed_path_is_refused_in_the_words_of_the_interface(
    stack: Stack, path: str, key: str | None
) -> None:
    """For every method, and for unknown paths too."""
    for method in METHODS:
        answer = ask(stack, method, filled(path), key=key)
        body, headers = openapi.refusal(DOCUMENT, "INVALID_API_KEY", answer.content["request_id"])
        assert (answer.status, answer.content) == (403, body), method
        assert headers.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("path", sorted(OPEN))
def test_an_open_path_answers_without_a_key(stack: Stack, path: str) -> None:
    """And it refuses other methods itself."""
    assert ask(stack, "GET", path).status == 200
    answer = ask(stack, "DELETE", path)
    assert (answer.status, answer.type) == (405, "application/problem+json")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_with_the_key_every_operation_reaches_the_function(stack: Stack, path: str) -> None:
    """It returns a documented status, and 405 for an undocumented method."""
    operations = dict(openapi.operations(DOCUMENT["paths"][path]))
    for method in METHODS:
        answer = ask(stack, method, filled(path), key=stack.key)
        if operation := operations.get(method.lower()):
            assert str(answer.status) in operation["responses"], answer.body
            assert answer.status not in {403, 500, 502, 504}, answer.body
        else:
            assert answer.status == 405
            assert answer.headers["Allow"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_with_the_key_an_unknown_path_is_the_functions_to_answer(stack: Stack, path: str) -> None:
    answer = ask(stack, "GET", path, key=stack.key)
    assert answer.status == 404
    assert f"there is no {path}" in answer.body.decode()


def test_without_a_model_predictions_are_put_off(stack: Stack) -> None:
    """The body arrives as bytes: the function reads it before it looks for the model."""
    answer = ask(stack, "POST", "/predict", key=stack.key)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


def deployed_front(stack: Stack, aws: emulator.Emulator, task: str, **parameters: str) -> str:
    """Deploy a front as `make` does; return its path on the emulator."""
    given = {"FunctionName": stack.function, **parameters}
    variable = "PARAMETERS=" + " ".join(f"{name}={value}" for name, value in given.items())
    section = task.removeprefix("deploy-")
    recipe = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", task, variable],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]
    environment = deployment.sam_environment(aws.environment())
    command = [*shlex.split(recipe), "--s3-bucket", deployment.ARTIFACTS]
    processes.run(command, log=deployment.FOLDER / f"{task}.log", env=environment, cwd=PROJECT)
    cloudformation = deployment.client("cloudformation", aws)
    (front,) = cloudformation.describe_stacks(StackName=f"classifier-{section}")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in front["Outputs"]}
    return str(urlsplit(outputs["PredictUrl"]).netloc).partition(".")[0]


def test_a_function_url_passes_signed_requests_to_the_function(
    stack: Stack, aws: emulator.Emulator
) -> None:
    """The function, which has no model, puts predictions off. MiniStack trusts any signature."""
    identity = deployed_front(stack, aws, "deploy-url")
    front = f"/_aws/lambda-url/{identity}"
    for method, path, status in (("POST", "/predict", 503), ("GET", "/health", 200)):
        assert ask(stack, method, front + path, base="").status == 403
        assert ask(stack, method, front + path, base="", signed=True).status == status


def test_an_http_api_asks_for_a_token_except_on_open_paths(
    stack: Stack, aws: emulator.Emulator
) -> None:
    identity = deployed_front(
        stack, aws, "deploy-http-api", Issuer="https://issuer.example.org", Audience="a,b"
    )
    front = f"/_aws/execute-api/{identity}"
    assert ask(stack, "POST", f"{front}/predict", base="").status == 401
    assert ask(stack, "GET", f"{front}/model", base="").status == 401
    assert ask(stack, "GET", f"{front}/health", base="").content == {"status": "ok"}
