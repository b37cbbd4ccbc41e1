import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier.image.pixels import Picture
from model_build.data.datasets import Dataset
from model_build.errors import ServiceFailed
from model_build.finding.strokes import Strokes, trace
from model_build.robustness import corruptions, families, measure, outliers, report, service
from model_build.robustness.empty import EMPTY
from model_build.robustness.measure import Counts, Results, Samples
from model_build.robustness.numbers import draw_number
from model_build.robustness.service import Answer
from tests.conftest import Publish

FAMILIES = {name: draw for members in families.GROUPS.values() for name, draw in members.items()}
ZERO, ONE = 0, 1  # of the digits traced


@pytest.fixture(scope="module")
def strokes(digits: NDArray[np.uint8]) -> Strokes:
    return trace(digits, np.arange(10))


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def grey(file: bytes) -> NDArray[np.float64]:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("LA").convert("L"), dtype=float)


# Families


def test_families_have_names_of_their_own() -> None:
    assert len(FAMILIES) == sum(map(len, families.GROUPS.values())) >= 60


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_draws_the_digit_it_is_given_alike_from_the_same_seed(
    name: str, strokes: Strokes
) -> None:
    zero, one, again = (
        families.draw(FAMILIES[name], strokes, digit, generator()) for digit in (ZERO, ONE, ONE)
    )
    assert again == one
    assert Picture(zero).pixels.shape[:2] == Picture(one).pixels.shape[:2]
    assert (Picture(zero).pixels != Picture(one).pixels).any()


def test_exif_turns_the_picture_upright(strokes: Strokes) -> None:
    for seed in range(4):
        file = families.draw(FAMILIES["turned by EXIF"], strokes, ONE, generator(seed))
        with Image.open(io.BytesIO(file)) as image:
            assert image.getexif()[0x0112] != 1
        assert Picture(file).pixels.shape[:2] == (300, 400)


def test_a_digit_is_as_small_as_its_family_says(strokes: Strokes) -> None:
    ink = grey(families.draw(FAMILIES["small in a large photo"], strokes, ZERO, generator())) < 90
    assert ink.shape == (1200, 1600)
    assert 0.05 * 1200 <= ink.any(axis=1).sum() <= 0.11 * 1200


# Nothing, and something else


@pytest.mark.parametrize("name", [*EMPTY, *outliers.OUTLIERS])
def test_a_picture_without_a_digit_is_the_same_for_the_same_seed(name: str) -> None:
    draw = {**EMPTY, **outliers.OUTLIERS}[name]
    file = draw(generator(3))
    assert Picture(file).pixels.size
    assert draw(generator(3)) == file


def test_outliers_are_drawn_with_other_fonts_than_the_finder_learns_from() -> None:
    from model_build.finding import shapes

    assert not set(outliers.FONTS) & set(shapes.FONTS)


# Numbers


def test_a_numbers_digits_stand_apart_in_the_order_of_its_text(strokes: Strokes) -> None:
    for seed in range(6):
        file, text = draw_number(strokes, [1, 7, 0, 1], generator(seed))
        assert text == "1701"
        picture = grey(file)
        ink = np.abs(picture - np.median(picture)) > 60
        written = np.flatnonzero(np.diff(np.pad(ink.any(axis=0), 1).astype(int)))
        assert len(written) == 2 * len(text)  # four runs of columns with ink


# Corruptions


@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
def test_a_corruption_changes_every_sample_alike_from_the_same_seed(
    name: str, mnist: Dataset
) -> None:
    images = mnist.validation_images[::20]
    corrupted = corruptions.corrupt(name, images, generator())
    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.uint8
    assert (corrupted != images).any(axis=(1, 2)).all()
    assert (corrupted == corruptions.corrupt(name, images, generator())).all()


@pytest.mark.parametrize(
    "name", [name for name in corruptions.CORRUPTIONS if name not in {"scale", "stripe"}]
)
def test_a_corrupted_sample_is_most_like_its_own_original(name: str, mnist: Dataset) -> None:
    images = mnist.validation_images[::20]
    corrupted = corruptions.corrupt(name, images, generator())
    if name == "translate":  # put it back where its ink is in the middle
        corrupted = np.stack([centred(image) for image in corrupted])
        images = np.stack([centred(image) for image in images])
    count = len(images)
    likeness = np.corrcoef(images.reshape(count, -1), corrupted.reshape(count, -1))
    nearest = likeness[count:, :count].argmax(axis=1)
    assert (nearest == np.arange(count)).mean() > 0.4  # by chance 0.05


def centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = np.indices(image.shape)
    middle = np.average(rows, weights=image), np.average(columns, weights=image)
    return np.roll(image, [round(13.5 - at) for at in middle], (0, 1))


def test_scale_makes_the_digit_smaller_in_its_place(mnist: Dataset) -> None:
    images = mnist.validation_images[::20]
    corrupted = corruptions.corrupt("scale", images, generator())
    for image, small in zip(images, corrupted, strict=True):
        before, after = ((one > 60).any(axis=1).sum() for one in (image, small))
        assert 0.4 < after / before < 0.85


def test_stripe_inverts_the_middle_and_leaves_the_rest(mnist: Dataset) -> None:
    images = mnist.validation_images[::20]
    corrupted = corruptions.corrupt("stripe", images, generator())
    changed = np.flatnonzero((corrupted != images).any(axis=(0, 1)))
    assert changed.tolist() == list(range(11, 17))
    assert (corrupted[:, :, 11:17] == 255 - images[:, :, 11:17]).all()


