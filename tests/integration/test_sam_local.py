"""The container image, built and called in the README's three ways, with real events."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from model_build.store.model_store import ModelStore, copy
from tests.support import ROOT
from tests.support.commands import run
from tests.support.conformance import check_conformance
from tests.support.manifests import describe
from tools import deploy

EVENTS = ROOT / "events"
SIZE_LIMIT_MB = 150  # of our own layers; Lambda loads what a cold start reads, so every MB tells


class Answer(NamedTuple):
    """A response from any of the three ways; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


class Expected(NamedTuple):
    """The expected response to an event."""

    status: int = 200
    digits: list[int] | None = None  # None: the answer holds no prediction
    batch: bool = False


EXPECTED = {
    "json.json": Expected(digits=[7]),
    "png.json": Expected(digits=[3]),
    "jpeg-photo.json": Expected(digits=[5]),
    "batch.json": Expected(digits=list(range(10)), batch=True),
    "preprocess-none.json": Expected(digits=[2]),
    "health.json": Expected(),
    "direct.json": Expected(digits=[4]),
    "vpc-lattice.json": Expected(digits=[6]),
    "warm-up.json": Expected(),
    "bad-base64.json": Expected(status=400),
    "not-an-image.json": Expected(status=422),
    "blank-page.json": Expected(status=422),
}


