"""Draw pictures of a digit that are hard to read, of the kinds that users send.

They show what `preprocess=auto` promises: `tools/gallery.py` draws them and measures accuracy.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

type Digit = NDArray[np.uint8]
type Light = NDArray[np.float32]
type Draw = Callable[[Digit, np.random.Generator], bytes]

_PENS = ((20, 20, 25), (25, 45, 140), (170, 30, 35), (30, 110, 60), (85, 85, 90), (120, 60, 150))
_PAPERS = ((255, 255, 255), (248, 246, 240), (235, 232, 222), (225, 232, 240), (250, 243, 200))
_RULES = ((150, 180, 220), (200, 150, 150), (160, 160, 160))
_GREY, _WHITE = (175, 175, 178), (255, 255, 255)
_EXIF_ORIENTATION = 0x0112


def ruled(digit: Digit, generator: np.random.Generator) -> bytes:
    """Ruled paper."""
    return _jpeg(_noisy(_written(digit, generator, page=_lined(generator)), generator))


def squared(digit: Digit, generator: np.random.Generator) -> bytes:
    """Squared paper."""
    page = _lined(generator, squares=True)
    return _jpeg(_noisy(_written(digit, generator, page=page), generator))


def askew(digit: Digit, generator: np.random.Generator) -> bytes:
    """Ruled paper, askew by up to 2.5 degrees."""
    page = _lined(generator, degrees=generator.uniform(-2.5, 2.5))
    return _jpeg(_noisy(_written(digit, generator, page=page), generator))


def small(digit: Digit, generator: np.random.Generator) -> bytes:
    """60 pixels on a page of 2,000, PNG."""
    page = _sheet(generator, 2000)
    return _png(_noisy(_written(digit, generator, size=60, page=page), generator, 2))


def tiny_png(digit: Digit, generator: np.random.Generator) -> bytes:
    """20 pixels on a page of 4,000, PNG."""
    return _png(_written(digit, generator, size=20, page=_sheet(generator, 4000)))


def tiny_jpeg(digit: Digit, generator: np.random.Generator) -> bytes:
    """20 pixels on a page of 4,000, JPEG."""
    page = _written(digit, generator, size=20, page=_sheet(generator, 4000))
    return _jpeg(_noisy(page, generator, 2))


def pencil(digit: Digit, generator: np.random.Generator) -> bytes:
    """Faint grey pencil."""
    return _jpeg(_noisy(_written(digit, generator, pen=_GREY), generator))


def touching(digit: Digit, generator: np.random.Generator) -> bytes:
    """A digit that touches the border."""
    page = _sheet(generator, 200)
    return _jpeg(_noisy(_written(digit, generator, size=200, page=page), generator))


def specks(digit: Digit, generator: np.random.Generator) -> bytes:
    """Specks all over the page."""
    picture = _written(digit, generator, pen=_PENS[0])
    for _ in range(15):
        row, column = generator.integers(0, 396, 2)
        picture[row : row + 3, column : column + 3] = _PENS[0]
    return _jpeg(_noisy(picture, generator))


def chalk(digit: Digit, generator: np.random.Generator) -> bytes:
    """Chalk on a blackboard."""
    board = np.full((400, 400, 3), (40, 60, 50), dtype=np.float32)
    return _jpeg(_noisy(_written(digit, generator, pen=(240, 240, 230), page=board), generator))


def uneven(digit: Digit, generator: np.random.Generator) -> bytes:
    """Light that falls off by half across the page."""
    across = np.add.outer(np.linspace(0, 0.7, 400), np.linspace(0, 0.3, 400)).astype(np.float32)
    light = 1 - 0.5 * across[:, :: generator.choice((-1, 1)), np.newaxis]
    return _jpeg(_noisy(_written(digit, generator) * light, generator))


def shadow(digit: Digit, generator: np.random.Generator) -> bytes:
    """The edge of a shadow across the page."""
    angle, offset = generator.uniform(0, 2 * np.pi), generator.uniform(-100, 100)
    row, column = np.mgrid[:400, :400]
    away = np.cos(angle) * (column - 200) + np.sin(angle) * (row - 200) - offset
    light = 1 - 0.35 / (1 + np.exp(-away / 6))
    return _jpeg(_noisy(_written(digit, generator) * light[:, :, np.newaxis], generator))


def white_on_transparency(digit: Digit, generator: np.random.Generator) -> bytes:
    """White ink on transparency, as a drawing app exports it."""
    drawing = np.full((400, 400, 4), 255, dtype=np.uint8)
    drawing[:, :, 3] = np.rint(255 * _coverage(digit, generator, 400))
    return _file(Image.fromarray(drawing), "PNG")


def black_on_transparency(digit: Digit, generator: np.random.Generator) -> bytes:
    """Black ink on transparency."""
    drawing = np.zeros((400, 400, 4), dtype=np.uint8)
    drawing[:, :, 3] = np.rint(255 * _coverage(digit, generator, 400))
    return _file(Image.fromarray(drawing), "PNG")


def cmyk(digit: Digit, generator: np.random.Generator) -> bytes:
    """CMYK, as print shops use it."""
    picture = _stored(_noisy(_written(digit, generator), generator))
    return _file(picture.convert("CMYK"), "JPEG", quality=90)


def one_bit(digit: Digit, generator: np.random.Generator) -> bytes:
    """One bit per pixel, as a fax."""
    ink = _coverage(digit, generator, 400) < 0.5
    return _file(Image.fromarray(np.where(ink, 255, 0).astype(np.uint8)).convert("1"), "TIFF")


def sixteen_bit(digit: Digit, generator: np.random.Generator) -> bytes:
    """16 bits per pixel, faint, using half of the range."""
    light = 30000 - 9000 * _coverage(digit, generator, 400) + generator.normal(0, 300, (400, 400))
    return _file(Image.fromarray(light.astype(np.uint16)), "PNG")


def palette(digit: Digit, generator: np.random.Generator) -> bytes:
    """A palette of eight colours, GIF."""
    return _file(_stored(_written(digit, generator)).quantize(8), "GIF")


def turned(digit: Digit, generator: np.random.Generator) -> bytes:
    """Stored on its side, with the EXIF orientation that says so."""
    stored = _stored(_noisy(_written(digit, generator), generator))
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    return _file(stored.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)


def photo(digit: Digit, generator: np.random.Generator) -> bytes:
    """A photo of 12 megapixels under uneven light."""
    page = _sheet(generator, 4000)[:3000]
    picture = _written(digit, generator, size=int(generator.integers(300, 1500)), page=page)
    picture *= np.linspace(1, 0.7, 4000, dtype=np.float32)[:, np.newaxis]
    return _jpeg(_noisy(picture, generator))


HARD: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        uneven, pencil, chalk, specks, touching, ruled, squared, askew, small, tiny_png, tiny_jpeg,
        photo, turned, black_on_transparency, white_on_transparency, palette, one_bit, sixteen_bit,
        cmyk, shadow,
    )
}  # fmt: skip


def _sheet(generator: np.random.Generator, side: int = 400) -> Light:
    return np.full((side, side, 3), generator.choice(_PAPERS), dtype=np.float32)


def _lined(generator: np.random.Generator, *, squares: bool = False, degrees: float = 0.0) -> Light:
    """Sheet [400, 400, 3] with printed lines, 24 to 60 pixels apart."""
    page = _stored(_sheet(generator))
    pen = ImageDraw.Draw(page)
    colour = _RULES[generator.integers(len(_RULES))]
    gap = int(generator.integers(24, 60))
    rise = 400 * float(np.tan(np.deg2rad(degrees)))
    for start in range(-400 + int(generator.integers(gap)), 800, gap):
        width = int(generator.integers(1, 3))
        pen.line([(0, start), (400, start + rise)], fill=colour, width=width)
        if squares:
            pen.line([(start, 0), (start - rise, 400)], fill=colour, width=1)
    return np.asarray(page, dtype=np.float32)


def _coverage(digit: Digit, generator: np.random.Generator, side: int) -> Light:
    """The digit's ink [side, side], 0 to 1, at a random position."""
    coverage = np.zeros((side, side), dtype=np.float32)
    window, ink = _placed(digit, generator, side, side)
    coverage[window] = ink
    return coverage


