"""Animations → the frame to read: a drawing that was recorded starts with an empty page."""

from PIL import Image

from classifier.errors import UnreadableImage
from classifier.image.limits import Allowance

FORMATS = ("GIF", "PNG", "WEBP")
_MAX_FRAMES = 50  # are looked at
_MAX_PIXELS = 4_000_000  # of them, once one shows something: 50 frames of a canvas


def content(image: Image.Image, allowance: Allowance) -> Image.Image:
    """Return the frame of an animation to read: the first, unless it is all of one colour.

    Then it is the last that is not: a drawing that was recorded ends finished.
    """
    if not is_empty(image):
        return image
    shown = None
    width, height = image.size
    for frame in range(1, _MAX_FRAMES):
        if shown and frame * width * height > _MAX_PIXELS:
            break
        try:
            image.seek(frame)
        except EOFError:
            break
        allowance.take_pixels(width, height)
        image.load()
        if not is_empty(image):
            shown = image.copy()
    return shown or image


def refuse_empty(image: Image.Image) -> None:
    """Raise UnreadableImage for the picture of an AVIF animation if it shows nothing.

    Its frames are not read: they are in a track, whose sizes nothing here checks.
    """
    if is_empty(image):
        raise UnreadableImage(
            "the first picture of the AVIF animation is empty, and its other frames are not read; "
            "save it as GIF, PNG or WebP, or send the frame that shows the digit"
        )


def is_empty(image: Image.Image) -> bool:
    """Whether an image is all of one colour, or transparent."""
    if image.mode == "I;16B":  # of which Pillow knows no extrema
        image = image.convert("I")
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    is_transparent = image.mode in ("RGBA", "LA") and bands[-1][1] == 0
    return is_transparent or all(low == high for low, high in bands)
