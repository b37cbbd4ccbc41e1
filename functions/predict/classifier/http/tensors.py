"""Tensors of the Open Inference Protocol → the model's batch, or the image files that they hold.

Sources: the protocol's inference_rest.md, "Tensor Data"; Triton's extension_binary_data.md.
"""

import math
from collections.abc import Sequence
from reprlib import repr as short  # don't echo megabytes back
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import BadRequest, TooLarge
from classifier.http import MAX_IMAGES, base64_text
from classifier.image import formats
from classifier.model.session import Model
from classifier.prepare.encoding import Encoding, Tensor

# Of a tensor's elements, little-endian as the binary extension has them. BYTES are image files.
DTYPES: dict[str, np.dtype[Any]] = {
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_MARGIN = 4  # ranges beyond a model's own that are still let through
_LENGTH_BYTES = 4  # in front of each of BYTES
_OWN = {"uint8": "UINT8", "float32": "FP32"}

type Values = NDArray[Any] | Sequence[bytes]


def datatype_of(model: Model) -> str:
    """The datatype of the model's own input."""
    return _OWN[model.encode.dtype]


def from_binary(datatype: Any, content: bytes) -> Values | None:
    """Values of a tensor in binary form; None for an unknown datatype, which `read` refuses.

    Raises BadRequest if the bytes are not whole values.
    """
    if datatype == "BYTES":
        return _elements(content)
    dtype = DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        return None
    if len(content) % dtype.itemsize:
        raise BadRequest(
            f"{len(content)} bytes of binary data are not whole {datatype} values of "
            f"{dtype.itemsize} bytes"
        )
    return np.frombuffer(content, dtype)


def from_body(body: bytes, model: Model) -> dict[str, Any]:
    """The input that is a whole body: an image file, or as many samples as it holds."""
    if formats.recognise(body):
        return {"name": model.input_name, "datatype": "BYTES", "shape": [1], "data": [body]}
    size = math.prod(model.encode.shape) * DTYPES[datatype_of(model)].itemsize
    if len(body) % size:
        raise BadRequest(
            f"the body has {len(body)} bytes; send an image file, or samples of {size} bytes each"
        )
    values = from_binary(datatype_of(model), body)
    shape = [len(body) // size, *model.encode.shape]
    described = {"name": model.input_name, "datatype": datatype_of(model), "shape": shape}
    return described | {"data": values}


def to_binary(values: NDArray[np.float32] | list[str]) -> bytes:
    """An output in binary form: FP32, or BYTES."""
    if isinstance(values, np.ndarray):
        return values.astype("<f4").tobytes()
    texts = [text.encode() for text in values]
    return b"".join(len(text).to_bytes(_LENGTH_BYTES, "little") + text for text in texts)


def read(tensor: dict[str, Any], model: Model) -> Tensor | list[bytes]:
    """The model's batch, or the image files of a tensor of BYTES.

    tensor: its "data" is a list, or what `from_binary` returns. Raises BadRequest for a tensor
    that is not the model's, and TooLarge for over 32 images.
    """
    datatype, data = tensor.get("datatype"), tensor.get("data")
    if datatype == "BYTES":
        return _files(data, _shape(tensor, []))
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise BadRequest(
            f"datatype {short(datatype)} is not supported; send {datatype_of(model)}, another "
            f"of {', '.join(DTYPES)}, or image files as BYTES"
        )
    shape = _shape(tensor, list(model.encode.shape))
    values = _numbers(data, shape)
    if model.encode.dtype == "float32":
        return _floats(values, shape, model.encode)
    return _bytes(values, shape, is_float=datatype.startswith("FP"))


def _elements(content: bytes) -> list[bytes]:
    """Elements of BYTES: the length of each, and its bytes."""
    elements = []
    start = 0
    while start < len(content):
        begin = start + _LENGTH_BYTES
        start = begin + int.from_bytes(content[start:begin], "little")
        elements.append(content[begin:start])
    if start != len(content):
        raise BadRequest(
            "binary data of BYTES must be elements with their length in 4 bytes, little-endian, in "
            f"front of each; the last one ends at byte {start} of {len(content)}"
        )
    return elements


def _shape(tensor: dict[str, Any], sample: list[int]) -> list[int]:
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not all(type(side) is int for side in shape)
        or len(shape) < 1
        or shape[0] < 1
        or (shape[1:] != sample and (sample or shape[1:] != [1]))
    ):
        expected = str(["N", *sample]).replace("'", "")
        raise BadRequest(f"shape {short(shape)} does not fit; send {expected}".replace("'", ""))
    if shape[0] > MAX_IMAGES:
        raise TooLarge(f"the batch has {shape[0]} images; send at most {MAX_IMAGES}")
    return shape


def _files(data: Any, shape: list[int]) -> list[bytes]:
    """Image files of BYTES: as they are, or as base64 text, which is all that JSON can hold."""
    if isinstance(data, list) and len(shape) == 2:
        data = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data]
    if not isinstance(data, list) or len(data) != shape[0]:
        raise BadRequest(f'"data" must be a list of {shape[0]} image files, as the shape says')
    return [_file(element, f'"data"[{index}]') for index, element in enumerate(data)]


