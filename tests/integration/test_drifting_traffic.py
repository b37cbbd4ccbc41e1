"""Drift over simulated traffic through the real handler and the published model."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from drift_check import stability
from events.make_events import encode_png
from model_build.data import datasets
from model_build.data.synthetic_pictures import take_picture
from model_build.evaluation import baseline, drift
from model_build.store.model_store import ModelStore
from tests.support import local_service
from tests.support.handling import handling

STORE = local_service.STORE.as_uri()
IMAGES = 300  # a day's traffic: little, so that what is called here is called anywhere

type Digits = NDArray[np.uint8]
type Day = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def mnist() -> datasets.Dataset:
    return datasets.load_mnist_5k()


@pytest.fixture(scope="module")
def store(
    model_version: str, mnist: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> ModelStore:
    """Store with the production model; adds a baseline if it was published without one."""
    published = ModelStore(STORE)
    manifest = published.manifest("mnist", model_version).document
    content = published.model("mnist", model_version)
    folder = tmp_path_factory.mktemp("drift")
    if not manifest["baseline"].get("pictures"):
        path = folder / "model.onnx"
        path.write_bytes(content)
        parameters = manifest["input"]["preprocess"]
        manifest["baseline"] |= baseline.baseline(path, mnist.test_images, parameters)
    store = ModelStore((folder / "store").as_uri())
    store.publish(manifest, content, published.finder("mnist", model_version))
    return store


@pytest.fixture(scope="module")
def send(model_version: str) -> Iterator[Callable[[list[bytes], str], list[str]]]:
    """Send image files through the handler; return the lines that it logged."""
    with handling("mnist", model_version) as answers:

        def lines(files: list[bytes], mode: str) -> list[str]:
            with contextlib.redirect_stdout(io.StringIO()) as log:
                answers(files, mode)
            return log.getvalue().splitlines()

        yield lines


@pytest.fixture(scope="module")
def day(
    store: ModelStore, mnist: datasets.Dataset, send: Callable[[list[bytes], str], list[str]]
) -> Day:
    """Simulate a day of pictures of digits that are in no baseline; return the verdicts."""

    def simulate(
        seed: int,
        *,
        pen: Callable[[Digits], Digits] = lambda digit: digit,
        film: Callable[[bytes], bytes] = lambda picture: picture,
        weights: dict[int, float] | None = None,
        mode: str = "auto",
    ) -> dict[str, str]:
        generator = np.random.default_rng(seed)
        share = np.array(
            [(weights or {}).get(int(label), 1.0) for label in mnist.validation_labels]
        )
        chosen = generator.choice(len(share), IMAGES, p=share / share.sum())
        files = []
        for digit in mnist.validation_images[chosen]:
            if mode == "none":
                files.append(encode_png(pen(digit)))
                continue
            side = int(generator.integers(100, 160))
            files.append(film(take_picture(pen(digit), generator, side=side)))
        (report,) = drift.compare(drift.collect(send(files, mode)), store, "mnist")
        assert (report.images, report.preprocess) == (IMAGES, mode)
        return {name: one.verdict for name, one in report.comparisons.items()}

    return simulate


def called(verdicts: Mapping[str, str], verdict: str = "drift") -> set[str]:
    return {name for name, one in verdicts.items() if one == verdict}


def other_pen(filter_: ImageFilter.Filter) -> Callable[[Digits], Digits]:
    """Strokes thicker or thinner by a third of a sample's pixel on each side."""

    def draw(digit: Digits) -> Digits:
        large = Image.fromarray(digit).resize((84, 84), Image.Resampling.BICUBIC)
        drawn = large.filter(filter_)
        return np.asarray(drawn.resize((28, 28), Image.Resampling.BOX))

    return draw


def negative(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return encode_png(255 - np.asarray(image))


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_traffic_is_not_called(day: Day, seed: int) -> None:
    assert set(day(seed).values()) == {"none"}


def test_samples_as_they_are_have_a_baseline_of_their_own(day: Day) -> None:
    """They are dark pages without light or blur, which pictures' baseline would call drift."""
    assert set(day(5, mode="none").values()) == {"none"}


@pytest.mark.parametrize(
    "filter_",
    [
        pytest.param(ImageFilter.MaxFilter(5), id="thick"),
        pytest.param(ImageFilter.MinFilter(5), id="thin"),
    ],
)
def test_another_pen_is_called_by_the_ink(day: Day, filter_: ImageFilter.Filter) -> None:
    verdicts = day(10, pen=other_pen(filter_))
    assert called(verdicts) == {"ink", "stroke"}


def test_light_ink_on_a_dark_page_is_called_by_the_paper_alone(day: Day) -> None:
    """`auto` reads it as well as dark ink, so classes, confidence and ink stay the same."""
    verdicts = day(11, film=negative)
    assert called(verdicts) == {"paper"}
    assert {verdicts[name] for name in verdicts.keys() - {"paper"}} == {"none"}


def test_a_shifted_class_mix_is_called_by_the_classes(day: Day) -> None:
    """Four times as many ones and sevens; ink may drift too, as they have less, but not stroke."""
    verdicts = day(12, weights={1: 4, 7: 4})
    assert verdicts["classes"] == "drift"
    assert {verdicts[name] for name in ("confidence", "stroke", "paper")} == {"none"}


def test_digits_by_other_writers_are_called_by_their_ink(
    store: ModelStore, send: Callable[[list[bytes], str], list[str]]
) -> None:
    """They were scanned at 8 x 8: a blunter pen than MNIST's, and less confident answers."""
    digits, _ = datasets.load_other_writers()
    generator = np.random.default_rng(13)
    files = [take_picture(digit, generator, side=150) for digit in digits[600 : 600 + IMAGES]]
    (report,) = drift.compare(drift.collect(send(files, "auto")), store, "mnist")
    verdicts = {name: one.verdict for name, one in report.comparisons.items()}
    assert {"ink", "stroke"} <= called(verdicts)
    assert verdicts["classes"] == verdicts["paper"] == "none"


def test_the_verdict_is_drawn(
    store: ModelStore,
    mnist: datasets.Dataset,
    send: Callable[[list[bytes], str], list[str]],
    tmp_path: Path,
) -> None:
    files = [encode_png(digit) for digit in mnist.validation_images]
    reports = drift.compare(drift.collect(send(files, "none")), store, "mnist")
    drift.plot(reports, tmp_path / "drift.png")
    with Image.open(tmp_path / "drift.png") as image:
        assert image.size[0] > image.size[1] > 200
    assert json.loads(json.dumps([one.document() for one in reports]))[0]["verdict"] == "none"
    assert stability.VERDICTS.index(drift.overall(reports)) < stability.VERDICTS.index("watch")
