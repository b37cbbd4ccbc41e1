"""Exact arithmetic of uniform quantisation: real numbers to a few bits, and back.

q = clip(round(x / S) + Z, low, high)        x̂ = S · (q - Z)

S, the scale, is the width of one step, a float32; Z, the zero point, is the integer that
represents 0.0. Rounding is half to even, division in float32, as in ONNX's QuantizeLinear.

The error, unless x was clipped, for an S that is a normal float32: |x - x̂| ≤
S · (1/2 + 2^(bits - 23)). The half comes from rounding to a step; the rest from float32 rounding in
division and product, less than 0.007 % of the half at 8 bits.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018, section 2.1; the ONNX operators QuantizeLinear and
DequantizeLinear.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float32]
type Int8 = NDArray[np.int8]
type UInt8 = NDArray[np.uint8]

_TINY = float(np.finfo(np.float32).tiny)  # below it, float32 loses digits


def symmetric(values: ArrayLike, bits: int = 8, *, axis: int | None = None) -> tuple[Int8, Floats]:
    """Quantise with Z = 0 and S = max|x| / (2^(bits-1) - 1): for weights, which lie around zero.

    values: finite float32 [...]. Returns int8 [...], at most 2^(bits-1) - 1 in magnitude, and the
    scale, float32 []; with an axis one scale per index, float32 [values.shape[axis]]. All zeros get
    scale 1. Raises ValueError for bits outside 2 to 8 and values that are not finite.
    """
    values, high = _checked(values, bits), 2 ** (bits - 1) - 1
    others = None if axis is None else _others(values, axis)
    scale = _scale(np.abs(values).max(axis=others, initial=0.0), high)
    return quantise(values, scale, np.int8(0), bits=bits, axis=axis).astype(np.int8), scale


def asymmetric(values: ArrayLike, bits: int = 8) -> tuple[UInt8, Floats, np.uint8]:
    """Quantise with S = (max - min) / (2^bits - 1), Z = round(-min / S): for one-sided activations.

    values: finite float32 [...]; the range is extended to 0.0, so that padding and ReLU stay exact.
    Returns uint8 [...] from 0 to 2^bits - 1, the scale float32 [] and the zero point. All zeros get
    scale 1. Raises ValueError as `symmetric` does.
    """
    values, high = _checked(values, bits), 2**bits - 1
    lowest = values.min(initial=0.0)
    with np.errstate(over="ignore"):
        scale = _scale(values.max(initial=0.0) - lowest, high)
    zero_point = np.uint8(np.rint(-lowest / scale))
    return quantise(values, scale, zero_point, bits=bits).astype(np.uint8), scale, zero_point


def quantise(
    values: ArrayLike,
    scale: ArrayLike,
    zero_point: Int8 | UInt8 | np.int8 | np.uint8,
    *,
    bits: int = 8,
    axis: int | None = None,
) -> Int8 | UInt8:
    """Quantise float32 [...] by a given scale and zero point; values out of range saturate.

    The result has zero_point's type, int8 or uint8: -2^(bits-1) to 2^(bits-1) - 1, or 0 to
    2^bits - 1. scale: float32 []; with an axis [values.shape[axis]], and zero_point the same or [].
    Raises ValueError for bits outside 2 to 8, NaN in values, and scales that are not positive and
    finite.
    """
    values, scale = np.asarray(values, np.float32), np.asarray(scale, np.float32)
    _check_bits(bits)
    if np.isnan(values).any() or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("values must not be NaN, and scales must be positive and finite")
    offset = np.asarray(zero_point)
    low = -(2 ** (bits - 1)) if offset.dtype == np.int8 else 0
    with np.errstate(over="ignore"):  # infinity saturates too
        steps = np.rint(values / _along(scale, values, axis))
    steps = steps + _along(offset, values, axis).astype(np.float32)
    clipped: Int8 | UInt8 = np.clip(steps, low, low + 2**bits - 1).astype(offset.dtype)
    return clipped


def dequantise(
    quantised: Int8 | UInt8,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    axis: int | None = None,
) -> Floats:
    """Return the float32 [...] that int8 or uint8 [...] represent: S · (q - Z).

    scale, zero_point and axis are those of `quantise`.
    """
    steps = np.asarray(quantised, np.int32)
    steps = steps - _along(np.asarray(zero_point, np.int32), steps, axis)
    along = _along(np.asarray(scale, np.float32), steps, axis)
    return np.asarray(steps.astype(np.float32) * along, np.float32)


def _scale(span: Any, steps: int) -> Floats:
    """Width of one of `steps` steps that cover the span; 1 for a span of 0."""
    scale = np.asarray(span, np.float32) / np.float32(steps)
    if not np.isfinite(scale).all():
        raise ValueError("values are too far apart: their range exceeds float32")
    return np.asarray(np.where(scale < _TINY, np.float32(1), scale), np.float32)


def _along(parameters: NDArray[Any], values: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """Reshape [C] to [1, C, 1, 1], so that one parameter per index of an axis broadcasts."""
    if parameters.ndim == 0:
        return parameters
    if axis is None or parameters.shape != (values.shape[axis],):
        raise ValueError(
            f"scale or zero point of shape {list(parameters.shape)} does not fit values of shape "
            f"{list(values.shape)} along axis {axis}; expected one number, or one per index"
        )
    return np.expand_dims(parameters, _others(values, axis))


def _others(values: NDArray[Any], axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(values.ndim) if other != axis % values.ndim)


def _checked(values: ArrayLike, bits: int) -> Floats:
    _check_bits(bits)
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, got NaN or infinity")
    return values


def _check_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, got {bits}")