# Measuring


def test_answers_are_counted_by_what_was_on_the_picture() -> None:
    answers = [
        Answer(200, 7, 0.8),
        Answer(200, 1, 0.995),  # sure and wrong
        Answer(200, 1, 0.9),
        Answer(200, None, 0.999),
        Answer(422),
    ]
    assert measure.counts(answers, [7, 7, 7, 7, 7]) == Counts(5, 1, 1, 1, 1)
    assert measure.counts(answers) == Counts(5, 0, 1, 1, 1)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert measure.auroc([0.9, 0.8], [0.1, 0.2]) == 1
    assert measure.auroc([0.9, 0.1], [0.5, 0.05]) == 0.75
    assert measure.auroc([0.5, 0.5], [0.5]) == 0.5


def test_the_digits_below_the_threshold_of_95_percent_count_as_rejected() -> None:
    others = np.arange(100) / 100  # 95 of them are at most 0.94
    assert measure.rejected_at([0.93, 0.94, 0.95, 1.0], others.tolist()) == 0.5


@pytest.fixture
def few(strokes: Strokes, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Samples(digits, np.arange(10), [strokes])
    monkeypatch.setattr(measure, "load_samples", lambda _part: samples)
    some = {"plain paper": {"dark pen": FAMILIES["dark pen"]}}
    monkeypatch.setattr(families, "GROUPS", some)
    monkeypatch.setattr(measure, "EMPTY", {"white": EMPTY["white"]})
    monkeypatch.setattr(measure, "OUTLIERS", {"word": outliers.OUTLIERS["word"]})


class Reader:
    """A service that knows what it is sent by the order of the families."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []

    def __call__(self, files: list[bytes], **query: str) -> list[Answer]:
        self.queries += [query] * len(files)
        if "preprocess" in query:
            return [Answer(200, index, 1, 1) for index in range(len(files))]
        if "digits" in query:
            return [Answer(200, None, 0, 0, "1701") for _ in files]
        return [Answer(200, 3, 0.999, 0.9) for _ in files]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("part", ["test", "validation"])
def test_every_picture_is_sent_once_and_reported(part: str) -> None:
    reader, advanced = Reader(), 0

    def advance(count: int) -> None:
        nonlocal advanced
        advanced += count

    results = measure.measure(reader, part, 4, lambda images: np.zeros(len(images), int), advance)
    assert len(reader.queries) == advanced == measure.size(part, 4)
    assert results.empty == {"white": Counts(4, 0, 0, 0, 4)}
    assert bool(results.outliers) == (part == "test")
    assert results.numbers is not None
    assert sum(sent for _, sent in results.numbers.values()) == 16
    assert results.errors["fog"] == (0, 0.9)
    assert {"preprocess": "none"} in reader.queries


@pytest.mark.usefixtures("few")
def test_a_service_that_reads_one_digit_has_no_numbers() -> None:
    def single(files: list[bytes], **_query: str) -> list[Answer]:
        return [Answer(200, 3, 0.9, 0.9) for _ in files]

    results = measure.measure(single, "validation", 4, lambda images: np.zeros(len(images), int))
    assert results.numbers is None


RESULTS = Results(
    "test",
    {"plain": {"dark pen": Counts(100, 98, 1, 0, 1)}, "noise": {"dim": Counts(100, 50, 0, 25, 0)}},
    {"white": Counts(50, 0, 20, 30, 0)},
    {"letter": Counts(10, 0, 9, 0, 1)},
    0.987,
    0.012,
    {2: (45, 50), 6: (40, 50)},
    {"fog": (0.1, 0.3), "shear": (0.2, 0.5)},
)


def test_the_report_gives_shares_intervals_and_means() -> None:
    page = report.write(RESULTS, "mnist 20260131T120000Z-0123abcd")
    for line in (
        "| dark pen | 98.0% ± 5.0% | 1.0% | 0.0% | 1.0% |",
        "| noise | 1 | 50.0% |",
        "Mean of 2 families: **74.0%** right; below 90%: 1; sure (over 99%) and wrong",
        "Refused or answered as no digit: **100.0%**.",
        "AUROC of `digit_probability`, against all digits above: **0.9870**.",
        "Read whole with `digits=many`: **85.0% ± 8.3%**.",
        "| **mean** | **15.0%** | **40.0%** |",
    ):
        assert line in page
    assert "20260131T120000Z-0123abcd" in page


# The service


@pytest.fixture
def served(
    publish: Publish, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> service.Send:
    from classifier import handler

    root = tmp_path_factory.mktemp("store")
    version = publish(root)
    for variable in ("MODEL_STORE_URL", "MODEL_NAME", "MODEL_VERSION", "POWERTOOLS_LOG_LEVEL"):
        monkeypatch.setenv(variable, "")  # restored afterwards
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "")
    monkeypatch.setattr(handler, "models", handler.models)
    return service.serve(root.as_uri(), "mnist", version)


def test_one_answer_comes_back_for_each_file_refused_or_not(
    served: service.Send, digits: NDArray[np.uint8]
) -> None:
    blank = EMPTY["white"](generator())
    answers = served([measure.png(digits[3]), blank], preprocess="auto")
    assert [(answer.status, answer.prediction) for answer in answers] == [(200, 3), (422, None)]
    assert 0 < answers[0].confidence <= 1


def test_a_function_without_its_model_stops_the_measurement(
    served: service.Send, digits: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_VERSION", "20990101T000000Z-00000000")
    with pytest.raises(ServiceFailed, match="503"):
        served([measure.png(digits[3])])
