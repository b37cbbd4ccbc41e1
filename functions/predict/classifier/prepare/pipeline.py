"""Pipelines by name: each turns the pixels of any picture into a sample that a model takes."""

from typing import Any, Protocol

from classifier.image.pixels import DetailLoader, Pixels
from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.mnist import MnistPipeline


class Pipeline(Protocol):
    """From the pixels of any picture to a sample: uint8 [H, W], or [H, W, 3] in RGB."""

    def __call__(
        self, pixels: Pixels, mode: Mode, load_detail: DetailLoader | None = None, /
    ) -> Sample:
        """Raise UnreadableImage for a picture that no sample can be made of.

        load_detail: loads a part of the picture in more detail than `pixels` holds.
        """


def from_manifest(shape: list[Any], parameters: dict[str, Any]) -> Pipeline:
    """Pipeline that a manifest names, for samples of a shape: [N, H, W], or [N, H, W, 3] in RGB.

    Raises KeyError for an unknown name, and ValueError, TypeError or OverflowError for parameters
    that make no sense.
    """
    name = parameters["pipeline"]
    if name == "mnist":
        return MnistPipeline.from_manifest(shape, parameters)
    from classifier.prepare import resize  # noqa: PLC0415 - a model of digits does not pay for it

    return resize.PIPELINES[name].from_manifest(shape, parameters)
