"""The finder's stage, whole but tiny: pages, a network, and a file that the function can open."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from model_build.data import datasets
from model_build.data.datasets import Dataset
from model_build.engine.stage import StageContext
from model_build.finding import train_finder
from model_build.finding.maps import maps_of
from tests.support.graphs import ends

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
    pictures = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3), np.uint8)
    first, second = (maps_of(context.graph)(picture) for picture in pictures)
    assert first.shape == (48, 48, 3)
    assert 0 <= first.min() <= first.max() <= 1
    assert (first != second).any()
