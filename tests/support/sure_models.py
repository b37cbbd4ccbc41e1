"""Models that answer every picture with one class and one probability, which tell them apart."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from model_build.store.model_store import ModelStore
from tests.support.manifests import describe


class Sure(NamedTuple):
    """A published version."""

    name: str
    version: str
    probability: float
    bytes: int


def publish(store: Path, name: str, winner: int, probability: float, *, hidden: int = 1) -> Sure:
    """Publish a version and point the channel `production` to it.

    hidden: units of a layer without effect, of 3 KB each.
    """
    content = _classifier(winner, probability, hidden)
    document = describe(content, name=name)
    models = ModelStore(store.as_uri())
    models.publish(document, content)
    models.promote(name, document["version"], "production")
    return Sure(name, document["version"], probability, len(content))


def point(store: Path, name: str, version: str) -> None:
    """Point the channel `production` to a version, whether there is one or not."""
    file = store / name / "channels" / "production.json"
    document = json.loads(file.read_text()) | {"version": version}
    moved = file.with_suffix(".new")
    moved.write_text(json.dumps(document))
    moved.rename(file)


def _classifier(winner: int, probability: float, hidden: int) -> bytes:
    logits = np.zeros(10, np.float32)
    logits[winner] = np.log(9 * probability / (1 - probability))
    arrays = {
        "first": np.ones((784, hidden), np.float32),
        "second": np.zeros((hidden, 10), np.float32),
        "logits": logits,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["nothing"]),
        helper.make_node("Add", ["nothing", "logits"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sure",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, ir_version=9, opset_imports=opset)
    content: bytes = model.SerializeToString()
    return content
