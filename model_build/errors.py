"""Errors that a command reports in one sentence, with exit code 1.

Wrong usage is typer.BadParameter, exit code 2. Anything else is a bug and shows its traceback.

BuildError
├── RecipeError       a recipe is invalid or can't be built
├── StepError         a step lacks the output of an earlier one
├── ParityError       the converted model's output differs from the Keras model's
├── GateError         the model is not good enough to publish
├── DatasetError      a data set is missing, damaged or unknown
├── ImportRefused     a model to import, or a folder of images, can't be used
├── ExportRefused     a version can't be exported, or not to that folder
├── TrafficError      the log can't be read, or has no traffic to compare
├── ServiceFailed     the function fails where it should answer
├── ManifestError     a manifest does not follow its schema
└── StoreError        an operation on the model store failed
    ├── NotInStore    the object does not exist
    ├── BadSignature  a version is not signed by the key that it has to be signed by
    └── Conflict      a conditional write failed: the object has changed
"""


class BuildError(Exception):
    """Base class of all expected failures."""


class RecipeError(BuildError):
    """A recipe is invalid or can't be built."""


class StepError(BuildError):
    """A step lacks the output of an earlier one."""


class ParityError(BuildError):
    """The converted model's output differs from the Keras model's."""


class GateError(BuildError):
    """The model is not good enough to publish."""


class DatasetError(BuildError):
    """A data set is missing, damaged or unknown."""


class ImportRefused(BuildError):
    """A model to import, or a folder of images, can't be used."""


class ExportRefused(BuildError):
    """A version can't be exported, or not to that folder."""


class TrafficError(BuildError):
    """The log can't be read, or has no traffic to compare."""


class ServiceFailed(BuildError):
    """The function fails where it should answer."""


class ManifestError(BuildError):
    """A manifest does not follow its schema."""


class StoreError(BuildError):
    """An operation on the model store failed."""


class NotInStore(StoreError):
    """The object does not exist."""


class BadSignature(StoreError):
    """A version is not signed by the key that it has to be signed by."""


class Conflict(StoreError):
    """A conditional write failed: the object has changed."""
