"""Give a classifier the contract's input: `image`, float32 or uint8, a picture of fixed size."""

import math
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from model_build.errors import ImportRefused
from model_build.graph.convert import INPUT_NAME
from model_build.importing import quantised_ends
from model_build.importing.rewriting import Step, prepend, rename

type Side = int | str

MAX_SIDE = 1024  # pixels
_INTEGERS: set[int] = {TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.INT16}
_FLOATS: set[int] = {TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_DTYPES: dict[int, str] = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32"}


@dataclass(frozen=True)
class TakenInput:
    """The graph's new input. batch: pictures that it takes at a time, None for any number."""

    dtype: str
    sides: list[int]  # of one picture: [H, W], [C, H, W] or [H, W, C]
    batch: int | None


def image_input(graph: GraphProto) -> ValueInfoProto:
    """Return the one input that is not a weight (which IR 3 lists as inputs too)."""
    weights = {value.name for value in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ImportRefused(
            f"the model must have one input, a picture, got {len(inputs)} ({names})"
        )
    image: ValueInfoProto = inputs[0]
    return image


def dimensions(value: ValueInfoProto) -> list[Side]:
    """Return a value's shape: lengths, or the names of those that are not fixed."""
    return [
        side.dim_value if side.dim_value > 0 else side.dim_param or "?"  # -1 in Paddle's files
        for side in value.type.tensor_type.shape.dim
    ]


def take_input(model: ModelProto, size: tuple[int, int] | None, notes: list[str]) -> TakenInput:
    """Rename and convert the input; return what it takes. size: height and width, if not fixed.

    Weights leave the list of inputs. The batch stays as it was.
    """
    graph = model.graph
    image = image_input(graph)
    kind = image.type.tensor_type.elem_type
    dtype, conversion = quantised_ends.steps_into(graph, image) or _conversion(kind)
    if kind not in _INTEGERS | _FLOATS | _DTYPES.keys():
        name = (
            TensorProto.DataType.Name(kind) if image.type.HasField("tensor_type") else "no tensor"
        )
        raise ImportRefused(f"the input {image.name!r} must hold numbers, got {name}")
    shape = dimensions(image)
    lone = _lone_picture(shape)
    batch, *found = [1, *lone] if lone else shape or ["?"]
    if len(found) == 1:
        sides, length = _unflattened(image.name, found[0], size, notes)
    else:
        sides, length = _sized(model, image.name, [batch, *found], size, notes), None
    if max(sides) > MAX_SIDE:
        raise ImportRefused(
            f"the input {image.name!r} must be at most {MAX_SIDE} pixels per side, got {sides}"
        )
    rename(graph, image.name, INPUT_NAME)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, _kind(dtype), [batch, *sides]))
    steps: list[Step] = []
    if lone:
        steps.append(("Reshape", {}, [np.array(lone)]))
        notes.append(f"the model takes one picture {lone} without a batch: added a Reshape")
    elif length is not None:
        steps.append(("Reshape", {}, [np.array([-1, length])]))
    if conversion:
        steps += conversion
        name = TensorProto.DataType.Name(kind).lower()
        notes.append(f"the model takes {name}: added a conversion from {dtype}")
    if steps:
        prepend(graph, INPUT_NAME, steps)
    return TakenInput(dtype, sides, batch if isinstance(batch, int) else None)


def set_batch(graph: GraphProto, batch: Side) -> None:
    """Change the first dimension of the taken input."""
    (image,) = graph.input
    tensor = image.type.tensor_type
    sides = [side.dim_value for side in tensor.shape.dim][1:]
    image.CopyFrom(helper.make_tensor_value_info(INPUT_NAME, tensor.elem_type, [batch, *sides]))


def _conversion(kind: int) -> tuple[str, list[Step]]:
    """The dtype to take for numbers of a kind, and the steps from one to the other."""
    if kind in _DTYPES:
        return _DTYPES[kind], []
    return "uint8" if kind in _INTEGERS else "float32", [("Cast", {"to": kind}, [])]


def _lone_picture(shape: list[Side]) -> list[int]:
    """Sides of a colour picture that has no dimension for a batch, else nothing."""
    sides = [side for side in shape if isinstance(side, int)]
    is_colour = len(sides) == len(shape) == 3 and (sides[0] == 3 or sides[2] == 3)
    return sides if is_colour and min(sides[0], sides[2]) > 1 else []


def _kind(dtype: str) -> int:
    return next(kind for kind, name in _DTYPES.items() if name == dtype)


def _unflattened(
    name: str, length: Side, size: tuple[int, int] | None, notes: list[str]
) -> tuple[list[int], int]:
    """Sides of the pictures that a row of pixels [N, F] holds, and F."""
    if size is None:
        root = math.isqrt(length) if isinstance(length, int) else 0
        colour_root = math.isqrt(length // 3) if isinstance(length, int) else 0
        if root and root**2 == length:
            sides = [root, root]
        elif colour_root and 3 * colour_root**2 == length:
            sides = [colour_root, colour_root, 3]
        else:
            raise ImportRefused(
                f"the input {name!r} holds rows of {length} numbers; if these are a picture's "
                "pixels, say its height and width, as in --size 28x28; a model of other numbers, "
                "such as landmarks, can't be served"
            )
    else:
        sides = [*size]
        if length == 3 * math.prod(size):
            sides.append(3)
        elif isinstance(length, int) and length != math.prod(size):
            raise ImportRefused(
                f"--size must give the {length} pixels that the input {name!r} holds, in grey or "
                f"in RGB, got {size[0]}x{size[1]}"
            )
    notes.append(f"the model takes rows of pixels: added a Reshape from pictures of {sides}")
    return sides, math.prod(sides)


def _sized(
    model: ModelProto,
    name: str,
    shape: list[Side],
    size: tuple[int, int] | None,
    notes: list[str],
) -> list[int]:
    """Fixed sides of a picture; those that the file leaves open are `size` and the channels."""
    _, *sides = shape
    if not sides:  # nothing is known
        channels = _channels(model)
        sides = ["?", "?"] if channels is None else [channels, "?", "?"]
    if len(sides) not in (2, 3):
        raise ImportRefused(
            f"the input {name!r} must be [N, H, W], [N, C, H, W], [N, H, W, C] or rows of pixels, "
            f"got {shape}"
        )
    if all(isinstance(side, int) for side in sides):
        fixed = [int(side) for side in sides]
        if size is not None and size not in (tuple(fixed[:2]), tuple(fixed[-2:])):
            raise ImportRefused(
                f"--size {size[0]}x{size[1]} contradicts the input {name!r}, which is {shape}; "
                "omit it"
            )
        return fixed
    if size is None:
        raise ImportRefused(
            f"the height and width of the input {name!r} are not fixed ({shape}); say those that "
            "it was trained for, as in --size 224x224"
        )
    if len(sides) == 2:
        chosen = [*size]
    elif sides[2] in (1, 3):
        chosen = [*size, int(sides[2])]
    else:
        channels = sides[0] if isinstance(sides[0], int) else _channels(model)
        if channels is None:
            raise ImportRefused(
                f"the input {name!r} does not say how many channels it has ({shape}); export the "
                "model with a fixed number of channels"
            )
        chosen = [int(channels), *size]
    notes.append(f"fixed the input {name!r}, {shape}, to pictures of {chosen}")
    return chosen


def _channels(model: ModelProto) -> int | None:
    """Channels that the first convolution takes."""
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            groups = next((value.i for value in node.attribute if value.name == "group"), 1)
            return int(weights[node.input[1]][1] * groups)
    return None
