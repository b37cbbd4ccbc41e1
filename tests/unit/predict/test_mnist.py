"""mnist.py: a picture of a digit becomes the sample that the model was trained on."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from classifier.errors import BlankImage, PredictError, UnreadableImage
from classifier.image import pixels
from classifier.image.pixels import decode
from classifier.prepare.mnist import MnistPipeline, center_of_mass
from model_build.data.datasets import Dataset
from model_build.data.synthetic_pictures import take_picture

type Digit = NDArray[np.uint8]
type Picture = NDArray[np.uint8]
type Ink = NDArray[np.float32]
type Answers = Callable[[NDArray[np.uint8]], NDArray[np.int64]]

PIPELINE = MnistPipeline(height=28, width=28)


@pytest.fixture(scope="module")
def answers(classifier: bytes) -> Answers:
    """Class [N] of samples [N, 28, 28] by the small classifier."""
    session = ort.InferenceSession(classifier, providers=["CPUExecutionProvider"])

    def answer(samples: NDArray[np.uint8]) -> NDArray[np.int64]:
        return np.asarray(session.run(None, {"image": samples})[0]).argmax(axis=1)

    return answer


@pytest.fixture(scope="module")
def held_out(mnist: Dataset, answers: Answers) -> NDArray[np.uint8]:
    """Ten samples [10, 28, 28], one per class, that the small classifier reads right."""
    right = answers(mnist.test_images) == mnist.test_labels
    chosen = [np.flatnonzero(right & (mnist.test_labels == digit))[0] for digit in range(10)]
    return mnist.test_images[chosen]


def ink_of(digit: Digit, factor: int = 8, margin: int = 24) -> Ink:
    """Coverage [H, W] of 0 to 1 of a digit, enlarged and with a margin around it."""
    size = 28 * factor
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large, dtype=np.float32) / 255, margin)


def draw(ink: NDArray[Any], pen: Any = 0, page: Any = 255) -> Picture:
    """Picture [H, W, C] of ink in a pen's colour on a page."""
    pen, page = np.atleast_1d(pen).astype(np.float32), np.atleast_1d(page).astype(np.float32)
    return shot(page + ink[:, :, np.newaxis] * (pen - page))


def shot(light: NDArray[Any]) -> Picture:
    """Light as a camera stores it."""
    stored: Picture = np.rint(np.clip(light, 0, 255)).astype(np.uint8)
    return stored


def _off_centre(digit: Digit) -> Picture:
    return draw(np.pad(ink_of(digit, 6), ((280, 10), (5, 400))))


def _uneven_light(digit: Digit) -> Picture:
    picture = draw(ink_of(digit))
    height, width, _ = picture.shape
    light = 1 - 0.3 * np.linspace(0, 1, height)[:, None] * np.linspace(1, 0.6, width)
    return shot(picture * light[:, :, np.newaxis])


def _specks(digit: Digit) -> Picture:
    ink = ink_of(digit)
    for row, column in ((3, 3), (5, 200), (250, 8), (262, 260), (130, 2), (1, 100)):
        ink[row : row + 3, column : column + 3] = 1
    return draw(ink)


def _noise(digit: Digit) -> Picture:
    picture = draw(ink_of(digit), 60, 210)
    return shot(picture + np.random.default_rng(1).normal(0, 8, picture.shape))


def _thin_and_faint(digit: Digit) -> Picture:
    """The middle of the stroke alone, as a hard pencil leaves it."""
    bold = Image.fromarray(((ink_of(digit) > 0.5) * 255).astype(np.uint8))
    thin = np.asarray(bold.filter(ImageFilter.MinFilter(7)), dtype=np.float32) / 255
    return draw(thin, 190, 245)


def _large_photo(digit: Digit) -> Picture:
    return draw(ink_of(digit, 25, 50))


