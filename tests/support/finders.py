"""A finder for tests, made without training: it finds what pictures say in their tint."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

TINT = 10  # levels by which red is over green in a digit's middle, and blue in other writing


def tinted(
    ink: NDArray[np.uint8],
    middles: list[tuple[slice, slice]],
    other: list[tuple[slice, slice]] | None = None,
) -> NDArray[np.uint8]:
    """A picture [H, W, 3] of ink [H, W] in black on white, as the finder below reads it."""
    picture = np.repeat(np.minimum(255 - ink, 255 - TINT)[:, :, np.newaxis], 3, axis=2)
    for channel, parts in ((0, middles), (2, other or [])):
        for rows, columns in parts:
            picture[rows, columns, channel] += TINT
    return picture


def tint_finder() -> bytes:
    """ONNX file of a finder: ink is what is dark, middles are reddish, other writing is bluish."""
    red, green, blue = range(3)
    weights, bias = np.zeros((3, 3, 1, 1), np.float32), np.zeros(3, np.float32)
    weights[0, green], bias[0] = -1 / 245, 1
    weights[1, [red, green], 0, 0] = 2 / TINT, -2 / TINT
    weights[2, [blue, green], 0, 0] = 2 / TINT, -2 / TINT
    nodes = [
        helper.make_node("Cast", ["picture"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["cells", "weights", "bias"], ["mixed"]),
        helper.make_node("Clip", ["mixed", "low", "high"], ["clipped"]),
        helper.make_node("Transpose", ["clipped"], ["maps"], perm=[0, 2, 3, 1]),
    ]
    arrays = {"weights": weights, "bias": bias, "low": np.float32(0), "high": np.float32(1)}
    graph = helper.make_graph(
        nodes,
        "tint",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["N", 96, 96, 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 48, 48, 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content