def _placed(
    digit: Digit, generator: np.random.Generator, height: int, width: int, size: int | None = None
) -> tuple[tuple[slice, slice], Light]:
    """A random window on a page, by default 30 to 60 % of its height, and the ink in it."""
    size = size or int(height * generator.uniform(0.3, 0.6))
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    top, left = generator.integers(0, (height - size + 1, width - size + 1))
    window = (slice(top, top + size), slice(left, left + size))
    return window, np.asarray(large, dtype=np.float32) / np.float32(255)


def _written(
    digit: Digit,
    generator: np.random.Generator,
    *,
    size: int | None = None,
    pen: tuple[int, int, int] | None = None,
    page: Light | None = None,
) -> Light:
    """Write on a page [H, W, 3]; by default with a random pen on random paper of 400 pixels."""
    page = _sheet(generator) if page is None else page
    colour = np.array(pen or generator.choice(_PENS), dtype=np.float32)
    window, ink = _placed(digit, generator, page.shape[0], page.shape[1], size)
    written = page.copy()
    written[window] += ink[:, :, np.newaxis] * (colour - page[window])
    return written


def _noisy(light: Light, generator: np.random.Generator, deviation: float = 3) -> Light:
    noise = generator.standard_normal((*light.shape[:2], 1), dtype=np.float32)
    return light + deviation * noise


def _stored(light: Light) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(light, 0, 255)).astype(np.uint8))


def _jpeg(light: Light) -> bytes:
    return _file(_stored(light), "JPEG", quality=90)


def _png(light: Light) -> bytes:
    return _file(_stored(light), "PNG", compress_level=1)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
