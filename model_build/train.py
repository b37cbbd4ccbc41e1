"""Train a network: seeded, with fresh augmented samples every epoch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_build import architectures
from model_build.augment import Strength, augment
from model_build.data import CLASSES, Dataset

type OnEpoch = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class Recipe:
    """All that decides a training, but for the seed."""

    epochs: int
    batch: int = 32
    learning_rate: float = 3e-3  # at its peak; it follows half a cosine down to zero
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    augmentation: Strength | None = field(default_factory=Strength)


RECIPES = {
    ("mlp", "quick"): Recipe(epochs=10, learning_rate=1e-3, augmentation=None),
    ("mlp", "full"): Recipe(epochs=20, learning_rate=1e-3, augmentation=None),
    ("cnn", "quick"): Recipe(epochs=7),
    ("cnn", "full"): Recipe(epochs=60),
}


def train(
    architecture: str, dataset: Dataset, profile: str, seed: int, on_epoch: OnEpoch
) -> keras.Model:
    """Train `mlp` or `cnn` on the data set's training samples by the recipe `quick` or `full`.

    The model takes float32 [N, H, W, 1] of 0.0 to 1.0 and gives softmax float32 [N, 10]. The same
    seed gives the same weights on the same machine. After every epoch on_epoch gets its number,
    from 1, the number of epochs, and loss and accuracy on what was trained on.

    Raises ValueError for an architecture or a profile that has no recipe.
    """
    if (architecture, profile) not in RECIPES:
        raise ValueError(f"there is no recipe {profile!r} for architecture {architecture!r}")
    recipe = RECIPES[architecture, profile]
    return fit(architecture, dataset.train_images, dataset.train_labels, recipe, seed, on_epoch)


def fit(
    architecture: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    on_epoch: OnEpoch,
) -> keras.Model:
    """Train on images uint8 [N, H, W] and labels [N] by any recipe; otherwise as `train`."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model = architectures.build(architecture, images.shape[1:], CLASSES)
    epochs = _Epochs(images, labels, recipe, seed)
    steps = recipe.epochs * len(epochs)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                recipe.learning_rate / 10,
                steps - steps // 10,
                warmup_target=recipe.learning_rate,
                warmup_steps=steps // 10,
            ),
            weight_decay=recipe.weight_decay,
        ),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(
            epoch + 1, recipe.epochs, float(logs["loss"]), float(logs["accuracy"])
        )
    )
    model.fit(epochs, epochs=recipe.epochs, verbose=0, shuffle=False, callbacks=[report])
    return model


class _Epochs(keras.utils.PyDataset):  # type: ignore[misc] # Keras is untyped
    """Batches of float32 [B, H, W, 1], 0.0 to 1.0, and of one-hot labels; new ones every epoch."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe, seed: int
    ) -> None:
        super().__init__()
        self._images, self._labels, self._recipe = images, labels, recipe
        self._generator = np.random.default_rng(seed)
        # The next epoch's samples are made while this one trains: TensorFlow leaves gaps.
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._next = self._worker.submit(self._draw)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._images) // self._recipe.batch  # the rest has its turn in other epochs

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        batch = slice(index * self._recipe.batch, (index + 1) * self._recipe.batch)
        return self._inputs[batch], self._targets[batch]

    def on_epoch_end(self) -> None:
        self._inputs, self._targets = self._next.result()
        self._next = self._worker.submit(self._draw)

    def _draw(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        order = self._generator.permutation(len(self._images))
        images, labels = self._images[order], self._labels[order]
        if self._recipe.augmentation:
            images = augment(images, labels, self._generator, self._recipe.augmentation)
        inputs = images[..., np.newaxis].astype(np.float32) / np.float32(255)
        return inputs, np.eye(CLASSES, dtype=np.float32)[labels]
