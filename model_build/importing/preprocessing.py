"""How an author prepares pictures → `input.preprocess` of a manifest: by name, or from a file.

Files are `preprocessor_config.json` (Hugging Face), `config.json` (timm), the text that a
torchvision transform prints, and JSON with the members of `input.preprocess` themselves.
"""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema

from model_build.errors import ImportRefused
from model_build.importing import hugging_face, printed_transform, texts
from model_build.store.manifest import SCHEMA

type Preprocess = dict[str, Any]

_SCHEMA = SCHEMA["properties"]["input"]["properties"]["preprocess"] | {"$defs": SCHEMA["$defs"]}
_LISTS = {"mean", "std", "pad_colour"}  # a file may give one number for all channels

# Of values 0 to 1, in the order R, G, B.
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_CLIP = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
_USUAL_CROP = 224 / 256
# As `keras.utils.load_img(path, target_size=...)` does it, the way of Keras's own examples.
_KERAS = {"pipeline": "picture", "fit": "squash", "interpolation": "nearest"}
PRESETS: dict[str, Preprocess] = {
    "imagenet": {
        "pipeline": "picture",
        "colour": "RGB",
        "fit": "shorter",
        "crop": _USUAL_CROP,
        "interpolation": "bilinear",
        "scale": 1 / 255,
        **IMAGENET,
    },
    "keras-caffe": {
        **_KERAS,
        "colour": "BGR",
        "scale": 1.0,
        "mean": [103.939, 116.779, 123.68],
        "std": [1.0],
    },
    "keras-tf": {**_KERAS, "colour": "RGB", "scale": 1 / 127.5, "mean": [1.0], "std": [1.0]},
    "keras-torch": {**_KERAS, "colour": "RGB", "scale": 1 / 255, **IMAGENET},
    "clip": {
        "pipeline": "picture",
        "colour": "RGB",
        "fit": "shorter",
        "interpolation": "bicubic",
        "scale": 1 / 255,
        **_CLIP,
    },
    "mnist": {"pipeline": "mnist", "box": 20},
}


def preset(name: str) -> Preprocess:
    """Return the members of `input.preprocess` of a preset. Raises ImportRefused."""
    if name not in PRESETS:
        raise ImportRefused(f"there is no preset {name!r}; expected one of {', '.join(PRESETS)}")
    return dict(PRESETS[name])


def from_file(path: Path) -> Preprocess:
    """Read the members of `input.preprocess` from an author's file.

    Raises ImportRefused, with the member's name, for what a manifest can't say.
    """
    text = texts.read(path, f"one of {_KINDS}")
    try:
        members = _read(text, path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ImportRefused(
            f"{path} has a member that makes no sense ({type(error).__name__}: {error}); expected "
            f"one of {_KINDS}"
        ) from error
    members |= {name: _listed(members[name]) for name in _LISTS & members.keys()}
    _check(members, path)
    return members


def _check(members: Preprocess, path: Path) -> None:
    """Refuse what the manifest's schema would refuse once the model is published."""
    validator = jsonschema.Draft202012Validator(_SCHEMA)
    worst = jsonschema.exceptions.best_match(validator.iter_errors(members))
    if worst is not None:
        name = str(worst.absolute_path[0])
        raise ImportRefused(
            f"{path}: {name} is {json.dumps(members[name])}; expected "
            f"{'a number or ' if name in _LISTS else ''}{_expected(_SCHEMA['properties'][name])}"
        )
    if unknown := members.keys() - _SCHEMA["properties"].keys():
        raise ImportRefused(
            f"{path}: {min(unknown)} is unknown; expected members among "
            f"{', '.join(_SCHEMA['properties'])}"
        )
    for name, value in members.items():
        if "NaN" in (text := json.dumps(value)) or "Infinity" in text:
            raise ImportRefused(f"{path}: {name} is {text}; expected finite numbers")


def _expected(member: Preprocess) -> str:
    """Say what the schema allows for a member."""
    if "$ref" in member:
        return _expected(_SCHEMA["$defs"][member["$ref"].rpartition("/")[2]])
    if "enum" in member:
        return f"one of {', '.join(map(json.dumps, member['enum']))}"
    if member["type"] == "boolean":
        return "true or false"
    number = member.get("items", member)
    kind = "whole number" if number["type"] == "integer" else "number"
    words = {"exclusiveMinimum": "more than", "minimum": "at least", "maximum": "at most"}
    limits = ", ".join(f"{word} {number[key]}" for key, word in words.items() if key in number)
    limits = f" of {limits}" if limits else ""
    if number is member:
        return f"a {kind}{limits}"
    fewest, most = member["minItems"], member["maxItems"]
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    word = ', or "border"' if "pattern" in member else ""
    return f"a list of {count} {kind}s{limits}{word}"


def _listed(value: Any) -> Any:
    """A number for all channels, as a list."""
    return [value] if type(value) in (int, float) else value


def _read(text: str, path: Path) -> Preprocess:
    try:
        document = json.loads(text)
    except ValueError:
        return printed_transform.read(text, path)
    if not isinstance(document, dict):
        raise ImportRefused(f"{path} is not a JSON object; expected one of {_KINDS}")
    if "pipeline" in document:
        return document
    cfg = document.get("pretrained_cfg", document)
    if "input_size" in cfg:
        return _timm(cfg, path)
    if "do_resize" in document or "image_mean" in document:
        return hugging_face.read(document, path)
    raise ImportRefused(
        f"{path} does not say how pictures are prepared; expected one of {_KINDS}, such as the "
        "model's preprocessor_config.json"
    )


_KINDS = (
    "preprocessor_config.json of Hugging Face, config.json of timm, a printed torchvision "
    "transform, or a JSON object with `pipeline`"
)


def _timm(cfg: dict[str, Any], path: Path) -> Preprocess:
    """Read timm's `pretrained_cfg` as timm's transform for evaluation does."""
    size = cfg["input_size"]
    if not isinstance(size, list) or [type(side) for side in size] != [int] * 3:
        raise ImportRefused(
            f"{path}: input_size is {json.dumps(size)}; expected [channels, height, width]"
        )
    channels, height, width = size
    crop = cfg.get("crop_pct") or _USUAL_CROP
    mode = cfg.get("crop_mode") or "center"
    interpolation = cfg.get("interpolation") or "bicubic"
    mean, std = (_listed(cfg.get(name) or IMAGENET[name]) for name in ("mean", "std"))
    scaled = [math.floor(side / crop) for side in (height, width)]
    if interpolation not in hugging_face.INTERPOLATIONS.values():
        raise ImportRefused(f"{path}: interpolation {interpolation!r} can't be served")
    fit: dict[str, Any]
    if mode == "border" and crop == 1:
        fit = {"fit": "longer", "pad_colour": [round(255 * value) for value in mean]}
    elif mode == "squash":
        fit = {"fit": "squash", "size": scaled}
    elif mode == "center":
        fit = (
            {"fit": "shorter", "size": scaled[:1]}
            if height == width
            else {"fit": "shorter", "crop": crop}
        )
    else:
        raise ImportRefused(f"{path}: crop_mode {mode!r} with crop_pct {crop} can't be served")
    return {
        "pipeline": "picture",
        "frame": [height, width],
        "colour": "grey" if channels == 1 else "RGB",
        **fit,
        "interpolation": interpolation,
        "scale": 1 / 255,
        "mean": mean,
        "std": std,
    }
