"""Pipelines by name: each turns the pixels of any picture into a sample that a model takes."""

from typing import TYPE_CHECKING, Any

from classifier.errors import BadRequest
from classifier.image.pixels import Picture
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.located import Located
from classifier.prepare.mnist import MnistPipeline

if TYPE_CHECKING:
    from classifier.prepare.finder import MapsOf
    from classifier.prepare.picture import PicturePipeline

type Pipeline = MnistPipeline | PicturePipeline  # is_whole: what its Picture must be


def sample(pipeline: Pipeline, picture: Picture, mode: Mode) -> Sample:
    """A sample of a picture: uint8 [H, W], or [H, W, 3] in RGB.

    Raises UnreadableImage for a picture that no sample can be made of.
    """
    if isinstance(pipeline, MnistPipeline):
        return pipeline(picture.pixels, mode, picture.detail)
    return pipeline(picture.image, mode)


def locate(pipeline: Pipeline, picture: Picture, mode: Mode, *, many: bool = False) -> Located:
    """Samples of a picture, and where in it they were found; many: of all its digits.

    Raises UnreadableImage as the pipeline does, and BadRequest for `many` of a pipeline that
    doesn't find digits.
    """
    if isinstance(pipeline, MnistPipeline) and pipeline.maps_of and mode == "auto":
        return pipeline.locate(picture.pixels, picture.detail, many=many)
    if many:
        raise BadRequest(
            "digits=many needs preprocess=auto and a model that finds digits; send digits=one"
        )
    return Located([sample(pipeline, picture, mode)])


def from_manifest(
    shape: list[Any], parameters: dict[str, Any], maps_of: "MapsOf | None" = None
) -> Pipeline:
    """Pipeline that a manifest names, for samples of a shape: [N, H, W], or [N, H, W, 3] in RGB.

    maps_of: the network that finds digits, if the version has one.

    Raises KeyError for an unknown name, and ValueError, TypeError or OverflowError for parameters
    that make no sense.
    """
    name = parameters["pipeline"]
    if name == "mnist":
        return MnistPipeline.from_manifest(shape, parameters)._replace(maps_of=maps_of)
    from classifier.prepare import picture  # noqa: PLC0415 - a model of digits does not pay for it

    return picture.PicturePipeline.from_manifest(shape, parameters)
