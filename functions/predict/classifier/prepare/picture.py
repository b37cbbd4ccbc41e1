"""Pipelines for models of whole pictures: `picture`, and its older forms `resize` and `imagenet`.

Imported when a manifest names one of them, so that a model of digits does not pay for it.
"""

import math
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.mode import Mode
from classifier.prepare.encoding import Sample
from classifier.prepare.exact import require_size
from classifier.prepare.pieces import border

type Background = Literal["dark", "light"]
Fit = Literal["shorter", "longer", "squash", "cover", "pad"]
CropRounding = Literal["even", "down"]
PadPlace = Literal["centre", "start"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_TAPS = {"bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}  # pixels that one depends on, from before it
_CUBIC = -0.75  # the kernel's slope at 1, of PyTorch and OpenCV; Pillow's is -0.5
_USUAL_CROP = 224 / 256  # of `imagenet`
_MOST_PIXELS = 16  # times the frame's: a picture that becomes larger is resampled in part


class PicturePipeline(NamedTuple):
    """The picture, brought to the model's size in the way that its author did it.

    height, width: the model's input, in pixels. channels: 1 or 3. is_grey: without colour, also if
    there are 3 channels. fit: how the picture meets the frame.

    - `shorter`: scaled until it covers `size`, and the frame is cut from its middle. Of a square
      `size`, that is the length of the shorter side; the longer side is rounded down.
    - `longer`: scaled until it fits into the frame; the rest is filled with `pad_colour`.
    - `squash`: stretched to `size`, and the frame is cut from its middle.
    - `cover`: the largest part of the frame's proportions, times `crop`, is cut from its middle and
      scaled to the frame.
    - `pad`: filled up to the frame's proportions with `pad_colour`, then scaled to the frame.

    interpolation, antialias: as Pillow does it; without antialias, a pixel of the sample depends on
    the nearest pixels of the picture only, as in the resize of TensorFlow and, for bicubic, of
    PyTorch. pad_colour: by channel, in
    the order R, G, B; None is the colour of the picture's border. pad_place: where the picture is
    in the frame. crop_rounding: where the middle is if half a pixel is left over: `even` as in
    torchvision, `down` as in Hugging Face's processors and Keras. background: a picture whose
    border is of the other kind is turned into its negative.
    """

    height: int
    width: int
    channels: int
    is_grey: bool
    fit: Fit = "squash"
    size: tuple[int, int] = (0, 0)
    crop: float = 1.0
    interpolation: str = "bilinear"
    antialias: bool = True
    pad_colour: tuple[int, ...] | None = (0,)
    pad_place: PadPlace = "centre"
    crop_rounding: CropRounding = "even"
    background: Background | None = None

    @property
    def is_whole(self) -> bool:
        """Pictures are decoded at their full size."""
        return True

    @classmethod
    def from_manifest(cls, shape: list[Any], parameters: dict[str, Any]) -> Self:
        """Read the pipeline from the shape of its samples, [N, H, W] or [N, H, W, 3].

        Raises KeyError for an unknown pipeline, and ValueError or TypeError for parameters that
        make no sense.
        """
        given = _general(parameters)
        _, *frame = shape
        height, width, channels = (int(side) for side in (*frame, 1)[:3])
        if list(given.get("frame", (height, width))) != [height, width]:
            raise ValueError(f"frame must be the input's {[height, width]}, got {given['frame']}")
        fit = _choice(given, "fit", get_args(Fit))
        crop = _crop(given, fit)
        size = _size(given, fit, (height, width), crop)
        colour = given.get("colour", "grey" if channels == 1 else "RGB")
        if colour not in (("grey",) if channels == 1 else ("RGB", "BGR", "grey")):
            raise ValueError(f"colour {colour!r} does not fit an input of {channels} channels")
        background = given.get("background")
        if background not in (None, "dark", "light"):
            raise ValueError(f'background must be "dark" or "light", got {background!r}')
        interpolation = _choice(given, "interpolation", INTERPOLATIONS, "bilinear")
        antialias = bool(given.get("antialias", True))
        if not antialias and interpolation not in ("nearest", *_TAPS):
            raise ValueError(f"antialias must be true for interpolation {interpolation!r}")
        if fit == "pad" and (antialias or interpolation not in _TAPS):
            raise ValueError(
                f"fit pad goes with antialias false and {' or '.join(_TAPS)}, got antialias "
                f"{str(antialias).lower()} and {interpolation}"
            )
        return cls(
            height,
            width,
            channels,
            is_grey=colour == "grey",
            fit=fit,  # type: ignore[arg-type]
            size=size,
            crop=crop,
            interpolation=interpolation,
            antialias=antialias,
            pad_colour=_pad_colour(given.get("pad_colour", [0]), channels),
            pad_place=_choice(given, "pad_place", get_args(PadPlace), "centre"),  # type: ignore[arg-type]
            crop_rounding=_choice(given, "crop_rounding", get_args(CropRounding), "even"),  # type: ignore[arg-type]
            background=background,
        )

    def __call__(self, image: Image.Image, mode: Mode) -> Sample:
        """Turn an image of mode L or RGB into the model's [height, width] or [height, width, 3].

        Raises UnreadableImage for a wrong size in `none`.
        """
        if self.is_grey:
            image = image.convert("L")
        if mode == "none":
            require_size(image.height, image.width, self.height, self.width)
            return self._sample(image)
        sample = self._sample(self._fitted(image))
        if self.background and self.background != _background(sample):
            sample = 255 - sample
        return self._padded(sample) if self.fit == "longer" else sample

    def _fitted(self, image: Image.Image) -> Image.Image:
        """Scale and crop an image to the frame, or to what of the frame it fills."""
        if self.fit == "pad":
            return self._filled_up(image)
        if self.fit == "cover":
            image = image.crop(self._part(image.height, image.width))
        height, width = self._scaled(image.height, image.width)
        if self.fit == "longer":
            return self._resampled(image, height, width)
        top, left = self._start(height, self.height), self._start(width, self.width)
        if height * width <= _MOST_PIXELS * self.height * self.width:
            scaled = self._resampled(image, height, width)
            return scaled.crop((left, top, left + self.width, top + self.height))
        down, across = image.height / height, image.width / width
        box = (
            left * across,
            top * down,
            (left + self.width) * across,
            (top + self.height) * down,
        )
        return self._resampled(image, self.height, self.width, box)

    def _filled_up(self, image: Image.Image) -> Image.Image:
        """Scale a picture with what it lacks of the frame's proportions, half on either side.

        One line of that is enough: places beyond it take its colour.
        """
        image = image.convert("L" if self.channels == 1 else "RGB")
        down = max(0, image.width * self.height // self.width - image.height) // 2
        across = max(0, image.height * self.width // self.height - image.width) // 2
        top, left = min(1, down), min(1, across)
        sides = (image.width + 2 * left, image.height + 2 * top)
        colour = self.pad_colour or np.median(border(np.asarray(image)), axis=0).flat
        values = tuple(int(value) for value in colour)
        filled = Image.new(image.mode, sides, values * (self.channels // len(values)))
        filled.paste(image, (left, top))
        box = (left - across, top - down, sides[0] - left + across, sides[1] - top + down)
        return _sampled(filled, self.height, self.width, box, self.interpolation)

    def _scaled(self, rows: int, columns: int) -> tuple[int, int]:
        """Height and width of the whole picture once it is scaled."""
        if self.fit == "longer":
            scale = min(self.height / rows, self.width / columns)
            return max(1, round(rows * scale)), max(1, round(columns * scale))
        down, across = self.size
        if self.fit != "shorter":
            return down, across
        if down == across:
            shorter = min(rows, columns)
            return down * rows // shorter, down * columns // shorter
        shrink = min(rows / down, columns / across)
        return round(rows / shrink), round(columns / shrink)

    def _part(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        """Box of the largest part of the frame's proportions, times `crop`."""
        height = max(1, int(self.crop * min(rows, columns * self.height // self.width)))
        width = max(1, int(self.crop * min(columns, rows * self.width // self.height)))
        top, left = self._start(rows, height), self._start(columns, width)
        return left, top, left + width, top + height

    def _start(self, length: int, part: int) -> int:
        """Where the middle `part` of a length begins."""
        spare = length - part
        return round(spare / 2) if self.crop_rounding == "even" else spare // 2

    def _resampled(
        self,
        image: Image.Image,
        height: int,
        width: int,
        box: tuple[float, float, float, float] | None = None,
    ) -> Image.Image:
        if self.interpolation in _TAPS and not self.antialias:
            box = box or (0, 0, image.width, image.height)
            return _sampled(image, height, width, box, self.interpolation)
        resample = Image.Resampling[self.interpolation.upper()]
        return image.resize((width, height), resample, box)

    def _sample(self, image: Image.Image) -> Sample:
        return np.asarray(image.convert("L" if self.channels == 1 else "RGB"))

    def _padded(self, sample: Sample) -> Sample:
        """Put a sample into the frame."""
        rows, columns, *channels = sample.shape
        frame = np.empty((self.height, self.width, *channels), dtype=np.uint8)
        frame[:] = np.median(border(sample), axis=0) if self.pad_colour is None else self._padding
        is_centred = self.pad_place == "centre"
        top, left = (
            (side - part) // 2 if is_centred else 0
            for side, part in ((self.height, rows), (self.width, columns))
        )
        frame[top : top + rows, left : left + columns] = sample
        return frame

    @property
    def _padding(self) -> NDArray[np.uint8] | int:
        colour = self.pad_colour or (0,)
        return np.array(colour, dtype=np.uint8) if self.channels == 3 else colour[0]


def _general(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of `picture` for those of any of the pipelines."""
    match parameters["pipeline"]:
        case "picture":
            return parameters
        case "resize":
            fit = "longer" if parameters.get("pad", False) else "squash"
            background = parameters.get("background")
            return {"fit": fit, "pad_colour": "border", "background": background}
        case "imagenet":
            return {"fit": "shorter", "crop": parameters.get("crop", _USUAL_CROP)}
        case name:
            raise KeyError(name)


def _choice(given: dict[str, Any], name: str, choices: tuple[str, ...], usual: str = "") -> str:
    value = given.get(name, usual)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return str(value)


def _crop(given: dict[str, Any], fit: str) -> float:
    crop = float(given.get("crop", 1))
    if not 0 < crop <= 1:
        raise ValueError(f"crop must be in (0, 1], got {crop}")
    if crop != 1 and (fit in ("longer", "pad") or "size" in given):
        raise ValueError(f"crop does not go with {'size' if 'size' in given else f'fit {fit}'}")
    return crop


def _size(given: dict[str, Any], fit: str, frame: tuple[int, int], crop: float) -> tuple[int, int]:
    """Height and width that the picture is scaled to or made to cover, before it is cropped."""
    if fit in ("longer", "cover", "pad"):
        if "size" in given:
            raise ValueError(f"size does not go with fit {fit}, got {given['size']}")
        return frame
    if "size" not in given:
        return math.floor(frame[0] / crop), math.floor(frame[1] / crop)
    sides = [int(side) for side in given["size"]]
    if len(sides) != (1 if fit == "shorter" else 2):
        wanted = "[shorter side]" if fit == "shorter" else "[height, width]"
        raise ValueError(f"size must be {wanted} for fit {fit}, got {sides}")
    height, width = sides[0], sides[-1]
    if height < frame[0] or width < frame[1]:
        raise ValueError(f"size must be at least the input's {list(frame)}, got {sides}")
    return height, width


def _pad_colour(colour: Any, channels: int) -> tuple[int, ...] | None:
    if colour == "border":
        return None
    values = () if isinstance(colour, str) else tuple(int(value) for value in colour)
    if len(values) not in (1, channels) or not all(0 <= value <= 255 for value in values):
        raise ValueError(
            f'pad_colour must be "border", or 1 or {channels} values of 0 to 255, got {colour!r}'
        )
    return values


def _sampled(
    image: Image.Image,
    height: int,
    width: int,
    box: tuple[float, float, float, float],
    interpolation: str,
) -> Image.Image:
    """Scale a part of an image without antialias: Pillow's own way to do it rounds down."""
    pixels = np.asarray(image)
    taps = _TAPS[interpolation]
    rows, down = _neighbours(box[1], box[3], height, image.height, taps)
    columns, across = _neighbours(box[0], box[2], width, image.width, taps)
    total = sum(
        np.einsum("bij,bij...->ij...", weights[:, np.newaxis] * across[:, np.newaxis], nearby)
        for weights, nearby in zip(
            down, (pixels[row[:, np.newaxis], columns[:, np.newaxis]] for row in rows), strict=True
        )
    )
    return Image.fromarray(np.rint(total).clip(0, 255).astype(np.uint8))


def _neighbours(
    start: float, stop: float, count: int, length: int, taps: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The pixels near each of `count` places, and their weights [taps, count]."""
    places = start + (np.arange(count) + 0.5) * (stop - start) / count - 0.5
    near = np.floor(places) + np.array(taps)[:, np.newaxis]
    distance = np.abs(places - near)
    weights = 1 - distance if len(taps) == 2 else _cubic(distance)
    return near.clip(0, length - 1).astype(np.int64), weights.astype(np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the cubic convolution. Source: Keys 1981, equation 4, with a of _CUBIC."""
    a = _CUBIC
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, inner, outer)


def _background(sample: Sample) -> Background:
    """Whether the border of a picture is rather dark or rather light."""
    return "light" if float(np.median(border(sample))) > 127.5 else "dark"
