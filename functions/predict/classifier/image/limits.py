"""Limits on the decoding work and the memory of one request."""

import logging
import os
import warnings

import numpy as np

from classifier.errors import TooLarge

MAX_PIXELS = 16_000_000  # of an image
MAX_BATCH_PIXELS = 32_000_000  # of one request: 32 images of a megapixel; more would take seconds
# Work is counted in pixels that a decoder visits, at up to 2 ns each: an ordinary progressive
# JPEG takes 10 passes over its pixels. Measured on tests/support/heavy_files.py.
MAX_WORK = 400_000_000  # of one request
PIECE = 2_500  # overhead of a segment, chunk, strip or field, which Python reads
MAX_PIECES = MAX_WORK // PIECE
_MEMORY_SHARE = 0.85  # of the environment's memory; code and the runtime take the rest


class Allowance:
    """The work and pixels left for the images of a request."""

    def __init__(self) -> None:
        self._pixels = MAX_BATCH_PIXELS
        self._work = MAX_WORK

    def take_work(self, work: int) -> None:
        """Deduct work; raises TooLarge if not enough is left."""
        self._work -= work
        if self._work < 0:
            raise TooLarge(
                "the images up to this one would take too long to decode; send ordinary PNG or "
                "baseline JPEG files, or fewer in a request"
            )

    def take_pixels(self, width: int, height: int) -> None:
        """Deduct an image's pixels; raises TooLarge if it has too many, or more than are left."""
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
    """Keep this process below the memory of its Lambda environment; do nothing elsewhere.

    Past this limit an allocation fails, and the client gets an error; past the environment's
    memory the process would be killed, and the client would get no response.
    """
    megabytes = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))
    if megabytes:
        import resource  # noqa: PLC0415 - not on every system that serves locally

        # OpenBLAS allocates its memory on the first large product, and exits if it can't.
        square = np.ones((128, 128), dtype=np.float32)
        np.dot(square, square)
        limit = int(megabytes * 2**20 * _MEMORY_SHARE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def silence_pillow() -> None:
    """Keep Pillow's warnings about clients' files out of the log."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
