"""Small files that would keep a decoder busy: what each may take of processor, memory and log."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classifier.image.limits import limit_memory
from tests.support import ROOT
from tests.support.heavy_files import CASES
from tests.support.hostile_files import FORM, digit, form, saved

CPU_LIMIT = (
    3.0  # seconds of processor time: the worst takes 1, and much more before there were limits
)
MEMORY_LIMIT = 512  # MB at the peak
LITTLE_MEMORY = 165  # MB: a process with a model takes half of it
FUNCTION = ROOT / "functions/predict"

# Answers requests, the paths of whose events come line by line: each in a process of its own, whose
# environment is warm. Prints the answer, with what that took.
WORKER = """
import json, os, sys, tempfile
results, sys.stdout = sys.stdout, open("/dev/null", "w")
import app
class Context: aws_request_id = "heavy"
def answer(path):
    with open(path) as file:
        response = app.handler(json.load(file), Context())
    return {"status": response["statusCode"], **json.loads(response["body"])}
answer(sys.argv[1])
for line in sys.stdin:
    errors = tempfile.TemporaryFile()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(errors.fileno(), 2)
        os.write(writer, json.dumps(answer(line.strip())).encode())
        os._exit(0)
    os.close(writer)
    _, code, usage = os.wait4(child, 0)
    with os.fdopen(reader) as text:
        result = json.loads(text.read() or "{}")
    result |= {"code": code, "cpu": usage.ru_utime + usage.ru_stime}
    result |= {"memory": usage.ru_maxrss / 1024, "stderr": errors.seek(0, os.SEEK_END)}
    if code:
        errors.seek(0)
        result["log"] = errors.read().decode(errors="replace")
    print(json.dumps(result), file=results, flush=True)
"""

type Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=["digits", "whole pictures"])
def store(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    publish: Callable[..., str],
) -> Path:
    """A store whose model reads digits, from reduced pictures, or one that takes whole ones."""

    def edit(manifest: dict[str, Any]) -> None:
        if request.param != "digits":
            whole = {"pipeline": "picture", "fit": "shorter", "size": [32]}
            manifest["input"]["preprocess"] = whole

    root = tmp_path_factory.mktemp("store")
    publish(root, manifest=edit)
    return root


def worker(store: Path, folder: Path, megabytes: int) -> Iterator[Send]:
    """Run the handler as in an environment of so much memory."""
    event = folder / "event.json"

    def write(body: bytes, content_type: str) -> None:
        document: dict[str, Any] = {"path": "/predict", "httpMethod": "POST"}
        document |= {"headers": {"content-type": content_type}}
        document |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        event.write_text(json.dumps(document))

    def send(body: bytes, content_type: str = "image/png") -> dict[str, Any]:
        write(body, content_type)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{event}\n")
        process.stdin.flush()
        result: dict[str, Any] = json.loads(process.stdout.readline())
        assert result["code"] == 0, f"the process was killed {result}"
        return result

    write(saved(digit(), "PNG"), "image/png")
    variables = {
        "PYTHONPATH": str(FUNCTION),
        "MODEL_STORE_URL": store.as_uri(),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes),
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(event)],
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield send
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def send(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    yield from worker(store, tmp_path_factory.mktemp("events"), 1769)


@pytest.fixture(scope="module")
def send_to_little_memory(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    yield from worker(store, tmp_path_factory.mktemp("events"), LITTLE_MEMORY)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_small_file_takes_bounded_time_and_memory_and_logs_nothing(send: Send, name: str) -> None:
    make, statuses = CASES[name]
    result = send(form(*(("image", image) for image in make())), FORM)
    assert result["status"] in statuses, result
    assert result["cpu"] < CPU_LIMIT, result
    assert result["memory"] < MEMORY_LIMIT, result
    assert result["stderr"] == 0, result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("GIF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_an_image_that_takes_more_memory_than_there_is_is_refused(
    send_to_little_memory: Send, kind: str, options: dict[str, Any]
) -> None:
    """A process over the environment's memory would be killed, and would not answer."""
    result = send_to_little_memory(saved(digit(4000, "RGBA"), kind, **options))
    assert result["status"] == 413, result
    assert "memory" in result["detail"]
    assert result["memory"] < LITTLE_MEMORY
    assert send_to_little_memory(saved(digit(), kind))["status"] == 200


def test_a_request_that_takes_more_memory_than_there_is_is_refused(
    send_to_little_memory: Send,
) -> None:
    lists = b"[" + b"[]," * 1_300_000 + b"[]]"
    result = send_to_little_memory(b'{"images": %b}' % lists, "application/json")
    assert result["status"] == 413, result
    assert "memory" in result["detail"]


def test_the_memory_of_a_process_outside_lambda_is_not_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tests and `make serve` import the function, too."""
    import resource

    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", raising=False)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
