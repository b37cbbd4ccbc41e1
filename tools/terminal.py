"""Draw an image and its answer with characters, and report the steps of a long job."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

HALF_BLOCKS = " ▀▄█"  # ink in neither half, the upper, the lower, both
EIGHTHS = " ▏▎▍▌▋▊▉"
INK = 96  # smallest pixel value that is drawn; thin strokes are mostly grey


def draw(image: NDArray[np.uint8]) -> list[str]:
    """Lines of text that show an image, two rows of pixels per line.

    image: [H, W], 0 is paper and 255 is full ink.
    """
    ink = image >= INK
    if len(ink) % 2:
        ink = np.vstack([ink, np.zeros_like(ink[:1])])
    halves = ink[0::2] + 2 * ink[1::2]
    return ["".join(HALF_BLOCKS[half] for half in row) for row in halves]


def bar(share: float, width: int) -> str:
    """A bar of `width` characters for a share from 0 to 1, exact to an eighth of a character."""
    eighths = round(share * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + EIGHTHS[rest] * (rest > 0)).ljust(width)


def bars(labels: Sequence[str], shares: Sequence[float], width: int = 30) -> list[str]:
    """One line per class: label, bar, percentage."""
    longest = max(map(len, labels))
    return [
        f"{label:>{longest}} {bar(share, width)} {share:7.2%}"
        for label, share in zip(labels, shares, strict=True)
    ]


def side_by_side(left: Sequence[str], right: Sequence[str], gap: int = 4) -> list[str]:
    """Two blocks of lines next to each other, the shorter one centred in height."""
    height = max(len(left), len(right))
    width = max(map(len, left))
    blocks = []
    for block in (left, right):
        above = (height - len(block)) // 2
        blocks.append([""] * above + list(block) + [""] * (height - len(block) - above))
    return [f"{a:<{width}}{' ' * gap}{b}".rstrip() for a, b in zip(*blocks, strict=True)]


def answer_lines(image: NDArray[np.uint8], answer: dict[str, Any]) -> list[str]:
    """An image [H, W] next to /predict's answer: the class, and the probabilities that it holds."""
    if "top" in answer:
        best = answer["top"]
        lines = bars([str(one["label"]) for one in best], [one["probability"] for one in best])
    else:
        shares = answer["probabilities"]
        lines = bars([str(label) for label in range(len(shares))], shares)
    lines += ["", f"answer: {_in_words(answer)}"]
    lines += [f"model:  {answer['model']['name']} {answer['model']['version']}"]
    return side_by_side(draw(image), lines)


def _in_words(answer: dict[str, Any]) -> str:
    """The class and its confidence, or that the picture shows none of the classes."""
    if "labels" in answer:
        return ", ".join(map(str, answer["labels"])) or "none of the labels"
    if answer["prediction"] is not None:
        return f"{answer['prediction']}  (confidence {answer['confidence']:.2%})"
    if "class_probability" in answer:
        return f"none of the classes  (probability of any {answer['class_probability']:.2%})"
    if "digit_probability" in answer:
        return f"not a digit  (probability of a digit {answer['digit_probability']:.2%})"
    return "not a digit"


class Steps:
    """Shows the running step and how long each took: a spinner on a terminal, lines in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextlib.contextmanager
    def __call__(self, title: str) -> Iterator[None]:
        """Run a block as one step. A step that fails is marked, and its exception is re-raised."""
        start = time.monotonic()
        waiting: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self.console.is_terminal:
            waiting = self.console.status(title)
        else:
            self.say(f"... {title}")  # a log must not be silent for a minute
        try:
            with waiting:
                yield
        except Exception:
            self.say(f" FAILED  {title}", "red")
            raise
        self.say(f"{time.monotonic() - start:5.1f} s  {title}", "green")

    def say(self, line: str, style: str | None = None) -> None:
        """Print one line verbatim, and flush it to the log."""
        self.console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)
        self.console.file.flush()
