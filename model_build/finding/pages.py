"""Pages with digits on them, as people photograph, draw and scan them, and where the digits are.

Everything is drawn from one generator: the same seed gives the same pages.
"""

import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model_build.finding.strokes import Strokes, trace
from model_build.training.augment import Strength, warp

SIDE = 96  # pixels of a page's longer side, as the finder sees it
_DRAWN = 2 * SIDE  # pixels at which shapes are drawn, for smooth edges
_LEAST_PEN = 0.05  # of the digit's height: a thinner line is shown to the reader as if this wide

type Floats = NDArray[np.float32]
type Generator = np.random.Generator


class Page(NamedTuple):
    """One page: what the finder is shown, and what it is to say.

    picture: uint8 [96, 96, 3]. targets: uint8 [48, 48, 3], 0 to 255: how much of each cell is a
    digit's ink, whether it lies in a digit's middle, and whether it is other writing or drawing.
    """

    picture: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    digits: list[tuple[int, float, float]]  # label, and the row and column of its middle in cells


class _Layer(NamedTuple):
    """Something that lies on the page: its coverage [96, 96] of 0 to 1, and its colour."""

    coverage: Floats
    colour: Floats


class Pens(NamedTuple):
    """What is written with: digits, and letters that are to be told from them."""

    digits: Strokes
    letters: Strokes


def draw_page(pens: Pens, generator: Generator, *, close: bool = False) -> Page:
    """Draw a page with no digit, one, or several, and whatever else lies on it.

    close: a digit, or something else in its place, fills a good part of the page: as the finder
    looks at one for the second time.
    """
    return _Drawing(pens, generator, close=close).page()


