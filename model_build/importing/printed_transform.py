"""The text that a torchvision transform prints → `input.preprocess` of a manifest.

A `Compose` of version 1 or 2, its source code, and the transform of torchvision's own weights.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_build.errors import ImportRefused

_OF_NO_EFFECT = {"RGB", "ToPILImage", "ToPureTensor"}
_TO_TENSOR = {"ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor", "ToImage"}
_TO_SHARES = {"ToTensor", "MaybeToTensor", "ConvertImageDtype"}  # of 255
_ADVICE = "print the transform for evaluation: Resize, CenterCrop, ToTensor, Normalize"


def read(text: str, path: Path) -> dict[str, Any]:
    """Read the transform that was printed into a file. Raises ImportRefused.

    Pictures are taken to come in as Pillow's images, as with torchvision's data sets.
    """
    reading = _Reading(path)
    for name, given in _steps(text, path):
        reading.take(name, given)
    return reading.finished()


class _Reading:
    """What the steps up to here make of a picture."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: dict[str, Any] = {"pipeline": "picture", "colour": "RGB"}
        self._is_tensor = self._is_share = False

    def take(self, name: str, given: dict[str, Any]) -> None:
        """Add a step. Raises ImportRefused for one that can't be served, or not in this order."""
        match name:
            case "ImageClassification":
                self._resize(given["resize_size"], given)
                self._crop(given["crop_size"])
                self._normalise(given)
                self._is_share = True
            case "Resize" if self._made.keys().isdisjoint({"fit", "frame"}):
                self._resize(given["size"], given)
            case "CenterCrop" if "fit" in self._made and "frame" not in self._made:
                self._crop(given["size"])
            case "Grayscale":
                self._made["colour"] = "grey"
            case "Normalize":
                self._normalise(given)
            case "ToDtype":
                self._is_share = self._is_share or bool(given.get("scale"))
            case _ if name in _TO_TENSOR | _TO_SHARES:
                self._is_tensor = True
                self._is_share = self._is_share or name in _TO_SHARES
            case _ if name not in _OF_NO_EFFECT:
                raise ImportRefused(f"{self._path}: {name} can't be served here; {_ADVICE}")

    def finished(self) -> dict[str, Any]:
        """Return the members of `input.preprocess`."""
        if "fit" not in self._made:
            raise ImportRefused(f"{self._path}: Resize is missing; pictures come in any size")
        if self._made["fit"] == "squash":
            self._made.setdefault("frame", self._made["size"])
        if "frame" not in self._made:
            raise ImportRefused(f"{self._path}: CenterCrop is missing; {_ADVICE}")
        scale = 1 / 255 if self._is_share else 1.0
        return {"scale": scale, "mean": [0.0], "std": [1.0]} | self._made

    def _resize(self, size: Any, given: dict[str, Any]) -> None:
        if given.get("max_size") is not None:
            raise ImportRefused(
                f"{self._path}: max_size {given['max_size']} of Resize can't be served"
            )
        sides = self._sides(size, "Resize")
        interpolation = str(given.get("interpolation", "bilinear")).lower()
        self._made |= {
            "fit": "shorter" if len(sides) == 1 else "squash",
            "size": sides,
            "interpolation": interpolation.removesuffix("_exact"),
        }
        if self._is_tensor and given.get("antialias") is not True:
            if interpolation == "bicubic" and not self._is_share:
                raise ImportRefused(
                    f"{self._path}: a bicubic Resize of uint8 tensors without antialias can't be "
                    "served, as PyTorch computes it in another way; resize with antialias=True, or "
                    "after ToTensor"
                )
            self._made["antialias"] = False

    def _crop(self, size: Any) -> None:
        sides = self._sides(size, "CenterCrop")
        self._made["frame"] = [sides[0], sides[-1]]

    def _normalise(self, given: dict[str, Any]) -> None:
        self._made |= {"mean": list(given["mean"]), "std": list(given["std"])}

    def _sides(self, size: Any, step: str) -> list[int]:
        sides = [size] if isinstance(size, int) else list(size or [])
        if len(sides) not in (1, 2):
            raise ImportRefused(
                f"{self._path}: size {size} of {step} can't be served; expected 1 or 2 sides"
            )
        return sides


# Names of the arguments that code gives by position.
_POSITIONS = {
    "Resize": ("size", "interpolation", "max_size", "antialias"),
    "CenterCrop": ("size",),
    "Normalize": ("mean", "std"),
}


def _steps(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and arguments of each step."""
    for call in _calls(text, path):
        name = _last_name(call.func)
        arguments = dict(zip(_POSITIONS.get(name, ()), call.args, strict=False))
        arguments |= {entry.arg or "": entry.value for entry in call.keywords}
        yield name, {key: _value(argument) for key, argument in arguments.items()}


def _calls(text: str, path: Path) -> list[ast.Call]:
    # What is printed lacks commas between steps, which stand on lines of their own.
    text = re.sub(r"<function \w*rgb\w* at \w+>", "RGB()", text.strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 2 and lines[0] in ("Compose(", "ImageClassification("):
        joined = ",".join(line.rstrip(",") for line in lines[1:-1])
        text = f"{lines[0]}{joined})"
    try:
        whole = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ImportRefused(
            f"{path} is neither JSON nor a printed transform, such as Compose(…)"
        ) from error
    calls = [whole]
    if isinstance(whole, ast.Call) and _last_name(whole.func) in ("Compose", "Sequential"):
        calls = whole.args
        if len(calls) == 1 and isinstance(calls[0], ast.List | ast.Tuple):
            calls = calls[0].elts
    if not calls or not all(isinstance(call, ast.Call) for call in calls):
        raise ImportRefused(f"{path} is not a printed transform, such as Compose(…)")
    return calls  # type: ignore[return-value]


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _value(node: ast.expr) -> Any:
    """Value of an argument; of a name, its last part."""
    if isinstance(node, ast.Call) and _last_name(node.func) == "tensor":
        node = node.args[0]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _last_name(node)
