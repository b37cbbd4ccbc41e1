"""Reader of IDX, the file format of MNIST and its kin: bytes in any number of dimensions."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_build.errors import DatasetError

_BYTES = 0x08  # the format's code for unsigned bytes


def read(path: Path) -> NDArray[np.uint8]:
    """Array of a gzipped IDX file of unsigned bytes.

    Raises DatasetError, naming the file, for what is no such file, or is truncated.
    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        zeros, kind, rank = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{rank}I", content, 4)
    except (gzip.BadGzipFile, EOFError, struct.error) as error:
        raise DatasetError(f"{path} is damaged or no gzipped IDX file; get it anew") from error
    if zeros or kind != _BYTES:
        raise DatasetError(f"{path} is no IDX file of unsigned bytes")
    start = 4 + 4 * rank
    if len(content) != start + math.prod(shape):
        raise DatasetError(f"{path} does not hold the {shape} bytes that it promises; get it anew")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
