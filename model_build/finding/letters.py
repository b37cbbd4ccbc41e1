"""Letters and signs, as if written by hand: none of them is shaped like a digit."""

import numpy as np
from PIL import Image, ImageDraw

from model_build.finding.shapes import FONTS, Generator, fonts
from model_build.finding.strokes import Strokes, trace
from model_build.training.augment import Strength, warp

SIGNS = list("ABCDEFGHJKLMNPQRTUVWXYabcdefhkmnprtuvwxy&?!%$#@+=*/ÄßçΔΣΨЖЯ")
SIGNS_AND_DIGITS = [*"ABCDEFGHabcdefgh", *"0123456789" * 2]  # as in captions

_BOX = 20  # pixels of the longer side, as that of MNIST's digits
_BENT = Strength(rotation=6, elastic=1.6)


def letters(generator: Generator, count: int = 900) -> Strokes:
    """Draw signs with fonts, each as often as the others, and bend them as hands do.

    Their label is -1, and fewer than `count` come back where `trace` leaves some out.
    """
    drawn = np.zeros((count, 28, 28), np.uint8)
    for index in range(count):
        sign = SIGNS[index % len(SIGNS)]
        font = fonts(26)[int(generator.integers(len(FONTS)))]
        drawing = Image.new("L", (56, 56))
        ImageDraw.Draw(drawing).text((28, 28), sign, fill=255, font=font, anchor="mm")
        box = drawing.getbbox()
        if box is None:
            continue
        scale = _BOX / max(box[2] - box[0], box[3] - box[1])
        width, height = (max(1, round((box[i + 2] - box[i]) * scale)) for i in (0, 1))
        sample = drawing.crop(box).resize((width, height), Image.Resampling.BICUBIC)
        top, left = 14 - height // 2, 14 - width // 2
        drawn[index, top : top + height, left : left + width] = np.asarray(sample)
    bent = warp(drawn.astype(np.float32) / np.float32(255), generator, _BENT)
    return trace(np.rint(np.clip(bent, 0, 1) * 255).astype(np.uint8), np.full(count, -1))
