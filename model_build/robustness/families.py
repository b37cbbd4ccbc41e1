"""All families of pictures with one legible digit, by group."""

from collections.abc import Mapping

from model_build.finding.strokes import Strokes
from model_build.robustness import conditions, ordinary, surroundings
from model_build.robustness.drawing import Digit, Generator
from model_build.robustness.ordinary import Draw

GROUPS: Mapping[str, Mapping[str, Draw]] = {
    "plain paper": ordinary.PLAIN,
    "uneven light": ordinary.LIGHT,
    "ruled and squared paper": ordinary.RULED,
    "boards and screens": ordinary.SCREENS,
    "unusual lines": ordinary.LINES,
    "the sheet lies on something": surroundings.LIES_ON_SOMETHING,
    "something touches the border": surroundings.TOUCHES_THE_BORDER,
    "other marks": surroundings.OTHER_MARKS,
    "shadows with an edge": conditions.SHADOWS,
    "small files": conditions.SMALL_FILES,
    "noise and faint ink": conditions.NOISE,
    "size and shape": conditions.SIZES,
}


def draw(family: Draw, strokes: Strokes, index: int, generator: Generator) -> bytes:
    """Draw a digit of `strokes` as a picture of a family: the bytes of a PNG or JPEG file."""
    return family(Digit(strokes.images[index], strokes.distances[index]), generator)
