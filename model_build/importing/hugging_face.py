"""Hugging Face's `preprocessor_config.json` → `input.preprocess` of a manifest."""

from pathlib import Path
from typing import Any, NamedTuple

from model_build.errors import ImportRefused

INTERPOLATIONS = {  # by Pillow's numbers
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}

_CONVNEXT_STRETCHES = 384  # pixels: from this size on, pictures are not cropped


class _Processor(NamedTuple):
    """What a class of image processors does where the file doesn't say it.

    is_square: a `size` of one number is both height and width, and not the shorter side.
    """

    is_square: bool
    crops: bool = False


_PROCESSORS = {
    "Beit": _Processor(is_square=True, crops=True),
    "Bit": _Processor(is_square=False, crops=True),
    "Blip": _Processor(is_square=True),
    "CLIP": _Processor(is_square=False, crops=True),
    "ChineseCLIP": _Processor(is_square=False, crops=True),
    "ConvNext": _Processor(is_square=False),
    "DeiT": _Processor(is_square=True, crops=True),
    "EfficientNet": _Processor(is_square=True),
    "Flava": _Processor(is_square=True, crops=True),
    "Levit": _Processor(is_square=False, crops=True),
    "MobileNetV1": _Processor(is_square=False, crops=True),
    "MobileNetV2": _Processor(is_square=False, crops=True),
    "MobileViT": _Processor(is_square=False, crops=True),
    "Perceiver": _Processor(is_square=True, crops=True),
    "PoolFormer": _Processor(is_square=False, crops=True),
    "Pvt": _Processor(is_square=True),
    "Siglip": _Processor(is_square=True),
    "ViT": _Processor(is_square=True),
}
_READ = {
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "do_rescale"),
    *("rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std", "include_top"),
    *("do_flip_channel_order", "image_processor_type", "feature_extractor_type"),
}
_OF_NO_EFFECT = {  # on how one picture becomes a tensor
    *("processor_class", "return_tensors", "data_format", "input_data_format", "device"),
    *("disable_grouping", "do_reduce_labels", "reduce_labels", "default_to_square"),
    *(
        "_valid_processor_keys",
        "do_convert_rgb",
        "pad_size",
        "image_seq_length",
        "_processor_class",
    ),
}


