"""Draw the gallery in docs/preprocessing.md, or measure accuracy on hard pictures.

    python -m tools.gallery               writes docs/images/preprocessing-gallery.png
    python -m tools.gallery --shares 150  prints the accuracy on each kind of picture

Runs the function's own code with the production model in build/model-store. The gallery shows
held-out digits; the accuracy is measured on digits by writers who are not in MNIST. Both are
deterministic.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from classifier.image import pixels
from classifier.prepare import pipeline
from model_build.data.datasets import load_mnist_5k, load_other_writers
from tools.hard_pictures import HARD, photo, small, tiny_jpeg, tiny_png

PROJECT = Path(__file__).resolve().parent.parent
GALLERY = PROJECT / "docs" / "images" / "preprocessing-gallery.png"
STORE = f"file://{PROJECT}/build/model-store"

# Kind of hard picture: its caption, and the index of the held-out digit that it is drawn from.
EXAMPLES = {
    "uneven": ("light falls off by half", 410),
    "pencil": ("a faint pencil", 520),
    "chalk": ("chalk on a blackboard", 210),
    "specks": ("specks", 930),
    "touching": ("touches the border", 640),
    "squared": ("squared paper", 720),
    "askew": ("ruled paper, askew", 345),
    "small": ("60 pixels on a page of 2,000", 530),
    "turned": ("stored on its side, with EXIF", 420),
    "white_on_transparency": ("white ink on transparency", 810),
    "sixteen_bit": ("16 bits a pixel, faint", 30),
    "cmyk": ("CMYK", 110),
}
_CELL, _SIDE, _SCALE, _COLUMNS = (296, 190), 150, 4, 4  # pixels; 28 x 28 is enlarged by _SCALE
_LARGE = {draw.__name__ for draw in (photo, small, tiny_jpeg, tiny_png)}  # slow to draw

type Read = Callable[[bytes], tuple[NDArray[np.uint8], int]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the gallery, or print the accuracy."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--shares", type=int, metavar="N", help="measure accuracy on N digits instead"
    )
    options = parser.parse_args(arguments)
    if options.shares:
        for line in shares(options.shares):
            print(line, flush=True)
        return
    picture = gallery()
    GALLERY.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, Image.Quantize.FASTOCTREE).save(GALLERY, optimize=True)
    print(f"wrote {GALLERY.relative_to(PROJECT)}, {GALLERY.stat().st_size // 1024} KiB")


@cache
def reader() -> Read:
    """Return a function from an image file to its sample [H, W], made by `auto`, and its class.

    Raises ModelUnavailable if build/model-store has no model.
    """
    from classifier.model import session, store  # noqa: PLC0415 - onnxruntime takes a second

    model = session.load(store.open_store(STORE), "mnist", "production")

    def read(file: bytes) -> tuple[NDArray[np.uint8], int]:
        picture = pixels.Picture(file)
        sample = pipeline.sample(model.preprocess, picture, "auto")
        return sample, int(model.probabilities(model.encode(sample[np.newaxis])).argmax())

    return read


def examples() -> Iterator[tuple[str, bytes, int]]:
    """The pictures in the gallery: kind, image file, and the true digit."""
    mnist = load_mnist_5k()
    for name, (_, index) in EXAMPLES.items():
        digit = mnist.test_images[index, 4:24, 4:24]  # the 20 x 20 box, without its margin
        file = HARD[name](digit, np.random.default_rng(index))
        yield name, file, int(mnist.test_labels[index])


def gallery() -> Image.Image:
    """Each picture of `examples` beside the sample that the model sees, and the answer."""
    read = reader()
    rows = -(-len(EXAMPLES) // _COLUMNS)
    sheet = Image.new("RGB", (_CELL[0] * _COLUMNS, _CELL[1] * rows), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, (name, file, _) in enumerate(examples()):
        row, column = divmod(index, _COLUMNS)
        left, top = column * _CELL[0] + 10, row * _CELL[1] + 8
        sample, answer = read(file)
        height, width = sample.shape
        enlarged = Image.fromarray(sample).resize(
            (width * _SCALE, height * _SCALE), Image.Resampling.NEAREST
        )
        sheet.paste(_thumbnail(file), (left, top))
        sheet.paste(enlarged, (left + _SIDE + 10, top))
        pen.rectangle((left - 1, top - 1, left + _SIDE, top + _SIDE), outline="silver")
        pen.text((left + _SIDE + 10, top + enlarged.height + 8), f"answer {answer}", "black", font)
        pen.text((left, top + _SIDE + 4), EXAMPLES[name][0], "black", font)
    return sheet


def _thumbnail(file: bytes) -> Image.Image:
    """The file as stored, without its EXIF orientation; transparency shows a checkerboard."""
    image: Image.Image = Image.open(io.BytesIO(file))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    image = image.convert("RGBA")
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    checks = np.kron(np.indices((15, 15)).sum(axis=0) % 2, np.ones((10, 10))) * 40 + 120
    board = Image.fromarray(checks.astype(np.uint8)).resize(image.size).convert("RGBA")
    return Image.alpha_composite(board, image).convert("RGB")


def shares(count: int) -> Iterator[str]:
    """Accuracy on `count` digits for each kind of hard picture, as the lines of a Markdown table.

    Large pictures use a tenth of the digits. A picture that is refused counts as wrong.
    """
    from classifier.errors import PredictError  # noqa: PLC0415 - the function's, as above

    read = reader()
    digits, labels = load_other_writers()
    chosen = np.random.default_rng(7).permutation(len(labels))
    yield "| picture | right | of |"
    yield "| --- | --- | --- |"
    for name, draw in HARD.items():
        indices = chosen[: max(count // 10, 1) if name in _LARGE else count]
        generator = np.random.default_rng(3)
        right = 0
        for index in indices:
            try:
                right += read(draw(digits[index], generator))[1] == labels[index]
            except PredictError:
                continue
        share = f"{right / len(indices):.1%} | {len(indices)}"
        yield f"| {(draw.__doc__ or name).rstrip('.')} | {share} |"


if __name__ == "__main__":
    main()
