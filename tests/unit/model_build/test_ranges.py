"""Ranges of activations, collected in a stream within a budget of memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, create_calibrator, save_tensors_data

from model_build.data.datasets import Dataset
from model_build.quantise import static
from model_build.quantise.ranges import Method, Ranges
from tests.support.graphs import convolutional


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """File of a classifier with two convolutions."""
    (tmp_path / "fp32.onnx").write_bytes(convolutional())
    return tmp_path / "fp32.onnx"


def limits(path: Path) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each tensor in a file of ranges."""

    def number(entry: Any) -> Any:  # onnxruntime's own are arrays
        return np.asarray(entry["data"] if isinstance(entry, dict) else entry).item()

    data = json.loads(path.read_text())["data"]
    return {
        name: (float(number(one["lowest"])), float(number(one["highest"])))
        for name, one in data.items()
    }


def collected(
    source: Path, images: NDArray[np.uint8], budget: int, method: Method = "minmax"
) -> dict[str, tuple[float, float]]:
    def batches() -> Iterator[NDArray[np.uint8]]:
        yield images[:5]
        yield images[5:]

    target = source.with_name("ranges.json")
    with static.quiet():
        Ranges(source, static.OPERATORS, batches, budget).save(target, method)
    return limits(target)


def test_the_range_is_that_of_all_pictures_at_once(source: Path, mnist: Dataset) -> None:
    images = mnist.train_images[:600:20]
    target = source.with_name("theirs.json")
    with static.quiet():
        calibrator = create_calibrator(
            source,
            static.OPERATORS,
            str(source.with_name("augmented.onnx")),
            CalibrationMethod.MinMax,
        )
        calibrator.collect_data(static._Batches(images))
        save_tensors_data(calibrator.compute_data(), target)
    theirs = limits(target)
    found = collected(source, images, 2**30)
    assert {"planes", "c1", "r1", "c2", "r2", "features"} <= found.keys()
    assert found == {name: pytest.approx(theirs[name]) for name in found}


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_the_budget_does_not_change_the_ranges(
    source: Path, mnist: Dataset, method: Method
) -> None:
    images = mnist.train_images[:600:20]
    amply = collected(source, images, 2**30, method)
    assert collected(source, images, 1, method) == {
        name: pytest.approx(one) for name, one in amply.items()
    }
    widest = collected(source, images, 2**30)
    narrower = [name for name in amply if amply[name] != pytest.approx(widest[name])]
    assert bool(narrower) == (method != "minmax")


def test_no_pass_returns_more_than_the_budget(
    source: Path, mnist: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[int] = []

    class Counted(ort.InferenceSession):  # type: ignore[misc] # onnxruntime has no types
        def run(self, *given: Any) -> Any:
            values = super().run(*given)
            returned.append(sum(value.nbytes for value in values))
            return values

    monkeypatch.setattr(ort, "InferenceSession", Counted)
    collected(source, mnist.train_images[:30], 12_000)
    assert 6_000 < max(returned) <= 12_000
