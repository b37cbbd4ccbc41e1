"""Pipelines by name: each turns the pixels of any picture into a sample that a model takes."""

from typing import TYPE_CHECKING, Any, Protocol

from classifier.errors import BadRequest
from classifier.image.pixels import DetailLoader, Pixels
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.mnist import Located, MnistPipeline

if TYPE_CHECKING:
    from classifier.prepare.finder import MapsOf


class Pipeline(Protocol):
    """From the pixels of any picture to a sample: uint8 [H, W], or [H, W, 3] in RGB."""

    def __call__(
        self, pixels: Pixels, mode: Mode, load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Raise UnreadableImage for a picture that no sample can be made of.

        load_detail: loads a part of the picture in more detail than `pixels` holds.
        """


def locate(
    pipeline: Pipeline,
    pixels: Pixels,
    mode: Mode,
    load_detail: DetailLoader | None,
    *,
    many: bool = False,
) -> Located:
    """Samples of a picture, and where in it they were found; many: of all its digits.

    Raises UnreadableImage as the pipeline does, and BadRequest for `many` of a pipeline that
    doesn't find digits.
    """
    if isinstance(pipeline, MnistPipeline) and pipeline.maps_of and mode == "auto":
        return pipeline.locate(pixels, load_detail, many=many)
    if many:
        raise BadRequest(
            "digits=many needs preprocess=auto and a model that finds digits; send digits=one"
        )
    return Located([pipeline(pixels, mode, load_detail)])


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
    from classifier.prepare import resize  # noqa: PLC0415 - a model of digits does not pay for it

    return resize.PIPELINES[name].from_manifest(shape, parameters)
