"""Picture of a data set's training samples."""

import numpy as np
from numpy.typing import NDArray

from model_build.data.datasets import Dataset


def contact_sheet(dataset: Dataset, columns: int = 20) -> NDArray[np.uint8]:
    """Return a picture uint8 [H, W] of training samples, one row of `columns` per class."""
    rows = [
        np.hstack(dataset.train_images[dataset.train_labels == label][:columns])
        for label in range(dataset.classes)
    ]
    return np.vstack(rows)