class _Drawing:
    def __init__(self, pens: Pens, generator: Generator, *, close: bool) -> None:
        self._pens, self._g, self._close = pens, generator, close
        self.digits: list[tuple[int, float, float]] = []
        wide = generator.random() < 0.4
        longer, shorter = SIDE, int(SIDE * (generator.uniform(0.2, 1) if wide and not close else 1))
        turned = generator.random() < 0.4
        self.width, self.height = (shorter, longer) if turned else (longer, shorter)
        self.digit = np.zeros((SIDE, SIDE), np.float32)
        self.core = np.zeros((SIDE, SIDE), np.float32)
        self.other = np.zeros((SIDE, SIDE), np.float32)
        self._ink = np.zeros((SIDE, SIDE), np.float32)
        self._other_ink = np.zeros((SIDE, SIDE), np.float32)

    # What is on it

    def page(self) -> Page:
        g = self._g
        sheet = self._colour()
        ink = self._ink_for(sheet)
        picture = self._ground(sheet)
        area = (0.0, 0.0, float(self.width), float(self.height))
        if g.random() < (0.1 if self._close else 0.28):
            picture, area = self._put_on_something(picture, sheet)
        if g.random() < 0.22:
            picture = self._over(picture, self._ruling(), self._shifted(sheet, 90))
        kind = g.choice(6, p=_CLOSE_KINDS if self._close else _KINDS)
        if kind == 1:
            self._single(area)
        elif kind == 5:
            self._cut_row()
        elif kind == 2:
            self._row(area)
        elif kind == 3:
            self._writing(area)
        elif kind == 4:
            self._single(area)
            self._writing(area)
        for furniture in self._furniture(area):
            picture = self._over(picture, furniture.coverage, furniture.colour)
            self.digit *= 1 - furniture.coverage
        written = np.maximum(self._ink, self._other_ink)
        picture = self._inked(picture, written, ink, sheet)
        picture = self._lit(picture)
        return Page(self._photographed(picture), self._targets(), self.digits)

    def _single(self, area: tuple[float, float, float, float]) -> None:
        left, top, right, bottom = area
        room = min(right - left, bottom - top)
        g = self._g
        if self._close:
            size = room * g.uniform(0.5, 0.95)
        else:
            size = room * (g.uniform(0.7, 1.0) if g.random() < 0.25 else g.uniform(0.12, 0.75))
        size = max(size, 9.0)
        x = g.uniform(left + size / 2, max(right - size / 2, left + size / 2 + 1e-3))
        y = g.uniform(top + size / 2, max(bottom - size / 2, top + size / 2 + 1e-3))
        if g.random() < 0.5:  # most people aim for the middle
            x, y = (x + (left + right) / 2) / 2, (y + (top + bottom) / 2) / 2
        pen = self._pen()
        self._put_digit(x, y, size, pen, g.normal(0, 8))
        if g.random() < 0.25:
            self._enclose(x, y, size)

    def _row(self, area: tuple[float, float, float, float]) -> None:
        left, top, right, bottom = area
        g = self._g
        count = int(g.integers(2, 7))
        gap = g.uniform(0.7, 1.1)
        most = min((right - left) / (count * gap + 0.1), (bottom - top) * 0.95)
        size = max(most * g.uniform(0.55, 1.0), 8.0)
        x = g.uniform(left, max(right - count * gap * size, left + 1e-3)) + gap * size / 2
        y = g.uniform(top + size / 2, max(bottom - size / 2, top + size / 2 + 1e-3))
        slope, pen = g.normal(0, 0.06), self._pen()
        for index in range(count):
            height = size * g.uniform(0.85, 1.1)
            at = y + slope * index * size + g.normal(0, 0.05) * size
            self._put_digit(x + index * gap * size, at, height, pen, g.normal(0, 6))

    def _cut_row(self) -> None:
        """A digit in the middle, and parts of those beside it."""
        g = self._g
        size = SIDE * g.uniform(0.5, 0.75)
        gap, pen = size * g.uniform(0.75, 1.05), self._pen()
        for step in (-1, 1, 0):
            if step == 0 or g.random() < 0.7:
                x = self.width / 2 + step * gap + g.normal(0, 2)
                self._put_digit(x, self.height / 2 + g.normal(0, 3), size, pen, g.normal(0, 6))

    def _pen(self) -> float:
        """Width of the stroke as a share of the digit's height."""
        g = self._g
        return float(g.uniform(0.02, 0.06) if g.random() < 0.35 else g.uniform(0.06, 0.24))

    def _put_digit(self, x: float, y: float, size: float, pen: float, angle: float) -> None:
        self._put(self._pens.digits, x, y, size, pen, angle, is_digit=True)

    def _put(
        self,
        strokes: Strokes,
        x: float,
        y: float,
        size: float,
        pen: float,
        angle: float,
        *,
        is_digit: bool,
    ) -> None:
        """Write a random sign, `size` pixels high, around a point; `pen` as in `_pen`."""
        g = self._g
        index = int(g.integers(len(strokes.images)))
        scale = size / 20  # pixels of the page for a pixel of the sample
        stretch = g.uniform(0.8, 1.15)
        shear = g.normal(0, 0.08)
        turn = math.radians(angle)
        cos, sin = math.cos(turn), math.sin(turn)
        # from the drawing's pixels to the digit's: out = A (p - centre) + 14
        a = np.array([[cos, sin], [-sin, cos]]) / (scale * 2)
        a = np.array([[1 / stretch, shear], [0, 1]]) @ a
        centre = np.array([x * 2, y * 2])
        kind = g.random()
        if kind < 0.3:
            source, cells = strokes.images[index], 28
            source = source.astype(np.float32) / 255
        else:
            source, cells = strokes.distances[index], 56
        a = a * (cells / 28)
        offset = cells / 2 - a @ centre
        reach = np.linalg.inv(a) @ np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]]) * cells / 2
        box = [*(centre + reach.min(axis=1)), *(centre + reach.max(axis=1))]
        x0, y0 = max(int(box[0]), 0) & ~1, max(int(box[1]), 0) & ~1
        x1, y1 = min(int(box[2]) + 2, 2 * self.width), min(int(box[3]) + 2, 2 * self.height)
        x1, y1 = x1 & ~1, y1 & ~1
        if x1 <= x0 or y1 <= y0:
            return
        shift = offset + a @ np.array([x0, y0])
        coefficients = (a[0, 0], a[0, 1], shift[0], a[1, 0], a[1, 1], shift[1])
        grid = Image.fromarray(source)
        if kind < 0.3:
            values = np.asarray(
                grid.transform(
                    (x1 - x0, y1 - y0),
                    Image.Transform.AFFINE,
                    coefficients,
                    Image.Resampling.BICUBIC,
                )
            )
            if g.random() < 0.6:
                edge, soft = g.uniform(0.2, 0.65), g.uniform(0.1, 0.6)
                values = (values - edge) / soft + 0.5
            ink = target = np.clip(values, 0, 1)
        else:
            distance = np.asarray(
                grid.transform(
                    (x1 - x0, y1 - y0),
                    Image.Transform.AFFINE,
                    coefficients,
                    Image.Resampling.BILINEAR,
                    fillcolor=9.0,
                )
            )
            distance = distance * scale * 2  # in pixels of the drawing
            half = max(pen * size, 0.9)
            ink = np.clip(half - distance + 0.5, 0, 1)
            target = np.clip(max(half, _LEAST_PEN * size * 2, 2.0) - distance + 0.5, 0, 1)
            if g.random() < 0.1 and half > 3:  # outlined
                line = max(g.uniform(0.12, 0.3) * half, 1.0)
                ink = np.clip(line - np.abs(distance - half + line) + 0.5, 0, 1)
            elif g.random() < 0.04:  # glowing
                ink = np.maximum(
                    ink, 0.6 * np.exp(-((distance / (half * g.uniform(1.2, 2.5))) ** 2))
                )
            if g.random() < 0.04:  # dashed or dry
                ink = ink * (g.random(ink.shape) < g.uniform(0.5, 0.9))
        written = np.argwhere(target > 0.3)
        if not len(written):
            return
        part = np.s_[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        if not is_digit:
            free = self.digit[part] < 0.1
            self._other_ink[part] = np.maximum(self._other_ink[part], _halved(ink) * free)
            self.other[part] = np.maximum(self.other[part], _halved(target) * free)
            return
        self._ink[part] = np.maximum(self._ink[part], _halved(ink))
        self.digit[part] = np.maximum(self.digit[part], _halved(target))
        low, high = written.min(axis=0) / 2, (written.max(axis=0) + 1) / 2
        middle = (low + high) / 2 + (y0 / 2, x0 / 2)
        axes = np.maximum((high - low) * 0.3, 2.2)
        rows, columns = np.ogrid[0:SIDE, 0:SIDE]
        inside = ((rows + 0.5 - middle[0]) / axes[0]) ** 2 + (
            (columns + 0.5 - middle[1]) / axes[1]
        ) ** 2 <= 1
        self.core = np.maximum(self.core, inside.astype(np.float32))
        self.digits.append((int(strokes.labels[index]), middle[0] / 2, middle[1] / 2))

    def _writing(self, area: tuple[float, float, float, float]) -> None:
        """Something that is no digit: letters, symbols, a scribble, a drawing."""
        g = self._g
        left, top, right, bottom = area
        room = min(right - left, bottom - top)
        for _ in range(1 if self._close else int(g.integers(1, 4))):
            size = room * g.uniform(0.12, 0.8)
            x, y = g.uniform(left, right), g.uniform(top, bottom)
            if self._close:
                size = room * g.uniform(0.5, 0.95)
                x, y = (left + right) / 2 + g.normal(0, 4), (top + bottom) / 2 + g.normal(0, 4)
            kind = g.random()
            if kind < 0.45:
                self._put(
                    self._pens.letters, x, y, size, self._pen(), g.normal(0, 8), is_digit=False
                )
                continue
            if kind < 0.75:
                text = "".join(g.choice(_LETTERS, size=int(g.integers(1, 2 + int(3 * g.random())))))
                mask = self._text(text, x, y, size, g.normal(0, 10))
            else:
                mask = self._scribble(x, y, size)
            mask = mask * (self.digit < 0.1)
            self._other_ink = np.maximum(self._other_ink, mask)
            self.other = np.maximum(self.other, mask)

    # Things that lie about

    def _furniture(self, area: tuple[float, float, float, float]) -> list[_Layer]:
        g = self._g
        layers: list[_Layer] = []
        kinds: list[tuple[float, Callable[[], Floats | None]]] = [
            (0.10, self._bars),
            (0.05, self._frame),
            (0.07, lambda: self._caption(area)),
            (0.05, self._status_bar),
            (0.05, self._stain),
            (0.05, self._long_thing),
            (0.04, self._finger),
            (0.04, self._neighbour),
            (0.04, self._corners),
            (0.08, self._specks),
            (0.04, self._lines),
            (0.03, self._cursor),
            (0.02, self._holes),
        ]
        for share, draw in kinds:
            if g.random() < share:
                coverage = draw()
                if coverage is None:
                    continue
                # what covers a good part of a digit is put elsewhere, or left out
                if (coverage * self.digit).sum() > 0.04 * self.digit.sum():
                    continue
                layers.append(_Layer(coverage, self._colour()))
        return layers

    def _bars(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        w, h = 2 * self.width, 2 * self.height
        for side in range(4):
            if g.random() < 0.45:
                depth = g.uniform(0.02, 0.2)
                box = (
                    (0, 0, w, h * depth),
                    (0, h * (1 - depth), w, h),
                    (0, 0, w * depth, h),
                    (w * (1 - depth), 0, w, h),
                )[side]
                draw.rectangle(box, fill=255)
        coverage = _reduced(image)
        if g.random() < 0.5:  # a title in the bar
            text = self._text(
                "".join(g.choice(_LETTERS, size=int(g.integers(3, 9)))),
                self.width / 2,
                h / 4 * g.uniform(0.1, 0.2),
                g.uniform(4, 8),
                0,
            )
            coverage = np.where(coverage > 0.5, coverage - 0.7 * text, coverage)
        return np.clip(coverage, 0, 1)

    def _frame(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        inset = g.uniform(0, 0.08) * 2 * min(self.width, self.height)
        line = max(1, round(g.uniform(0.005, 0.08) * 2 * min(self.width, self.height)))
        box = (inset, inset, 2 * self.width - 1 - inset, 2 * self.height - 1 - inset)
        radius = g.uniform(0, 30) if g.random() < 0.4 else 0
        draw.rounded_rectangle(box, radius, outline=255, width=line)
        return _reduced(image)

    def _caption(self, area: tuple[float, float, float, float]) -> Floats:
        g = self._g
        left, top, right, bottom = area
        size = max(5.0, (bottom - top) * g.uniform(0.05, 0.16))
        low = self.digit.any(axis=1)
        rows = np.flatnonzero(low)
        above = g.random() < 0.5
        y = top + size if above else bottom - size
        if len(rows):
            y = min(y, rows[0] - size * 0.7) if above else max(y, rows[-1] + size * 0.7)
        alphabet = _LETTERS if g.random() < 0.6 else _LETTERS_AND_DIGITS
        text = "".join(g.choice(alphabet, size=int(g.integers(3, 12))))
        coverage = self._text(text, g.uniform(left, right), y, size, g.normal(0, 2))
        return coverage * (self.digit < 0.05)

    def _status_bar(self) -> Floats:
        g = self._g
        size = g.uniform(4, 7)
        clock = f"{g.integers(0, 24)}:{g.integers(0, 60):02d}"
        y = size * g.uniform(0.6, 1.2)
        coverage = self._text(clock, self.width * g.uniform(0.06, 0.2), y, size, 0)
        image, draw = self._canvas()
        x, y2 = 2 * self.width * g.uniform(0.75, 0.93), 2 * y
        for bar in range(4):
            draw.rectangle((x - 16 + 4 * bar, y2 + 3 - 2 * bar, x - 14 + 4 * bar, y2 + 4), fill=255)
        draw.rectangle((x + 4, y2 - 3, x + 14, y2 + 4), outline=255)
        if g.random() < 0.6:
            half = self.width * g.uniform(0.1, 0.35)
            bottom = 2 * self.height - 2 * g.uniform(1, 4)
            draw.rectangle((self.width - half, bottom - 2, self.width + half, bottom), fill=255)
        return np.maximum(coverage, _reduced(image))

    def _stain(self) -> Floats:
        g = self._g
        x, y = g.uniform(0, self.width), g.uniform(0, self.height)
        radius = g.uniform(0.05, 0.2) * min(self.width, self.height)
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        wobble = 1 + 0.25 * g.standard_normal(3) @ np.sin(
            np.outer((1, 2, 3), angle) + g.uniform(0, 6, (3, 1))
        )
        image, draw = self._canvas()
        points = [
            (2 * (x + radius * r * math.cos(t)), 2 * (y + radius * r * math.sin(t)))
            for r, t in zip(wobble, angle, strict=True)
        ]
        if g.random() < 0.5:
            draw.polygon(points, fill=255)
        else:
            draw.line([*points, points[0]], fill=255, width=int(g.integers(2, 8)))
        return _reduced(image.filter(ImageFilter.GaussianBlur(g.uniform(0, 6)))) * np.float32(
            g.uniform(0.3, 1)
        )

    def _long_thing(self) -> Floats:
        """A pen or a ruler that comes in from an edge."""
        g = self._g
        image, draw = self._canvas()
        edge = self._on_edge()
        inside = (2 * g.uniform(0.15, 0.85) * self.width, 2 * g.uniform(0.15, 0.85) * self.height)
        draw.line(
            (*edge, *inside),
            fill=255,
            width=int(g.uniform(0.02, 0.14) * 2 * min(self.width, self.height)) + 2,
        )
        return _reduced(image)

    def _finger(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        x, y = self._on_edge()
        reach = 2 * g.uniform(0.08, 0.35) * min(self.width, self.height)
        for _ in range(int(g.integers(1, 4))):
            dx, dy = g.normal(0, 0.5, 2) * reach
            draw.ellipse(
                (x + dx - reach, y + dy - reach * 0.7, x + dx + reach, y + dy + reach * 0.7),
                fill=255,
            )
        return _reduced(image.filter(ImageFilter.GaussianBlur(g.uniform(0.5, 4))))

    def _neighbour(self) -> Floats:
        """The end of a stroke of something beyond the edge."""
        x, y = self._on_edge()
        g = self._g
        size = g.uniform(0.2, 0.5) * min(self.width, self.height)
        return self._scribble(
            x / 2 + g.normal(0, 0.3) * size, y / 2 + g.normal(0, 0.3) * size, size
        )

    def _corners(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        draw.rectangle((0, 0, 2 * self.width, 2 * self.height), fill=255)
        radius = g.uniform(0.05, 0.5) * 2 * min(self.width, self.height)
        draw.rounded_rectangle((0, 0, 2 * self.width - 1, 2 * self.height - 1), radius, fill=0)
        return _reduced(image)

    def _specks(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        for _ in range(int(g.integers(1, 8))):
            x, y, r = (
                2 * g.uniform(0, self.width),
                2 * g.uniform(0, self.height),
                g.uniform(0.5, 3.5),
            )
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return _reduced(image)

    def _lines(self) -> Floats:
        """A rule or two across, under or beside what is written; a fold."""
        g = self._g
        image, draw = self._canvas()
        for _ in range(int(g.integers(1, 4))):
            start, stop = self._on_edge(), self._on_edge()
            if g.random() < 0.5:
                level = 2 * g.uniform(0, self.height)
                start, stop = (
                    (2 * g.uniform(0, 0.4) * self.width, level),
                    (2 * g.uniform(0.6, 1) * self.width, level + g.normal(0, 3)),
                )
            draw.line((*start, *stop), fill=255, width=int(g.integers(1, 6)))
        return _reduced(image)

    def _cursor(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        x, y, s = 2 * g.uniform(0, self.width), 2 * g.uniform(0, self.height), g.uniform(8, 22)
        draw.polygon(
            [(x, y), (x, y + s), (x + 0.3 * s, y + 0.75 * s), (x + 0.7 * s, y + 0.7 * s)], fill=255
        )
        return _reduced(image)

    def _holes(self) -> Floats:
        g = self._g
        image, draw = self._canvas()
        x, r = 2 * self.width * g.uniform(0.03, 0.1), 2 * g.uniform(1.5, 4)
        for y in np.linspace(0.2, 0.8, int(g.integers(2, 5))) * 2 * self.height:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return _reduced(image)

    def _enclose(self, x: float, y: float, size: float) -> None:
        """A ring or a box around a digit, or a line under it or through it, by the same pen."""
        g = self._g
        image, draw = self._canvas()
        wide, tall = size * g.uniform(0.6, 1.05), size * g.uniform(0.6, 1.05)
        if g.random() < 0.5:
            wide = tall = max(wide, tall)
        line = int(max(1, g.uniform(0.015, 0.08) * 2 * size))
        box = (2 * (x - wide), 2 * (y - tall), 2 * (x + wide), 2 * (y + tall))
        kind = g.random()
        if kind < 0.4:
            draw.ellipse(box, outline=255, width=line)
        elif kind < 0.75:
            draw.rectangle(box, outline=255, width=line)
        elif kind < 0.85:
            level = 2 * (y + size * g.uniform(0.56, 0.7))
            draw.line(
                (2 * (x - wide * 0.7), level, 2 * (x + wide * 0.7), level + g.normal(0, 3)),
                fill=255,
                width=line,
            )
        else:
            a, b = g.uniform(-0.5, 0.5, 2) * size * 2
            draw.line(
                (2 * (x - wide * 0.8), 2 * y + a, 2 * (x + wide * 0.8), 2 * y + b),
                fill=255,
                width=line,
            )
        self._other_ink = np.maximum(self._other_ink, _reduced(image))

    def _scribble(self, x: float, y: float, size: float) -> Floats:
        g = self._g
        count = int(g.integers(4, 10))
        knots = g.uniform(-0.5, 0.5, (count, 2)) * size + (x, y)
        t = np.linspace(0, count - 1, 8 * count)
        smooth = g.random() < 0.6
        path = np.stack([np.interp(t, np.arange(count), knots[:, axis]) for axis in (0, 1)], 1)
        if smooth:
            kernel = np.ones(7) / 7
            path = np.stack(
                [np.convolve(np.pad(path[:, axis], 3, "edge"), kernel, "valid") for axis in (0, 1)],
                1,
            )
        image, draw = self._canvas()
        draw.line(
            [tuple(point) for point in (2 * path).tolist()],
            fill=255,
            width=int(max(1, g.uniform(0.03, 0.14) * size * 2)),
            joint="curve",
        )
        return _reduced(image)

    def _text(self, text: str, x: float, y: float, size: float, angle: float) -> Floats:
        g = self._g
        font = _fonts(max(6, int(2 * size)))[int(g.integers(_FONT_COUNT))]
        image, draw = self._canvas()
        draw.text((2 * x, 2 * y), text, fill=255, font=font, anchor="mm")
        if abs(angle) > 3:
            image = image.rotate(angle, Image.Resampling.BILINEAR, center=(2 * x, 2 * y))
        return _reduced(image)

    # Paper, light and camera

    def _colour(self) -> Floats:
        g = self._g
        kind = g.random()
        if kind < 0.35:
            grey = 255 - abs(g.normal(0, 25))
            colour = grey + g.normal(0, 5, 3)
        elif kind < 0.5:
            colour = abs(g.normal(0, 25)) + g.normal(0, 4, 3)
        elif kind < 0.7:
            colour = g.uniform(0, 255) + g.normal(0, 6, 3)
        else:
            colour = g.uniform(0, 255, 3)
        return np.clip(colour, 0, 255).astype(np.float32)

    def _ink_for(self, sheet: Floats) -> Floats:
        """A colour that stands out from the sheet, at times barely."""
        g = self._g
        least = 25 if g.random() < 0.2 else 70
        for _ in range(30):
            colour = self._colour()
            if abs(float((colour - sheet) @ _LUMA)) > least:
                return colour
        return (
            255 - sheet if abs(float((255 - 2 * sheet) @ _LUMA)) > 70 else np.zeros(3, np.float32)
        )

    def _shifted(self, colour: Floats, most: float) -> Floats:
        return np.clip(colour + self._g.uniform(-most, most), 0, 255).astype(np.float32)

    def _ground(self, colour: Floats) -> Floats:
        g = self._g
        ground = np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)
        kind = g.random()
        if kind < 0.25:
            ground = ground + self._cloud(g.uniform(2, 18))[:, :, np.newaxis]
        elif kind < 0.32:
            ground = ground + self._grain()[:, :, np.newaxis]
        return ground

    def _cloud(self, strength: float) -> Floats:
        nodes = int(self._g.integers(3, 20))
        noise = self._g.normal(0, strength, (nodes, nodes)).astype(np.float32)
        return np.asarray(Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    def _grain(self) -> Floats:
        """Wood or cloth: noise drawn out in one direction."""
        g = self._g
        noise = g.normal(0, g.uniform(4, 20), (int(g.integers(2, 7)), 64)).astype(np.float32)
        streaks = Image.fromarray(noise).resize((int(1.5 * SIDE),) * 2, Image.Resampling.BICUBIC)
        streaks = streaks.rotate(g.uniform(0, 180), Image.Resampling.BILINEAR)
        corner = SIDE // 4
        return np.asarray(streaks)[corner : corner + SIDE, corner : corner + SIDE]

    def _put_on_something(
        self, sheet: Floats, colour: Floats
    ) -> tuple[Floats, tuple[float, float, float, float]]:
        """The sheet lies on a desk, a screen or a tile: the rest of the picture is something else."""
        g = self._g
        under = self._colour()
        if abs(float((under - colour) @ _LUMA)) < 20:
            under = self._ink_for(colour)
        image, draw = self._canvas()
        w, h = 2 * self.width, 2 * self.height
        left, right = w * g.uniform(0, 0.3), w * (1 - g.uniform(0, 0.3))
        top, bottom = h * g.uniform(0, 0.3), h * (1 - g.uniform(0, 0.3))
        kind = g.random()
        if kind < 0.15:
            left, right = -1.0, w + 1
        elif kind < 0.3:
            top, bottom = -1.0, h + 1
        inner = (left / 2 + 2, top / 2 + 2, right / 2 - 2, bottom / 2 - 2)
        shape = g.random()
        if shape < 0.2:
            draw.ellipse((left, top, right, bottom), fill=255)
            cx, cy, rx, ry = (
                (left + right) / 4,
                (top + bottom) / 4,
                (right - left) / 4 * 0.7,
                (bottom - top) / 4 * 0.7,
            )
            inner = (cx - rx, cy - ry, cx + rx, cy + ry)
        elif shape < 0.4:
            draw.rounded_rectangle((left, top, right, bottom), g.uniform(4, 40), fill=255)
        else:
            skew = g.normal(0, 0.04 * min(w, h), (4, 2)) * (g.random() < 0.5)
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) + skew
            draw.polygon([tuple(corner) for corner in corners.tolist()], fill=255)
            inner = (inner[0] + 3, inner[1] + 3, inner[2] - 3, inner[3] - 3)
        if g.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(g.uniform(0.5, 3)))
        mask = _reduced(image)[:, :, np.newaxis]
        ground = self._ground(under)
        if g.random() < 0.15:
            ground = _photograph(g)
        inner = (
            max(inner[0], 0),
            max(inner[1], 0),
            min(inner[2], self.width),
            min(inner[3], self.height),
        )
        return ground + mask * (sheet - ground), inner

    def _ruling(self) -> Floats:
        g = self._g
        image = Image.new("L", (2 * _DRAWN, 2 * _DRAWN))
        draw = ImageDraw.Draw(image)
        step = 2 * SIDE * g.uniform(0.04, 0.25)
        line = int(g.integers(1, 4))
        squared = g.random() < 0.5
        for level in np.arange(g.uniform(0, step), 2 * _DRAWN, step).tolist():
            draw.line((0, level, 2 * _DRAWN, level), fill=255, width=line)
            if squared:
                draw.line((level, 0, level, 2 * _DRAWN), fill=255, width=line)
        angle = g.normal(0, 2) if g.random() < 0.6 else g.uniform(-90, 90)
        image = image.rotate(angle, Image.Resampling.BILINEAR)
        corner = _DRAWN // 2
        return _reduced(
            image.crop((corner, corner, corner + _DRAWN, corner + _DRAWN))
        ) * np.float32(g.uniform(0.2, 0.9))

    def _inked(self, picture: Floats, written: Floats, ink: Floats, sheet: Floats) -> Floats:
        g = self._g
        if g.random() < 0.1:  # pencil and chalk let the paper through
            written = written * np.clip(1 + self._cloud(0.35), 0.35, 1)
        if g.random() < 0.12:
            return picture + written[:, :, np.newaxis] * (ink - sheet)
        return self._over(picture, written, ink)

    @staticmethod
    def _over(picture: Floats, coverage: Floats, colour: Floats) -> Floats:
        return picture + coverage[:, :, np.newaxis] * (colour - picture)

    def _lit(self, picture: Floats) -> Floats:
        g = self._g
        light = np.ones((SIDE, SIDE), np.float32)
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE - 0.5
        if g.random() < 0.3:
            angle = g.uniform(0, 2 * np.pi)
            light *= 1 - g.uniform(0, 0.6) * (
                0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y)
            ).clip(0, 1)
        if g.random() < 0.08:
            light *= 1 - g.uniform(0.1, 0.7) * (2 * (x * x + y * y))
        if g.random() < 0.33:
            light *= 1 - g.uniform(0.2, 0.75) * self._shadow()
        if g.random() < 0.07:
            cx, cy, r = *g.uniform(-0.5, 0.5, 2), g.uniform(0.08, 0.4)
            glare = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2)[:, :, np.newaxis]
            picture = picture + glare * g.uniform(20, 110)
        return picture * light[:, :, np.newaxis]

    def _shadow(self) -> Floats:
        """A shadow of 0 to 1: of an edge, a corner, a phone, blinds."""
        g = self._g
        image, draw = self._canvas()
        w, h = _DRAWN, _DRAWN
        kind = g.random()
        if kind < 0.45:
            angle, d = g.uniform(0, 2 * np.pi), g.normal(0, 0.2) * w
            nx, ny = math.cos(angle), math.sin(angle)
            cx, cy = w / 2 + d * nx, h / 2 + d * ny
            far = 3 * w
            draw.polygon(
                [
                    (cx - far * ny, cy + far * nx),
                    (cx + far * ny, cy - far * nx),
                    (cx + far * (ny + nx), cy - far * (nx - ny)),
                    (cx - far * (ny - nx), cy + far * (nx + ny)),
                ],
                fill=255,
            )
        elif kind < 0.72:
            x, y = g.uniform(0, w), g.uniform(0, h)
            dx, dy = g.uniform(0.15, 0.8, 2) * w
            draw.rounded_rectangle(
                (x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2), g.uniform(0, 20), fill=255
            )
            image = image.rotate(g.uniform(-40, 40), Image.Resampling.BILINEAR, center=(x, y))
        else:
            step = w * g.uniform(0.08, 0.35)
            for level in np.arange(g.uniform(-step, 0), w, step).tolist():
                draw.rectangle((0, level, w, level + step * g.uniform(0.4, 0.6)), fill=255)
            image = image.rotate(g.uniform(0, 180), Image.Resampling.BILINEAR)
        return _reduced(image.filter(ImageFilter.GaussianBlur(float(g.choice((0.3, 1, 3, 8))))))

    def _photographed(self, picture: Floats) -> NDArray[np.uint8]:
        g = self._g
        picture = picture[: self.height, : self.width]
        if g.random() < 0.3:
            picture = picture * g.uniform(0.35, 1) + g.uniform(0, 40)
        noise = g.uniform(0, 5) if g.random() < 0.75 else g.uniform(5, 22)
        if g.random() < 0.6:
            picture = picture + g.normal(0, noise, picture.shape)
        elif g.random() < 0.3:
            picture = picture + g.normal(0, noise, (*picture.shape[:2], 1))
        if g.random() < 0.05:
            salt = g.random(picture.shape[:2]) < g.uniform(0, 0.12)
            picture = np.where(
                salt[:, :, np.newaxis], g.choice((0.0, 255.0), (*picture.shape[:2], 1)), picture
            )
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        if g.random() < 0.2:
            image = image.convert("L").convert("RGB")
        if g.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(g.uniform(0.2, 1.6)))
        if g.random() < 0.2:  # a small file, enlarged
            largest = float(self.digit.any(axis=1).sum())
            least = min(1.0, 8 / max(largest, 8))
            share = g.uniform(max(least, 0.1), 1)
            small = max(3, round(self.width * share)), max(3, round(self.height * share))
            image = image.resize(small, Image.Resampling.BOX).resize(
                (self.width, self.height), Image.Resampling(int(g.choice((0, 2, 3))))
            )
        if g.random() < 0.2:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=int(g.integers(25, 95)))
            image = Image.open(file)
        if g.random() < 0.03:  # a threshold scan
            image = (
                image.convert("L")
                .point(lambda level, at=g.uniform(80, 180): 255 * (level > at))
                .convert("RGB")
            )
        pixels = np.asarray(image)
        down, across = SIDE - self.height, SIDE - self.width
        return np.pad(pixels, ((0, down), (0, across), (0, 0)), mode="edge")

    def _targets(self) -> NDArray[np.uint8]:
        planes = np.stack([self.digit, self.core, self.other], axis=2)
        planes[self.height :] = 0
        planes[:, self.width :] = 0
        halved = planes.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
        return np.rint(np.clip(halved, 0, 1) * 255).astype(np.uint8)

    # Drawing

    def _canvas(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (_DRAWN, _DRAWN))
        return image, ImageDraw.Draw(image)

    def _on_edge(self) -> tuple[float, float]:
        """A point on the page's edge, in pixels of the drawing."""
        g = self._g
        along = g.random()
        w, h = 2 * self.width, 2 * self.height
        return ((along * w, 0.0), (along * w, float(h)), (0.0, along * h), (float(w), along * h))[
            int(g.integers(4))
        ]


# Shares of pages with nothing, a digit, a row, other writing, a digit and other writing, a cut row.
_KINDS = (0.11, 0.51, 0.18, 0.13, 0.05, 0.02)
_CLOSE_KINDS = (0.05, 0.56, 0.0, 0.2, 0.04, 0.15)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LETTERS = list("ABCDEFGHJKLMNPQRTUVWXYabcdefhkmnprtuvwxy&?!%$#@+=*/ÄßçΔΣΨЖЯ")
_LETTERS_AND_DIGITS = [*"ABCDEFGHabcdefgh", *"0123456789" * 2]
_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSansMono",
    "DejaVuSans-Oblique",
    "STIXGeneral",
    "cmr10",
    "cmss10",
)
_FONT_COUNT = len(_FONTS)


