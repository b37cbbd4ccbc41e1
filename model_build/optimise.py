"""Graph optimisation, done once at build time instead of at every cold start."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, shape_inference

BASIC = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
EXTENDED = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED


def optimise(source: Path, target: Path, level: ort.GraphOptimizationLevel = BASIC) -> None:
    """Write `source` with onnxruntime's optimisations of `level` applied.

    BASIC keeps standard operators, which the quantiser understands; EXTENDED fuses them into
    onnxruntime's own. The level above is bound to one kind of CPU and is left to load time.
    """
    model = onnx.load(source)
    fix_reshapes(model)
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(optimised)
        options.log_severity_level = 3  # it warns that an optimised file is bound to its machine
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load(optimised)
    onnx.checker.check_model(result)
    onnx.save(result, target)


def fix_reshapes(model: onnx.ModelProto) -> None:
    """Give each Reshape whose output is [N, …] with a known rest that constant shape.

    Keras computes the batch size at run time, six nodes for every Flatten.
    """
    inferred = shape_inference.infer_shapes(model)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    initializers = {initializer.name for initializer in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in initializers:
            continue
        sides = [dimension.dim_value for dimension in shapes.get(node.output[0], [])]
        if len(sides) > 1 and all(sides[1:]):
            name = f"{node.output[0]}/shape"
            constant = np.array([-1, *sides[1:]], dtype=np.int64)
            model.graph.initializer.append(numpy_helper.from_array(constant, name))
            node.input[1] = name
