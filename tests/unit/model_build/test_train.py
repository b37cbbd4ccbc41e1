"""Training: seeded, reported, and it learns."""

import dataclasses

import numpy as np
import pytest

from model_build.data import datasets
from model_build.errors import RecipeError
from model_build.training import train

pytestmark = pytest.mark.keras


def part(every: int) -> datasets.Dataset:
    whole = datasets.load_mnist_5k()
    return dataclasses.replace(
        whole,
        train_images=whole.train_images[::every],
        train_labels=whole.train_labels[::every],
    )


def silent(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    pass


def test_a_short_training_beats_chance_by_far() -> None:
    """The quick MLP schedule on 720 samples reads four digits of five that it has not seen.

    Each epoch is reported with its number, the number of epochs, and a loss that falls.
    """
    dataset = part(5)
    reported: list[tuple[int, int, float, float]] = []
    model = train.train("mlp", dataset, "quick", 1, lambda *epoch: reported.append(epoch))
    images = dataset.test_images[..., np.newaxis].astype(np.float32) / 255
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    assert (predicted == dataset.test_labels).mean() > 0.8
    epochs = train.SCHEDULES["mlp", "quick"].epochs
    assert [epoch[:2] for epoch in reported] == [(i + 1, epochs) for i in range(epochs)]
    assert reported[-1][2] < reported[0][2]
    assert 0 <= reported[0][3] < reported[-1][3] <= 1


def test_same_seed_same_weights() -> None:
    """Two augmented trainings from one seed agree in every byte; another seed differs."""
    dataset, schedule = part(50), train.Schedule(epochs=1)

    def weights(seed: int) -> bytes:
        samples = train.Samples(dataset.train_images, dataset.train_labels, 10)
        model = train.fit_new("mlp", samples, schedule, seed, silent)
        return b"".join(array.tobytes() for array in model.get_weights())

    first = weights(1)
    assert first == weights(1)
    assert first != weights(2)


@pytest.mark.parametrize(("architecture", "profile"), [("cnn", "slow"), ("resnet", "full")])
def test_a_training_without_a_schedule_is_refused(architecture: str, profile: str) -> None:
    """The error names what was asked for."""
    with pytest.raises(RecipeError, match=f"no schedule '{profile}' for architecture"):
        train.train(architecture, part(100), profile, 1, silent)