def _file(element: Any, where: str) -> bytes:
    if isinstance(element, str):
        return base64_text.decode(element, where)
    if not isinstance(element, bytes):
        raise BadRequest(f"{where} must be the base64 of an image file, got {short(element)}")
    if formats.recognise(element):
        return element
    return base64_text.image_in(element, where) or element


def _numbers(data: Any, shape: list[int]) -> NDArray[Any]:
    """Values [*shape] of an array, or of a list, flat or nested."""
    count = math.prod(shape)
    if isinstance(data, np.ndarray):
        if data.size != count:
            raise BadRequest(
                f'"data" must hold {count} values, as the shape {shape} says, got {data.size}'
            )
        return data.reshape(shape)
    if not isinstance(data, list):
        raise BadRequest(f'"data" must be a list of {count} numbers, as the shape says')
    try:
        values = np.array(data, dtype=object)
    except ValueError:  # ragged
        values = np.empty(0, dtype=object)
    if values.shape not in ((count,), tuple(shape)):
        raise BadRequest(
            f'"data" must be a list of {count} numbers, or nested as the shape {shape} says, '
            f"got {list(values.shape)}"
        )
    if any(type(value) not in (int, float) for value in values.flat):
        raise BadRequest('"data" must hold only numbers')
    return values.reshape(shape)


def _floats(values: NDArray[Any], shape: list[int], encode: Encoding) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is rejected below
            batch = values.astype(np.float32).reshape(shape)
    except OverflowError:  # an integer too large for a float
        batch = None
    if batch is None or not np.isfinite(batch).all():
        raise BadRequest('"data" must hold finite numbers within the range of FP32')
    mean, std = np.asarray(encode.mean), np.asarray(encode.std)
    ends = np.stack([(0 - mean) / std, (255 * encode.scale - mean) / std])
    low, high = float(ends.min()), float(ends.max())
    span = high - low
    if batch.min() < low - _MARGIN * span or batch.max() > high + _MARGIN * span:
        raise BadRequest(
            f'"data" holds values from {batch.min():.3g} to {batch.max():.3g}, but this model '
            f"takes {low:.3g} to {high:.3g}; normalise the pixels, or send image files as BYTES"
        )
    if span > 100:
        _refuse_fractions(batch, f"{low:.3g} to {high:.3g}")
    return batch


def _bytes(values: NDArray[Any], shape: list[int], *, is_float: bool) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    with np.errstate(invalid="ignore"):  # NaN, for which both are false
        # Of a list, Python's comparison: an integer may be too large for float64.
        fits = ((values >= 0) & (values <= 255)).all()
    if not fits:
        raise BadRequest('"data" must hold values from 0 to 255; the model scales them itself')
    numbers = values.astype(np.float64).reshape(shape)
    if is_float:
        _refuse_fractions(numbers, "0 to 255")
    return np.rint(numbers).astype(np.uint8)


def _refuse_fractions(batch: NDArray[Any], expected: str) -> None:
    """Refuse pictures of 0 to 1: in a range of 255 they are all but black."""
    peaks = np.abs(batch).reshape(len(batch), -1).max(axis=1)
    if ((peaks > 0) & (peaks <= 1)).any():
        raise BadRequest(
            f'"data" holds a picture with values from 0 to 1, but this model takes {expected}; '
            "multiply by 255"
        )
