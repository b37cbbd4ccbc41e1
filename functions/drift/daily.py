"""Scheduled Lambda handler: compares the last day's predictions with the model's baseline.

CloudWatch Logs → traffic → stability ← baseline of the manifest in the model store
                                ↓
                 metrics DriftPSI, DriftDetected; a log line with the verdict

docs/drift.md explains the verdicts.
"""

import json
import os
import time
from dataclasses import asdict
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from drift_check.stability import MIN_IMAGES, Comparison, compare, overall
from drift_check.traffic import Traffic, baseline, read_logs

DAY_MS = 24 * 3600 * 1000

logger = Logger()
metrics = Metrics()


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """Compare the last 24 hours, emit the metrics and return the verdicts.

    Environment: LOG_GROUP of the predict function, MODEL_STORE_URL, MODEL_NAME as it has it,
    MAX_IMAGES to read (default 50,000), POWERTOOLS_METRICS_NAMESPACE; POWERTOOLS_SERVICE_NAME, a
    dimension of the metrics. Failures are raised, so they count in Lambda's Errors metric.
    """
    now = int(time.time() * 1000)
    log_group, limit = os.environ["LOG_GROUP"], int(os.environ.get("MAX_IMAGES", "50000"))
    traffic = Traffic()
    for line in read_logs(boto3.client("logs"), log_group, now - DAY_MS, now, limit):
        traffic.add(line)
    served = os.environ.get("MODEL_NAME", "mnist").split(",")
    verdicts: list[dict[str, Any]] = []
    for version, mode in sorted(traffic.values):
        images = traffic.images((version, mode))
        name = traffic.names.get(version, served[0].strip())
        group = {"model_name": name, "model_version": version, "preprocess": mode}
        if images < MIN_IMAGES:
            verdicts.append({**group, "verdict": "too few"})
            continue
        manifest = _manifest(name, version)
        observed = traffic.histograms((version, mode), manifest["output"]["labels"])
        comparisons = compare(baseline(manifest["baseline"], mode), observed)
        _emit(comparisons, version, mode, {"model": name} if len(served) > 1 else {})
        verdicts.append(
            {
                **group,
                "verdict": overall(comparisons),
                "statistics": {name: asdict(result) for name, result in comparisons.items()},
            }
        )
    is_drift = any(verdict["verdict"] == "drift" for verdict in verdicts)
    metrics.add_metric(name="DriftDetected", unit=MetricUnit.Count, value=int(is_drift))
    metrics.flush_metrics()
    result: dict[str, Any] = {"lines": traffic.lines, "verdicts": verdicts}
    logger.info("drift", **result)
    return result


def _manifest(name: str, version: str) -> dict[str, Any]:
    """Read a version's manifest from the store, which the template always sets to a bucket."""
    bucket, _, prefix = os.environ["MODEL_STORE_URL"].removeprefix("s3://").partition("/")
    key = f"{name}/versions/{version}/manifest.json"
    answer = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{key}".lstrip("/"))
    manifest: dict[str, Any] = json.load(answer["Body"])
    return manifest


def _emit(
    comparisons: dict[str, Comparison], version: str, mode: str, model: dict[str, str]
) -> None:
    """Write the indices. model: another dimension, where there are several models."""
    for name, comparison in comparisons.items():
        with single_metric("DriftPSI", MetricUnit.NoUnit, round(comparison.psi, 4)) as metric:
            metric.add_dimension("statistic", name)
            for dimension, value in {"preprocess": mode, **model}.items():
                metric.add_dimension(dimension, value)
            metric.add_metadata("model_version", version)
            metric.add_metadata("p_value", comparison.p_value)
