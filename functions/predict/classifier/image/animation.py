"""Animations → the frame to read: a drawing that was recorded starts with an empty page."""

from PIL import Image

from classifier.image.limits import Allowance

FORMATS = ("GIF", "PNG", "WEBP")
_MAX_FRAMES = 50  # are looked at


def seek_content(image: Image.Image, allowance: Allowance) -> None:
    """Go on to the first frame of an animation that is not all of one colour, if there is one."""
    for frame in range(1, _MAX_FRAMES):
        if not _is_empty(image):
            return
        try:
            image.seek(frame)
        except EOFError:
            return
        allowance.take_pixels(*image.size)
        image.load()


def _is_empty(image: Image.Image) -> bool:
    """Whether an image is all of one colour, or transparent."""
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    is_transparent = image.mode in ("RGBA", "LA") and bands[-1][1] == 0
    return is_transparent or all(low == high for low, high in bands)