PICTURES: dict[str, tuple[Callable[[Digit], Picture], float]] = {
    # how it is drawn, and the least share of answers that must stay as they were
    "as it is": (lambda digit: digit[:, :, np.newaxis], 1.0),
    "inverted": (lambda digit: 255 - digit[:, :, np.newaxis], 1.0),
    "doubled": (lambda digit: draw(ink_of(digit, 2, 0)), 0.9),
    "black on white": (lambda digit: draw(ink_of(digit)), 0.9),
    "white on black": (lambda digit: draw(ink_of(digit), 255, 0), 0.9),
    "blue on white": (lambda digit: draw(ink_of(digit), (25, 45, 140), (255, 255, 255)), 0.9),
    "red on cream": (lambda digit: draw(ink_of(digit), (170, 30, 35), (250, 243, 200)), 0.9),
    "yellow on white": (lambda digit: draw(ink_of(digit), (255, 215, 0), (255, 255, 255)), 0.9),
    "red on a blue of the same grey": (
        lambda digit: draw(ink_of(digit), (200, 40, 40), (40, 95, 200)),
        0.9,
    ),
    "chalk on a green board": (
        lambda digit: draw(ink_of(digit), (235, 235, 225), (30, 80, 60)),
        0.9,
    ),
    "off-centre": (_off_centre, 0.9),
    "uneven light": (_uneven_light, 0.85),
    "specks": (_specks, 0.9),
    "noise": (_noise, 0.9),
    "faint": (lambda digit: draw(ink_of(digit), 205, 255), 0.85),
    "thin and faint": (_thin_and_faint, 0.75),  # a class mean is a poor match of a hairline
    "large photo": (_large_photo, 0.9),
}


QUICK = {"as it is", "inverted", "black on white", "uneven light"}  # the others are for test-all


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PICTURES],
)
def test_a_digit_keeps_its_answer_however_it_is_drawn(
    name: str, held_out: NDArray[np.uint8], answers: Answers
) -> None:
    draw_it, share = PICTURES[name]
    samples = np.stack([PIPELINE(draw_it(digit), "auto") for digit in held_out])
    assert (answers(samples) == answers(held_out)).mean() >= share


@pytest.mark.slow
def test_a_picture_as_users_take_them_keeps_its_answer(
    held_out: NDArray[np.uint8], answers: Answers
) -> None:
    generator = np.random.default_rng(5)
    pictures = [decode(take_picture(digit, generator)) for digit in held_out[::2]]
    samples = np.stack([PIPELINE(picture, "auto") for picture in pictures])
    assert (answers(samples) == answers(held_out[::2])).mean() >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_digit_of_20_pixels_on_a_page_of_1800_keeps_its_answer(
    kind: str, held_out: NDArray[np.uint8], answers: Answers
) -> None:
    generator = np.random.default_rng(6)
    chosen, samples = held_out[::2], []
    for digit in chosen:
        page = np.full((1800, 1800), 240, dtype=np.uint8)
        top, left = generator.integers(0, 1780, 2)
        page[top : top + 20, left : left + 20] -= (0.8 * digit[4:24, 4:24]).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(page).save(file, kind, **{"quality": 90} if kind == "JPEG" else {})
        picture = pixels.Picture(file.getvalue())
        samples.append(PIPELINE(picture.pixels, "auto", picture.detail))
    assert (answers(np.stack(samples)) == answers(chosen)).mean() >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0, 15])
