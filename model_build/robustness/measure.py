"""Measures how a service reads families of pictures, numbers, corruptions and other things."""

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_build.data import datasets
from model_build.finding.strokes import Strokes, trace
from model_build.robustness import corruptions, families
from model_build.robustness.empty import EMPTY, DrawEmpty
from model_build.robustness.numbers import draw_number
from model_build.robustness.ordinary import Draw
from model_build.robustness.outliers import OUTLIERS
from model_build.robustness.service import Answer, Send

SURE = 0.99  # a wrong answer with more confidence counts as sure and wrong
_SEED = 2019
_LENGTHS = (2, 7)  # of numbers; the second is not included
_NUMBERS = 4  # times as many as pictures of a family: their one figure gets a narrower interval

type Advance = Callable[[int], object]  # told how many pictures have been sent
type Classify = Callable[[NDArray[np.uint8]], NDArray[np.int64]]


class Counts(NamedTuple):
    """How pictures of a kind were answered.

    right: the digit on it. no_digit: 200 without a prediction. refused: an error. sure_wrong:
    another digit with more than 99 % confidence.
    """

    total: int
    right: int
    no_digit: int
    refused: int
    sure_wrong: int


@dataclass(frozen=True)
class Results:
    """All figures of one service.

    digits: by group and family. empty, outliers: by family; there no digit is right. numbers: read
    whole and sent, by their length; None if the service reads one digit only. errors: shares of
    wrong answers by corruption, of the service and of the article's network. auroc: how well
    `digit_probability` tells digits from outliers; rejected: share of digits rejected where 95 %
    of outliers are.
    """

    part: str
    digits: Mapping[str, Mapping[str, Counts]]
    empty: Mapping[str, Counts]
    outliers: Mapping[str, Counts]
    auroc: float | None
    rejected: float | None
    numbers: Mapping[int, tuple[int, int]] | None
    errors: Mapping[str, tuple[float, float]]


