"""`score` against the handler called in a loop: python -m bench.scoring prints a table.

Pictures lie in a folder, and in an S3 on loopback that answers each request after DELAY_MS. The
candidates take turns, A B A B, within one run. Each is timed from the first listing to the last
answer written, `score` with the start of its processes; imports of this process are done before.
"""

import argparse
import base64
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.quick_s3 import BUCKET

if __name__ == "__main__":  # a process of `score`'s pool imports this file, and needs none of these
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the template sets it, before numpy looks
    import numpy as np
    from PIL import Image

    from bench.warm import Context
    from model_build.data.datasets import load_mnist_5k
    from model_build.scoring import score
    from model_build.scoring.score_part import Job
    from model_build.store.backends import open_objects
    from model_build.store.model_store import ModelStore

STORE = (ROOT / "build" / "model-store").as_uri()
DELAY_MS = 20
BATCH = 32  # images that one request takes

type Scorer = Callable[[str, str], object]  # from here, to there


def samples(folder: Path, count: int) -> None:
    """MNIST samples, 28 x 28 PNGs."""
    for number, image in enumerate(load_mnist_5k().train_images[:count]):
        Image.fromarray(image).save(folder / f"{number:05d}.png")


def drawings(folder: Path, count: int) -> None:
    """The same as black ink somewhere on a white canvas of 280 x 280, RGB PNGs."""
    random = np.random.default_rng(0)
    for number, image in enumerate(load_mnist_5k().train_images[:count]):
        page = np.full((280, 280), 255, dtype=np.uint8)
        top, left = random.integers(0, 57, 2)
        large = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
        page[top : top + 224, left : left + 224] -= np.asarray(large)
        Image.fromarray(page).convert("RGB").save(folder / f"{number:05d}.png")


def by_handler(handler: Callable[..., Any], at_once: int, source: str, target: str) -> None:
    """Read, send and keep the answers, one request after the other."""
    pictures = open_objects(source)
    answers: list[Any] = []
    for keys in batched(sorted(entry.key for entry in pictures.entries("")), at_once, strict=False):
        with redirect_stdout(io.StringIO()):  # its log lines
            answer = handler(event([pictures.read(key)[0] for key in keys]), Context())
        body = json.loads(answer["body"])
        answers += body.get("predictions") or [body]
    lines = "".join(json.dumps(answer) + "\n" for answer in answers)
    open_objects(target).create("answers.jsonl", lines.encode())


def event(contents: list[bytes]) -> dict[str, Any]:
    """POST /predict with a file as it is, or with several in JSON."""
    kind, body = "image/png", contents[0]
    if len(contents) > 1:
        images = [base64.b64encode(content).decode() for content in contents]
        kind, body = "application/json", json.dumps({"images": images}).encode()
    return {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"Content-Type": kind},
        "requestContext": {},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def by_score(workers: int, source: str, target: str) -> None:
    """What the command does, without its progress bar."""
    store = ModelStore(STORE)
    version = store.resolve("mnist", "production")
    job = Job(source, target, "mnist", version)
    score.score(job, store, workers, lambda _images, _errors, _earlier: None)


def scorers() -> dict[str, Scorer]:
    """Candidates by their names in the table."""
    from tools.serve import load_handler

    handler = load_handler()
    cores = os.process_cpu_count() or 1
    return {
        "handler, one by one": partial(by_handler, handler, 1),
        f"handler, {BATCH} a request": partial(by_handler, handler, BATCH),
        "`score`, one process": partial(by_score, 1),
        f"`score`, {cores} processes": partial(by_score, cores),
    }


@contextmanager
def s3(folder: Path) -> Iterator[None]:
    """Let the environment lead to a bucket with the folder's files."""
    server = Path(__file__).with_name("quick_s3.py")
    command = [sys.executable, str(server), str(folder), str(DELAY_MS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin
        assert running.stdout
        os.environ |= {
            "AWS_ENDPOINT_URL": running.stdout.readline().strip(),
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
        try:
            yield
        finally:
            running.stdin.close()


def measure(source: str, target: str, count: int, rounds: int) -> dict[str, list[float]]:
    """Images a second of each candidate, a figure a round."""
    candidates = scorers()
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        for place, (name, scorer) in enumerate(candidates.items()):
            began = time.perf_counter()
            scorer(source, f"{target}/{number}-{place}")
            speeds[name].append(count / (time.perf_counter() - began))
    return speeds


def row(what: str, speeds: dict[str, list[float]]) -> str:
    """Medians of images a second; in brackets, times the first candidate of the same round."""
    first, *_ = speeds.values()
    cells = []
    for found in speeds.values():
        times = statistics.median(one / base for one, base in zip(found, first, strict=True))
        cells.append(f"{statistics.median(found):,.0f} ({times:.1f}x)")
    return f"| {what} | {' | '.join(cells)} |"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the report


def main() -> None:
    """Measure everything and print the table as its rows are known."""
    parser = argparse.ArgumentParser(prog="python -m bench.scoring")
    parser.add_argument("--images", type=int, default=2000, help="and half as many drawings")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    images, rounds = arguments.images, arguments.rounds
    folder = Path(tempfile.mkdtemp())
    try:
        for make, count in ((samples, images), (drawings, images // 2)):
            what = f"{count:,} {make.__name__}"
            source = folder / make.__name__ / "in"
            source.mkdir(parents=True)
            make(source, count)
            here = measure(source.as_uri(), (folder / f"{what} out").as_uri(), count, rounds)
            if make is samples:
                say(f"| images a second | {' | '.join(here)} |")
                say("| --- |" + " --- |" * len(here))
            say(row(f"{what}, a folder", here))
            with s3(source.parent):
                there = measure(f"s3://{BUCKET}/in", f"s3://{BUCKET}/out", count, rounds)
            say(row(f"{what}, S3", there))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
