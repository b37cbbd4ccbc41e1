"""Read IDX, the file format of MNIST: an array of bytes with any number of dimensions."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_build.errors import DatasetError

_BYTES = 0x08  # the format's code for unsigned bytes


def read(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes.

    Raises DatasetError with the file's name if it is in another format or truncated.
    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        zeros, kind, rank = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{rank}I", content, 4)
    except (gzip.BadGzipFile, EOFError, struct.error) as error:
        raise DatasetError(f"{path} is not a valid gzipped IDX file; download it again") from error
    if zeros or kind != _BYTES:
        raise DatasetError(f"{path} is not an IDX file of unsigned bytes")
    start = 4 + 4 * rank
    if len(content) != start + math.prod(shape):
        raise DatasetError(
            f"{path}: expected {shape} bytes, got {len(content) - start}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
