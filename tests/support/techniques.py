"""Shared by the tests of techniques on Keras networks: a few samples and a small network."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build.data.datasets import load_mnist_5k


def silent(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    pass


@cache
def samples(every: int = 20) -> Any:
    """Samples of all classes: 3,600 / every in number."""
    from model_build.training.train import Samples

    dataset = load_mnist_5k()
    return Samples(dataset.train_images[::every], dataset.train_labels[::every], 10)


def schedule(epochs: int = 1, **changes: Any) -> Any:
    from model_build.training.train import Schedule

    return Schedule(epochs=epochs, **{"augmentation": None, "learning_rate": 1e-3, **changes})


def inputs() -> NDArray[np.float32]:
    """The 1,000 held-out samples as a network's input."""
    return load_mnist_5k().test_images[..., np.newaxis].astype(np.float32) / np.float32(255)


def answers(network: Any) -> NDArray[np.float32]:
    return np.asarray(network.predict(inputs(), batch_size=500, verbose=0))


def content(network: Any) -> bytes:
    """All weights, to compare networks by the byte."""
    return b"".join(weights.tobytes() for weights in network.get_weights())


def untrained() -> Any:
    """Network with every layer that techniques change, in each of their combinations."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    chain = [
        layers.Conv2D(8, 5, 2, use_bias=False, name="first"),
        layers.BatchNormalization(name="norm", momentum=0.5),
        layers.ReLU(name="relu"),
        layers.Conv2D(12, 3, activation="relu", name="second"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flat"),
        layers.Dense(24, activation="relu", name="hidden"),
        layers.Dropout(0.2, name="dropout"),
        layers.Dense(10, activation="softmax", name="probabilities"),
    ]
    image = keras.Input((28, 28, 1), name="image")
    tensor = image
    for layer in chain:
        tensor = layer(tensor)
    return keras.Model(image, tensor, name="small")


@cache
def small() -> Any:
    """The same network after four epochs on 900 samples: it reads most digits correctly."""
    from model_build.training.train import fit

    network = untrained()
    fit(network, samples(4), schedule(4, learning_rate=3e-3), 7, silent)
    return network


def zeroed(share: float = 0.6) -> Any:
    """The small network, pruned."""
    from model_build.training import layer_chain
    from model_build.training.prune import prunable, smallest

    network = layer_chain.copy(small())
    for kernel in prunable(network):
        kernel.assign(np.where(smallest(kernel.numpy(), share), 0, kernel.numpy()))
    return network


def zeros(network: Any) -> list[int]:
    """Number of exact zeros of each kernel."""
    from model_build.training import layer_chain

    return [int((kernel.numpy() == 0).sum()) for kernel in layer_chain.kernels(network.layers)]
