"""Run a graph on pictures of noise and say in a sentence why it fails."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from classifier.prepare.encoding import Encoding
from model_build.errors import ImportRefused
from model_build.graph.convert import INPUT_NAME
from model_build.importing.reading import first_line

type Tensor = NDArray[np.uint8] | NDArray[np.float32]
type Outputs = dict[str, NDArray[Any]]

PICTURES = 8


class DoesNotRun(ImportRefused):
    """onnxruntime can't load the graph, or fails on a batch."""


def noise(encode: Encoding) -> Tensor:
    """Tensor of eight pictures of noise, encoded as the manifest will say."""
    generator = np.random.default_rng(0)
    return encode(generator.integers(0, 256, (PICTURES, *encode.samples_shape[1:]), dtype=np.uint8))


def check(model: ModelProto, name: str) -> None:
    """Check the graph against the standard; name: of its file. Raises ImportRefused."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # from the checker or from shape inference
        raise ImportRefused(f"{name} is not a valid ONNX model: {first_line(error)}") from error


class Probe:
    """A session on a graph in memory."""

    def __init__(self, model: ModelProto) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what fails becomes a sentence
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise DoesNotRun(
                f"onnxruntime {ort.__version__}, which the function uses, can't load the model: "
                f"{first_line(error)}"
            ) from error
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, batch: Tensor) -> Outputs:
        """Outputs of one batch, by name."""
        try:
            values = self._session.run(None, {INPUT_NAME: batch})
        except Exception as error:  # see above
            raise DoesNotRun(
                f"the model fails on a batch of {len(batch)} ({first_line(error)})"
            ) from error
        return dict(zip(self._names, values, strict=True))

    def one_by_one(self, batch: Tensor, at_a_time: int = 1) -> dict[str, list[NDArray[Any]]]:
        """Outputs of each call, `at_a_time` pictures in each."""
        calls = [self.run(batch[at : at + at_a_time]) for at in range(0, len(batch), at_a_time)]
        return {name: [np.asarray(call[name]) for call in calls] for name in self._names}