def test_a_large_page_without_ink_is_blank(noise: float) -> None:
    page = np.full((1500, 1000), 220, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(_noisy(page, noise)).save(file, "JPEG", quality=90)
    picture = pixels.Picture(file.getvalue())
    with pytest.raises(BlankImage):
        PIPELINE(picture.pixels, "auto", picture.detail)


def test_a_held_out_sample_comes_through_auto_almost_as_it_was(
    held_out: NDArray[np.uint8],
) -> None:
    change = [
        np.abs(PIPELINE(digit[:, :, np.newaxis], "auto").astype(float) - digit)
        for digit in held_out
    ]
    assert np.median([np.mean(difference) for difference in change]) < 1  # of 255


def test_both_polarities_give_the_same_sample(digits: NDArray[np.uint8]) -> None:
    for digit in digits:
        dark, light = (
            PIPELINE(draw(ink_of(digit), *pair), "auto") for pair in ((0, 255), (255, 0))
        )
        # An overview holds whole levels: the two are rounded to either side.
        assert np.abs(dark.astype(float) - light).max() <= 4


def test_the_place_on_the_page_does_not_change_the_sample(digits: NDArray[np.uint8]) -> None:
    for digit in digits:
        middle = PIPELINE(draw(np.pad(ink_of(digit, margin=0), 64)), "auto")
        corner = PIPELINE(draw(np.pad(ink_of(digit, margin=0), ((8, 120), (120, 8)))), "auto")
        assert np.abs(middle.astype(float) - corner).mean() < 3


@pytest.mark.parametrize("name", ["black on white", "off-centre", "large photo"])
def test_a_digit_fills_its_box_with_the_centre_of_mass_in_the_middle(
    name: str, digits: NDArray[np.uint8]
) -> None:
    for digit in digits:
        sample = PIPELINE(PICTURES[name][0](digit), "auto")
        rows, columns = np.flatnonzero(sample.any(axis=1)), np.flatnonzero(sample.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
        assert center_of_mass(sample) == pytest.approx((14, 14), abs=0.6)
        assert sample.max() == 255


def _falling_light(depth: float) -> Picture:
    light = 1 - depth * np.add.outer(np.linspace(0, 0.6, 240), np.linspace(0, 0.4, 240))
    return shot(np.repeat(220 * light[:, :, np.newaxis], 3, axis=2))


def _noisy(picture: Picture, noise: float) -> Picture:
    return shot(picture + np.random.default_rng(0).normal(0, noise, picture.shape))


@pytest.mark.parametrize(
    "page",
    [
        np.full((200, 300, 1), 255, dtype=np.uint8),
        np.zeros((28, 28, 1), dtype=np.uint8),
        np.full((90, 90, 3), (250, 243, 200), dtype=np.uint8),
        _noisy(np.full((240, 240, 3), 200, dtype=np.uint8), 4),
        _noisy(np.full((240, 240, 1), 200, dtype=np.uint8), 15),
        _noisy(np.full((28, 28, 1), 200, dtype=np.uint8), 5),
        _falling_light(0.5),
        _noisy(_falling_light(0.5), 5),
        np.full((1, 1, 1), 7, dtype=np.uint8),
        np.full((1, 640, 1), 7, dtype=np.uint8),
    ],
    ids=[
        "white", "black", "cream", "noisy", "very noisy", "small and noisy", "light that falls off",
        "light that falls off, noisy", "one pixel", "one row",
    ],
)  # fmt: skip
def test_a_page_without_ink_is_blank(page: Picture) -> None:
    with pytest.raises(BlankImage, match="send one dark digit"):
        PIPELINE(page, "auto")


def test_none_takes_a_sample_pixel_for_pixel(digits: NDArray[np.uint8]) -> None:
    for digit in digits:
        assert np.array_equal(PIPELINE(digit[:, :, np.newaxis], "none"), digit)


def test_none_takes_a_blank_sample_too() -> None:
    assert not PIPELINE(np.zeros((28, 28, 1), dtype=np.uint8), "none").any()


@pytest.mark.parametrize(
    ("colour", "grey"),
    [((255, 255, 255), 255), ((0, 0, 0), 0), ((255, 0, 0), 76), ((0, 255, 0), 150)],
)
def test_none_takes_colours_by_their_luma(colour: tuple[int, int, int], grey: int) -> None:
    picture = np.broadcast_to(np.array(colour, dtype=np.uint8), (28, 28, 3))
    sample = PIPELINE(picture, "none")
    assert sample.dtype == np.uint8
    assert set(sample.ravel().tolist()) == {grey}


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 27, 1), (27, 28, 3), (56, 56, 1), (29, 28, 1)])
def test_none_refuses_another_size_and_names_both(shape: tuple[int, int, int]) -> None:
    height, width, _ = shape
    with pytest.raises(UnreadableImage, match=f"28 x 28.*has {width} x {height}; send"):
        PIPELINE(np.zeros(shape, dtype=np.uint8), "none")


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_the_size_of_the_sample_follows_the_manifest(mode: Any) -> None:
    pipeline = MnistPipeline.from_manifest([None, 40, 36], {"pipeline": "mnist", "box": 24})
    assert (pipeline.height, pipeline.width, pipeline.box) == (40, 36, 24)
    ink = np.zeros((40, 36), dtype=np.float32)
    ink[5:35, 10:14] = 1
    assert pipeline(draw(ink), mode).shape == (40, 36)


