"""The finder's network: fully convolutional, from a small picture to a map of half its size."""

import keras
from keras import layers

CHANNELS = 3  # digit ink, a digit's middle, other writing


def build() -> keras.Model:
    """Untrained network: float32 [N, H, W, 3] of 0.0 to 1.0 to [N, H / 2, W / 2, 3], sigmoid.

    H and W are multiples of 32. A U-Net (Ronneberger et al. 2015) of depthwise separable
    convolutions (Howard et al., "MobileNets", 2017).
    """
    picture = keras.Input((None, None, 3), name="picture")
    half = _normalised(layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(picture))
    half = _separable(half, 16)
    quarter = _separable(_separable(half, 32, strides=2), 32)
    eighth = _separable(_separable(quarter, 64, strides=2), 64)
    sixteenth = _separable(_separable(eighth, 96, strides=2), 96, kernel=5)
    coarse = _separable(_separable(sixteenth, 128, strides=2), 128, kernel=3)
    sixteenth = _joined(coarse, sixteenth, 96)
    eighth = _joined(sixteenth, eighth, 64)
    quarter = _joined(eighth, quarter, 32)
    half = _joined(quarter, half, 16)
    answer = layers.Conv2D(CHANNELS, 1, activation="sigmoid", name="maps")(half)
    return keras.Model(picture, answer, name="finder")


def _separable(
    features: keras.KerasTensor, filters: int, *, strides: int = 1, kernel: int = 3
) -> keras.KerasTensor:
    spread = layers.DepthwiseConv2D(kernel, strides, padding="same", use_bias=False)(features)
    return _normalised(
        layers.Conv2D(filters, 1, use_bias=False)(layers.BatchNormalization()(spread))
    )


def _normalised(features: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization()(features))


def _joined(
    coarse: keras.KerasTensor, fine: keras.KerasTensor, filters: int
) -> keras.KerasTensor:
    """Coarse features at twice their size, with the fine ones of that size."""
    narrow = _normalised(layers.Conv2D(filters, 1, use_bias=False)(coarse))
    enlarged = layers.UpSampling2D(2, interpolation="nearest")(narrow)
    return _separable(layers.Add()([enlarged, fine]), filters)
