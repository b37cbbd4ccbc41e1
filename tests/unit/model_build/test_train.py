"""Training: seeded, reported, and it learns."""

import pytest

from model_build.data import datasets
from model_build.training import train
from tests.support.techniques import answers, content, samples, schedule, silent

pytestmark = pytest.mark.keras


def test_a_short_training_beats_chance_by_far() -> None:
    """Ten epochs on 720 samples: the MLP reads four digits of five that it has not seen."""
    model = train.fit_new("mlp", samples(5), schedule(10), 1, silent)
    predicted = answers(model).argmax(axis=1)
    assert (predicted == datasets.load_mnist_5k().test_labels).mean() > 0.8


def test_every_epoch_is_reported() -> None:
    """The progress bar gets each epoch's number, the number of epochs, a loss that falls."""
    seen: list[tuple[int, int, float, float]] = []
    train.fit_new("mlp", samples(10), schedule(4), 1, lambda *epoch: seen.append(epoch))
    assert [epoch[:2] for epoch in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert seen[-1][2] < seen[0][2]
    assert 0 <= seen[0][3] < seen[-1][3] <= 1


def test_same_seed_same_weights() -> None:
    """Two augmented CNN trainings from one seed agree in every byte; another seed differs."""

    def weights(seed: int) -> bytes:
        return content(train.fit_new("cnn", samples(50), train.Schedule(epochs=1), seed, silent))

    first = weights(1)
    assert first == weights(1)
    assert first != weights(2)
