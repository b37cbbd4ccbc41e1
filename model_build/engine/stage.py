"""What a technique works on: the first argument of its `build_stage`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_build.data.datasets import Dataset

# Called after each epoch: its number from 1, the number of epochs, training loss and accuracy.
type OnEpoch = Callable[[int, int, float, float], None]

NETWORK, GRAPH = "network.keras", "model.onnx"


@dataclass(frozen=True)
class StageContext:
    """Data, seed and folders of one stage.

    source: folder of the previous stage; for the first stage, the target. inputs: folders of the
    other models that the stage needs, such as teachers. target: empty folder to write into.
    """

    dataset: "Dataset"
    seed: int
    on_epoch: OnEpoch
    source: Path
    inputs: tuple[Path, ...]
    target: Path

    @property
    def source_graph(self) -> Path:
        """ONNX file that the previous stage made."""
        return self.source / GRAPH

    @property
    def graph(self) -> Path:
        """ONNX file that this stage makes."""
        return self.target / GRAPH

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
