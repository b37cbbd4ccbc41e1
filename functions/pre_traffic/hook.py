"""Pre-traffic hook: tests a new version of the function on golden images before it gets traffic.

CodeDeploy calls it before moving the alias, and only moves it if the hook reports `Succeeded`.
Invoked manually, with `{}` or `{"version": "<ARN of a version>"}`, it returns its verdict.

Golden images are golden/<model's name>/<label>-<anything>.png. For a model without any, the hook
only checks that the version loads its model and answers.
"""

import base64
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

import signature

GOLDEN = Path(__file__).parent / "golden"
TRIES = 3  # in case the store is briefly unavailable
PAUSE_SECONDS = 2.0
CONNECT_SECONDS = 5
CALL_SECONDS = 30  # longer than the predict function's timeout
REPORT_SECONDS = 30  # to tell CodeDeploy, tries included
_SHARE = 0.9  # of its figures in the evaluation, which a fit version reaches on golden images
logger = Logger()


class Unfit(Exception):
    """The new version must not get traffic; the message says why and what to do next."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Check a version, report to CodeDeploy if it called, and return the verdict.

    Without a report CodeDeploy would wait an hour: the check stops while there is time for one.

    Environment: NEW_VERSION, the ARN to check unless the event names another; MODEL_NAME and
    MODEL_VERSION; MIN_ACCURACY and MIN_CONFIDENCE, 0 to 1, which a model need not reach that did
    not in its own evaluation; MAX_MEDIAN_MS of a warm call; and what `signature.check` reads.
    """
    verdict: dict[str, Any] = {"status": "Failed"}
    try:
        version = event.get("version") or os.environ["NEW_VERSION"]
        verdict |= {"version": version}
        verdict |= {**check(version, context.get_remaining_time_in_millis), "status": "Succeeded"}
    except (Unfit, signature.Untrusted) as unfit:
        verdict["reason"] = str(unfit)
    except Exception as error:
        logger.exception("the check itself failed")
        verdict["reason"] = f"the check itself failed: {type(error).__name__}: {error}"
    logger.info("verdict", **verdict)
    if "DeploymentId" in event:
        settings = Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=5, retries={"total_max_attempts": 2}
        )
        boto3.client("codedeploy", config=settings).put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=verdict["status"],
        )
    return verdict


def check(version: str, remaining_ms: Callable[[], int]) -> dict[str, Any]:
    """Measure a version that is fit for traffic.

    remaining_ms: how long this function may still run.
    Raises Unfit if the version is not fit, or the check takes too long, and Untrusted if its model
    is not signed.
    """
    signature.check()
    tested = Version(version, remaining_ms)
    names = [name.strip() for name in os.environ["MODEL_NAME"].split(",")]
    figures = {name: _figures(tested, name) for name in names}
    return figures[names[0]] if len(names) == 1 else {"models": figures}


def _figures(tested: "Version", name: str) -> dict[str, Any]:
    """Measure one model of a version. Raises Unfit as `check` does."""
    card = ready(tested, name)
    golden = sorted((GOLDEN / name).glob("*.png"))
    if not golden:
        return {"images": 0}
    right, rejected, confidences, times = 0, 0, [], []
    for path in golden:
        started = time.perf_counter()
        status, answer = tested.ask("POST", "/predict", name, path.read_bytes())
        times.append(1000 * (time.perf_counter() - started))
        if status != 200:
            raise Unfit(f"{path.name}: expected 200, got {status}: {answer.get('detail', answer)}")
        right += str(answer["prediction"]) == path.name.partition("-")[0]
        rejected += answer["prediction"] is None
        confidences.append(float(answer["confidence"]))
    figures = {
        "images": len(golden),
        "accuracy": right / len(golden),
        "rejected": rejected,
        "confidence": statistics.mean(confidences),
        "median_ms": statistics.median(times),
    }
    _judge(figures, name, card["metrics"])
    return figures


def ready(tested: "Version", name: str) -> dict[str, Any]:
    """Check that the version loads a model, the one it is pinned to; return what it says of it.

    Raises Unfit if it loads no model, or another one.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        status, answer = tested.ask("GET", "/model", name)
        if status != 503:
            break
    if status != 200:
        raise Unfit(
            f"it can't load its model {name} ({status}: {answer.get('detail', answer)}); "
            "publish the model to the stack's bucket, then deploy again"
        )
    pinned, served = os.environ["MODEL_VERSION"], answer.get("version")
    if signature.PINNED.fullmatch(pinned) and served != pinned:
        raise Unfit(f"it must serve model {pinned}, got {served}")
    return answer


class Version:
    """A version of the predict function, called while there is time to report on it."""

    def __init__(self, arn: str, remaining_ms: Callable[[], int]) -> None:
        self._arn = arn
        self._remaining_ms = remaining_ms
        # No retries: they would hide a version that is too slow.
        settings = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CALL_SECONDS,
            retries={"total_max_attempts": 1},
        )
        self._client = boto3.client("lambda", config=settings)

    def ask(
        self, method: str, path: str, name: str, body: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request for a model as the REST API would; return its response's status and JSON.

        Raises Unfit if the function crashes, or if a call might leave no time for the report.
        """
        if self._remaining_ms() < 1000 * (CONNECT_SECONDS + CALL_SECONDS + REPORT_SECONDS):
            raise Unfit(
                f"the check took too long and stopped before {method} {path}: the version's "
                "calls are slow or time out; see its log, then deploy again"
            )
        event = {
            "httpMethod": method,
            "path": path,
            "resource": path,
            "headers": {"Content-Type": "image/png"} if body else {},
            "queryStringParameters": {"model": name},
            # By its stage the function knows a check from traffic, and writes no metrics.
            "requestContext": {"requestId": "pre-traffic", "stage": "pre-traffic"},
            "isBase64Encoded": body is not None,
            "body": base64.b64encode(body).decode() if body else None,
        }
        answer = self._client.invoke(FunctionName=self._arn, Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Unfit(f"{method} {path} crashed it: {payload}")
        return payload["statusCode"], json.loads(payload["body"])


def _judge(figures: dict[str, Any], model: str, evaluation: dict[str, Any]) -> None:
    """Raise Unfit for a figure beyond its limit. evaluation: the manifest's metrics."""
    accuracy = evaluation.get("accuracy", 1.0)
    # The calibration error bounds how far the mean confidence lies from the accuracy.
    confidence = accuracy - evaluation.get("expected_calibration_error", 0.0)
    expected = {"accuracy": accuracy, "confidence": confidence}
    rejected = (
        f" ({figures['rejected']} taken for none of the classes)" if figures["rejected"] else ""
    )
    limits = [
        ("accuracy", "MIN_ACCURACY", 1, f"accuracy on the golden images{rejected}"),
        ("confidence", "MIN_CONFIDENCE", 1, "mean confidence on the golden images"),
        ("median_ms", "MAX_MEDIAN_MS", -1, "ms median of the warm calls"),
    ]
    for name, setting, sign, meaning in limits:
        limit = float(os.environ[setting])
        source = f"{setting} is {limit:.3g}"
        if _SHARE * expected.get(name, math.inf) < limit:
            limit = _SHARE * expected[name]
            source = f"its own evaluation makes at least {limit:.3g} likely"
        if sign * figures[name] < sign * limit:
            raise Unfit(f"{model}: {figures[name]:.3g} {meaning}; {source}")
