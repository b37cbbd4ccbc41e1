"""Distillation: the loss to the formula, and a student that learns what no label told it."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model_build.data.datasets import Dataset
from model_build.training import architectures
from model_build.training import distil as module
from model_build.training.distil import distil
from model_build.training.train import Schedule
from tests.support.techniques import answers, content, samples, schedule, silent, small

pytestmark = pytest.mark.keras

type Floats = NDArray[np.float64]


def softmax(logits: Floats) -> Floats:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


@pytest.fixture
def logits() -> tuple[Floats, Floats]:
    """Of a teacher and of a student, for seven samples of five classes."""
    generator = np.random.default_rng(1)
    return generator.normal(0, 3, (7, 5)), generator.normal(0, 3, (7, 5))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_tempered_probabilities_are_the_softmax_of_logits_over_temperature(
    temperature: float,
) -> None:
    """Also where the network gave a class 1e-26: the logits are known from the answer."""
    logits = np.array([[0.0, -60, 2, 1], [3, 3, -40, 0]])
    tempered = module.tempered(tf.constant(softmax(logits), tf.float32), temperature)
    assert np.allclose(tempered, softmax(logits / temperature), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("temperature", "mix"), [(1.0, 0.5), (4.0, 0.9), (2.5, 0.0), (8.0, 1.0)])
def test_the_loss_is_that_of_the_formula(
    logits: tuple[Floats, Floats], temperature: float, mix: float
) -> None:
    """Temperature squared times KL to the teacher, mixed with cross-entropy to the label."""
    teacher, student = logits
    labels = np.eye(5)[[0, 1, 2, 3, 4, 0, 1]]
    q, p = softmax(teacher / temperature), softmax(student / temperature)
    soft = temperature**2 * (q * np.log(q / p)).sum(axis=1)
    hard = -(labels * np.log(softmax(student))).sum(axis=1)
    targets = tf.constant(np.hstack([labels, q]), tf.float32)
    found = module.loss(temperature, mix)(targets, tf.constant(softmax(student), tf.float32))
    assert np.allclose(found, mix * soft + (1 - mix) * hard, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_paper(logits: tuple[Floats, Floats]) -> None:
    """T² · (1/T) · (p - q) a logit: equation 2, times the T² that the paper asks for."""
    teacher, student = logits
    q, p = softmax(teacher / 3), softmax(student / 3)
    z = tf.Variable(student, dtype=tf.float32)
    with tf.GradientTape() as tape:
        targets = tf.constant(np.hstack([np.eye(5)[[0] * 7], q]), tf.float32)
        total = tf.reduce_sum(module.loss(3.0, 1.0)(targets, tf.nn.softmax(z)))
    assert np.allclose(tape.gradient(total, z), 3 * (p - q), atol=1e-4)


def test_an_ensemble_teaches_the_mean_of_its_tempered_answers() -> None:
    """Targets hold the label first; 300 inputs are more than are asked at once."""
    teachers = [small(), architectures.build("mlp", (28, 28), 10)]
    inputs = samples(12).images[..., np.newaxis] / np.float32(255)
    one_hot = np.eye(10, dtype=np.float32)[samples(12).labels]
    targets = module.answers_of(teachers, 4.0)(inputs, one_hot)
    log_answers = [
        np.log(np.maximum(teacher.predict(inputs, verbose=0), 1e-30)) for teacher in teachers
    ]
    expected = np.mean([softmax(one / 4) for one in log_answers], axis=0)
    assert targets.dtype == np.float32
    assert np.array_equal(targets[:, :10], one_hot)
    assert np.allclose(targets[:, 10:], expected, atol=1e-5)


def test_a_student_learns_from_the_teacher_what_its_labels_do_not_say(mnist: Dataset) -> None:
    """With labels drawn by lot and mix 1, it reads most digits all the same; nothing else moved."""
    shown = samples(4)
    drawn = dataclasses.replace(shown, labels=np.random.default_rng(1).permutation(shown.labels))
    keras.utils.set_random_seed(1)
    student = architectures.build("mlp", (28, 28), 10)
    before = content(student), content(small())
    learning = schedule(6, learning_rate=3e-3)
    taught = distil(student, [small()], drawn, learning, 1, silent, temperature=3.0, mix=1.0)
    assert (answers(taught).argmax(axis=1) == mnist.test_labels).mean() > 0.7
    assert (content(student), content(small())) == before


def test_the_same_seed_teaches_the_same_bytes() -> None:
    """Augmentation and dropout included."""
    student = architectures.build("mlp", (28, 28), 10)
    augmented = Schedule(epochs=1)
    one, two = (
        content(
            distil(student, [small()], samples(), augmented, 1, silent, temperature=2.0, mix=0.5)
        )
        for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    ("temperature", "mix", "sentence"),
    [
        (0.0, 0.5, "temperature must be greater than 0, got 0.0"),
        (2.0, 1.1, "mix must be 0 to 1, got 1.1"),
        (float("nan"), 0.5, "temperature must be greater than 0, got nan"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(
    temperature: float, mix: float, sentence: str
) -> None:
    """The error says what to give."""
    with pytest.raises(ValueError, match=sentence):
        distil(
            small(), [small()], samples(), schedule(), 1, silent, temperature=temperature, mix=mix
        )


def test_a_teacher_is_needed_and_one_of_the_same_classes() -> None:
    """Else there is nothing to compare with."""
    other = architectures.build("mlp", (28, 28), 4)
    for teachers, sentence in (([], "at least one network"), ([other], r"\(4,\), \(10,\)")):
        with pytest.raises(ValueError, match=sentence):
            distil(small(), teachers, samples(), schedule(), 1, silent, temperature=2.0, mix=0.5)
