"""Pillow's reader of TIFF, with forms of pixels that it lacks, and quiet."""

import contextlib
import ctypes
import io
import itertools
import re

from PIL import Image, TiffImagePlugin, _imaging

from classifier.errors import UnsupportedMediaType
from classifier.image import deep_tiff

_ORDERS = {b"II": "", b"MM": "B"}  # and their letter in Pillow's names of raw pixels
_PHOTOMETRIC = (0, 1)  # white is zero, black is zero
_UNSIGNED, _SIGNED, _FRACTIONS = 1, 2, 3
# Mode and raw pixels of one grey sample, by format and bits.
_GREY = {
    (_UNSIGNED, 16): ("I;16{order}", "I;16{order}"),
    (_SIGNED, 16): ("I", "I;16{order}S"),
    (_UNSIGNED, 32): ("I", "I;32{order}"),
    (_SIGNED, 32): ("I", "I;32{order}S"),
    (_FRACTIONS, 16): ("I;16{order}", "I;16{order}"),  # halves, put together by `deep_tiff`
    (_FRACTIONS, 32): ("F", "F;32{order}F"),
    (_FRACTIONS, 64): ("F", "F;64{order}F"),
}


def open_tiff(file: io.BytesIO, name: str) -> Image.Image:
    """Open the first page; raises UnsupportedMediaType for pixels in a form that is not read."""
    data, layout = deep_tiff.as_grey(file.getvalue())
    try:
        if layout is None:
            image = TiffImagePlugin.TiffImageFile(file, name)
        else:
            image = deep_tiff.DeepTiff(io.BytesIO(data), name)
            image.layout = layout
    except SyntaxError as error:
        raise UnsupportedMediaType(
            f"this form of TIFF is not supported ({error}); save the picture with 8 bits a sample, "
            "or as PNG"
        ) from error
    # libtiff turns samples into the order of this machine, which Pillow knows of some of them.
    image.tile = [
        tile._replace(args=(re.sub(r"(;\d+)B", r"\1N", tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]
    return image


def _add_forms() -> None:
    for (mark, order), white, ((form, bits), modes) in itertools.product(
        _ORDERS.items(), _PHOTOMETRIC, _GREY.items()
    ):
        mode, raw = (text.format(order=order) for text in modes)
        TiffImagePlugin.OPEN_INFO.setdefault((mark, white, (form,), 1, (bits,), ()), (mode, raw))


def _silence_libtiff() -> None:
    """Keep libtiff from writing to standard error, a line for each damaged row of a fax.

    Pillow's module leads to the library that it is linked with. One that has it inside itself
    keeps writing.
    """
    library = ctypes.CDLL(_imaging.__file__)
    with contextlib.suppress(AttributeError):
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


_add_forms()
_silence_libtiff()