class Samples(NamedTuple):
    """Digits of one part: MNIST's as they are, and all of them traced."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    strokes: Sequence[Strokes]  # a set of writers each


def load_samples(part: str) -> Samples:
    """Load the digits to measure on: `test`, which nothing is ever chosen on, or `validation`.

    Both have digits by writers who are not in MNIST too, others in each.
    """
    mnist = datasets.load("mnist-5k")
    images = getattr(mnist, f"{part}_images")
    labels = getattr(mnist, f"{part}_labels")
    if part == "test":
        coarse, others = datasets.load_other_writers()
        writers = datasets.in_mnist_form(coarse), others
    else:
        _, writers = datasets.load_training_writers()
    traced = [trace(images, labels), trace(*writers)]
    return Samples(images, labels, traced)


def measure(
    send: Send, part: str, count: int, article: Classify, advance: Advance = lambda _: None
) -> Results:
    """Send `count` pictures of each family, and four times as many numbers, and count the answers.

    article: reads samples uint8 [N, 28, 28] as the network of the article on MNIST-C's baseline
    does. Outliers are sent with the test part only, so that no threshold is chosen on them.
    """
    samples = load_samples(part)
    digits: dict[str, dict[str, Counts]] = {}
    probabilities: list[float] = []
    for group, members in families.GROUPS.items():
        digits[group] = {}
        for name, family in members.items():
            files, labels = _draw_digits(family, name, samples, count)
            answers = send(files)
            digits[group][name] = counts(answers, labels)
            probabilities += [answer.digit_probability for answer in answers]
            advance(count)
    empty, _ = _measure_without_digits(send, EMPTY, count, advance)
    outliers, odd = _measure_without_digits(
        send, OUTLIERS if part == "test" else {}, count, advance
    )
    return Results(
        part,
        digits,
        empty,
        outliers,
        auroc(probabilities, odd) if odd else None,
        rejected_at(probabilities, odd) if odd else None,
        _measure_numbers(send, samples, _NUMBERS * count, advance),
        _measure_corruptions(send, samples, article, advance),
    )


def size(part: str, count: int) -> int:
    """How many pictures `measure` sends."""
    kinds = sum(map(len, families.GROUPS.values())) + len(EMPTY) + _NUMBERS
    kinds += len(OUTLIERS) if part == "test" else 0
    samples = len(load_samples(part).images)
    return kinds * count + len(corruptions.CORRUPTIONS) * samples


def counts(answers: Sequence[Answer], labels: Sequence[int] | None = None) -> Counts:
    """Count answers; labels: what is on the pictures, None if no digit is."""
    expected = [None] * len(answers) if labels is None else labels
    right = [
        answer.prediction is not None and label is not None and str(answer.prediction) == str(label)
        for answer, label in zip(answers, expected, strict=True)
    ]
    return Counts(
        len(answers),
        sum(right),
        sum(answer.status == 200 and answer.prediction is None for answer in answers),
        sum(answer.status != 200 for answer in answers),
        sum(
            answer.prediction is not None and answer.confidence > SURE and not is_right
            for answer, is_right in zip(answers, right, strict=True)
        ),
    )


def auroc(digits: Sequence[float], others: Sequence[float]) -> float:
    """Share of pairs of a digit and another in which the digit's score is higher; ties count half.

    Source: Fawcett, "An introduction to ROC analysis", 2006.
    """
    ordered = np.sort(np.asarray(others))
    below = np.searchsorted(ordered, digits, "left")
    up_to = np.searchsorted(ordered, digits, "right")
    return float((below + up_to).mean() / (2 * len(ordered)))


def rejected_at(digits: Sequence[float], others: Sequence[float], caught: float = 0.95) -> float:
    """Share of digits below the lowest threshold under which a share of the others lies."""
    threshold = np.sort(np.asarray(others))[int(np.ceil(caught * len(others))) - 1]
    return float((np.asarray(digits) <= threshold).mean())


def _generator(name: str, index: int) -> np.random.Generator:
    return np.random.default_rng((_SEED, zlib.crc32(name.encode()), index))


def _draw_digits(
    family: Draw, name: str, samples: Samples, count: int
) -> tuple[list[bytes], list[int]]:
    """Draw digits of a family; the sets of writers take turns."""
    files, labels = [], []
    for index in range(count):
        strokes = samples.strokes[index % len(samples.strokes)]
        generator = _generator(name, index)
        chosen = int(generator.integers(len(strokes.labels)))
        files.append(families.draw(family, strokes, chosen, generator))
        labels.append(int(strokes.labels[chosen]))
    return files, labels


def _measure_without_digits(
    send: Send, kinds: Mapping[str, DrawEmpty], count: int, advance: Advance
) -> tuple[dict[str, Counts], list[float]]:
    measured, probabilities = {}, []
    for name, draw in kinds.items():
        answers = send([draw(_generator(name, index)) for index in range(count)])
        measured[name] = counts(answers)
        probabilities += [answer.digit_probability for answer in answers]
        advance(count)
    return measured, probabilities


def _measure_numbers(
    send: Send, samples: Samples, count: int, advance: Advance
) -> dict[int, tuple[int, int]] | None:
    read: dict[int, tuple[int, int]] = {}
    for index in range(count):
        strokes = samples.strokes[index % len(samples.strokes)]
        generator = _generator("numbers", index)
        length = int(generator.integers(*_LENGTHS))
        chosen = generator.integers(len(strokes.labels), size=length).tolist()
        file, text = draw_number(strokes, chosen, generator)
        (answer,) = send([file], digits="many")
        if answer.status == 200 and answer.text is None:
            advance(count - index)
            return None
        whole, sent = read.get(length, (0, 0))
        read[length] = whole + (answer.text == text), sent + 1
        advance(1)
    return dict(sorted(read.items()))


def _measure_corruptions(
    send: Send, samples: Samples, article: Classify, advance: Advance
) -> dict[str, tuple[float, float]]:
    errors = {}
    for name in corruptions.CORRUPTIONS:
        images = corruptions.corrupt(name, samples.images, _generator(name, 0))
        answers = send([png(image) for image in images], preprocess="none")
        read = counts(answers, samples.labels.tolist())
        wrong = float((article(images) != samples.labels).mean())
        errors[name] = 1 - read.right / read.total, wrong
        advance(len(images))
    return errors


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode a sample as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
