"""Weights stored in float16: half the file, the same arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_FEWEST = 256  # numbers; smaller tensors are not worth a node


def quantise(source: Path, target: Path) -> dict[str, Any]:
    """Write an fp32 classifier with its weights in float16; return its `quantization`.

    A Cast unpacks each once, when a session opens (constant folding): memory and latency are those
    of fp32. A tensor with numbers beyond float16's range stays as it is.
    """
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if not is_worth_it(tensor):
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)
    return {
        "method": "weight-only",
        "format": "Cast",
        "weights": "float16",
        "activations": "float32",
    }


def is_worth_it(tensor: TensorProto) -> bool:
    """Whether a tensor has enough weights to be stored in float16."""
    return bool(tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= _FEWEST)
