"""Warm requests, the model and memory, measured in process: python warm.py WHAT prints JSON.

Runs on the function's own packages, with the function and the peers on PYTHONPATH. What is compared
is timed in turn, A B A B, within one run.
"""

import base64
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

type Times = dict[str, list[float]]  # name → seconds per call


class Context:
    """The part of Lambda's context that the function reads."""

    aws_request_id = "bench"


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> Times:
    """Time calls one after the other, for a number of rounds, after a tenth of them unmeasured."""
    times: Times = {name: [] for name in calls}
    for number in range(-(rounds // 10) - 1, rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if number >= 0:
                times[name].append(time.perf_counter() - began)
    return times


def requests(events: dict[str, Any]) -> dict[str, Times]:
    """Requests of the handler against the least that could answer them."""
    import floor  # type: ignore[import-not-found] # one of the peers

    from classifier import handler

    context = Context()

    def singles() -> None:
        for _ in range(32):
            handled("digit")

    def handled(name: str) -> None:
        response = handler.handler(events[name], context)
        assert response["statusCode"] == 200, response["body"]

    def of(name: str) -> Callable[[], None]:
        return lambda: handled(name)

    photo = Image.open(io.BytesIO(_image(events["photo"])))
    for name, size in (("small photo", (512, 384)), ("medium photo", (1024, 768))):
        file = io.BytesIO()
        photo.resize(size).save(file, "JPEG", quality=90)
        body = {"image": base64.b64encode(file.getvalue()).decode()}
        events[name] = events["photo"] | {"body": json.dumps(body)}
    rounds = {"drawing": 500, "small photo": 300, "medium photo": 150, "photo": 40, "digit": 4000}
    times = {
        name: in_turn(
            {"function": of(name), "bare": partial(floor.classify, _image(events[name]))}, count
        )
        for name, count in rounds.items()
    }
    return times | {"batch": in_turn({"function": of("batch"), "bare": singles}, rounds=300)}


def stages(events: dict[str, Any]) -> dict[str, Times]:
    """One request, step by step, of a sample, of a drawing and of a photograph."""
    from classifier import handler
    from classifier.image.pixels import Picture
    from classifier.monitoring import telemetry
    from classifier.prepare import pipeline

    model = handler.models.get()
    times: dict[str, Times] = {}
    for name in ("digit", "drawing", "photo"):
        event = events[name]
        (image,) = _read(event).images
        picture = Picture(image, is_whole=model.preprocess.is_whole)
        sample = pipeline.sample(model.preprocess, picture, "auto")
        batch = model.encode([sample])
        row = model.probabilities(batch)

        def logged() -> None:
            telemetry.begin("bench", "bench", cold_start=False)
            for metric in ("PreprocessMs", "InferenceMs"):
                with telemetry.timed(metric):
                    pass
            telemetry.add_confidences([1.0], 0.6)
            telemetry.metrics.flush_metrics()

        times[name] = in_turn(
            {
                "event and payload": partial(_read, event),
                "decode": partial(Picture, image),
                "preprocess": partial(pipeline.sample, model.preprocess, picture, "auto"),
                "traits, for drift": partial(_traits, picture.pixels, sample[np.newaxis]),
                "inference": partial(model.probabilities, batch),
                "answer": partial(_answer, row, model.labels),
                "log line": logged,
                "whole handler": partial(handler.handler, event, Context()),
            },
            rounds=20 if name == "photo" else 400,
        )
    return times


def models(files: dict[str, str]) -> dict[str, Any]:
    """The int8 model against its fp32 parent: run, load, size."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    contents = {name: Path(file).read_bytes() for name, file in files.items()}
    sample = np.zeros((1, 28, 28), dtype=np.uint8)
    sample[8:20, 12:16] = 255

    def load(content: bytes) -> ort.InferenceSession:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    sessions = {name: load(content) for name, content in contents.items()}
    return {
        "run": in_turn(
            {
                name: partial(session.run, None, {"image": sample})
                for name, session in sessions.items()
            },
            rounds=5000,
        ),
        "load": in_turn(
            {name: partial(load, content) for name, content in contents.items()},
            rounds=100,
        ),
        "bytes": {name: len(content) for name, content in contents.items()},
    }


def memory(events: dict[str, Any]) -> dict[str, float]:
    """Resident memory of the function's process, in MB, after numbers of requests.

    Nine of ten are digits, the others drawings on a large canvas. The runtime client is loaded too.
    """
    import awslambdaric.bootstrap  # noqa: F401 - what Lambda has loaded

    from classifier import handler

    megabytes: dict[str, float] = {}
    for number in range(1, 10_001):
        handler.handler(events["digit" if number % 10 else "drawing"], Context())
        if number in (1, 100, 1_000, 10_000):
            megabytes[f"resident after {number}"] = _status("VmRSS")
            megabytes[f"peak after {number}"] = _status(
                "VmHWM"
            )  # ru_maxrss begins with the parent's
    return megabytes


def _status(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def _read(event: dict[str, Any]) -> Any:
    from classifier.http.event import parse
    from classifier.http.payload import read

    return read(parse(event, "bench"))


def _traits(pixels: Any, samples: Any) -> object:
    from classifier.monitoring.traits import paper, traits

    return traits(samples, [paper(pixels)])


def _answer(row: Any, labels: list[Any]) -> object:
    from classifier.http.response import ok, predictions

    return ok(predictions(row, labels)[0])


def _image(event: dict[str, Any]) -> bytes:
    return base64.b64decode(json.loads(event["body"])["image"])


def main(what: str, input_file: Path) -> dict[str, Any]:
    """Run one of the measurements above, discarding the log."""
    document = json.loads(input_file.read_text())
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        if what == "models":
            return models(document["models"])
        if what == "memory":
            return memory(document["events"])
        return requests(document["events"]) if what == "requests" else stages(document["events"])


def summary(times: Any) -> Any:
    """Lists of times as median, quartiles and 99th percentile; other values unchanged."""
    if isinstance(times, dict):
        return {name: summary(value) for name, value in times.items()}
    if not isinstance(times, list):
        return times
    low, median, high = statistics.quantiles(times, n=4)
    p99 = float(np.quantile(times, 0.99))
    return {"p25": low, "p50": median, "p75": high, "p99": p99}


if __name__ == "__main__":
    print(json.dumps(summary(main(sys.argv[1], Path(sys.argv[2])))))  # noqa: T201
