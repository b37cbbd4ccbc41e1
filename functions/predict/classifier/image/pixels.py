"""Bytes → pixels: an encoded image becomes an array, checked before it is decoded."""

import io
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.errors import TooLarge, UnreadableImage
from classifier.image import animation, formats, jpeg, structure
from classifier.image.limits import MAX_PIXELS, Allowance
from classifier.image.samples import Scale, brightened, raw_pixels

type Pixels = NDArray[np.uint8] | NDArray[np.float32]

WORKING_SIDE = 640  # enough for a digit's shape; larger pictures are reduced
_DRAFT_SIDE = 256  # minimum when a JPEG's decoder reduces it
_PART_SIDE = 128  # of a part that is loaded in detail
_BAND = 64  # rows of the result computed at a time
_PAGE_SIDE = 96  # pixels that tell light ink from dark ink
_LIGHT = 0.8  # of white; ink at least this light would be lost on white

# What Pillow's decoders raise on damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    SystemError,
    struct.error,
)
_EXIF_ORIENTATION = 0x0112
# How to undo each EXIF orientation of [H, W, C]: step of the rows, step of the columns, and
# whether to then swap both (Exif 2.3, section 4.6.4).
_TURNS: dict[Any, tuple[int, int, bool]] = {
    2: (1, -1, False),
    3: (-1, -1, False),
    4: (-1, 1, False),
    5: (1, 1, True),
    6: (-1, 1, True),
    7: (-1, -1, True),
    8: (1, -1, True),
}
# The same by Pillow.
_TRANSPOSES: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Part(NamedTuple):
    """Part of a picture, its edges as shares, 0 to 1, of the upright picture's height and width."""

    top: float
    bottom: float
    left: float
    right: float


type DetailLoader = Callable[[Part], Pixels | None]


