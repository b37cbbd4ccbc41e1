"""Augmented samples: seeded, in range, and still the same digits."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from model_build.data import datasets
from model_build.training.augment import (
    Strength,
    add_noise,
    augment,
    blur,
    break_strokes,
    change_pen,
    coarsen,
    cut_edge,
    recrop,
    warp,
)
from model_build.training.handwriting_styles import Ink

STILL = Strength(
    rotation=0, slant=0, stretch=0, shift=0, elastic=0,
    pen=0, gap=0, cut=0, style=0, coarse=0, recrop=0, blur=0, noise=0,
)  # fmt: skip
type Change = Callable[[Ink, np.random.Generator], Ink]

CHANGES = [change_pen, break_strokes, cut_edge, coarsen, recrop, blur, add_noise]


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return datasets.load_mnist_5k().train_images[::40]


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return datasets.load_mnist_5k().train_labels[::40]


def seeded(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_same_seed_same_bytes(digits: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Two runs from one seed agree in every byte; another seed gives other samples."""
    first = augment(digits, labels, seeded(), Strength())
    assert first.tobytes() == augment(digits, labels, seeded(), Strength()).tobytes()
    assert first.tobytes() != augment(digits, labels, seeded(2), Strength()).tobytes()


def test_samples_keep_shape_and_dtype_and_the_originals_are_left_alone(
    digits: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    """Augmented samples can stand wherever the originals stand."""
    before = digits.copy()
    samples = augment(digits, labels, seeded(), Strength())
    assert samples.shape == digits.shape
    assert samples.dtype == np.uint8
    assert np.array_equal(digits, before)


def test_no_strength_no_change(digits: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """With everything switched off, every sample comes back pixel for pixel."""
    assert np.array_equal(augment(digits, labels, seeded(), STILL), digits)


def test_a_digit_stays_nearest_to_its_own_kind(
    digits: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    """A nearest-neighbour reader still reads most augmented samples as what they were."""
    known = datasets.load_mnist_5k()
    flat = known.train_images.reshape(-1, 784).astype(np.float32)
    samples = augment(digits, labels, seeded(), Strength()).reshape(-1, 784).astype(np.float32)
    distance = (flat**2).sum(axis=1) - 2 * samples @ flat.T
    assert (known.train_labels[distance.argmin(axis=1)] == labels).mean() > 0.6


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_gives_finite_ink_of_the_same_shape(
    digits: NDArray[np.uint8], change: Change
) -> None:
    """Each change alone, on digits, on blank paper, and on no image at all."""
    ink = digits.astype(np.float32) / np.float32(255)
    for images in (ink, np.zeros_like(ink[:3]), ink[:0]):
        changed = change(images, seeded())
        assert changed.shape == images.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()


def test_warp_moves_the_center_of_mass_by_the_shift_alone(digits: NDArray[np.uint8]) -> None:
    """A pure shift of up to 2 pixels keeps the ink and moves it by at most 2 pixels."""
    ink = digits.astype(np.float32) / np.float32(255)
    inside = np.zeros((28, 28), dtype=bool)
    inside[3:-3, 3:-3] = True
    ink = ink[ink[:, ~inside].max(axis=1) == 0]  # of some the shift would cut an edge off
    assert len(ink) > 60
    moved = warp(ink, seeded(), dataclasses.replace(STILL, shift=2))
    assert np.allclose(moved.sum(axis=(1, 2)), ink.sum(axis=(1, 2)), rtol=0.02)
    rows = np.arange(28)[:, np.newaxis]
    before = (ink * rows).sum(axis=(1, 2)) / ink.sum(axis=(1, 2))
    after = (moved * rows).sum(axis=(1, 2)) / moved.sum(axis=(1, 2))
    assert 1 < np.abs(after - before).max() < 2.01
