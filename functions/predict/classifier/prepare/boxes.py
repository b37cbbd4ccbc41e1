"""Boxes on pictures: Parts, their parts and surroundings, and how much of two is common."""

import math

from classifier.image.pixels import Part, Pixels

_CLOSE_SHARE = 0.62  # of the longer side that a digit takes when it is looked at again
_SAME = 0.4  # of the smaller of two boxes: as much within the other is the same digit
_MOSTLY = 0.6  # of a box


def window(box: Part, shape: tuple[int, ...], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of an array [H, W, …] that a box touches, and a margin."""
    height, width = shape[:2]
    return (
        slice(max(int(box.top * height) - margin, 0), math.ceil(box.bottom * height) + margin),
        slice(max(int(box.left * width) - margin, 0), math.ceil(box.right * width) + margin),
    )


def within(box: Part, part: Part) -> Part:
    """A box of a part of the picture, as a box of the picture."""
    height, width = part.bottom - part.top, part.right - part.left
    return Part(
        part.top + box.top * height,
        part.top + box.bottom * height,
        part.left + box.left * width,
        part.left + box.right * width,
    )


def of_part(box: Part, part: Part) -> Part:
    """A box of the picture, as a box of a part of it: the inverse of `within`."""
    height, width = part.bottom - part.top, part.right - part.left
    return Part(
        (box.top - part.top) / height,
        (box.bottom - part.top) / height,
        (box.left - part.left) / width,
        (box.right - part.left) / width,
    )


def around(box: Part, pixels: Pixels, least: float = 0.0) -> Part:
    """A square around a box, as far as the picture goes, in which the digit fills a good part.

    least: share of the picture's longer side that the digit is assumed to have.
    """
    height, width, _ = pixels.shape
    half = max(*sides(box, pixels), least * max(height, width)) / _CLOSE_SHARE / 2
    row, column = (box.top + box.bottom) / 2 * height, (box.left + box.right) / 2 * width
    return Part(
        max(row - half, 0) / height,
        min(row + half, height) / height,
        max(column - half, 0) / width,
        min(column + half, width) / width,
    )


def sides(box: Part, pixels: Pixels) -> tuple[float, float]:
    """Height and width of a box in pixels."""
    height, width, _ = pixels.shape
    return (box.bottom - box.top) * height, (box.right - box.left) * width


def cut(pixels: Pixels, part: Part) -> Pixels:
    """What a picture [H, W, C] shows in a part."""
    return pixels[window(part, pixels.shape)]


def overlap(first: Part, second: Part) -> float:
    """Common area of two boxes by the area that they cover together."""
    common = _common(first, second)
    return common / max(_area(first) + _area(second) - common, 1e-9)


def is_same(first: Part, second: Part) -> bool:
    """Whether two boxes are of the same digit: much of the smaller lies within the other."""
    return _common(first, second) > _SAME * min(_area(first), _area(second))


def is_in(first: Part, second: Part) -> bool:
    """Whether most of a box lies in another."""
    return _common(first, second) > _MOSTLY * _area(first)


def _common(first: Part, second: Part) -> float:
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    width = min(first.right, second.right) - max(first.left, second.left)
    return max(height, 0.0) * max(width, 0.0)


def _area(box: Part) -> float:
    return (box.bottom - box.top) * (box.right - box.left)
