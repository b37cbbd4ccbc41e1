"""Optimise graphs once at build time instead of at every cold start."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime as ort

from model_build.engine.stage import StageContext

BASIC = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
EXTENDED = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


def build_stage(context: StageContext) -> None:
    """Optimise a converted graph, but only so far that the quantisers still understand it."""
    optimise(context.source_graph, context.graph)


def optimise(
    source: Path,
    target: Path,
    level: ort.GraphOptimizationLevel = BASIC,
    without: Sequence[str] = (),
) -> None:
    """Apply onnxruntime's optimisations up to `level`, except those named in `without`.

    BASIC keeps standard operators, which the quantiser understands; EXTENDED fuses them into
    onnxruntime's own. without: names of optimisers.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(optimised)
        options.log_severity_level = 3  # no warning that the file depends on this machine
        ort.InferenceSession(
            source.read_bytes(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(without),
        )
        result = onnx.load(optimised)
    onnx.checker.check_model(result)
    onnx.save(result, target)


def optimise_integers(source: Path, target: Path) -> None:
    """Rewrite a quantised graph with onnxruntime's integer operators, channels last.

    onnxruntime would otherwise do so at each load. Of its highest level only the blocked layout of
    float convolutions is left out: the block's width depends on the CPU.
    """
    optimise(source, target, _ALL, without=["NchwcTransformer"])


def name_constants(graph: onnx.GraphProto) -> None:
    """Name constants by what they hold, and keep each once, in the order of these names.

    tf2onnx merges equal constants in the order of a set, so that their names differ from run to
    run: the same network then gave another file.
    """
    names: dict[str, str] = {}
    kept: dict[str, onnx.TensorProto] = {}
    for constant in graph.initializer:
        nameless = onnx.TensorProto.FromString(constant.SerializeToString())
        nameless.ClearField("name")
        content = nameless.SerializeToString(deterministic=True)
        nameless.name = "constant_" + hashlib.sha256(content).hexdigest()[:16]
        names[constant.name] = nameless.name
        kept[nameless.name] = nameless
    for node in graph.node:
        for index, value in enumerate(node.input):
            node.input[index] = names.get(value, value)
    del graph.initializer[:]
    graph.initializer.extend(kept[name] for name in sorted(kept))
