"""Trained networks for the tests that need Keras: trained briefly, once per test run."""

from functools import cache
from typing import Any

import numpy as np

from model_build.data.datasets import load_mnist_5k


@cache
def trained(architecture: str) -> Any:
    """Keras model after one epoch on half of the training samples: neither random nor good."""
    from model_build.training.train import Samples, Schedule, fit_new

    dataset = load_mnist_5k()
    half = np.arange(0, len(dataset.train_labels), 2)
    schedule = Schedule(epochs=1, batch=32, augmentation=None)
    images, labels = dataset.train_images[half], dataset.train_labels[half]
    model = fit_new(architecture, Samples(images, labels, 10), schedule, 7, lambda *_: None)
    for layer in model.layers:
        if hasattr(layer, "momentum"):  # batch normalisation takes many epochs to settle
            layer.momentum = 0.0
    model(images[:1000, ..., np.newaxis] / np.float32(255), training=True)
    return model
