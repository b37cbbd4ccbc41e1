"""How much one request may ask of the decoders and of the memory."""

import logging
import os
import warnings

import numpy as np

from classifier.errors import TooLarge

MAX_PIXELS = 16_000_000  # of an image
MAX_BATCH_PIXELS = 32_000_000  # of one request: 32 images of a megapixel; more would take seconds
# Work is counted in pixels that a decoder goes over, at up to 2 ns each: an ordinary progressive
# JPEG goes over all of its own 10 times. Measured on tests/support/heavy_files.py.
MAX_WORK = 400_000_000  # of one request
PIECE = 2_500  # what a segment, chunk, strip or field costs beside its pixels: Python reads them
MAX_PIECES = MAX_WORK // PIECE
_MEMORY_SHARE = 0.85  # of the environment's memory; the rest is code, and the runtime's


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


def limit_memory() -> None:
    """Keep this process below the memory of its Lambda environment; elsewhere, do nothing.

    Past the limit an allocation fails, which is answered; past the environment's memory the process
    would be killed, without an answer.
    """
    megabytes = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))
    if megabytes:
        import resource  # noqa: PLC0415 - not on every system that serves locally

        # OpenBLAS takes its memory with the first large product, and ends the process if it can't.
        square = np.ones((128, 128), dtype=np.float32)
        np.dot(square, square)
        limit = int(megabytes * 2**20 * _MEMORY_SHARE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def silence_pillow() -> None:
    """Keep what Pillow says of a client's file out of the log."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
