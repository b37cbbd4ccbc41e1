"""Lambda handler on a schedule: compares the last day's answers with the model's baseline.

CloudWatch Logs → traffic → stability ← baseline of the manifest in the model store
                                ↓
                 metrics DriftPSI, DriftDetected; a log line with the verdict

Nothing but what Lambda's Python brings; docs/drift.md says what the verdicts mean.
"""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3

from stability import MIN_IMAGES, Comparison, compare, overall
from traffic import Traffic, baseline, read_logs

DAY_MS = 24 * 3600 * 1000
_NAMESPACE = "ClassifierOnLambda"


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """Compare the last 24 hours; emit the metrics; give the verdicts.

    Environment: LOG_GROUP of the predict function, MODEL_STORE_URL, MODEL_NAME (default mnist),
    MAX_IMAGES to read (default 50,000), POWERTOOLS_METRICS_NAMESPACE. Whatever fails is raised:
    the function's own Errors metric then tells.
    """
    now = int(time.time() * 1000)
    group, limit = os.environ["LOG_GROUP"], int(os.environ.get("MAX_IMAGES", "50000"))
    traffic = Traffic()
    for line in read_logs(boto3.client("logs"), group, now - DAY_MS, now, limit):
        traffic.add(line)
    verdicts: list[dict[str, Any]] = []
    for version, mode in sorted(traffic.values):
        images = traffic.images((version, mode))
        if images < MIN_IMAGES:
            verdicts.append({"model_version": version, "preprocess": mode, "verdict": "too few"})
            continue
        manifest = _manifest(version)
        observed = traffic.histograms((version, mode), manifest["output"]["labels"])
        found = compare(baseline(manifest, mode), observed)
        _emit(found, version, mode, now)
        verdicts.append(
            {
                "model_version": version,
                "preprocess": mode,
                "verdict": overall(found),
                "statistics": {name: asdict(one) for name, one in found.items()},
            }
        )
    is_drift = any(one["verdict"] == "drift" for one in verdicts)
    _emf({"DriftDetected": int(is_drift)}, [[]], now)
    result = {"message": "drift", "lines": traffic.lines, "verdicts": verdicts}
    print(json.dumps(result))  # noqa: T201 - what a Lambda prints is its log
    return result


def _manifest(version: str) -> dict[str, Any]:
    """Manifest of a version, from `s3://bucket/prefix` or `file:///folder`."""
    url = urlsplit(os.environ["MODEL_STORE_URL"])
    key = f"{os.environ.get('MODEL_NAME', 'mnist')}/versions/{version}/manifest.json"
    if url.scheme == "file":
        content = Path(unquote(url.path), key).read_bytes()
    else:
        prefix = url.path.strip("/")
        answer = boto3.client("s3").get_object(
            Bucket=url.netloc, Key=f"{prefix}/{key}" if prefix else key
        )
        content = answer["Body"].read()
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def _emit(found: dict[str, Comparison], version: str, mode: str, now: int) -> None:
    for name, one in found.items():
        detail = {"statistic": name, "preprocess": mode, "model_version": version}
        values = {"DriftPSI": round(one.psi, 4)}
        _emf(values, [["statistic", "preprocess"]], now, detail | {"p_value": one.p_value})


def _emf(
    values: dict[str, float], dimensions: list[list[str]], now: int, properties: Any = None
) -> None:
    """Write a line that CloudWatch makes metrics of (embedded metric format)."""
    directive = {
        "Namespace": os.environ.get("POWERTOOLS_METRICS_NAMESPACE", _NAMESPACE),
        "Dimensions": dimensions,
        "Metrics": [{"Name": name, "Unit": "None"} for name in values],
    }
    about = {"Timestamp": now, "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": about, **values, **(properties or {})}))  # noqa: T201 - as above
