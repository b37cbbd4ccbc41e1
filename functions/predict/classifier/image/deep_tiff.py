"""TIFFs of several samples of 16 to 64 bits a pixel, and of halves → grey, which Pillow lacks.

Such a file is opened as a grey one whose columns are the samples, or whose rows are those of each
plane; what is decoded is then put together.
"""

import struct
from typing import Any, NamedTuple, Never, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from classifier.errors import UnsupportedMediaType
from classifier.image import tiff

_PREDICTOR, _ALPHA, _FORM = 317, 338, 339
_LEFT_OUT = (tiff.SAMPLES, tiff.PLANES, _ALPHA)
_LONG = 4
_UNSIGNED, _SIGNED, _FRACTIONS = 1, 2, 3
_HALF = 16, _FRACTIONS
_BYTE = 8, _UNSIGNED
_FEWEST, _DEEPEST = 9, 12  # bits that a file of 16 may hold
_FORMS = (
    *((bits, form) for bits in (16, 32) for form in (_UNSIGNED, _SIGNED, _FRACTIONS)),
    (64, _FRACTIONS),
)
_MOST_SAMPLES = 4
_PREMULTIPLIED = 1
_RGB = 2


class Layout(NamedTuple):
    """How the samples of a file lie.

    per_pixel: samples of a pixel. in_planes: whether each has a plane of its own. form: whole
    numbers without a sign, with one, or fractions. bits: of a sample. is_premultiplied: by its
    alpha, the last of two or four samples.
    """

    per_pixel: int
    in_planes: bool
    form: int
    bits: int
    is_premultiplied: bool

    @classmethod
    def of(cls, directory: tiff.Directory) -> Self | None:
        """Layout of a page that Pillow does not read; None for any other page.

        Raises UnsupportedMediaType for samples that can't be put together.
        """
        bits, *others = set(directory.numbers(tiff.BITS, 1))
        count, form = directory.number(tiff.SAMPLES, 1), directory.numbers(_FORM, _UNSIGNED)[0]
        in_planes = count > 1 and directory.number(tiff.PLANES, 1) == tiff.IN_PLANES
        compression = directory.number(tiff.COMPRESSION, tiff.NONE)
        is_grey_in_planes = (bits, form) == _BYTE and count == 2 and in_planes
        if (bits, form) not in _FORMS and not is_grey_in_planes:
            return None
        if others or count > _MOST_SAMPLES or compression == tiff.JPEG:
            return None
        is_stacked = in_planes and _has_whole_planes(directory)
        is_read_by_pillow = not in_planes or (not is_stacked and compression != tiff.NONE)
        if (bits, form) == (16, _UNSIGNED) and count > 2 and is_read_by_pillow:
            return None
        if count == 1 and (bits, form) != _HALF:
            return None
        if in_planes and not is_stacked:
            _refuse(count, bits, "in planes of tiles or of uneven strips")
        if count > 1 and not in_planes and directory.number(_PREDICTOR, 1) != 1:
            _refuse(count, bits, "with a predictor")
        alpha = directory.numbers(_ALPHA, 0)[0]
        return cls(count, in_planes, form, bits, alpha == _PREMULTIPLIED)

    def together(self, samples: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
        """Grey [H, W] of decoded samples: the mean of colours, on white where it is transparent."""
        if self.form == _FRACTIONS and self.bits == 16:
            samples = samples.view(samples.dtype.str.replace("u", "f"))
        elif self.form == _UNSIGNED and self.bits == 32:
            samples = samples.view(np.uint32)
        if self.in_planes:
            pixels = samples.reshape(self.per_pixel, height, width).transpose(1, 2, 0)
        else:
            pixels = samples.reshape(height, width, self.per_pixel)
        has_alpha = self.per_pixel in (2, 4)
        grey = pixels[:, :, : self.per_pixel - has_alpha].mean(axis=2, dtype=np.float32)
        if has_alpha:
            white = (
                1.0 if self.form == _FRACTIONS else 2.0 ** (self.bits - (self.form == _SIGNED)) - 1
            )
            if (self.bits, self.form) == (16, _UNSIGNED):
                used = int(pixels.max()).bit_length()
                white = 2.0**used - 1 if _FEWEST <= used <= _DEEPEST else white  # of a camera
            alpha = np.clip(pixels[:, :, -1].astype(np.float32) / white, 0, 1)
            grey = (grey if self.is_premultiplied else grey * alpha) + white * (1 - alpha)
        return grey.astype(np.float32)


def _refuse(count: int, bits: int, what: str) -> Never:
    raise UnsupportedMediaType(
        f"a TIFF of {count} samples of {bits} bits {what} is not supported; save its samples "
        "together and without a predictor, or save it as PNG"
    )


def _has_whole_planes(directory: tiff.Directory) -> bool:
    """Whether each plane has as many strips as its rows need, so that they can be stacked."""
    height = directory.number(tiff.HEIGHT)
    rows = directory.number(tiff.ROWS_PER_STRIP, height)
    return tiff.STRIPS in directory and rows > 0 and (rows >= height or height % rows == 0)


def as_grey(data: bytes) -> tuple[bytes, Layout | None]:
    """Return a TIFF of one grey sample a pixel of the same strips or tiles, and their layout.

    Any other file is returned unchanged, without a layout; what is wrong with it, `tiff.work` says.
    """
    try:
        directory = tiff.Directory(data)
        layout = Layout.of(directory)
        return (data, None) if layout is None else (_rewritten(data, directory, layout), layout)
    except (struct.error, LookupError):
        return data, None


def _rewritten(data: bytes, directory: tiff.Directory, layout: Layout) -> bytes:
    """File of grey samples, its directory last."""
    height = directory.number(tiff.HEIGHT)
    values = {tiff.BITS: layout.bits}
    if layout.in_planes:
        values[tiff.HEIGHT] = height * layout.per_pixel
        values[tiff.ROWS_PER_STRIP] = min(directory.number(tiff.ROWS_PER_STRIP, height), height)
    else:
        values[tiff.WIDTH] = directory.number(tiff.WIDTH) * layout.per_pixel
        if tiff.TILE_WIDTH in directory:
            values[tiff.TILE_WIDTH] = directory.number(tiff.TILE_WIDTH) * layout.per_pixel
    if directory.number(tiff.PHOTOMETRIC, 1) == _RGB:
        values[tiff.PHOTOMETRIC] = 1
    values[_FORM] = layout.form
    order = directory.order
    entries = {
        tag: struct.pack(f"{order}HHII", tag, _LONG, 1, value) for tag, value in values.items()
    }
    entries = directory.entries() | entries
    kept = [entry for tag, entry in sorted(entries.items()) if tag not in _LEFT_OUT]
    start = len(data) + len(data) % 2
    header = data[:4] + struct.pack(f"{order}I", start)
    content = data[8:].ljust(start - 8, b"\0")
    return header + content + struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)


class DeepTiff(TiffImagePlugin.TiffImageFile):
    """A file `as_grey`, whose samples are put together once they are decoded."""

    layout: Layout

    def load_end(self) -> None:
        self._size = width, height = self._tile_size  # of what is decoded, not turned upright yet
        if self.layout.in_planes:
            height //= self.layout.per_pixel
        else:
            width //= self.layout.per_pixel
        with np.errstate(all="ignore"):  # NaN and infinity, which `Scale` drops
            grey = Image.fromarray(self.layout.together(np.asarray(self), height, width))
        self.im, self._mode, self._size = grey.im, grey.mode, grey.size
        self.tag_v2[_FORM] = self.layout.form
        super().load_end()