class Picture:
    """A decoded image file: the whole at a working size, and any part of it in more detail.

    pixels: [H, W, C], C 1 (grey) or 3 (RGB), 0 to 255; uint8, or float32 if the file has more
    than 8 bits per sample. EXIF orientation is undone, samples of more bits are scaled, and one
    frame of an animation is read (`animation.py`). Transparency is put on white, or on black under
    light ink.
    An image whose longer side is over `WORKING_SIDE` is reduced by averaging to at most twice that
    side; a JPEG by its own decoder, much faster, to at least `_DRAFT_SIDE`.
    is_whole: nothing is reduced, and there is `image` instead of `pixels`: the upright picture in
    mode L or RGB, 8 bits per sample.
    edges: its first and last row [2, W, C], 0 to 255.
    size: height and width of the upright picture, in pixels of the file.
    allowance: what is left of the request's limits.

    Raises UnsupportedMediaType for an unsupported format; TooLarge, before decoding, for an image
    over 16 megapixels or over the allowance; and UnreadableImage for bytes that are not a complete
    image.
    """

    def __init__(
        self,
        data: bytes,
        *,
        is_whole: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        allowance = allowance or Allowance()
        with _refusals():
            name = formats.require(data).name
            whole = _readable(data, name)
            allowance.take_work(structure.work(whole, name))
            if name == "JPEG":  # whose segments are few enough to go over them again
                whole = jpeg.with_end(data)
            self._data = whole
            self._is_cut = name == "JPEG" and whole is not data
            image = _open(whole)
            allowance.take_pixels(*image.size)
            size = image.size
            full = max(size)
            shrink = 1 if is_whole else full // _DRAFT_SIDE
            if image.format == "JPEG" and shrink >= 8:
                first = jpeg.first_scans(whole)
                image = image if first is whole else _open(first)
            image = self._load(image, shrink)
            if name == "TIFF":
                from classifier.image import tiff  # noqa: PLC0415 - as in structure.py

                for page in tiff.further_pages(data):
                    if not animation.is_empty(image):
                        break
                    image = self._open_page(page, allowance)  # before it is loaded, the other goes
                    image = self._load(image, shrink)
                # Pillow turns a TIFF upright itself.
                size, full = image.size, max(image.size)
            if getattr(image, "is_animated", False) and name in animation.FORMATS:
                image = animation.content(image, allowance)
            if whole is not data and name == "AVIF":
                animation.refuse_empty(image)
            self._drafted = max(image.size) < full
            self._orientation = _orientation(image)  # after loading: Pillow rotates TIFFs itself
            self.size = self._upright(size)
            self._scale = Scale.of(image)
            shrink = max(1, max(image.size) // WORKING_SIDE)
            if is_whole:
                self.image = _whole(image, self._scale, self._orientation)
                self.edges = _edges(self.image)
                return
            self._image = image
            self._is_whole = shrink == 1 and not self._drafted
            self._page = None if self._scale else _page(image)
            self.pixels = self._turned(_layers(image, shrink, self._scale, self._page))
        self.edges = self.pixels[:: max(len(self.pixels) - 1, 1)]

    def detail(self, part: Part) -> Pixels | None:
        """Return a part of the picture [h, w, C] in more detail; None if `pixels` has it all.

        It is reduced by a whole factor to at most twice `_PART_SIDE`.
        """
        if self._is_whole:
            return None
        rows, columns = self._stored(part)
        with _refusals():
            if self._drafted:
                self._draft_finer(rows, columns)
            image = self._image
            width, height = image.size
            box = (
                int(columns[0] * width),
                int(rows[0] * height),
                math.ceil(columns[1] * width),
                math.ceil(rows[1] * height),
            )
            image = image.crop(box)
            shrink = max(1, max(image.size) // _PART_SIDE)
            return self._turned(_layers(image, shrink, self._scale, self._page))

    def _draft_finer(self, rows: tuple[float, float], columns: tuple[float, float]) -> None:
        """Decode a JPEG with the detail that a part needs, and keep it for other parts."""
        image = _open(self._data)
        width, height = image.size
        side = max((rows[1] - rows[0]) * height, (columns[1] - columns[0]) * width)
        shrink = max(int(side) // _PART_SIDE, 1)
        if shrink < round(max(image.size) / max(self._image.size)):
            self._image = self._load(image, shrink)

    def _load(self, image: Image.Image, shrink: int) -> Image.Image:
        """Decode; a JPEG's own decoder reduces it by the largest of 2, 4 and 8 within `shrink`."""
        width, height = image.size
        size = (max(width // shrink, 1), max(height // shrink, 1)) if shrink > 1 else None
        image.draft(image.mode, size)
        raw = raw_pixels(image)
        image.load()
        image = brightened(image, raw, lambda: _open(self._data))
        if self._is_cut and not image.info.get("progressive"):  # which lost detail, but no rows
            other = _open(jpeg.filled(self._data))
            other.draft(image.mode, size)
            other.load()
            jpeg.restore_rows(image, other)
        if (
            image.format == "BMP"
            and image.mode == "RGBA"
            and image.getchannel("A").getbbox() is None
        ):
            return image.convert("RGB")  # from a program that leaves the fourth byte empty
        return image

    def _open_page(self, page: bytes, allowance: Allowance) -> Image.Image:
        """Open a further page of a TIFF, as its first one was."""
        self._data = _readable(page, "TIFF")
        allowance.take_work(structure.work(self._data, "TIFF"))
        image = _open(self._data)
        allowance.take_pixels(*image.size)
        return image

    def _upright(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the upright picture, from the file's width and height."""
        is_swapped = _TURNS.get(self._orientation, (1, 1, False))[2]
        return size if is_swapped else (size[1], size[0])

    def _turned(self, pixels: Pixels) -> Pixels:
        """Pixels [H, W, C] of the file's own orientation, upright."""
        rows, columns, is_swapped = _TURNS.get(self._orientation, (1, 1, False))
        pixels = pixels[::rows, ::columns]
        return pixels.swapaxes(0, 1) if is_swapped else pixels

    def _stored(self, part: Part) -> tuple[tuple[float, float], tuple[float, float]]:
        """Rows and columns of a part, as shares, in the file's own orientation."""
        rows, columns = (part.top, part.bottom), (part.left, part.right)
        down, across, is_swapped = _TURNS.get(self._orientation, (1, 1, False))
        if is_swapped:
            rows, columns = columns, rows
        return (
            rows if down > 0 else (1 - rows[1], 1 - rows[0]),
            columns if across > 0 else (1 - columns[1], 1 - columns[0]),
        )


def decode(data: bytes) -> Pixels:
    """Decode an image file into the `pixels` of a Picture; raises the same errors."""
    return Picture(data).pixels


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what Pillow raises on a client's file into the error that tells the client."""
    try:
        yield
    except MemoryError as error:
        raise TooLarge(
            "there is not enough memory to decode the image; send a smaller one"
        ) from error
    except Image.DecompressionBombError as error:  # in a part, such as a GIF's frame
        raise TooLarge(
            f"the image has too many pixels; send at most {MAX_PIXELS // 10**6} megapixels"
        ) from error
    except _DAMAGE as error:
        raise _damaged() from error


def _readable(data: bytes, name: str) -> bytes:
    """Return a file that Pillow reads as we want it: most are that already."""
    if name == "TIFF":
        from classifier.image.bigtiff import as_classic  # noqa: PLC0415 - as in structure.py

        return as_classic(data)
    if name == "PNG":
        from classifier.image.png import essential  # noqa: PLC0415 - as above

        return essential(data)
    if data[4:12] == b"ftypavis":  # an animation: its picture, not its track, which is unchecked
        return data[:8] + b"avif" + data[12:]
    return data


def _open(data: bytes) -> Image.Image:
    """Open a file whose structure was checked; nothing is decoded yet."""
    return _plugin(formats.require(data))(io.BytesIO(data), "")


@cache
def _plugin(accepted: formats.Format) -> Callable[[io.BytesIO, str], Image.Image]:
    """Return Pillow's reader of a format, imported when the first file needs it."""
    plugin = import_module(accepted.plugin)
    if accepted.name == "TIFF":
        return plugin.open_tiff  # type: ignore[no-any-return]
    return Image.OPEN[accepted.name][0]


def _damaged() -> UnreadableImage:
    return UnreadableImage(
        "the image is damaged or truncated and can't be decoded; send the whole file"
    )


def _orientation(image: Image.Image) -> Any:
    if not image.info:  # nothing but pixels
        return None
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        return None  # damaged EXIF loses the rotation, not the picture


def _layers(image: Image.Image, shrink: int, scale: Scale | None, page: str | None) -> Pixels:
    """Decoded image as [H, W, C], C 1 or 3, on its page; averaged over shrink x shrink pixels."""
    if shrink == 1:
        return _convert(image, 1, scale, page)
    # In bands, because each step makes a copy: 64 MB for 16 megapixels.
    width, height = image.size
    band = shrink * _BAND
    return np.concatenate(
        [
            _convert(image.crop((0, top, width, min(top + band, height))), shrink, scale, page)
            for top in range(0, height, band)
        ]
    )


def _convert(image: Image.Image, shrink: int, scale: Scale | None, page: str | None) -> Pixels:
    """Convert an image or a band of it."""
    if scale:
        grey = scale(image)
        return np.asarray(grey.reduce(shrink) if shrink > 1 else grey)[:, :, np.newaxis]
    image = _on_page(image, page, shrink) if page else _plain(image, shrink)
    if shrink > 1:
        image = image.reduce(shrink)
    samples = np.frombuffer(image.tobytes(), np.uint8)
    return samples.reshape(image.height, image.width, -1)


def _is_grey(image: Image.Image) -> bool:
    """Whether red, green and blue of an image of mode RGB or RGBA are the same everywhere."""
    if image.mode == "L":
        return False
    first = set(image.getpixel((0, 0))[:3])  # type: ignore[index] # which tells most photographs
    if len(first) > 1:
        return False
    red = image.getchannel("R").tobytes()
    return all(image.getchannel(band).tobytes() == red for band in "GB")


def _whole(image: Image.Image, scale: Scale | None, orientation: Any) -> Image.Image:
    """Decoded image at its full size, upright, in mode L or RGB, 8 bits per sample."""
    if scale:
        flat = Image.new("L", image.size)
        for top in range(0, image.height, _BAND):  # in bands, as in _layers
            grey = scale(image.crop((0, top, image.width, min(top + _BAND, image.height))))
            flat.paste(grey.point(lambda value: value * 1 + 0.5).convert("L"), (0, top))
    elif page := _page(image):
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, page)
        flat.paste(image, mask=image)
    elif image.mode in ("L", "RGB"):
        flat = image
    else:
        flat = image.convert("L" if image.mode == "1" else "RGB")
    turn = _TRANSPOSES.get(orientation)
    return flat if turn is None else flat.transpose(turn)


def _edges(image: Image.Image) -> Pixels:
    """First and last row of an image [2, W, C]."""
    rows = [image.crop((0, top, image.width, top + 1)) for top in (0, image.height - 1)]
    return np.stack([np.asarray(row).reshape(image.width, -1) for row in rows])


def _on_page(image: Image.Image, page: str, shrink: int) -> Image.Image:
    """An image with transparency put on a colour, then as `_plain`."""
    image = _in_rgba(image)
    box = image.getbbox() or (0, 0, 1, 1)  # around it, there is nothing but the page
    part = image.crop(box)
    part = _plain(Image.alpha_composite(Image.new("RGBA", part.size, page), part), shrink)
    flat = Image.new(part.mode, image.size, page)
    flat.paste(part, box)
    return flat


def _plain(image: Image.Image, shrink: int) -> Image.Image:
    """An image in mode L or RGB; in L where it is grey and is not reduced from here on."""
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if shrink == 1 and _is_grey(image):
        return image.getchannel(0)  # a third of the work from here on
    return image.convert("RGB") if image.mode == "RGBA" else image


def _in_rgba(image: Image.Image) -> Image.Image:
    """An image with transparency of any mode."""
    if image.mode == "La":
        image = image.convert("LA")
    return image if image.mode == "RGBA" else image.convert("RGBA")


def _page(image: Image.Image) -> str | None:
    """Colour to put an image on: black if what is on it is light, as in a drawing in white.

    None if nothing is transparent. Opaque content over more than half of the picture is a page, not
    ink. Means over a few pixels tell as much, and miss no hairline.
    """
    if not image.has_transparency_data:
        return None
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return None  # as of most canvases
    step = -(-max(image.size) // _PAGE_SIDE)
    width, height = image.size
    drawn = image.getbbox() if image.mode[-1] in "Aa" else None  # around it, all is transparent
    left, top, right, bottom = drawn or (0, 0, width, height)
    left, top = left - left % step, top - top % step
    right, bottom = min(right + -right % step, width), min(bottom + -bottom % step, height)
    band = step * _BAND  # in bands, as in _layers
    layers = np.concatenate(
        [
            np.asarray(_in_rgba(part).convert("RGBa").reduce(step))
            for part in (
                image.crop((left, start, right, min(start + band, bottom)))
                for start in range(top, bottom, band)
            )
        ]
    )
    alpha = layers[:, :, 3].astype(np.float32)
    darkest = np.minimum(np.minimum(layers[:, :, 0], layers[:, :, 1]), layers[:, :, 2])
    light = alpha[darkest >= _LIGHT * alpha].sum()
    cells = math.ceil(width / step) * math.ceil(height / step)
    is_light_ink = 0.97 * alpha.sum() < light and alpha.sum() < cells * 255 / 2
    return "black" if is_light_ink else "white"
