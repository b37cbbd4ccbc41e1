"""batch.py: pictures in, a prediction each, and how likely it shows a digit."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier import batch
from classifier.model import session
from classifier.model.store import open_store
from classifier.prepare.mnist import MnistPipeline
from tests.conftest import Publish


def picture_of_a_mark() -> bytes:
    pixels = np.full((96, 96), 255, np.uint8)
    pixels[40:50, 30:60] = 0  # a dash, for an upright stroke would be a 1
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def maps_of_other_writing(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Maps that say: something is written here, and none of it is a digit's."""
    height, width, _ = picture.shape
    maps = np.zeros((height // 2, width // 2, 3), np.float32)
    maps[20:25, 15:30, 2] = 1
    return maps


@pytest.mark.parametrize(("rejection", "probability"), [(True, 0.0), (False, None)])
def test_a_picture_without_a_digit_still_gets_the_nearest_class(
    tmp_path: Path, publish: Publish, *, rejection: bool, probability: float | None
) -> None:
    """Its probability of a digit is 0, if the model can reject pictures at all."""
    rule = {"rejection": {"threshold": 0.5, "slope": 1, "offset": 9}} if rejection else {}
    version = publish(tmp_path, manifest=lambda document: document.update(rule))
    model = session.load(open_store(tmp_path.as_uri()), "mnist", version)
    finding = MnistPipeline(28, 28, maps_of=maps_of_other_writing)
    (answer,) = batch.classify(model._replace(preprocess=finding), [picture_of_a_mark()], "auto")
    assert answer["prediction"] in range(10)
    assert answer.get("digit_probability") == probability
