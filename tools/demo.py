"""Publish a model, deploy the function to a local AWS, and POST a digit.

    python -m tools.demo [--train] [--package zip|image] [--base IMAGE] [--keep] [--digit 0-9]

The model is the production version of build/model-store, or with --train a new one by the quick
recipe.
Runs the real `sam build` and `sam deploy`, against MiniStack instead of AWS. Each command's output
goes to build/demo/*.log. Everything is stopped at the end; with --keep, the function stays up until
Ctrl-C.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import shlex
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from model_build.data import datasets
from model_build.errors import BuildError
from model_build.store.model_store import ModelStore, copy
from tools import deployment, emulator, processes, terminal
from tools.deployment import FOLDER, PACKAGES, Stack
from tools.emulator import PROJECT

LOCAL_STORE = f"file://{PROJECT}/build/model-store"
TRAINED_STORE = f"file://{FOLDER}/model-store"
MODEL = "mnist"
CHANNEL = "production"
REQUEST_SECONDS = 60.0


class DemoFailed(Exception):
    """A step had an unexpected result; the message says which."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP response and how long it took, in milliseconds."""

    status: int
    body: bytes
    milliseconds: float


def main() -> int:
    """Run the demo; return 0 if the digit was recognised."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", action="store_true", help="train a model, quick recipe")
    parser.add_argument("--package", choices=PACKAGES, default="zip", help="default: zip")
    parser.add_argument("--base", default="", help="base image; default: AWS's own")
    parser.add_argument("--keep", action="store_true", help="keep running until Ctrl-C")
    parser.add_argument("--digit", type=int, choices=range(10), default=7, metavar="0-9")
    arguments = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without block characters
    processes.interrupt_on_termination()
    emulator.forget_account()
    try:
        run(
            arguments.package,
            arguments.base,
            digit=arguments.digit,
            keep=arguments.keep,
            train=arguments.train,
        )
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    except (
        processes.CommandFailed,
        emulator.EmulatorFailed,
        BuildError,
        DemoFailed,
    ) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def run(package: str, base: str, *, digit: int, keep: bool, train: bool) -> None:
    """Run every step of the demo.

    Raises CommandFailed, EmulatorFailed or DemoFailed.
    """
    start = time.monotonic()
    step = terminal.Steps(Console())
    if package == "zip" and sys.platform != "linux":
        raise DemoFailed(
            "the zip packaging contains Linux binaries, which can't run on this machine without "
            "a container: start Docker and use make demo PACKAGE=image"
        )
    if package == "image":
        emulator.docker_bridge()  # fail before training if Docker is missing
    store = LOCAL_STORE
    if train:
        store = TRAINED_STORE
        with step("train, quantise and check a model, quick recipe (kept for the next run)"):
            build_model(store)
    version = ModelStore(store).resolve(MODEL, CHANNEL)
    with step(f"sam build, function as {package}"):
        template = deployment.sam_build(package, base)
    with contextlib.ExitStack() as until_the_end:
        with step("start MiniStack, a local AWS"):
            aws = until_the_end.enter_context(emulator.running(docker=package == "image"))
            os.environ.update(aws.environment())  # only for this process and its children
        with step("sam deploy"):
            deployment.sam_deploy(package, template, aws)
            stack = Stack.of(aws)
        with step(f"publish the model to {stack.store_url}"):
            publish(version, store, stack)

        png, image = held_out_digit(digit)
        with step("POST a held-out MNIST digit without the API key"):
            refused = post(stack, png)
        with step("POST it with the key: a cold start"):
            cold = post(stack, png, with_key=True)
        with step("POST it again"):
            warm = post(stack, png, with_key=True)
        answer = check(refused, cold, warm, stack, aws)
        for line in ["", *terminal.answer_lines(image, answer), ""]:
            step.say(line)
        step.say(f"  without the key: {refused.status} {HTTPStatus(refused.status).phrase}")
        step.say(f"  first request {cold.milliseconds:.0f} ms, second {warm.milliseconds:.0f} ms")
        if answer["prediction"] != digit:
            raise DemoFailed(
                f"the digit is a {digit}, but the model answered {answer['prediction']} "
                f"({answer.get('reason', 'the wrong digit')}); "
                f"build a more accurate model with make model"
            )
        step.say(f"  total {time.monotonic() - start:.0f} s")
        if keep:
            stay(step, stack, digit)


def build_model(store: str) -> None:
    """Build a model with the quick recipe and promote it in a store."""
    command = [sys.executable, "-m", "model_build", "run", "--profile", "quick"]
    command += ["--build", str(FOLDER / "model"), "--store", store]
    processes.run(command, log=FOLDER / "model.log", env=os.environ, cwd=PROJECT)


def publish(version: str, store: str, stack: Stack) -> None:
    """Copy a version from a store to the stack's bucket and promote it there.

    Same as `python -m model_build copy`.
    """
    target = ModelStore(stack.store_url)
    copy(ModelStore(store), target, MODEL, version)
    target.promote(MODEL, version, CHANNEL)


def held_out_digit(digit: int) -> tuple[bytes, NDArray[np.uint8]]:
    """A digit from the held-out samples, as a PNG file and as pixels [28, 28]."""
    samples = datasets.load("mnist-5k")
    image = samples.test_images[samples.test_labels == digit][0]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    picture_of(digit).write_bytes(file.getvalue())
    return file.getvalue(), image


def post(stack: Stack, png: bytes, *, with_key: bool = False) -> Answer:
    """POST a PNG file, over TLS."""
    headers = {"content-type": "image/png"} | ({"x-api-key": stack.key} if with_key else {})
    request = urllib.request.Request(stack.url, png, headers, method="POST")  # noqa: S310 - ours
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=stack.certificate))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    start = time.perf_counter()
    try:
        with direct.open(request, timeout=REQUEST_SECONDS) as response:
            status, body = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    except OSError as error:
        raise DemoFailed(f"POST {stack.url} failed: {error}") from error
    return Answer(status, body, 1000 * (time.perf_counter() - start))


def check(refused: Answer, cold: Answer, warm: Answer, stack: Stack, aws: emulator.Emulator) -> Any:
    """Check the three answers and return the prediction.

    Raises DemoFailed.
    """
    # An unknown route returns 403 too, with a message about a token.
    if refused.status != HTTPStatus.FORBIDDEN or b"Authentication Token" in refused.body:
        raise DemoFailed(f"expected 403 Forbidden without the key, got {refused}")
    for answer in (cold, warm):
        if answer.status != HTTPStatus.OK:
            raise DemoFailed(f"expected 200, got {answer}\n{deployment.function_log(stack, aws)}")
    content = json.loads(warm.body)
    if json.loads(cold.body)["probabilities"] != content["probabilities"]:
        raise DemoFailed(f"expected the same answer twice for one image, got {cold} and {warm}")
    return content


def stay(step: terminal.Steps, stack: Stack, digit: int) -> None:
    """Print how to call the function, and keep it running until Ctrl-C."""
    picture = picture_of(digit).relative_to(PROJECT)
    command = ["curl", "-sS", stack.url, "--cacert", str(stack.certificate)]
    command += ["-H", f"x-api-key: {stack.key}"]
    command += ["-H", "content-type: image/png", "--data-binary", f"@{picture}"]
    step.say(f"\nThe function runs at {stack.url} until Ctrl-C. To send it an image:\n")
    step.say(f"  {shlex.join(command)}\n")
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, not a failure
        signal.pause()
    step.say("Stopping.")


def picture_of(digit: int) -> Path:
    """Path of the image that is sent; it is kept for the user to look at and send again."""
    return FOLDER / f"{digit}.png"


if __name__ == "__main__":
    sys.exit(main())
