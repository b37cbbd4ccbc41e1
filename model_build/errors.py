"""What a command can fail with; each is one sentence to the user and exit code 1.

Wrong use is typer.BadParameter, exit code 2. Anything else is a bug, and shows its traceback.

BuildError
├── RecipeError       a recipe asks for what can't be done
├── StepError         a step lacks what another step makes
├── ParityError       the converted model does not answer as the Keras model does
├── GateError         the model is not good enough to be published
├── DatasetError      a data set is missing, damaged or not known
├── ImportRefused     a model to import, or a folder of images, can't be used
├── TrafficError      the log has no traffic to compare, or can't be read
├── ManifestError     a manifest does not follow its schema
└── StoreError        the store can't do what was asked
    ├── NotInStore    there is no such object
    └── Conflict      a conditional write found something else than it was promised
"""


class BuildError(Exception):
    """Root of what a build can fail with."""


class RecipeError(BuildError):
    """A recipe asks for what can't be done."""


class StepError(BuildError):
    """A step lacks what another step makes."""


class ParityError(BuildError):
    """The converted model does not answer as the Keras model does."""


class GateError(BuildError):
    """The model is not good enough to be published."""


class DatasetError(BuildError):
    """A data set is missing, damaged or not known."""


class ImportRefused(BuildError):
    """A model to import, or a folder of images, can't be used."""


class TrafficError(BuildError):
    """The log has no traffic to compare, or can't be read."""


class ManifestError(BuildError):
    """A manifest does not follow its schema."""


class StoreError(BuildError):
    """The store can't do what was asked."""


class NotInStore(StoreError):
    """There is no such object."""


class Conflict(StoreError):
    """A conditional write found something else than it was promised."""
