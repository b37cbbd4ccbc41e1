"""Train a network: seeded, with fresh augmented samples every epoch."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_build.engine.stage import OnEpoch, StageContext
from model_build.training import architectures
from model_build.training.augment import Strength, augment

type Floats = NDArray[np.float32]
# float32 [N, H, W, 1] of 0.0 to 1.0 and one-hot [N, classes] → what the loss compares with
type Targets = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Samples:
    """What is trained on: images uint8 [N, H, W], white ink on black, and labels int64 [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: int
    # More samples, as finding/draw_samples.py describes them; empty if there are none.
    drawn: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """All that decides a training of a given network, but for samples and seed."""

    epochs: int
    batch: int = 32
    learning_rate: float = 3e-3  # at its peak; it follows half a cosine down to zero
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    augmentation: Strength | None = field(default_factory=Strength)


def build_stage(context: StageContext, *, architecture: str, **schedule: Any) -> None:
    """Train a new network."""
    context.save(fit_new(architecture, *training(context, **schedule)))


def training(
    context: StageContext, *, augmentation: bool = True, **schedule: Any
) -> tuple[Samples, Schedule, int, OnEpoch]:
    """What `fit` is told: samples, schedule, seed and on_epoch, from a stage's parameters."""
    dataset = context.dataset
    samples = Samples(
        dataset.train_images, dataset.train_labels, dataset.classes, context.drawn_samples()
    )
    strength = Strength() if augmentation else None
    return samples, Schedule(**schedule, augmentation=strength), context.seed, context.on_epoch


def fit_new(
    architecture: str, samples: Samples, schedule: Schedule, seed: int, on_epoch: OnEpoch
) -> keras.Model:
    """Build a network by its name, seeded, and train it; otherwise as `fit`.

    It takes float32 [N, H, W, 1] of 0.0 to 1.0 and gives softmax float32 [N, classes]. The same
    seed gives the same weights on the same machine.
    """
    keras.backend.clear_session()  # layers are named anew: the same names in every process
    be_deterministic(seed)
    model = architectures.build(architecture, samples.images.shape[1:], samples.classes)
    fit(model, samples, schedule, seed, on_epoch)
    return model


def be_deterministic(seed: int) -> None:
    """Let the same seed give the same weights: to call before a network is built or changed."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    samples: Samples,
    schedule: Schedule,
    seed: int,
    on_epoch: OnEpoch,
    *,
    targets: Targets | None = None,
    loss: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train a network, new or trained before, in place.

    After every epoch on_epoch gets its number, from 1, the number of epochs, and loss and accuracy
    on what was trained on.

    targets: from an epoch's augmented inputs and one-hot labels to what `loss` compares the
    network's answer with; by default the one-hot labels and cross-entropy. callbacks: Keras's.
    """
    be_deterministic(seed)
    epochs = _Epochs(samples, schedule, seed, targets)
    steps = schedule.epochs * len(epochs)
    model.compile(
        keras.optimizers.AdamW(
            cosine(schedule.learning_rate, steps), weight_decay=schedule.weight_decay
        ),
        loss or keras.losses.CategoricalCrossentropy(label_smoothing=schedule.label_smoothing),
        metrics=[_accuracy],
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(
            epoch + 1, schedule.epochs, float(logs["loss"]), float(logs["accuracy"])
        )
    )
    model.fit(
        epochs, epochs=schedule.epochs, verbose=0, shuffle=False, callbacks=[*callbacks, report]
    )


def cosine(peak: float, steps: int) -> Any:
    """Learning rate that rises for a tenth of the steps, then falls along half a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, steps - steps // 10, warmup_target=peak, warmup_steps=steps // 10
    )


def _accuracy(expected: Any, answer: Any) -> Any:
    """Share of right answers; targets may hold more than the one-hot labels, but after them."""
    labels = keras.ops.argmax(expected[:, : answer.shape[-1]], axis=-1)
    return keras.ops.cast(keras.ops.equal(labels, keras.ops.argmax(answer, axis=-1)), "float32")


_accuracy.__name__ = "accuracy"


class _Epochs(keras.utils.PyDataset):  # type: ignore[misc] # Keras is untyped
    """Batches of float32 [B, H, W, 1], 0.0 to 1.0, and of targets [B, …]; new ones every epoch."""

    def __init__(
        self, samples: Samples, schedule: Schedule, seed: int, targets: Targets | None
    ) -> None:
        super().__init__()
        self._samples, self._schedule, self._make_targets = samples, schedule, targets
        self._generator = np.random.default_rng(seed)
        self._size = sum(_shares(samples).values())
        # The next epoch's samples are made while this one trains: TensorFlow leaves gaps.
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._undrawn = schedule.epochs
        self._submit()
        self.on_epoch_end()

    def __len__(self) -> int:
        # The rest has its turn in other epochs.
        return self._size // self._schedule.batch

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        batch = slice(index * self._schedule.batch, (index + 1) * self._schedule.batch)
        return self._inputs[batch], self._targets[batch]

    def on_epoch_end(self) -> None:
        if self._next:
            self._inputs, self._targets = self._next.result()
            self._submit()

    def _submit(self) -> None:
        self._next = self._worker.submit(self._draw) if self._undrawn else None
        self._undrawn -= 1

    def _draw(self) -> tuple[Floats, Floats]:
        samples, generator, strength = self._samples, self._generator, self._schedule.augmentation
        parts = []
        for name, count in _shares(samples).items():
            images, labels = _part(samples, name)
            chosen = generator.permutation(len(images))[:count]
            images, labels = images[chosen], labels[chosen]
            if strength:
                change = strength if name in _AS_WRITTEN else MILD
                images = augment(images, labels, generator, change)
            parts.append((images, labels))
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        # One part is in random order already.
        order = generator.permutation(len(images)) if len(parts) > 1 else slice(None)
        inputs = images[order][..., np.newaxis].astype(np.float32) / np.float32(255)
        classes = self._samples.classes
        # Nothing is known of an outlier: each class is as likely (Hendrycks et al. 2019).
        targets = np.vstack([np.eye(classes), np.full(classes, 1 / classes)])[labels[order]]
        expected = targets.astype(np.float32)
        return inputs, self._make_targets(inputs, expected) if self._make_targets else expected


_AS_WRITTEN = ("images", "writers")
MILD = Strength(  # for samples that pens, cameras and the finder have changed already
    rotation=5,
    slant=0.1,
    stretch=0.06,
    shift=1,
    elastic=0.7,
    style=0,
    pen=0.15,
    gap=0.02,
    cut=0.02,
    coarse=0.05,
    recrop=0,
    blur=0.2,
)


def _shares(samples: Samples) -> dict[str, int]:
    """How many samples of each part an epoch has."""
    count = len(samples.images)
    if not samples.drawn:
        return {"images": count}
    limits = {"writers": 0.5, "found": 1.0, "outliers": 0.4}
    return {"images": count} | {
        name: min(int(share * count), len(_part(samples, name)[0]))
        for name, share in limits.items()
    }


def _part(samples: Samples, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if name == "images":
        return samples.images, samples.labels
    drawn = samples.drawn
    if name == "writers":
        return drawn["writers"], drawn["written"]
    is_digit = drawn["labels"] >= 0
    selected = is_digit if name == "found" else ~is_digit
    return drawn["images"][selected], drawn["labels"][selected]
