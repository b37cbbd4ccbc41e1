"""What a technique works on: the first argument of its `build_stage`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from model_build.data.datasets import Dataset

# Called after each epoch: its number from 1, the number of epochs, training loss and accuracy.
type OnEpoch = Callable[[int, int, float, float], None]

NETWORK, GRAPH, SAMPLES = "network.keras", "model.onnx", "samples.npz"


@dataclass(frozen=True)
class StageContext:
    """Data, seed and folders of one stage.

    source: folder of the previous stage; for the first stage, the target. inputs: folders of the
    other models that the stage needs, such as teachers. target: empty folder to write into.
    samples: folder of the stage that draws more samples to train on, if the recipe has one.
    """

    dataset: "Dataset"
    seed: int
    on_epoch: OnEpoch
    source: Path
    inputs: tuple[Path, ...]
    target: Path
    samples: Path | None = None

    @property
    def source_graph(self) -> Path:
        """ONNX file that the previous stage made."""
        return self.source / GRAPH

    @property
    def graph(self) -> Path:
        """ONNX file that this stage makes."""
        return self.target / GRAPH

    def input_graph(self, index: int) -> Path:
        """ONNX file of another model that the stage needs."""
        return self.inputs[index] / GRAPH

    def drawn_samples(self) -> Mapping[str, NDArray[Any]]:
        """Arrays of the stage that draws more samples; empty if the recipe has none."""
        if self.samples is None:
            return {}
        with np.load(self.samples / SAMPLES) as arrays:
            return dict(arrays)

    def network(self) -> Any:
        """Keras model that the previous stage made."""
        import keras  # noqa: PLC0415 - TensorFlow takes seconds; stages on graphs don't need it

        keras.backend.clear_session()  # resets layer names: the same bytes in every process
        return load_network(self.source)

    def save(self, network: Any) -> None:
        """Write the Keras model that this stage makes."""
        network.save(self.target / NETWORK)


def load_network(folder: Path) -> Any:
    """Keras model in a stage's folder."""
    import keras  # noqa: PLC0415 - as above

    return keras.models.load_model(folder / NETWORK, compile=False)
