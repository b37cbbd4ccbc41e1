"""Small ONNX classifiers as users bring them, for the tests of the import."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from classifier.prepare import encoding
from model_build.importing.adoption import Adopted, adopt

type Shape = Sequence[int | str | None]
FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
CLASSES = 4


def linear(
    *,
    shape: Shape = ("N", 1, 6, 6),
    kind: int = FLOAT,
    end: str | None = None,
    opset: int = 17,
    weight: NDArray[np.float32] | None = None,
    flat: Sequence[int] = (0, -1),
    names: tuple[str, str] = ("input", "output"),
    edit: Callable[[onnx.ModelProto], object] = lambda model: None,
) -> onnx.ModelProto:
    """A linear classifier of four classes; `end` is an operator after its logits."""
    if weight is None:
        size = int(np.prod([side for side in shape[1:] if isinstance(side, int)]))
        weight = np.random.default_rng(1).normal(0, 0.3, (size, CLASSES)).astype(np.float32)
    source, sink = names
    nodes = [
        helper.make_node("Cast", [source], ["numbers"], to=FLOAT),
        helper.make_node("Reshape", ["numbers", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["scores" if end else sink]),
    ]
    if end:
        nodes.append(helper.make_node(end, ["scores"], [sink]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(source, kind, shape)],
        [helper.make_tensor_value_info(sink, FLOAT, [shape[0], weight.shape[1]])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array(flat), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    edit(model)
    return model


def encoder(dtype: str, shape: list[Any]) -> encoding.Encoding:
    return encoding.Encoding.from_manifest(dtype, tuple(shape[1:]), {})


def take(model: onnx.ModelProto | bytes, folder: Path, **options: Any) -> tuple[Adopted, Path]:
    """Adopt a model; return the result and the file."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "theirs.onnx").write_bytes(content)
    target = folder / "adopted.onnx"
    classes = options.pop("classes", CLASSES)
    return adopt(folder / "theirs.onnx", target, classes, encoder, **options), target


def ends(path: Path) -> tuple[Any, ...]:
    (source,), (sink,) = (
        ort.InferenceSession(path).get_inputs(),
        ort.InferenceSession(path).get_outputs(),
    )
    return source.name, source.type, source.shape, sink.name, sink.type, sink.shape


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


def forest(
    samples: NDArray[np.float32], labels: NDArray[np.int64], trees: int = 24, depth: int = 8
) -> onnx.ModelProto:
    """A random forest over rows of pixels, as skl2onnx writes it: labels, and a ZipMap.

    samples: [N, F]; labels: [N], 0 to 9.
    """
    generator = np.random.default_rng(0)
    nodes: dict[str, list[Any]] = {name: [] for name in _TREE_NODES}
    leaves: dict[str, list[Any]] = {name: [] for name in _TREE_LEAVES}

    def grow(tree: int, chosen: NDArray[np.int64], left: int) -> int:
        own = len([one for one in nodes["treeids"] if one == tree])
        counts = np.bincount(labels[chosen], minlength=10)
        feature = int(generator.integers(samples.shape[1]))
        threshold = float(np.median(samples[chosen, feature]))
        below = samples[chosen, feature] <= threshold
        is_leaf = left == 0 or counts.max() == counts.sum() or below.all()
        values = (tree, own, 0 if is_leaf else feature, 0.0 if is_leaf else threshold)
        mode = "LEAF" if is_leaf else "BRANCH_LEQ"
        for name, value in zip(_TREE_NODES, (*values, mode, 0, 0), strict=True):
            nodes[name].append(value)
        index = len(nodes["treeids"]) - 1
        if is_leaf:
            for label in np.flatnonzero(counts):
                weight = float(counts[label] / counts.sum() / trees)
                for name, value in zip(_TREE_LEAVES, (tree, own, label, weight), strict=True):
                    leaves[name].append(value)
        else:
            nodes["truenodeids"][index] = grow(tree, chosen[below], left - 1)
            nodes["falsenodeids"][index] = grow(tree, chosen[~below], left - 1)
        return own

    for tree in range(trees):
        grow(tree, generator.integers(0, len(samples), len(samples)), depth)
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes |= {f"class_{name}": values for name, values in leaves.items()}
    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["output_label", "raw"],
        domain="ai.onnx.ml",
        classlabels_int64s=range(10),
        post_transform="NONE",
        **attributes,
    )
    zipped = helper.make_node(
        "ZipMap", ["raw"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=range(10)
    )
    numbers = helper.make_tensor_type_proto(FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, numbers))
    graph = helper.make_graph(
        [ensemble, zipped],
        "forest",
        [helper.make_tensor_value_info("X", FLOAT, [None, samples.shape[1]])],
        [
            helper.make_tensor_value_info("output_label", TensorProto.INT64, [None]),
            helper.make_value_info("output_probability", maps),
        ],
    )
    domains = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 15)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


_TREE_NODES = (
    "treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
)  # fmt: skip
_TREE_LEAVES = ("treeids", "nodeids", "ids", "weights")
