"""Place labels beside the points of a scatter plot so that they cover neither points nor labels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_POINT = 7  # half the width of a marker, with a margin
_DISTANCES = (9, 16, 26, 40, 58, 80, 105)
_ANGLES = 16
_LEADER_POINTS = 8  # points that represent a leader line


type Point = tuple[float, float]


class Box(NamedTuple):
    """Rectangle in points, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Area of the intersection."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0) * max(height, 0)

    def holds(self, point: Point) -> bool:
        """Whether a point is inside."""
        return self.left < point[0] < self.right and self.bottom < point[1] < self.top

    def nearest(self, point: Point) -> Point:
        """Point of the box nearest to another point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place(
    points: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    area: Box,
    lines: Sequence[Box] = (),
) -> list[Box]:
    """Box for each point's label, of its size, inside `area`; the first labels get the best boxes.

    Each label gets the box around its point, near before far, that covers least: labels and points
    almost never, leader lines from points to labels rarely, lines if everything else is worse.
    lines: vertical or horizontal ones.
    """
    markers = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    thick = [Box(b.left - 1, b.bottom - 1, b.right + 1, b.top + 1) for b in lines]
    placed: list[Box] = []
    leaders: list[Point] = []
    for point, size in zip(points, sizes, strict=True):

        def cost(
            candidate: tuple[float, Box], point: Point = point, leaders: list[Point] = leaders
        ) -> float:
            distance, box = candidate
            width, height = box.right - box.left, box.top - box.bottom
            crossed = sum(other.holds(spot) for spot in _leader(point, box) for other in placed)
            return (
                distance
                + 2 * sum(box.overlap(marker) for marker in markers)
                + 4 * sum(box.overlap(other) for other in placed)
                + 0.5 * sum(box.overlap(line) for line in thick)
                + 30 * (crossed + sum(box.holds(spot) for spot in leaders))
                + 20 * (width * height - box.overlap(area))
            )

        best = min(_around(point, size), key=cost)[1]
        placed.append(best)
        leaders.extend(_leader(point, best))
    return placed


def _leader(point: Point, box: Box) -> list[Point]:
    """Points on the line from a point to its label."""
    end_x, end_y = box.nearest(point)
    shares = [step / _LEADER_POINTS for step in range(_LEADER_POINTS)]
    return [
        (point[0] + (end_x - point[0]) * share, point[1] + (end_y - point[1]) * share)
        for share in shares
    ]


def _around(point: Point, size: tuple[float, float]) -> list[tuple[float, Box]]:
    """Boxes around a point, each with its distance from it."""
    (x, y), (width, height) = point, size
    boxes: list[tuple[float, Box]] = []
    for distance in _DISTANCES:
        for step in range(_ANGLES):
            angle = 2 * math.pi * step / _ANGLES
            # The box's nearest point lies on the circle: a box to the left ends there.
            toward_x, toward_y = math.cos(angle), math.sin(angle)
            left = x + distance * toward_x - width * (1 - toward_x) / 2
            bottom = y + distance * toward_y - height * (1 - toward_y) / 2
            boxes.append((distance, Box(left, bottom, left + width, bottom + height)))
    return boxes