@cache
def _fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return [ImageFont.truetype(folder / f"{name}.ttf", size) for name in _FONTS]


@cache
def _photographs() -> list[Image.Image]:
    folder = Path(mpl.get_data_path()) / "sample_data"
    return [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]


def _photograph(generator: Generator) -> Floats:
    photographs = _photographs()
    photograph = photographs[int(generator.integers(len(photographs)))]
    side = int(min(photograph.size) * generator.uniform(0.2, 1))
    x, y = (int(generator.integers(0, length - side + 1)) for length in photograph.size)
    part = photograph.resize((SIDE, SIDE), Image.Resampling.BOX, (x, y, x + side, y + side))
    return np.asarray(part, dtype=np.float32)


def _reduced(image: Image.Image) -> Floats:
    """A drawing as coverage [96, 96] of 0 to 1."""
    return np.asarray(image.reduce(2), dtype=np.float32) / np.float32(255)


def _halved(values: Floats) -> Floats:
    height, width = values.shape
    return values.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def letters(generator: Generator, count: int = 900) -> Strokes:
    """Letters and signs, none shaped like a digit, as if written by hand: bent from those of fonts."""
    drawn = np.zeros((count, 28, 28), np.uint8)
    for index in range(count):
        sign = _LETTERS[index % len(_LETTERS)]
        font = _fonts(26)[int(generator.integers(_FONT_COUNT))]
        image = Image.new("L", (56, 56))
        ImageDraw.Draw(image).text((28, 28), sign, fill=255, font=font, anchor="mm")
        box = image.getbbox()
        if box is None:
            continue
        scale = 20 / max(box[2] - box[0], box[3] - box[1])
        size = max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale))
        sample = image.crop(box).resize(size, Image.Resampling.BICUBIC)
        drawn[
            index,
            14 - size[1] // 2 : 14 - size[1] // 2 + size[1],
            14 - size[0] // 2 : 14 - size[0] // 2 + size[0],
        ] = np.asarray(sample)
    bent = warp(drawn.astype(np.float32) / 255, generator, Strength(rotation=6, elastic=1.6))
    return trace(np.rint(np.clip(bent, 0, 1) * 255).astype(np.uint8), np.full(count, -1))
