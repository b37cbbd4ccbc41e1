"""A page while it is drawn: what is written on it, and what the finder is to say of that."""

import numpy as np

from model_build.finding.shapes import SIDE, Box, Floats


class Sheet:
    """A page that is being written on.

    width, height: in pixels; is_close: whether it is a second look, at one digit or at something
    else in its place; area: where there is paper to write on. All planes are float32 [96, 96] of 0
    to 1: ink and other_ink as they show; digit, middle and other are what the finder is to say.
    digits: label, and the row and column of the middle in cells of 2 x 2 pixels.
    """

    def __init__(self, width: int, height: int, *, is_close: bool) -> None:
        self.width, self.height, self.is_close = width, height, is_close
        self.area = Box(0, 0, width, height)
        self.digits: list[tuple[int, float, float]] = []
        planes = np.zeros((5, SIDE, SIDE), np.float32)
        self.ink, self.other_ink, self.digit, self.middle, self.other = planes

    @property
    def side(self) -> int:
        """The shorter of its sides."""
        return min(self.width, self.height)

    def add_other(self, coverage: Floats) -> None:
        """Add other writing wherever there are no digits yet."""
        free = coverage * (self.digit < 0.1)
        np.maximum(self.other_ink, free, out=self.other_ink)
        np.maximum(self.other, free, out=self.other)

    def add_mark(self, coverage: Floats) -> None:
        """Add what is neither a digit nor writing of its own, as a ring around a digit."""
        np.maximum(self.other_ink, coverage, out=self.other_ink)
