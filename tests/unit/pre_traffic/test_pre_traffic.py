"""The pre-traffic hook with the real predict function: a bad version never gets traffic.

The AWS that it talks to is a small server here, as no emulator has CodeDeploy: Lambda's Invoke runs
the predict function's handler, and CodeDeploy's call is written down.
"""

import hashlib
import http.server
import importlib.util
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import hook
from classifier.monitoring import capture
from model_build.store.model_store import MANIFEST, MODEL, SIGNATURE, ModelStore
from model_build.store.signing import PrivateKey
from tests.support.keys import write_key
from tests.support.log_lines import logged
from tests.support.manifests import describe

ARN = "arn:aws:lambda:us-east-1:000000000000:function:predict:7"
LIFECYCLE = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}
CODEDEPLOY = "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"


class Context:
    """Lambda's, for the time that the template's Timeout leaves."""

    def __init__(self, seconds: float = 240) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * self.seconds)


class Aws:
    """The hook's calls, and the function that answers them."""

    def __init__(self) -> None:
        self.bucket = Path()
        self.invoked: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.predict: Any = None


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A server that stands in for AWS."""
    cloud = Aws()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            failed = {}
            if self.headers.get("X-Amz-Target") == CODEDEPLOY:
                cloud.told.append(body)
                answer = {"lifecycleEventHookExecutionId": body["lifecycleEventHookExecutionId"]}
            else:
                cloud.invoked.append(unquote(self.path.split("/")[3]))
                try:
                    answer = cloud.predict(body, SimpleNamespace(aws_request_id="a-call"))
                except RuntimeError as error:
                    failed = {"X-Amz-Function-Error": "Unhandled"}
                    answer = {"errorMessage": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(200)
            for name, value in {**failed, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            file = cloud.bucket / unquote(self.path).partition("?")[0].removeprefix(
                "/bucket/models/"
            )
            found = file.is_file()
            content = file.read_bytes() if found else b"<Error><Code>AccessDenied</Code></Error>"
            self.send_response(200 if found else 403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "NEW_VERSION": ARN,
        "MODEL_NAME": "mnist",
        "MODEL_VERSION": "production",
        "MODEL_BUCKET": "bucket",
        "MIN_ACCURACY": "0.9",
        "MIN_CONFIDENCE": "0.7",
        "MAX_MEDIAN_MS": "30000",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hook, "PAUSE_SECONDS", 0.0)
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def serve(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the predict function serve a model, or none."""

    def serving(
        content: bytes | None,
        labels: list[int] | None = None,
        rejection: dict[str, float] | None = None,
        metrics: dict[str, float] | None = None,
    ) -> str | None:
        monkeypatch.setenv("MODEL_STORE_URL", f"file://{tmp_path}")
        version = None
        if content is not None:
            document = describe(content)
            if labels:
                document["output"]["labels"] = labels
            if rejection:
                document["rejection"] = rejection
            document["metrics"] |= metrics or {}
            version = document["version"]
            store = ModelStore(f"file://{tmp_path}")
            store.publish(document, content)
            store.promote("mnist", version, "production")
        # Apart from the one that other tests import: it keeps its model, as does the early load.
        monkeypatch.setattr("classifier.model.early.loading", None)
        source = Path(hook.__file__).parents[1] / "predict/classifier/handler.py"
        spec = importlib.util.spec_from_file_location("app_of_a_version", source)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        aws.predict = module.handler
        return version

    return serving


