import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier.image import pixels
from classifier.prepare.mnist import MnistPipeline
from model_build.data.synthetic_pictures import take_picture


def test_the_same_seed_takes_the_same_picture(digits: NDArray[np.uint8]) -> None:
    def take(seed: int) -> bytes:
        return take_picture(digits[5], np.random.default_rng(seed))

    assert take(1) == take(1)
    assert take(1) != take(2)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_picture_is_a_colour_image_of_the_side_and_format_asked(
    image_format: str, digits: NDArray[np.uint8]
) -> None:
    generator = np.random.default_rng(3)
    content = take_picture(digits[2], generator, side=200, image_format=image_format)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size, image.mode) == (image_format, (200, 200), "RGB")


def test_pictures_of_one_digit_differ_in_size_and_place(digits: NDArray[np.uint8]) -> None:
    generator = np.random.default_rng(4)
    sides, centers = set(), []
    for _ in range(20):
        with Image.open(io.BytesIO(take_picture(digits[8], generator))) as image:
            sides.add(image.size[0])
            dark = 255 - np.asarray(image.convert("L"), dtype=float)
            darkest = 0.75 * dark.max()
            rows, columns = np.nonzero(dark > darkest)
            centers.append((rows.mean() / image.size[1], columns.mean() / image.size[0]))
    assert min(sides) >= 120
    assert max(sides) < 480
    assert len(sides) > 10
    assert np.std(centers, axis=0).min() > 0.05


def test_the_ink_is_darker_than_the_paper(digits: NDArray[np.uint8]) -> None:
    generator = np.random.default_rng(5)
    for digit in digits:
        with Image.open(io.BytesIO(take_picture(digit, generator))) as image:
            grey = np.asarray(image.convert("L"), dtype=float)
        assert np.median(grey) - grey.min() > 40


def test_the_serving_code_finds_the_digit_in_its_picture(digits: NDArray[np.uint8]) -> None:
    generator = np.random.default_rng(6)
    pipeline = MnistPipeline(28, 28)
    likeness = []
    for digit in digits:
        picture = pixels.decode(take_picture(digit, generator, image_format="PNG"))
        seen = pipeline(picture, "auto")
        likeness.append(np.corrcoef(seen.ravel(), digit.ravel())[0, 1])
    assert np.mean(likeness) > 0.85