def test_the_box_is_that_of_mnist_if_the_manifest_names_none() -> None:
    assert MnistPipeline.from_manifest(["N", 28, 28], {}).box == 20


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ([28, 28], {}),
        ([None, 28, 28, 1], {}),
        ([None, None, 28], {}),
        ([None, "x", 28], {}),
        ([None, 0, 28], {}),
        ([None, -28, 28], {}),
        ([None, 28, 28], {"box": 0}),
        ([None, 28, 28], {"box": 29}),
        ([None, 28, 28], {"box": "x"}),
        ([None, 28, 28], {"box": None}),
        ([None, float("inf"), 28], {}),
    ],
)
def test_a_manifest_whose_sizes_make_no_sense_is_refused(
    shape: list[Any], parameters: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        MnistPipeline.from_manifest(shape, parameters)


@pytest.mark.parametrize(
    "size", [(1, 60), (60, 1), (2, 300), (300, 2), (5, 5), (3, 3), (640, 30), (30, 640)]
)
def test_extreme_shapes_give_a_sample_or_are_blank(size: tuple[int, int]) -> None:
    for seed in range(8):
        generator = np.random.default_rng(seed)
        picture = generator.choice([0, 255], (*size, 1), p=[0.1, 0.9]).astype(np.uint8)
        try:
            sample = PIPELINE(picture, "auto")
        except BlankImage:
            continue
        assert sample.shape == (28, 28)
        assert sample.dtype == np.uint8


@pytest.mark.parametrize("rotated", [False, True])
def test_a_straight_stroke_keeps_its_shape(rotated: bool) -> None:  # noqa: FBT001
    ink = np.zeros((200, 200), dtype=np.float32)
    ink[20:180, 95:103] = 1
    sample = PIPELINE(draw(ink.T if rotated else ink), "auto")
    sample = sample.T if rotated else sample
    assert np.ptp(np.flatnonzero(sample.any(axis=1))) == 19
    assert np.ptp(np.flatnonzero(sample.any(axis=0))) <= 3
    assert sample.max() == 255


def test_a_lopsided_digit_stays_inside_the_frame() -> None:
    """A heavy blob at one end of a long line pulls the centre of mass away from the middle."""
    ink = np.zeros((220, 220), dtype=np.float32)
    ink[10:50, 10:50] = 1
    ink[50:210, 10:14] = 1
    sample = PIPELINE(draw(ink), "auto")
    assert np.ptp(np.flatnonzero(sample.any(axis=1))) == 19


@given(
    hnp.arrays(np.float32, (5, 7), elements=st.floats(0, 1, width=32)).filter(
        lambda ink: ink.sum() > 0.1
    )
)
def test_a_centre_of_mass_is_the_weighted_mean_of_the_places(ink: NDArray[np.float32]) -> None:
    places = [(row, column) for row in range(5) for column in range(7)]
    expected = np.average(places, axis=0, weights=ink.ravel().astype(np.float64))
    assert center_of_mass(ink) == pytest.approx(tuple(expected), abs=1e-4)


def test_the_centre_of_mass_of_no_ink_is_the_corner() -> None:
    assert center_of_mass(np.zeros((5, 7), np.uint8)) == (0, 0)


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 80), st.integers(1, 80), st.sampled_from([1, 3])),
        elements=st.sampled_from([0, 1, 40, 128, 200, 254, 255]),
        fill=st.sampled_from([0, 128, 255]),
    ),
    st.sampled_from(["auto", "none"]),
)
def test_any_picture_gives_a_sample_or_a_refusal(picture: NDArray[np.uint8], mode: Any) -> None:
    try:
        sample = PIPELINE(picture, mode)
    except PredictError:
        return
    assert sample.shape == (28, 28)
    assert sample.dtype == np.uint8