def network(weights: NDArray[np.floating[Any]]) -> bytes:
    """A linear classifier [784] → [10] in the model store's format."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["float"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def good() -> bytes:
    """A model that was fitted to the golden images and reads them correctly."""
    from classifier.image.pixels import Picture
    from classifier.prepare.pipeline import from_manifest, sample

    prepare = from_manifest(["N", 28, 28], {"pipeline": "mnist", "box": 20})
    golden = sorted((hook.GOLDEN / "mnist").glob("*.png"))
    samples, labels = [], []
    for path in golden:
        picture = Picture(path.read_bytes())
        samples.append(sample(prepare, picture, "auto").ravel() / 255)
        labels.append(int(path.name.partition("-")[0]))
    inputs = np.array(samples)
    targets = 20 * np.eye(10)[labels]
    return network(np.linalg.pinv(inputs) @ targets / 255)


def test_there_are_golden_images_of_every_class() -> None:
    """And they are tiny, because every release contains them."""
    golden = sorted((hook.GOLDEN / "mnist").glob("*.png"))
    assert sorted({path.name[0] for path in golden}) == list("0123456789")
    assert len(golden) == 20
    assert sum(path.stat().st_size for path in golden) < 10_000


def test_a_good_version_may_have_the_traffic(aws: Aws, serve: Any, good: bytes) -> None:
    """All golden images go to exactly that version, and CodeDeploy is told of success."""
    version = serve(good)
    os.environ["MODEL_VERSION"] = version
    verdict = hook.handler(LIFECYCLE, Context())
    assert verdict["status"] == "Succeeded", verdict
    assert verdict["accuracy"] == 1
    assert set(aws.invoked) == {ARN}
    assert len(aws.invoked) == 21
    assert aws.told == [
        {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "hook-1", "status": "Succeeded"}
    ]


def test_a_check_is_no_traffic(
    aws: Aws, serve: Any, good: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even a failed load writes a metric, which an alarm or the drift check would count."""
    serve(None)
    hook.handler(LIFECYCLE, Context())
    serve(good)
    hook.handler(LIFECYCLE, Context())
    assert "CloudWatchMetrics" not in capsys.readouterr().out
    assert len(aws.invoked) == hook.TRIES + 21
    aws.predict(
        {"httpMethod": "GET", "path": "/model", "requestContext": {"stage": "prod"}},
        SimpleNamespace(aws_request_id="a-call"),
    )
    assert "CloudWatchMetrics" in capsys.readouterr().out


