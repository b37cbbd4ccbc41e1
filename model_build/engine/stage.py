"""What a technique works on: the first argument of each one's `build_stage`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_build.data.datasets import Dataset

# After every epoch: its number from 1, the number of epochs, loss and accuracy in training.
type OnEpoch = Callable[[int, int, float, float], None]

NETWORK, GRAPH = "network.keras", "model.onnx"


@dataclass(frozen=True)
class StageContext:
    """Data, seed and folders of one stage.

    source: folder of the stage before. inputs: folders of the other models that the stage needs,
    such as teachers. target: empty folder to write into, the source as well if nothing was before.
    """

    dataset: "Dataset"
    seed: int
    on_epoch: OnEpoch
    source: Path
    inputs: tuple[Path, ...]
    target: Path

    @property
    def source_graph(self) -> Path:
        """ONNX file that the stage before made."""
        return self.source / GRAPH

    @property
    def graph(self) -> Path:
        """ONNX file that this stage makes."""
        return self.target / GRAPH

    def network(self) -> Any:
        """Keras model that the stage before made."""
        import keras  # noqa: PLC0415 - TensorFlow takes seconds; stages on graphs do without

        keras.backend.clear_session()  # layers are named anew: the same bytes in every process
        return load_network(self.source)

    def save(self, network: Any) -> None:
        """Write the Keras model that this stage makes."""
        network.save(self.target / NETWORK)


def load_network(folder: Path) -> Any:
    """Keras model that a stage left in its folder."""
    import keras  # noqa: PLC0415 - as above

    return keras.models.load_model(folder / NETWORK, compile=False)
