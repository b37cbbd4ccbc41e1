"""Networks by name. Each takes float32 [N, height, width, 1], white ink 1.0 on black 0.0."""

from collections.abc import Callable

import keras
from keras import layers


def build(name: str, input_shape: tuple[int, int], classes: int) -> keras.Model:
    """Untrained network, by its name, for images of input_shape (height, width).

    It takes float32 [N, height, width, 1] of 0.0 to 1.0 and gives float32 [N, classes], softmax.
    Raises ValueError for another name.
    """
    if name not in _ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(_ARCHITECTURES)}, got {name!r}")
    image = keras.Input((*input_shape, 1), name="image")
    features = _ARCHITECTURES[name](image)
    probabilities = layers.Dense(classes, activation="softmax", name="probabilities")(features)
    return keras.Model(image, probabilities, name=name)


def _mlp(image: keras.KerasTensor) -> keras.KerasTensor:
    """One hidden layer: the network of the Keras and TensorFlow beginners' tutorials."""
    flat = layers.Flatten()(image)
    hidden = layers.Dense(128, activation="relu")(flat)
    return layers.Dropout(0.2)(hidden)


def _cnn(image: keras.KerasTensor, filters: int = 16) -> keras.KerasTensor:
    """Four convolutions, 61,000 parameters; filters: of the first one.

    Only the first one sees every pixel, with a stride, so that the costly ones work on 14 x 14 and
    7 x 7. Batch normalisation folds into the convolution before it, and the global mean keeps the
    dense layer small: nothing here is hard on 8-bit integers.
    """
    features = _convolution(image, filters, kernel=5, strides=2)
    features = _convolution(features, 2 * filters)
    features = layers.MaxPooling2D()(features)
    features = _convolution(features, 4 * filters)
    features = _convolution(features, 4 * filters, padding="valid")
    features = layers.GlobalAveragePooling2D()(features)
    return layers.Dropout(0.2)(features)


def _cnn_wide(image: keras.KerasTensor) -> keras.KerasTensor:
    """`cnn` with half as many filters again, 136,000 parameters: for digits found in pictures."""
    return _cnn(image, filters=24)


def _teacher(image: keras.KerasTensor) -> keras.KerasTensor:
    """Six and a half times the multiplications of `cnn`: made to be right, not to be served."""
    features = _convolution(image, 32, kernel=5, strides=2)
    features = _convolution(features, 64)
    features = _convolution(features, 64)
    features = layers.MaxPooling2D()(features)
    features = _convolution(features, 128)
    features = _convolution(features, 128, padding="valid")
    features = layers.GlobalAveragePooling2D()(features)
    return layers.Dropout(0.3)(features)


def _cnn_dense(image: keras.KerasTensor) -> keras.KerasTensor:
    """Three convolutions and a dense layer that sees where each feature is, 427,000 parameters.

    For pictures that fill their frame, as clothes do: there, place tells more than a mean does.
    """
    features = _convolution(image, 16, kernel=5, strides=2)
    features = _convolution(features, 32)
    features = layers.MaxPooling2D()(features)
    features = _convolution(features, 64)
    hidden = layers.Dense(128, activation="relu")(layers.Flatten()(features))
    return layers.Dropout(0.3)(hidden)


def _convolution(
    image: keras.KerasTensor,
    filters: int,
    *,
    kernel: int = 3,
    strides: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    convolved = layers.Conv2D(filters, kernel, strides, padding=padding, use_bias=False)(image)
    return layers.ReLU()(layers.BatchNormalization()(convolved))


_ARCHITECTURES: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "cnn-wide": _cnn_wide,
    "cnn-dense": _cnn_dense,
    "teacher": _teacher,
}
