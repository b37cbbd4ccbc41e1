"""What was found in a picture: samples of its digits, and where they are."""

from collections.abc import Callable
from typing import NamedTuple, Self

from classifier.image.pixels import Part
from classifier.prepare.encoding import Sample


class Located(NamedTuple):
    """Samples of a picture and where they come from.

    boxes: of each sample; empty where the whole picture was taken. others: digits beside the one
    that was asked for. scores: how sure the finder is of each sample, 0.0 to 1.0; 0.0 where it saw
    something, but no digit. Empty, as 1.0 for each, where it had no choice. instead: the next
    digit, in case the reader rejects the one that was asked for.
    """

    samples: list[Sample]
    boxes: list[Part] = []  # noqa: RUF012 - never changed
    others: int = 0
    scores: list[float] = []  # noqa: RUF012 - as above
    instead: "Located | None" = None

    def score_of(self, index: int) -> float:
        """How sure the finder is of a sample."""
        return self.scores[index] if self.scores else 1.0

    def placed(self, place: Callable[[Part], Part]) -> Self:
        """The same elsewhere: each box is put in its place."""
        return self._replace(
            boxes=[place(box) for box in self.boxes],
            instead=self.instead and self.instead.placed(place),
        )
