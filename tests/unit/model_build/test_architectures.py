"""Networks by name."""

import numpy as np
import pytest

from model_build.training import architectures

pytestmark = pytest.mark.keras


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("mlp", 101_770, 101_770),
        ("cnn", 36_000, 80_000),
        ("cnn-wide", 120_000, 150_000),
        ("cnn-dense", 400_000, 430_000),
    ],
)
def test_a_network_has_its_size(name: str, least: int, most: int) -> None:
    """The MLP is the article's to the parameter; the CNN stays within 80,000."""
    assert least <= architectures.build(name, (28, 28), 10).count_params() <= most


@pytest.mark.parametrize("name", ["mlp", "cnn", "cnn-wide", "cnn-dense"])
@pytest.mark.parametrize(("side", "classes"), [(28, 10), (32, 4)])
def test_a_network_gives_probabilities(name: str, side: int, classes: int) -> None:
    """Any image size and number of classes: float32 rows that sum to one."""
    model = architectures.build(name, (side, side), classes)
    images = np.random.default_rng(1).random((3, side, side, 1), dtype=np.float32)
    probabilities = model(images).numpy()
    assert probabilities.shape == (3, classes)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    """The error says what can be chosen."""
    with pytest.raises(ValueError, match=r"one of mlp, cnn.*, got 'resnet'"):
        architectures.build("resnet", (28, 28), 10)
