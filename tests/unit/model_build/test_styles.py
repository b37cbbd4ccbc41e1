"""Digits written as in other countries."""

import numpy as np

from model_build.data import datasets
from model_build.training.handwriting_styles import change_style


def test_only_1_7_and_9_are_written_another_way() -> None:
    """These three gain a stroke and lose no ink; the other digits stay as they are."""
    dataset = datasets.load_mnist_5k()
    labels = dataset.train_labels[::40]
    ink = dataset.train_images[::40].astype(np.float32) / np.float32(255)
    styled = change_style(ink, labels, np.random.default_rng(1))
    changed = (styled != ink).any(axis=(1, 2))
    assert (styled >= ink).all()
    assert set(labels[changed]) == {1, 7, 9}
    assert changed[np.isin(labels, (1, 7, 9))].mean() > 0.9


def test_blank_paper_stays_blank() -> None:
    """Where nothing is written, no stroke is added."""
    blank = np.zeros((3, 28, 28), dtype=np.float32)
    assert not change_style(blank, np.array([1, 7, 9]), np.random.default_rng(1)).any()