def read(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Read a file's members as the class that it names does. Raises ImportRefused."""
    return _Config(config, path).preprocess()


class _Config:
    """A file's members."""

    def __init__(self, members: dict[str, Any], path: Path) -> None:
        self._members = members
        self._path = path
        for member, value in members.items():
            if value and member not in _READ | _OF_NO_EFFECT:
                raise self._refusal(member, "can't be served; write the pipeline's own members")
        kind = "image_processor_type"
        kind = kind if kind in members else "feature_extractor_type"
        self._name = _class_name(str(self._members.get(kind) or "ViT"))
        if self._name not in _PROCESSORS:
            raise self._refusal(kind, f"is unknown; expected one of {', '.join(_PROCESSORS)}")
        self._processor = _PROCESSORS[self._name]
        self._crops = bool(self._members.get("do_center_crop", self._processor.crops))

    def preprocess(self) -> dict[str, Any]:
        """Return the members of `input.preprocess`."""
        if not self._members.get("do_resize", True):
            raise self._refusal("do_resize", "can't be served, as pictures come in any size")
        resample = self._members.get("resample", 2 if self._name == "ViT" else 3)
        if resample not in INTERPOLATIONS:
            raise self._refusal("resample", f"is unknown; expected one of {list(INTERPOLATIONS)}")
        flips = self._members.get("do_flip_channel_order", self._name == "MobileViT")
        return {
            "pipeline": "picture",
            "colour": "BGR" if flips else "RGB",
            **self._geometry(),
            "interpolation": INTERPOLATIONS[resample],
            "crop_rounding": "down",
            **self._numbers(),
        }

    def _geometry(self) -> dict[str, Any]:
        size = _sides(self._members.get("size"), is_square=self._processor.is_square)
        if size is None:
            raise self._refusal(
                "size", "can't be served; expected shortest_edge, or height and width"
            )
        if self._name == "ConvNext":
            return self._of_convnext(size)
        if not self._crops:
            if len(size) == 1:
                raise self._refusal(
                    "size", "can't be served without do_center_crop: pictures keep any proportions"
                )
            return {"frame": size, "fit": "squash"}
        frame = _sides(self._members.get("crop_size", self._members.get("size")), is_square=True)
        if frame is None or len(frame) != 2:
            raise self._refusal("crop_size", "can't be served; expected height and width")
        if self._name == "Perceiver":
            return self._of_perceiver(size, frame)
        if len(size) == 1:
            size = [int(size[0] * self._enlargement())]
        if size[0] < frame[0] or size[-1] < frame[1]:
            raise self._refusal("crop_size", f"can't be served, as it is larger than size {size}")
        return {"frame": frame, "fit": "shorter" if len(size) == 1 else "squash", "size": size}

    def _of_convnext(self, size: list[int]) -> dict[str, Any]:
        if len(size) != 1:
            raise self._refusal("size", "can't be served; expected shortest_edge")
        (side,) = size
        if side >= _CONVNEXT_STRETCHES:
            return {"frame": [side, side], "fit": "squash"}
        shorter = int(side / (self._members.get("crop_pct") or 224 / 256))
        return {"frame": [side, side], "fit": "shorter", "size": [shorter]}

    def _of_perceiver(self, size: list[int], crop: list[int]) -> dict[str, Any]:
        """Cropped first, to size / crop of the shorter side."""
        if size != size[:1] * 2 or crop != crop[:1] * 2:
            raise self._refusal("crop_size", "can't be served unless it and size are square")
        return {"frame": size, "fit": "cover", "crop": size[0] / crop[0]}

    def _enlargement(self) -> float:
        """The shorter side before the crop / `size`."""
        if self._name == "Levit":
            return 256 / 224
        share = self._members.get("crop_pct", 0.9) if self._name == "PoolFormer" else None
        return 1 / (share or 1)

    def _numbers(self) -> dict[str, Any]:
        """Scale, mean and std."""
        scale = (
            self._members.get("rescale_factor", 1 / 255)
            if self._members.get("do_rescale", True)
            else 1.0
        )
        mean, std = [0.0], [1.0]
        if self._members.get("do_normalize", self._name != "MobileViT"):
            mean, std = self._values("image_mean"), self._values("image_std")
        if self._name == "EfficientNet":
            if self._members.get("rescale_offset", False):
                mean = [value + 1 for value in mean]
            if self._members.get("include_top", True):  # which divides a second time
                std = [value**2 for value in std]
        return {"scale": scale, "mean": mean, "std": std}

    def _values(self, member: str) -> list[float]:
        values = self._members.get(member)
        values = values if isinstance(values, list) else [values]
        if not all(isinstance(value, int | float) for value in values):
            raise self._refusal(member, "must be numbers, one or one per channel")
        return [float(value) for value in values]

    def _refusal(self, member: str, why: str) -> ImportRefused:
        return ImportRefused(f"{self._path}: {member} {self._members.get(member)!r} {why}")


def _class_name(text: str) -> str:
    for suffix in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        text = text.removesuffix(suffix)
    return text


def _sides(size: Any, *, is_square: bool) -> list[int] | None:
    """Height and width, or the shorter side; None for anything else."""
    if isinstance(size, int):
        return [size, size] if is_square else [size]
    if isinstance(size, list) and len(size) == 2:
        return [int(side) for side in size]
    sides = {name: side for name, side in size.items() if side} if isinstance(size, dict) else {}
    if sides.keys() == {"shortest_edge"}:
        return [int(sides["shortest_edge"])]
    if sides.keys() == {"height", "width"}:
        return [int(sides["height"]), int(sides["width"])]
    return None
