"""Places names beside points of a scatter plot so that they cover neither points nor each other."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_POINT = 7  # half the width of a marker with some air
_DISTANCES = (9, 16, 26, 40, 58, 80, 105)
_ANGLES = 16
_TIE = 8  # points that stand for a line


type Point = tuple[float, float]


class Box(NamedTuple):
    """Rectangle in points, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0) * max(height, 0)

    def holds(self, point: Point) -> bool:
        """Whether a point is inside."""
        return self.left < point[0] < self.right and self.bottom < point[1] < self.top

    def nearest(self, point: Point) -> Point:
        """Point of the box that is nearest to another point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place(
    points: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    area: Box,
    lines: Sequence[Box] = (),
) -> list[Box]:
    """Box for each point's name, of its size, inside `area`; the first get the best places.

    Each name takes the place around its point, near before far, that covers least: names and points
    hardly ever, ties from points to names seldom, lines where all else is worse. lines: upright or
    level ones.
    """
    markers = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    thick = [Box(b.left - 1, b.bottom - 1, b.right + 1, b.top + 1) for b in lines]
    placed: list[Box] = []
    ties: list[Point] = []
    for point, size in zip(points, sizes, strict=True):

        def cost(place: tuple[float, Box], point: Point = point, ties: list[Point] = ties) -> float:
            distance, box = place
            width, height = box.right - box.left, box.top - box.bottom
            crossed = sum(other.holds(at) for at in _tie(point, box) for other in placed)
            return (
                distance
                + 2 * sum(box.overlap(marker) for marker in markers)
                + 4 * sum(box.overlap(other) for other in placed)
                + 0.5 * sum(box.overlap(line) for line in thick)
                + 30 * (crossed + sum(box.holds(at) for at in ties))
                + 20 * (width * height - box.overlap(area))
            )

        best = min(_around(point, size), key=cost)[1]
        placed.append(best)
        ties.extend(_tie(point, best))
    return placed


def _tie(point: Point, box: Box) -> list[Point]:
    """Points on the way from a point to its name."""
    end_x, end_y = box.nearest(point)
    return [
        (point[0] + (end_x - point[0]) * part / _TIE, point[1] + (end_y - point[1]) * part / _TIE)
        for part in range(_TIE)
    ]


def _around(point: Point, size: tuple[float, float]) -> list[tuple[float, Box]]:
    """Boxes about a point, each touching a circle round it, with the circle's radius."""
    (x, y), (width, height) = point, size
    boxes: list[tuple[float, Box]] = []
    for distance in _DISTANCES:
        for step in range(_ANGLES):
            angle = 2 * math.pi * step / _ANGLES
            # The box's nearest point lies on the circle: to the left of it the box ends there.
            toward_x, toward_y = math.cos(angle), math.sin(angle)
            left = x + distance * toward_x - width * (1 - toward_x) / 2
            bottom = y + distance * toward_y - height * (1 - toward_y) / 2
            boxes.append((distance, Box(left, bottom, left + width, bottom + height)))
    return boxes
