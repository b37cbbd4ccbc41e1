"""Shared by all tests: real digits, a small real classifier, a model store in a folder."""

import hashlib
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.data.datasets import Dataset, load_mnist_5k
from tests.support.manifests import describe

# What the image and the template set.
os.environ["POWERTOOLS_SERVICE_NAME"] = "predict"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "ClassifierOnLambda"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

settings.register_profile("unit", deadline=None, max_examples=25, derandomize="CI" in os.environ)
settings.load_profile("unit")

pytest_plugins = [
    "tests.support.needs",
    "tests.support.local_s3",
    "tests.support.local_service",
    "tests.support.container",
    "tests.support.command_line",
]

# What imports TensorFlow at its top is left to the environment that has it (`make test-all`).
collect_ignore = [
    str(path)
    for path in Path(__file__).parent.glob("unit/model_build/*.py")
    if not find_spec("tensorflow") and "\npytestmark = pytest.mark.keras\n" in path.read_text()
]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run single files in this process, where they start sooner and can be debugged."""
    files = all(argument.partition("::")[0].endswith(".py") for argument in config.args)
    return 0 if files else None  # None: as many as there are cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of the whole by their folder, so that `-m` can tell them from unit tests."""
    for item in items:
        if "unit" not in item.path.relative_to(Path(__file__).parent).parts:
            item.add_marker("whole")


type Edit = Callable[[dict[str, Any]], object]
type Publish = Callable[..., str]


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load_mnist_5k()


@pytest.fixture(scope="session")
def classifier(mnist: Dataset) -> bytes:
    """ONNX file of a nearest-class-mean classifier, about 80 % accurate."""
    means = np.stack(
        [mnist.train_images[mnist.train_labels == digit].mean(axis=0) for digit in range(10)]
    )
    means = means.reshape(10, 784) / 255
    weights = {  # of |x - mean|², what depends on the class; x is 0 to 255
        "weight": 2 * means.T / 255,
        "bias": -np.square(means).sum(axis=1),
        "flat": np.array([-1, 784]),
    }
    types = {"weight": np.float32, "bias": np.float32, "flat": np.int64}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
            helper.make_node("MatMul", ["rows", "weight"], ["products"]),
            helper.make_node("Add", ["products", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "nearest-class-mean",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [
            numpy_helper.from_array(values.astype(types[name]), name)
            for name, values in weights.items()
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def digits(mnist: Dataset) -> NDArray[np.uint8]:
    """One held-out sample of each digit [10, 28, 28] that the classifier is sure of."""
    return mnist.test_images[[40, 183, 259, 344, 487, 565, 603, 745, 845, 924]]


@pytest.fixture(scope="session")
def publish(classifier: bytes) -> Publish:
    """Write a version and its channel into a folder; return the version.

    content: the model file, if not the classifier. created: the first part of the version.
    manifest, channel: what to change in these two documents before they are written.
    """

    def write(
        root: Path,
        *,
        content: bytes = classifier,
        created: str = "20260131T120000Z",
        manifest: Edit = lambda document: None,
        channel: Edit = lambda document: None,
    ) -> str:
        digest = hashlib.sha256(content).hexdigest()
        version = f"{created}-{digest[:8]}"
        described = describe(content) | {"version": version}
        manifest(described)
        pointer: dict[str, Any] = {"version": version, "previous": [], "updated": created}
        channel(pointer)
        folder = root / "mnist" / "versions" / version
        channels = root / "mnist" / "channels"
        folder.mkdir(parents=True, exist_ok=True)
        channels.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(content)
        (folder / "manifest.json").write_text(json.dumps(described))
        (channels / "production.json").write_text(json.dumps(pointer))
        return version

    return write


@pytest.fixture
def model_store(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with one version on channel production, which the environment points to."""
    root = tmp_path / "model-store"
    publish(root)
    monkeypatch.setenv("MODEL_STORE_URL", root.as_uri())
    for name in ("MODEL_NAME", "MODEL_VERSION"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed load, the next request loads again at once."""
    monkeypatch.setattr("classifier.model.fetch.RETRY_SECONDS", 0.0)


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty model store: once in a folder, once in a bucket over HTTP."""
    if request.param == "folder":
        return (tmp_path / "store").as_uri()
    return str(request.getfixturevalue("s3_url"))
