"""Knowledge distillation: a small network learns from the answers of large ones."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model_build.engine.stage import OnEpoch, StageContext, load_network
from model_build.training import architectures, layer_chain
from model_build.training.prune import zeros_held
from model_build.training.train import (
    Floats,
    Samples,
    Schedule,
    Targets,
    be_deterministic,
    fit,
    training,
)

_LEAST = 1e-30  # of a probability whose logarithm is taken: float32 goes to 1e-38
_BATCH = 256  # for the teachers: their activations stay in memory that was used before


def build_stage(
    context: StageContext, *, architecture: str, temperature: float, mix: float, **schedule: Any
) -> None:
    """Train a new network on the answers of the teachers, which are the stage's inputs."""
    keras.backend.clear_session()  # layers are named anew: the same names in every process
    be_deterministic(context.seed)
    told = training(context, **schedule)
    student = architectures.build(architecture, told[0].images.shape[1:], told[0].classes)
    teachers = [load_network(folder) for folder in context.inputs]
    context.save(distil(student, teachers, *told, temperature=temperature, mix=mix))


def distil(
    student: keras.Model,
    teachers: Sequence[keras.Model],
    samples: Samples,
    schedule: Schedule,
    seed: int,
    on_epoch: OnEpoch,
    *,
    temperature: float,
    mix: float,
) -> keras.Model:
    """Train a copy of the student, new or trained before, on teachers' answers and on labels.

    With p the student's probabilities, q the mean of the teachers', y the one-hot label and T the
    temperature, the loss of a sample is

        mix · T² · KL(q_T ‖ p_T) + (1 - mix) · H(y, p),    p_T = softmax(z / T)

    H is cross-entropy, with the schedule's label smoothing. The gradient of KL is that of the
    cross-entropy to q_T; it is nought when the student agrees. T² keeps the two terms' gradients
    in proportion as T grows. The networks end in softmax, which leaves the logits z known but for
    a constant, as log p; softmax(log p / T) is the tempered softmax exactly. Several teachers are
    an ensemble: q_T is the mean of their tempered probabilities.

    The teachers answer what the student is shown, freshly augmented every epoch. temperature: over
    0, usually 2 to 8. mix: 0 (labels alone) to 1 (teachers alone). Exact zeros of the student's
    kernels, if it was pruned, stay zero.

    Raises ValueError for other values, no teacher, or teachers of other classes than the student.
    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be greater than 0, got {temperature}")
    if not 0 <= mix <= 1:
        raise ValueError(f"mix must be 0 to 1, got {mix}")
    if not teachers:
        raise ValueError("teachers must have at least one network")
    ends = {network.output_shape[1:] for network in (student, *teachers)}
    if len(ends) > 1:
        raise ValueError(f"student and teachers have different output shapes: {sorted(ends)}")
    be_deterministic(seed)
    taught = layer_chain.copy(student)
    with zeros_held(taught):
        fit(
            taught,
            samples,
            schedule,
            seed,
            on_epoch,
            targets=answers_of(teachers, temperature),
            loss=loss(temperature, mix, schedule.label_smoothing),
        )
    return taught


def tempered(probabilities: Any, temperature: float) -> Any:
    """Softmax of logits / temperature, from the softmax of the logits: float32 [N, classes]."""
    return keras.ops.softmax(_logits(probabilities) / temperature, axis=-1)


def answers_of(teachers: Sequence[keras.Model], temperature: float) -> Targets:
    """Targets [N, 2 classes]: one-hot labels, then the mean of the teachers' tempered answers."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator] # TensorFlow is untyped
    def ask(inputs: tf.Tensor) -> tf.Tensor:
        answers = [tempered(teacher(inputs, training=False), temperature) for teacher in teachers]
        return tf.add_n(answers) / len(answers)

    def targets(inputs: Floats, one_hot: Floats) -> Floats:
        starts = range(0, len(inputs), _BATCH)
        answers = [ask(tf.constant(inputs[at : at + _BATCH])).numpy() for at in starts]
        return np.hstack([one_hot, np.concatenate(answers)])

    return targets


def loss(temperature: float, mix: float, label_smoothing: float = 0.0) -> Callable[[Any, Any], Any]:
    """Loss [N] of targets [N, 2 classes], as `answers_of` gives them, and answers [N, classes]."""

    def of(targets: Any, answers: Any) -> Any:
        classes = answers.shape[-1]
        labels, teachers = targets[:, :classes], targets[:, classes:]
        soft = keras.losses.kl_divergence(teachers, tempered(answers, temperature))
        hard = keras.losses.categorical_crossentropy(
            labels, answers, label_smoothing=label_smoothing
        )
        return mix * temperature**2 * soft + (1 - mix) * hard

    return of


def _logits(probabilities: Any) -> Any:
    return keras.ops.log(keras.ops.maximum(probabilities, _LEAST))
