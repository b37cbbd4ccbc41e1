"""What the published model reads, through the handler, from pictures like those of users."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from events.make_events import encode_png
from model_build.data import datasets
from model_build.data.synthetic_pictures import take_picture
from model_build.store.model_store import ModelStore
from tests.support import local_service
from tests.support.handling import handling

STORE = local_service.STORE.as_uri()

type Classify = Callable[[list[bytes], str], list[int]]

# Least shares of right answers: held-out samples, and pictures of digits by other writers. Six
# quick builds, unlike in the seed alone, read 0.82 to 0.89 of the latter (mean 0.857, standard
# deviation 0.025), and another processor is as good as another seed: the limit is three below.
EXPECTED = {"full": (0.988, 0.98), "quick": (0.95, 0.78)}


@pytest.fixture(scope="module")
def expected(model_version: str) -> tuple[float, float]:
    """The accuracies that the production model's profile must reach."""
    manifest = ModelStore(STORE).manifest("mnist", model_version).document
    return EXPECTED[manifest["lineage"]["profile"]]


@pytest.fixture(scope="module")
def classify(model_version: str) -> Iterator[Classify]:
    """Send image files through the handler; return the digits read."""
    with handling("mnist", model_version) as send:
        yield lambda files, mode: [answer["prediction"] for answer in send(files, mode)]


def share_right(answers: list[int], labels: NDArray[np.int64]) -> float:
    return float((np.array(answers) == labels).mean())


def test_held_out_samples_are_read_and_keep_their_answer_through_auto(
    classify: Classify, expected: tuple[float, float]
) -> None:
    mnist = datasets.load_mnist_5k()
    files = [encode_png(image) for image in mnist.test_images]
    as_is, auto = classify(files, "none"), classify(files, "auto")
    assert share_right(as_is, mnist.test_labels) >= expected[0]
    assert sum(a == b for a, b in zip(as_is, auto, strict=True)) >= 999


def test_ordinary_pictures_of_other_writers_digits_are_read(
    classify: Classify, expected: tuple[float, float]
) -> None:
    """Dark or coloured pen on paper, uneven light, off-centre, blur and noise, as JPEG."""
    digits, labels = datasets.load_other_writers()
    generator = np.random.default_rng(11)
    pictures = [take_picture(digit, generator) for digit in digits[600:1200]]
    assert share_right(classify(pictures, "auto"), labels[600:1200]) >= expected[1]
