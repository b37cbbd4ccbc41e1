"""The finder's network: fully convolutional, from a small picture to a map of half its size."""

import keras
from keras import layers

CHANNELS = 3  # digit ink, a digit's middle, other writing


def build() -> keras.Model:
    """Untrained network: float32 [N, H, W, 3] of 0.0 to 1.0 to [N, H / 2, W / 2, 3], sigmoid.

    H and W are multiples of 32. A small U-Net (Ronneberger et al. 2015) whose halves are added and
    not stacked. Full convolutions: separable ones have fewer weights, but take twice the time to
    train, and in 8-bit integers the same time to run.
    """
    picture = keras.Input((None, None, 3), name="picture")
    levels = [_convolution(picture, _WIDTHS[0], strides=2)]
    for width in _WIDTHS[1:]:
        levels.append(_convolution(_convolution(levels[-1], width, strides=2), width))
    features = levels.pop()
    while levels:
        finer = levels.pop()
        narrow = _convolution(features, finer.shape[-1], kernel=1)
        enlarged = layers.UpSampling2D(2, interpolation="nearest")(narrow)
        features = _convolution(layers.Add()([enlarged, finer]), finer.shape[-1])
    maps = layers.Conv2D(CHANNELS, 1, activation="sigmoid", name="maps")(features)
    return keras.Model(picture, maps, name="finder")


_WIDTHS = (16, 24, 32, 48, 64)  # channels at a half, a quarter, … of the picture's side


def _convolution(
    features: keras.KerasTensor, filters: int, *, kernel: int = 3, strides: int = 1
) -> keras.KerasTensor:
    convolved = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization()(convolved))
