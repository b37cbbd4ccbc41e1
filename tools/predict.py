"""Classify images with a running service, and draw the answers in the terminal.

    python -m tools.predict IMAGE [IMAGE ...] --url https://…/predict

IMAGE is a file, or - for standard input. The API key comes from --key, or from the environment
variable CLASSIFIER_API_KEY. Exits with 0 if every image was classified, 1 if the service refused
one (standard error has the reason), 2 for wrong arguments, 3 if the service does not respond.
"""

import argparse
import base64
import http.client
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from tools import terminal

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
KEY_VARIABLE = "CLASSIFIER_API_KEY"
TIMEOUT_SECONDS = 60
WIDTH = 40  # characters of a drawing, at most


class Refused(Exception):
    """The service did not classify the image; the message is its reason."""


class Unreachable(Exception):
    """No classifier responded; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Classify the images named on the command line and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if urlsplit(options.url).scheme not in ("http", "https"):
        parser.error(f"--url must be an http or https address, got {options.url!r}")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    status = OK
    for name in options.images:
        try:
            file = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            parser.error(f"{name}: {error.strerror}")
        try:
            answer = classify(
                file,
                options.url,
                key=options.key,
                preprocess=options.preprocess,
                top_k=options.top_k,
            )
        except Refused as refusal:
            print(f"{name}: {refusal}", file=sys.stderr)
            status = REFUSED
        except Unreachable as error:
            print(f"{options.url} does not respond: {error}", file=sys.stderr)
            return UNREACHABLE
        else:
            if options.json:
                print(json.dumps(answer))
            else:
                _show(name, answer, console)
    return status


def classify(
    file: bytes, url: str, *, key: str = "", preprocess: str = "auto", top_k: str = "all"
) -> Any:
    """POST an image file to /predict at `url` and return the answer, the model's input included.

    url: may have a query, such as `?model=pets`. top_k: how many of the best labels the answer has;
    `all` for all probabilities.
    Raises Refused with the service's reason, and Unreachable.
    """
    query = urlencode({"preprocess": preprocess, "input": "true", "top_k": top_k})
    headers = {"Content-Type": "application/octet-stream", "User-Agent": "tools.predict"}
    if key:
        headers["x-api-key"] = key
    joined = f"{url}{'&' if urlsplit(url).query else '?'}{query}"
    request = urllib.request.Request(joined, file, headers, method="POST")  # noqa: S310 - checked
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise Refused(_reason(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(getattr(error, "reason", error) or error)) from error
    except ValueError as error:
        raise Unreachable("expected a classifier, got a response that is not JSON") from error
    if not isinstance(answer, dict) or "prediction" not in answer:
        raise Unreachable("expected a classifier, got JSON without a prediction")
    return answer


def _show(name: str, answer: dict[str, Any], console: Console) -> None:
    console.print(name, style="bold")
    for line in terminal.answer_lines(_model_input(answer), answer):
        console.print(line, style="green" if "answer: " in line else None)
    console.print()


def _model_input(answer: dict[str, Any]) -> NDArray[np.uint8]:
    """Pixels [H, W] of the PNG in an answer: what the model saw, reduced to what can be drawn."""
    _, _, content = str(answer["input"]).partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(content))).convert("L")
    image.thumbnail((WIDTH, WIDTH))
    return np.asarray(image)


def _reason(error: urllib.error.HTTPError) -> str:
    """The service's or its gateway's reason, and the status."""
    text = error.read().decode(errors="replace")
    try:
        document = json.loads(text)
        reason = document.get("detail") or document.get("message") or text
    except (ValueError, AttributeError):
        reason = text.strip()[:200]
    return f"{reason or error.reason} ({error.code})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, or - for standard input"
    )
    parser.add_argument(
        "--url", required=True, help="URL of /predict; may have a query, such as ?model=pets"
    )
    parser.add_argument(
        "--key", default=os.environ.get(KEY_VARIABLE, ""), help=f"API key; default: ${KEY_VARIABLE}"
    )
    parser.add_argument(
        "--preprocess",
        choices=("auto", "none"),
        default="auto",
        help="default: auto; none: the image is already a sample as the model was trained on",
    )
    parser.add_argument(
        "--top-k", default="5", metavar="N", help="labels to show; default: 5; all: each class"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the answers as JSON, one per line"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
