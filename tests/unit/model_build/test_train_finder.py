"""The finder's stage, whole but tiny: pages, a network, and a file that the function can open."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from model_build.data import datasets
from model_build.data.datasets import Dataset
from model_build.engine.stage import StageContext
from model_build.finding import train_finder
from model_build.finding.maps import maps_of
from model_build.finding.simplify import simplify
from tests.support.graphs import ends, operators

pytestmark = pytest.mark.keras


def test_a_stage_trains_a_finder_that_the_function_can_ask(
    mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = mnist.train_images[::60], mnist.train_labels[::60]
    few = replace(mnist, train_images=images, train_labels=labels)
    monkeypatch.setattr(datasets, "load_training_writers", lambda: ((images, labels), None))
    epochs: list[tuple[int, int, float, float]] = []
    context = StageContext(few, 7, lambda *epoch: epochs.append(epoch), tmp_path, (), tmp_path)
    result = train_finder.build_stage(context, pages=64, epochs=2)
    assert result == {"pages": 64, "bytes": context.graph.stat().st_size}
    assert context.graph.stat().st_size < 250_000
    assert ends(context.graph) == [
        ("picture", "tensor(uint8)", ["N", 96, 96, 3]),
        ("maps", "tensor(float)", ["N", 48, 48, 3]),
    ]
    assert [epoch[:2] for epoch in epochs] == [(1, 2), (2, 2)]
    assert epochs[1][2] < epochs[0][2]
    types = {tensor.data_type for tensor in onnx.load(context.graph).graph.initializer}
    assert onnx.TensorProto.INT8 in types
    first, second = (maps_of(context.graph)(picture) for picture in _pictures(2))
    assert first.shape == (48, 48, 3)
    assert 0 <= first.min() <= first.max() <= 1
    assert (first != second).any()


def _pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3), np.uint8)


def test_a_file_without_detours_gives_the_same_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_build.finding import network

    finder = network.build()
    pictures = _pictures(4)
    simple, whole = tmp_path / "simple.onnx", tmp_path / "whole.onnx"
    train_finder.write(finder, simple, pictures)
    monkeypatch.setattr(train_finder, "simplify", lambda _: None)
    train_finder.write(finder, whole, pictures)
    for picture in pictures:
        np.testing.assert_array_equal(maps_of(simple)(picture), maps_of(whole)(picture))
    assert len(operators(simple)) < len(operators(whole)) / 2
    assert "Cast" in operators(whole)
    assert "Cast" not in operators(simple)


def test_a_map_in_other_units_than_its_copy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_build.finding import network

    with monkeypatch.context() as patch:
        patch.setattr(train_finder, "simplify", lambda _: None)
        train_finder.write(network.build(), tmp_path / "whole.onnx", _pictures(1))
    graph = onnx.load(tmp_path / "whole.onnx").graph
    graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other"))
    next(node for node in graph.node if node.op_type == "QLinearAdd").input[1] = "other"
    with pytest.raises(ValueError, match="has other units"):
        simplify(graph)
