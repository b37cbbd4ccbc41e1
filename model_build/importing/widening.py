"""Turn a graph that computes in float16 into one in float32, which CPUs compute faster."""

from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper

from model_build.importing.reading import MAX_BYTES

_NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPES = ("to", "dtype")  # attributes that hold a type


def is_narrow(model: ModelProto) -> bool:
    """Whether weights are in float16 or bfloat16, and few enough to take twice the room."""
    narrow = any(tensor.data_type in _NARROW for tensor in model.graph.initializer)
    return narrow and 2 * model.ByteSize() < MAX_BYTES


def widened(model: ModelProto) -> ModelProto:
    """Return a copy in float32. Its answers differ by the rounding that it no longer does."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _widen(copy.graph)
    return copy


def _widen(graph: GraphProto) -> None:
    del graph.value_info[:]
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output):
        tensor_type = value.type.tensor_type
        if tensor_type.elem_type in _NARROW:
            tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.type == AttributeProto.GRAPH:
                _widen(attribute.g)
            elif attribute.name in _TYPES and attribute.i in _NARROW:
                attribute.i = TensorProto.FLOAT


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in _NARROW:
        values = numpy_helper.to_array(tensor).astype("float32")
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