def test_every_event_file_has_an_expected_answer() -> None:
    """A new event without a row in the table above would never be sent."""
    assert {path.name for path in EVENTS.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_sam_local_invoke_answers_the_event(
    name: str, sam_local_invoke: Callable[[Path], dict[str, Any]], model_version: str
) -> None:
    """Plain `sam build` and `sam local invoke -e events/...`: no flag, no account, no S3."""
    check(from_lambda(sam_local_invoke(EVENTS / name)), EXPECTED[name], model_version)


def test_start_api_answers_a_posted_png(api: str, model_version: str) -> None:
    """The bytes of a PNG, sent over HTTP unchanged."""
    answer = send(f"{api}/predict", picture("png.json"), "image/png")
    check(answer, EXPECTED["png.json"], model_version)


def test_start_api_answers_posted_json(api: str, model_version: str) -> None:
    """JSON with the picture in base64, as a browser or a script sends it."""
    document = {"image": base64.b64encode(picture("png.json")).decode()}
    answer = send(f"{api}/predict", json.dumps(document).encode(), "application/json")
    check(answer, EXPECTED["png.json"], model_version)


def test_start_api_answers_health(api: str, model_version: str) -> None:
    """A GET, without a body."""
    check(send(f"{api}/health"), EXPECTED["health.json"], model_version)


def test_start_api_hands_the_functions_errors_over(api: str, model_version: str) -> None:
    """Bytes that are not a picture, an unknown path, an unsupported method."""
    answer = send(f"{api}/predict", b"not a picture", "image/png")
    check(answer, Expected(status=422), model_version)

    check(send(f"{api}/nowhere/at/all"), Expected(status=404), model_version)

    answer = send(f"{api}/predict")
    check(answer, Expected(status=405), model_version)
    assert answer.headers["allow"] == "POST"


def test_the_container_answers_as_its_interface_states(api: str, tmp_path: Path) -> None:
    """Schemathesis on the deployed image and API, without the edge cases tried on the service."""
    check_conformance(f"{api}/", tmp_path, "--phases=fuzzing,stateful", "--max-examples=3")


def test_the_image_serves_as_lambda_runs_it(
    lambda_container: Callable[..., str], model_version: str
) -> None:
    """As an unprivileged user on a read-only file system, with the model that is in the image."""
    answer = invoke(lambda_container(), EVENTS / "png.json")
    check(answer, EXPECTED["png.json"], model_version)


def test_without_a_model_the_image_answers_503(
    lambda_container: Callable[..., str], model_version: str
) -> None:
    """An empty store does not crash it, and health does not depend on the store."""
    url = lambda_container(MODEL_STORE_URL="file:///tmp/empty")
    answer = invoke(url, EVENTS / "png.json")
    check(answer, Expected(status=503), model_version)
    assert int(answer.headers["retry-after"]) > 0
    check(invoke(url, EVENTS / "health.json"), EXPECTED["health.json"], model_version)


def test_a_warm_environment_follows_its_channel(
    lambda_container: Callable[..., str], model_version: str, tmp_path: Path
) -> None:
    """To a promoted version, without a wrong answer or an error, and back."""
    local, store = ModelStore(deploy.LOCAL_STORE), ModelStore(tmp_path.as_uri())
    copy(local, store, "mnist", model_version)
    newer = describe(local.model("mnist", model_version), minute=1)
    newer["input"] = local.manifest("mnist", model_version).document["input"]
    newer["output"]["labels"] = [*range(10, 20)]  # every answer tells which version gave it
    store.publish(newer, local.model("mnist", model_version))
    expected = {model_version: 3, newer["version"]: 13}

    def promote(version: str) -> None:
        store.promote("mnist", version, "production")
        run("chmod", "--recursive", "a+rX", tmp_path)

    promote(model_version)
    url = lambda_container(
        f"--volume={tmp_path}:/store:ro",
        MODEL_STORE_URL="file:///store",
        MODEL_REFRESH_SECONDS="0.1",
    )
    for version in (model_version, newer["version"], model_version):
        promote(version)
        deadline = time.monotonic() + 60
        served = ""
        while served != version and time.monotonic() < deadline:
            answer = invoke(url, EVENTS / "png.json")
            assert answer.status == 200, answer.body
            content = json.loads(answer.body)
            served = content["model"]["version"]
            assert content["prediction"] == expected[served]
        assert served == version


def test_our_layers_over_the_base_are_small(image: str, base_image: str) -> None:
    """What the image adds to the base image, which Lambda's hosts cache."""
    base, whole = layers(base_image), layers(image)
    assert whole[: len(base)] == base, "the image was built on another base: run `sam build` again"
    added = (size(image) - size(base_image)) / 1e6
    assert added <= SIZE_LIMIT_MB, f"{added:.0f} MB over the base"


def test_the_function_inherits_the_label_of_the_stand_in(
    image: str, base_image: str, tmp_path: Path
) -> None:
    """`make deploy` refuses it by that label; on AWS's own base there is none."""
    template = tmp_path / "template.yaml"
    template.write_text(json.dumps({"Resources": {"F": {"Properties": {"ImageUri": image}}}}))
    refused = False
    try:
        deploy.refuse_stand_in(template)
    except deploy.DeployFailed:
        refused = True
    assert refused is base_image.endswith("stand-in")


def test_everything_in_the_image_is_compiled(image: str) -> None:
    """Lambda can't write bytecode: a module without it is compiled in every cold start."""
    script = (
        "import pathlib, importlib.util as u\n"
        "for root in ('/opt/python', '/var/task'):\n"
        "    for path in pathlib.Path(root).rglob('*.py'):\n"
        "        if not pathlib.Path(u.cache_from_source(path)).exists(): print(path)\n"
    )
    assert not run("docker", "run", "--rm", "--entrypoint", "python", image, "-c", script)


def check(answer: Answer, expected: Expected, version: str) -> None:
    """Compare a response with the expected one, and its format with the interface."""
    assert answer.status == expected.status, answer.body
    content: dict[str, Any] = json.loads(answer.body)
    if expected.status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert content["status"] == expected.status
        assert {"type", "title", "detail", "request_id"} <= set(content)
        assert len(content["detail"]) > 20, "the detail says what to send instead"
        assert "Traceback" not in answer.body
        return
    assert answer.headers["content-type"] == "application/json"
    if expected.digits is None:
        return
    predictions = content["predictions"] if expected.batch else [content]
    assert [one["prediction"] for one in predictions] == expected.digits
    for one in predictions:
        assert one["confidence"] == max(one["probabilities"])
        assert one["probabilities"].index(one["confidence"]) == one["prediction"]
        assert sum(one["probabilities"]) == pytest.approx(1, abs=0.01)
    assert content["model"] == {"name": "mnist", "version": version}
    assert content["request_id"]


def picture(event: str) -> bytes:
    """Return the bytes of the picture in an event whose body is one."""
    return base64.b64decode(json.loads((EVENTS / event).read_text())["body"])


def send(url: str, body: bytes | None = None, content_type: str = "") -> Answer:
    """Send a GET, or a POST of the body, and return the response, even an error."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type} if body else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, response.read().decode())


def from_lambda(response: dict[str, Any]) -> Answer:
    """Read what the handler returns to a gateway, or the body alone to any other caller."""
    if "statusCode" not in response:
        return Answer(200, {"content-type": "application/json"}, json.dumps(response))
    headers = {name.lower(): value for name, value in response["headers"].items()}
    return Answer(response["statusCode"], headers, response["body"])


def invoke(url: str, event: Path) -> Answer:
    """Send an event to a container's runtime interface emulator, once it listens."""
    for _ in range(50):
        try:
            answer = send(url, event.read_bytes(), "application/json")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return from_lambda(json.loads(answer.body))
    pytest.fail(f"Nothing answers at {url}")


def layers(image: str) -> list[str]:
    """Return the digests of an image's layers, the lowest first."""
    found: list[str] = json.loads(
        run("docker", "image", "inspect", "--format={{json .RootFS.Layers}}", image)
    )
    return found


def size(image: str) -> int:
    """Return the uncompressed bytes of all of an image's layers.

    Summed from the history: what `docker image inspect` calls Size is compressed in newer engines.
    """
    history = run("docker", "history", "--human=false", "--format={{.Size}}", image)
    return sum(map(int, history.split()))
