"""Samples of more than 8 bits → 0 to 255: whole numbers and fractions of 16 to 64 bits."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

_BAND = 256  # rows looked at together
_WHITES = (255, 511, 1023, 2047, 4095, 65535)  # of 8, 9 to 12 and 16 bits
_OVERSHOOT = 2  # largest of fractions up to 1 that were sharpened or resized
_WHITE_OF_SIGNED = 32767  # of 16 bits
# Fields of a TIFF (TIFF 6.0, sections 4, 8 and 19).
_BITS, _PHOTOMETRIC, _LEAST, _MOST = 258, 262, 280, 281
_FORMAT, _LEAST_OF_FORMAT, _MOST_OF_FORMAT = 339, 340, 341
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED, _FRACTIONS = 0, 1, 2, 3


# Raw pixels of colours of 16 bits, of which Pillow keeps the higher byte, and those of the lower.
_LOWER = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in ("BL", "LB", "NB")
}
_DIM = 16  # of 256: the higher bytes of colours of at most 12 bits are below


def raw_pixels(image: Image.Image) -> str:
    """Name of the raw pixels of a file before it is decoded, or an empty one."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def brightened(image: Image.Image, raw: str, other: Callable[[], Any]) -> Image.Image:
    """Return an RGB or RGBA image whose samples of 8 to 12 bits in 16 are scaled by their white.

    raw: the `raw_pixels` that were decoded. other: opens the file again. Any other image is
    returned unchanged.
    """
    if raw not in _LOWER or image.mode not in ("RGB", "RGBA"):
        return image
    extrema: Any = image.getextrema()
    most = max(high for _, high in extrema)
    if most >= _DIM:
        return image
    lower = other()
    lower.tile = [tile._replace(args=_with_raw(tile.args, _LOWER[raw])) for tile in lower.tile]
    share = 255 / ((256 << most.bit_length()) - 1)
    higher, lower = (
        part.point([round(min(step * value * share, 255)) for value in range(256)] * len(extrema))
        for part, step in ((image, 256), (lower, 1))
    )
    return ImageChops.add(higher, lower)


def _with_raw(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


class Scale(NamedTuple):
    """How the samples of a file become 0 to 255.

    black, white: the samples that do. is_inverted: it is the other way round. is_unsigned: whole
    numbers of 32 bits without a sign, which Pillow has with one.
    """

    black: float
    white: float
    is_inverted: bool = False
    is_unsigned: bool = False

    @classmethod
    def of(cls, image: Image.Image) -> Self | None:
        """Return the scale of a decoded image; None if its samples have 8 bits.

        White is what the file states as the largest sample, or else the largest number of the
        fewest bits that hold all samples, if they are 8 to 12 or 16; 1 for fractions up to 1; or
        else the largest sample. Black is what the file states, the smallest sample if that is
        negative, or else 0.
        """
        if image.mode[0] not in "IF":
            return None
        tags = getattr(image, "tag_v2", {})
        form, bits = _number(tags.get(_FORMAT), _UNSIGNED), _number(tags.get(_BITS), 16)
        is_unsigned = image.mode == "I" and form == _UNSIGNED and bool(tags)
        low, high = _range(image, is_unsigned=is_unsigned)
        black = _number(tags.get(_LEAST_OF_FORMAT, tags.get(_LEAST)), min(low, 0.0))
        white = _number(tags.get(_MOST_OF_FORMAT, tags.get(_MOST)), -math.inf)
        if not black < white:
            black, white = min(low, 0.0), high
            if black == 0:
                white = _white(high, form, bits)
        is_inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return cls(black, white, is_inverted, is_unsigned)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Turn an image of the file, or a part of one, into mode F, 0 to 255."""
        samples = np.nan_to_num(_samples(image, is_unsigned=self.is_unsigned).astype(np.float64))
        span = self.white - self.black or 1.0
        grey = (np.clip(samples, self.black, self.white) - self.black) / span * 255
        return Image.fromarray((255 - grey if self.is_inverted else grey).astype(np.float32))


def _white(high: float, form: float, bits: float) -> float:
    """White of samples from 0 to `high`."""
    if form == _FRACTIONS and high <= _OVERSHOOT:
        return max(high, 1.0)
    if form == _SIGNED and bits == 16 and high > _WHITES[-2]:
        return _WHITE_OF_SIGNED
    return next((white for white in _WHITES if high <= white), high)


def _range(image: Image.Image, *, is_unsigned: bool) -> tuple[float, float]:
    """Smallest and largest finite sample; 0 and 0 if there is none."""
    lows, highs = [], []
    for top in range(0, image.height, _BAND):
        band = image.crop((0, top, image.width, min(top + _BAND, image.height)))
        samples = _samples(band, is_unsigned=is_unsigned)
        samples = samples[np.isfinite(samples)]
        if samples.size:
            lows.append(float(samples.min()))
            highs.append(float(samples.max()))
    return min(lows, default=0.0), max(highs, default=0.0)


def _samples(image: Image.Image, *, is_unsigned: bool) -> NDArray[np.float32]:
    samples = np.asarray(image)
    return (samples.view(np.uint32) if is_unsigned else samples).astype(np.float32)


def _number(values: Any, default: float) -> float:
    """Return the first of a field's values, or the default if it has none that is a number."""
    try:
        value = float(values[0] if isinstance(values, tuple) else values)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return default
    return value if math.isfinite(value) else default
