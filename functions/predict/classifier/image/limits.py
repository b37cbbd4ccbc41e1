"""How much one request may ask of the decoders."""

import logging
import warnings

from classifier.errors import TooLarge

MAX_PIXELS = 16_000_000  # of an image
MAX_BATCH_PIXELS = 32_000_000  # of one request: 32 images of a megapixel; more would take seconds
# Work is counted in pixels that a decoder goes over, at up to 2 ns each: an ordinary progressive
# JPEG goes over all of its own 10 times. Measured on tests/support/heavy_files.py.
MAX_WORK = 400_000_000  # of one request
PIECE = 2_500  # what a segment, chunk, strip or field costs beside its pixels: Python reads them
MAX_PIECES = MAX_WORK // PIECE


class Allowance:
    """What is left for the images of a request."""

    def __init__(self) -> None:
        self._pixels = MAX_BATCH_PIXELS
        self._work = MAX_WORK

    def take_work(self, work: int) -> None:
        """Raise TooLarge if decoding takes more work than is left."""
        self._work -= work
        if self._work < 0:
            raise TooLarge(
                "the images up to this one would take too long to decode; send ordinary PNG or "
                "baseline JPEG files, or fewer in a request"
            )

    def take_pixels(self, width: int, height: int) -> None:
        """Raise TooLarge for an image of too many pixels, or of more than are left."""
        check_size(width, height)
        self._pixels -= width * height
        if self._pixels < 0:
            raise TooLarge(
                f"the images up to this one have over {MAX_BATCH_PIXELS // 10**6} megapixels "
                "together; send smaller ones, or fewer in a request"
            )


def check_size(width: int, height: int) -> None:
    """Raise TooLarge for an image over 16 megapixels."""
    if width * height > MAX_PIXELS:
        raise TooLarge(
            f"the image has {width} x {height} pixels; send at most {MAX_PIXELS // 10**6} "
            "megapixels"
        )


def silence_pillow() -> None:
    """Keep what Pillow says of a client's file out of the log."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