def test_a_check_is_not_captured(
    aws: Aws, serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The golden images are labelled already."""
    kept: list[Any] = []
    monkeypatch.setattr(capture, "keep", lambda *inputs: kept.extend(inputs))
    monkeypatch.setenv("CAPTURE_URL", "s3://captures/mnist")
    serve(good)
    assert hook.handler(LIFECYCLE, Context())["status"] == "Succeeded"
    assert kept == []


def test_a_version_that_hangs_is_reported_in_time(aws: Aws, serve: Any, good: bytes) -> None:
    """Otherwise CodeDeploy would wait an hour: each call is near its limit, and there are 21."""
    serve(good)
    context = Context()
    predict = aws.predict

    def slowly(event: Any, function_context: Any) -> Any:
        context.seconds -= hook.CONNECT_SECONDS + hook.CALL_SECONDS
        return predict(event, function_context)

    aws.predict = slowly
    verdict = hook.handler(LIFECYCLE, context)
    assert "the check took too long" in verdict["reason"]
    assert [told["status"] for told in aws.told] == ["Failed"]
    assert context.seconds >= hook.REPORT_SECONDS


def refused(aws: Aws) -> str:
    """The reason for which CodeDeploy was told that it failed."""
    verdict = hook.handler(LIFECYCLE, Context())
    assert verdict["status"] == "Failed", verdict
    assert [told["status"] for told in aws.told] == ["Failed"]
    return str(verdict["reason"])


def test_a_model_with_shuffled_labels_never_takes_traffic(
    aws: Aws, serve: Any, good: bytes
) -> None:
    """As confident as the good model, and wrong."""
    serve(good, labels=[*range(1, 10), 0])
    assert "0 accuracy on the golden images" in refused(aws)


def test_a_model_with_random_weights_never_takes_traffic(aws: Aws, serve: Any) -> None:
    serve(network(np.random.default_rng(0).normal(0, 0.001, (784, 10))))
    assert "accuracy on the golden images; its own evaluation makes at least 0.891" in refused(aws)


def test_a_model_that_takes_digits_for_none_never_takes_traffic(
    aws: Aws, serve: Any, good: bytes
) -> None:
    """A rejected golden image is a wrong answer, and the reason counts them."""
    serve(good, rejection={"threshold": 0.9, "slope": 1, "offset": -30})
    assert "0 accuracy on the golden images (20 taken for none of the classes)" in refused(aws)


def test_a_model_that_is_right_but_unsure_never_takes_traffic(
    aws: Aws, serve: Any, good: bytes
) -> None:
    model = onnx.load_from_string(good)
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) / 50, "weights"))
    serve(model.SerializeToString())
    assert "mean confidence on the golden images; MIN_CONFIDENCE is 0.7" in refused(aws)


@pytest.mark.parametrize(("share", "fit"), [(0.5, True), (0.7, False)])
def test_a_model_need_not_be_surer_than_in_its_own_evaluation(
    aws: Aws, serve: Any, good: bytes, share: float, *, fit: bool
) -> None:
    """Of a thousand classes, few answers are as sure as those of ten; here they are 0.5."""
    model = onnx.load_from_string(good)
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) / 9, "weights"))
    evaluated = {"accuracy": share + 0.05, "expected_calibration_error": 0.05}
    serve(model.SerializeToString(), metrics=evaluated)
    verdict = hook.handler(LIFECYCLE, Context())
    assert verdict["status"] == ("Succeeded" if fit else "Failed"), verdict
    if not fit:
        assert "confidence on the golden images; its own evaluation" in verdict["reason"]


def test_a_version_that_is_too_slow_never_takes_traffic(
    aws: Aws, serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_MEDIAN_MS", "0")
    serve(good)
    assert "ms median of the warm calls" in refused(aws)


def test_each_of_several_models_must_be_fit(
    aws: Aws,
    serve: Any,
    good: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_pause: None,
) -> None:
    """The default one on its golden images; another one without any must at least answer."""
    serve(good)
    monkeypatch.setenv("MODEL_NAME", "mnist,clothes")
    assert "it can't load its model clothes (503" in refused(aws)
    aws.told.clear()
    document = describe(good, name="clothes")
    store = ModelStore(f"file://{tmp_path}")
    store.publish(document, good)
    store.promote("clothes", document["version"], "production")
    verdict = hook.handler(LIFECYCLE, Context())
    assert verdict["status"] == "Succeeded"
    assert verdict["models"]["mnist"]["accuracy"] == 1
    assert verdict["models"]["clothes"] == {"images": 0}
    aws.told.clear()

    golden = tmp_path / "golden"
    (golden / "clothes").mkdir(parents=True)
    for path in (hook.GOLDEN / "mnist").glob("*.png"):
        (golden / "clothes" / f"9-{path.name}").write_bytes(path.read_bytes())
    monkeypatch.setattr(hook, "GOLDEN", golden)
    assert "clothes: 0.1 accuracy on the golden images; " in refused(aws)


def test_without_a_model_the_reason_says_to_publish_one(aws: Aws, serve: Any) -> None:
    serve(None)
    reason = refused(aws)
    assert "503" in reason
    assert "publish the model to the stack's bucket, then deploy again" in reason
    assert len(aws.invoked) == hook.TRIES


def test_another_model_than_the_pinned_one_is_noticed(
    aws: Aws, serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example by a version with another configuration."""
    serve(good)
    predict = aws.predict

    def by_channel(event: Any, context: Any) -> Any:
        os.environ["MODEL_VERSION"] = "production"
        answer = predict(event, context)
        os.environ["MODEL_VERSION"] = "20200101T000000Z-00000000"
        return answer

    aws.predict = by_channel
    monkeypatch.setenv("MODEL_VERSION", "20200101T000000Z-00000000")
    assert "must serve model 20200101T000000Z-00000000" in refused(aws)


def test_a_version_that_crashes_never_takes_traffic(aws: Aws) -> None:
    def crash(_event: Any, _context: Any) -> Any:
        raise RuntimeError("no such module")

    aws.predict = crash
    assert "crashed it" in refused(aws)


def test_a_check_that_fails_itself_is_no_success(
    aws: Aws, serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeDeploy is told immediately instead of waiting for an hour; the log has the traceback."""
    serve(good)
    monkeypatch.delenv("MIN_ACCURACY")
    with logged(hook.logger) as lines:
        assert "the check itself failed: KeyError" in refused(aws)
    *_, failure, verdict = lines  # after those of the function, which logs here too
    assert (failure["level"], failure["exception_name"]) == ("ERROR", "KeyError")
    assert "hook.py" in failure["exception"]
    assert (verdict["message"], verdict["status"]) == ("verdict", "Failed")


def test_a_model_without_golden_images_must_at_least_answer(
    aws: Aws, serve: Any, good: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A user's own model without golden images yet."""
    monkeypatch.setattr(hook, "GOLDEN", tmp_path)
    serve(good)
    verdict = hook.handler({"version": ARN}, Context())
    assert verdict == {"status": "Succeeded", "version": ARN, "images": 0}
    assert aws.told == []  # asked by hand, it answers by hand


@pytest.fixture
def signed(
    aws: Aws, serve: Any, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A pinned, signed version in the bucket, which the function serves: its folder."""
    key = PrivateKey(write_key(tmp_path / "key.pem"))
    version = str(serve(good))
    ModelStore(f"file://{tmp_path}").sign("mnist", version, key.sign)
    aws.bucket = tmp_path
    folder = tmp_path / "mnist/versions" / version
    monkeypatch.setenv("MODEL_VERSION", version)
    monkeypatch.setenv("MODEL_SIGNING_KEY", key.public)
    pin(monkeypatch, folder)
    return folder


def pin(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a deploy does, of the hook and of the function."""
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    monkeypatch.setenv("MANIFEST_SHA256", digest)


def test_a_signed_version_takes_traffic(aws: Aws, signed: Path) -> None:
    assert hook.handler(LIFECYCLE, Context())["status"] == "Succeeded"
    assert [told["status"] for told in aws.told] == ["Succeeded"]


def rewrite_manifest(folder: Path, _: pytest.MonkeyPatch) -> None:
    """Of a model that the writer likes better."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["output"]["labels"].reverse()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rewrite_and_pin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By someone who has a stack deployed from a store without the key."""
    rewrite_manifest(folder, monkeypatch)
    pin(monkeypatch, folder)


def rewrite_model(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / MODEL).write_bytes(network(np.zeros((784, 10))))


def swap_signature(folder: Path, _: pytest.MonkeyPatch) -> None:
    """With one by a key of the writer's own."""
    own = PrivateKey(write_key(folder / "own.pem"))
    (folder / SIGNATURE).write_bytes(own.sign((folder / MANIFEST).read_bytes()))


def remove_signature(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / SIGNATURE).unlink()


def replay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signed version, whole, under the name of another."""
    newer = folder.with_name("20270101T000000Z-0123abcd")
    folder.rename(newer)
    monkeypatch.setenv("MODEL_VERSION", newer.name)


def follow_a_channel(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_VERSION", "production")


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (rewrite_manifest, "manifest.sig is not a signature of the manifest"),
        (rewrite_and_pin, "manifest.sig is not a signature of the manifest"),
        (rewrite_model, "it can't load its model mnist (503"),
        (swap_signature, "manifest.sig is not a signature of the manifest"),
        (remove_signature, "manifest.sig can't be read (AccessDenied); sign the version"),
        (replay, "/manifest.json is that of mnist 2026"),
        (follow_a_channel, "ModelVersion is production, a channel"),
    ],
)
def test_what_a_writer_of_the_bucket_without_the_key_can_do_takes_no_traffic(
    aws: Aws, signed: Path, tamper: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamper(signed, monkeypatch)
    assert reason in refused(aws)


def test_what_was_written_after_the_check_is_not_loaded(
    aws: Aws, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new environment of the approved version loads the approved manifest or none."""
    rewrite_manifest(signed, monkeypatch)
    event = {"httpMethod": "GET", "path": "/model", "requestContext": {"stage": "prod"}}
    answer = aws.predict(event, SimpleNamespace(aws_request_id="a-call"))
    assert answer["statusCode"] == 503


def test_another_signed_manifest_than_the_pinned_one_takes_no_traffic(
    aws: Aws, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed too, but not what was deployed."""
    monkeypatch.setenv("MANIFEST_SHA256", "0" * 64)
    assert "is not the one that the function is pinned to" in refused(aws)
