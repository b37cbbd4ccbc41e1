"""Samples → tensor: the layout and the numbers that the model's input asks for.

A sample is what a pipeline makes of a picture: uint8 [H, W], or [H, W, 3] in RGB. A model of raw
uint8 [N, H, W] takes it as it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

type Sample = NDArray[np.uint8]
type Samples = Sequence[Sample] | NDArray[np.uint8]  # of one shape; as an array, [N, …]
type Tensor = NDArray[np.uint8] | NDArray[np.float32]


class Encoding(NamedTuple):
    """What a manifest's `input` says of the tensor.

    shape: of one sample in the tensor: (H, W), (C, H, W) or (H, W, C), C 1 or 3. dtype: `uint8`
    holds 0 to 255; `float32` holds (value * scale - mean) / std, by channel. is_bgr: the channels
    are blue, green, red, also those of mean and std.
    """

    shape: tuple[int, ...]
    dtype: str = "uint8"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    is_bgr: bool = False

    @classmethod
    def from_manifest(cls, dtype: str, shape: tuple[int, ...], parameters: dict[str, Any]) -> Self:
        """Read a manifest's `input`; scale, mean, std and colour are among the parameters.

        Raises ValueError or OverflowError for what makes no sense together.
        """
        encoding = cls(
            shape,
            dtype,
            float(parameters.get("scale", 1 / 255)),
            tuple(float(value) for value in parameters.get("mean", (0,))),
            tuple(float(value) for value in parameters.get("std", (1,))),
            parameters.get("colour") == "BGR",
        )
        if dtype not in ("uint8", "float32"):
            raise ValueError(f"dtype must be uint8 or float32, got {dtype}")
        if len(shape) not in (2, 3) or min(shape) < 1 or encoding.channels not in (1, 3):
            raise ValueError(
                "shape must be [H, W], or [C, H, W] or [H, W, C] of 1 or 3 channels, "
                f"got {list(shape)}"
            )
        for name, values in (("mean", encoding.mean), ("std", encoding.std)):
            if len(values) not in (1, encoding.channels):
                raise ValueError(
                    f"{name} must have 1 value or one per channel ({encoding.channels}), "
                    f"got {len(values)}"
                )
        if not all(encoding.std):
            raise ValueError(f"std must not be 0, got {list(encoding.std)}")
        return encoding

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colours."""
        return 1 if len(self.shape) == 2 else self.shape[self._channel_axis]

    @property
    def samples_shape(self) -> list[Any]:
        """Shape of samples: ["N", H, W], or ["N", H, W, 3]."""
        sides = list(self.shape)
        if len(sides) == 3:
            del sides[self._channel_axis]
        return ["N", *sides, 3] if self.channels == 3 else ["N", *sides]

    @property
    def blank(self) -> Tensor:
        """Tensor [1, …] of a black picture."""
        return self(np.zeros((1, *self.samples_shape[1:]), dtype=np.uint8))

    def __call__(self, samples: Samples) -> Tensor:
        """Turn N samples uint8 [H, W] or [H, W, 3] into the model's [N, *shape]."""
        raw = np.asarray(samples)
        if self.channels == 3:
            raw = raw[..., ::-1] if self.is_bgr else raw
            raw = raw.transpose(0, 3, 1, 2) if self._channel_axis == 0 else raw
            raw = np.ascontiguousarray(raw)
        raw = raw.reshape(len(raw), *self.shape)
        return raw if self.dtype == "uint8" else self._normalised(raw)

    def _normalised(self, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Numbers of 0 to 255, in the tensor's layout, as the model takes them."""
        values = raw.astype(np.float32)
        values *= np.float32(self.scale)
        if self.mean != (0.0,) or self.std != (1.0,):
            # By rows: numpy is slow where what it repeats is as short as a pixel.
            rows = values.reshape(len(values), self.shape[0], -1)
            rows -= self._by_row(self.mean)
            rows /= self._by_row(self.std)
        return values

    def _by_row(self, numbers: tuple[float, ...]) -> NDArray[np.float32]:
        """Numbers of all channels or each, to go with [first side of the shape, all others]."""
        by_channel = np.array(numbers, np.float32)
        if len(numbers) == 1:
            return by_channel
        return (
            by_channel[:, np.newaxis]
            if self._channel_axis == 0
            else np.tile(by_channel, self.shape[1])
        )

    @property
    def _channel_axis(self) -> int:
        """0 for channels first (PyTorch), 2 for channels last (Keras), of a shape of three."""
        return 0 if self.shape[0] in (1, 3) else 2