def placed(height: int, width: int, top: int, left: int, ink: int = 255) -> NDArray[np.uint8]:
    """Picture [28, 28] of a filled box."""
    picture = np.zeros((28, 28), dtype=np.uint8)
    picture[top : top + height, left : left + width] = ink
    return picture


SAMPLE = placed(20, 10, 4, 9)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (SAMPLE, True),
        (SAMPLE.T, True),
        (placed(19, 10, 4, 9), True),
        (placed(21, 10, 4, 9), True),
        (placed(20, 10, 4, 9, ink=200), True),
        (placed(20, 10, 5, 9), True),
        (placed(20, 10, 4, 6), False),  # off the middle
        (placed(10, 20, 6, 4), False),
        (placed(12, 12, 8, 8), False),  # too small
        (placed(18, 10, 5, 9), False),
        (placed(22, 10, 3, 9), False),  # too large
        (np.maximum(placed(21, 2, 0, 13), placed(6, 12, 15, 8)), True),  # lopsided, so at an edge
        (np.maximum(placed(21, 2, 0, 13), placed(6, 12, 15, 8)).T, True),
        (np.maximum(placed(21, 2, 7, 13), placed(6, 12, 9, 8)), True),
        (np.maximum(placed(21, 2, 7, 13), placed(6, 12, 9, 8)).T, True),
        (placed(28, 28, 0, 0), False),  # paper, or a picture of something else
        (placed(20, 10, 4, 9, ink=199), False),  # faint
        (255 - SAMPLE, False),  # black on white
        (np.zeros((28, 28), dtype=np.uint8), False),
    ],
)
def test_a_sample_is_told_from_pictures_that_are_none(
    picture: NDArray[np.uint8],
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Size of the box, frame and centre are those that MNIST has."""
    assert PIPELINE.is_sample(picture) is expected


def test_a_frame_need_not_be_a_square() -> None:
    pipeline = MnistPipeline(30, 26)
    picture = np.zeros((30, 26), dtype=np.uint8)
    picture[10:20, 4:23] = 255
    assert pipeline.is_sample(picture)
    picture[10:20, 4] = 0
    assert not pipeline.is_sample(picture)


def test_a_sample_goes_through_auto_as_it_is(digits: NDArray[np.uint8]) -> None:
    """Pixel for pixel: there is nothing to find that is not where it belongs."""
    for digit in digits:
        assert (PIPELINE(digit[:, :, np.newaxis], "auto") == digit).all()
        deep = digit[:, :, np.newaxis].astype(np.float32) + np.float32(0.3)
        assert (PIPELINE(deep, "auto") == digit).all()


def test_a_picture_in_colour_or_of_another_size_is_no_sample(digits: NDArray[np.uint8]) -> None:
    for picture in (digits[0, :, :, np.newaxis].repeat(3, axis=2), digits[0, :, 1:, np.newaxis]):
        assert (PIPELINE(picture, "auto") != digits[0]).any()
