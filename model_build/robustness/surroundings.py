"""Families with something else on the picture: under the sheet, at its border, beside the digit."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from model_build.robustness.drawing import (
    BLACK,
    BLUE,
    DARK,
    PAPERS,
    WHITE,
    Box,
    Colour,
    Digit,
    Floats,
    Generator,
    blurred,
    cloud,
    ellipse,
    encode,
    noisy,
    over,
    plain,
    polygon,
    polyline,
    rectangle,
    text,
    turned,
    wood,
    write,
)
from model_build.robustness.ordinary import Draw

_SIZE = (400, 400)
_SANS, _BOLD, _SERIF = "DejaVuSans-BoldOblique", "DejaVuSansMono-Bold", "STIXGeneralBol"
_TITLES = ("Untitled", "Notes", "drawing.png", "Paint", "Sketch - Editor")
_CAPTIONS = ("Question", "Answer", "My digit", "Name: Ana", "Write here", "Result", "Exercise")


# The sheet lies on something


def _boxed_in(digit: Digit, generator: Generator, *, upright: bool) -> bytes:
    """Black bars above and below, or at both sides."""
    width, height = (300, 440) if upright else (440, 300)
    depth = generator.uniform(50, 85)
    sheet = (0, depth, width, height - depth) if upright else (depth, 0, width - depth, height)
    return _on_ground(digit, generator, plain((width, height), BLACK), sheet, WHITE, DARK)


def _framed(digit: Digit, generator: Generator, *, line: float, inset: float) -> bytes:
    page = write(digit, generator, paper=WHITE, within=(40, 40, 360, 360), share=(0.5, 0.7))
    box = (inset, inset, 399 - inset, 399 - inset)
    return encode(over(page.pixels, rectangle(_SIZE, box, line=line), BLACK))


def _on_ground(
    digit: Digit, generator: Generator, ground: Floats, sheet: Box, paper: Colour, ink: Colour
) -> bytes:
    height, width = ground.shape[:2]
    pixels = over(ground, rectangle((width, height), sheet), paper)
    page = write(digit, generator, on=pixels, within=sheet, ink=ink, share=(0.5, 0.68))
    return encode(page.pixels)


def _sticky_note(digit: Digit, generator: Generator) -> bytes:
    sheet = _somewhere(generator, 230)
    ground = plain(_SIZE, ((120, 124, 130), (70, 60, 52), (200, 202, 205))[generator.integers(3)])
    paper = ((250, 228, 110), (255, 170, 190), (170, 225, 150))[generator.integers(3)]
    return _on_ground(digit, generator, ground, sheet, paper, (BLUE, DARK)[generator.integers(2)])


def _tile(digit: Digit, generator: Generator) -> bytes:
    colour = ((40, 90, 190), (190, 45, 60), (20, 130, 90), (110, 60, 160))[generator.integers(4)]
    return _on_ground(digit, generator, plain((300, 300), WHITE), (50, 50, 250, 250), colour, WHITE)


def _dark_card(digit: Digit, generator: Generator) -> bytes:
    sheet = _somewhere(generator, 250)
    return _on_ground(
        digit, generator, plain(_SIZE, (238, 236, 232)), sheet, (34, 36, 40), (244, 244, 240)
    )


def _desk(digit: Digit, generator: Generator, *, colour: Colour, grained: bool) -> bytes:
    """A sheet photographed on a desk, turned a little."""
    desk = wood(_SIZE, colour, generator) if grained else plain(_SIZE, colour)
    left, top, right, bottom = box = _somewhere(generator, 260)
    angle = np.radians(generator.uniform(-9, 9))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    points = [(float(x), float(y)) for x, y in (corners - middle) @ turn.T + middle]
    sheet = polygon(_SIZE, points)
    shade = blurred(np.roll(sheet, (6, 5), (0, 1)), 6) * 0.45
    pixels = over(over(desk, shade, BLACK), sheet, PAPERS[generator.integers(3)])
    inner = (box[0] + 25, box[1] + 25, box[2] - 25, box[3] - 25)
    page = write(digit, generator, on=pixels, within=inner, share=(0.55, 0.75))
    return encode(noisy(page.pixels, 3, generator), "JPEG")


def _copier(digit: Digit, generator: Generator) -> bytes:
    """The lid stood open: black beyond the sheet's slanting edge."""
    page = write(digit, generator, within=(0, 0, 300, 320), paper=WHITE, share=(0.5, 0.7))
    slope, edge = generator.uniform(-18, 18), generator.uniform(310, 345)
    beyond = polygon(_SIZE, [(edge, 0), (400, 0), (400, 400), (edge + slope, 400)])
    low = polygon(_SIZE, [(0, edge + 20), (400, edge + 20 + slope), (400, 400), (0, 400)])
    black = blurred(np.maximum(beyond, low), 2)
    return encode(noisy(over(page.pixels, black, (14, 14, 14)), 4, generator), "JPEG")


def _disc(digit: Digit, generator: Generator) -> bytes:
    radius = generator.uniform(130, 170)
    box = (200 - radius, 200 - radius, 200 + radius, 200 + radius)
    ground, paper, ink = (
        (plain(_SIZE, (40, 44, 52)), WHITE, DARK),
        (plain(_SIZE, WHITE), (30, 110, 190), WHITE),
        (plain(_SIZE, (205, 200, 190)), (250, 250, 246), BLUE),
    )[generator.integers(3)]
    pixels = over(ground, ellipse(_SIZE, box), paper)
    reach = radius * 0.72
    inner = (200 - reach, 200 - reach, 200 + reach, 200 + reach)
    return encode(
        write(digit, generator, on=pixels, within=inner, ink=ink, share=(0.6, 0.8)).pixels
    )


def _somewhere(generator: Generator, side: float) -> Box:
    left, top = generator.uniform(25, 375 - side, 2)
    return left, top, left + side, top + side


# Something touches the border


def _title_bar(digit: Digit, generator: Generator) -> bytes:
    bar = generator.uniform(26, 46)
    page = write(digit, generator, paper=WHITE, within=(0, bar, 400, 400), share=(0.5, 0.7))
    dark = ((45, 45, 48), (0, 90, 158), (32, 33, 36))[generator.integers(3)]
    pixels = over(page.pixels, rectangle(_SIZE, (0, 0, 400, bar)), dark)
    title = str(generator.choice(_TITLES))
    pixels = over(pixels, text(_SIZE, title, (200, bar / 2), bar * 0.4, _BOLD), (225, 225, 225))
    for index in range(3):
        at = 385 - 20 * index
        button = ellipse(_SIZE, (at - 5, bar / 2 - 5, at + 5, bar / 2 + 5))
        pixels = over(pixels, button, (200, 200, 200))
    return encode(pixels)


def _one_bar(digit: Digit, generator: Generator) -> bytes:
    depth, side = generator.uniform(25, 70), int(generator.integers(4))
    box: Box = (
        (0, 0, 400, depth),
        (0, 400 - depth, 400, 400),
        (0, 0, depth, 400),
        (400 - depth, 0, 400, 400),
    )[side]
    room: Box = (
        (0, depth, 400, 400),
        (0, 0, 400, 400 - depth),
        (depth, 0, 400, 400),
        (0, 0, 400 - depth, 400),
    )[side]
    page = write(digit, generator, paper=WHITE, within=room, share=(0.5, 0.7))
    return encode(over(page.pixels, rectangle(_SIZE, box), BLACK))


def _pen_beside(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, within=(20, 40, 290, 360), share=(0.6, 0.8))
    tip = (generator.uniform(318, 335), generator.uniform(60, 140))
    end = (generator.uniform(350, 380), 420.0)
    colour = ((30, 60, 160), (40, 40, 44), (180, 40, 40))[generator.integers(3)]
    shade = blurred(polyline(_SIZE, [(tip[0] + 8, tip[1] + 6), (end[0] + 8, end[1])], 11), 5)
    pixels = over(page.pixels, shade * 0.35, BLACK)
    pixels = over(pixels, polyline(_SIZE, [tip, end], 10), colour)
    return encode(noisy(over(pixels, polyline(_SIZE, [tip, tip], 5), DARK), 2, generator), "JPEG")


def _finger(digit: Digit, generator: Generator) -> bytes:
    """A thumb over the picture's lower corner."""
    page = write(digit, generator, within=(0, 0, 400, 320), share=(0.6, 0.8))
    skin = ((224, 172, 138), (141, 85, 54), (198, 134, 98))[generator.integers(3)]
    left = bool(generator.integers(2))
    tip = (75.0 if left else 325.0, 362.0)
    end = (-30.0 if left else 430.0, 450.0)
    thumb = blurred(polyline(_SIZE, [tip, end], 60), 2)
    nail = blurred(ellipse(_SIZE, (tip[0] - 18, tip[1] - 24, tip[0] + 18, tip[1] + 10)), 2)
    pixels = over(over(page.pixels, blurred(thumb, 9) * 0.35, BLACK), thumb, skin)
    pale = (min(skin[0] + 25, 255), skin[1] + 30, skin[2] + 35)
    return encode(noisy(over(pixels, nail, pale), 3, generator), "JPEG")


def _threshold_scan(digit: Digit, generator: Generator) -> bytes:
    """A black and white scan: a black rim where the sheet ended, and scattered specks."""
    page = write(digit, generator, paper=WHITE, within=(35, 35, 365, 365), share=(0.5, 0.7))
    dark = page.ink > 0.5
    rim = 8 * cloud(_SIZE, (10, 10), generator) + generator.uniform(4, 14)
    rows, columns = np.mgrid[0:400, 0:400]
    side = int(generator.integers(4))
    edge = (rows, 399 - rows, columns, 399 - columns)[side]
    corner = (columns, rows, 399 - rows, columns)[side]
    dark |= (edge < rim) | ((edge < rim + 12) & (corner < rim + 20))
    dark |= generator.random((400, 400)) < 0.0008
    return encode(np.where(dark[..., None], 0, 255).repeat(3, axis=2).astype(np.float32))


def _rounded_corners(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, size=(320, 320))
    sheet = rectangle((320, 320), (0, 0, 319, 319), radius=generator.uniform(30, 60))
    return encode(over(page.pixels, 1 - sheet, BLACK))


def _neighbour(digit: Digit, generator: Generator) -> bytes:
    """The end of another character reaches in from a side."""
    page = write(digit, generator, paper=WHITE, within=(40, 20, 360, 380), share=(0.55, 0.72))
    left, level = bool(generator.integers(2)), generator.uniform(110, 290)
    edge, inside = (
        (-6.0, generator.uniform(14, 30)) if left else (406.0, generator.uniform(370, 386))
    )
    points = [(edge, level - 45), (inside, level - 15), (inside, level + 20), (edge, level + 50)]
    return encode(over(page.pixels, polyline(_SIZE, points, generator.uniform(8, 14)), DARK))


# Other marks on the sheet


def _status_bar(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, within=(0, 40, 400, 380), share=(0.5, 0.68))
    clock = f"{generator.integers(1, 24)}:{generator.integers(10, 60)}"
    marks = text(_SIZE, clock, (36, 16), 13, _BOLD)
    for index in range(4):
        box = (318 + 7 * index, 20 - 3 * index, 322 + 7 * index, 22)
        marks = np.maximum(marks, rectangle(_SIZE, box))
    marks = np.maximum(marks, rectangle(_SIZE, (356, 10, 384, 22), radius=3, line=1.5))
    marks = np.maximum(marks, rectangle(_SIZE, (359, 13, 374, 19)))
    marks = np.maximum(marks, polyline(_SIZE, [(140, 389), (260, 389)], 4))
    return encode(over(page.pixels, marks, BLACK))


def _round(digit: Digit, generator: Generator, *, square: bool) -> bytes:
    """Circled or boxed, in the same ink."""
    inner = (95, 95, 305, 305)
    page = write(digit, generator, paper=WHITE, within=inner, share=(0.72, 0.88), pen=(0.09, 0.14))
    left, top, right, bottom = page.box
    gap = 22 if square else 10
    middle = ((left + right) / 2, (top + bottom) / 2)
    reach = np.hypot(right - left, bottom - top) / 2 if not square else (bottom - top) / 2
    wide = reach + gap if not square else max((right - left) / 2, 60) + gap
    box = (middle[0] - wide, middle[1] - reach - gap, middle[0] + wide, middle[1] + reach + gap)
    line = generator.uniform(3, 7)
    mark = rectangle(_SIZE, box, line=line) if square else ellipse(_SIZE, box, line=line)
    return encode(over(page.pixels, mark, DARK))


def _inset_box(digit: Digit, generator: Generator) -> bytes:
    """A form's field, printed in grey, larger than the digit."""
    margin = generator.uniform(30, 55)
    box = (margin, margin, 400 - margin, 400 - margin)
    inner = (margin + 20, margin + 20, 380 - margin, 380 - margin)
    page = write(digit, generator, paper=WHITE, within=inner, share=(0.6, 0.8), ink=BLUE)
    return encode(over(page.pixels, rectangle(_SIZE, box, line=2.5), (90, 90, 90)))


def _stain(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, share=(0.5, 0.65), ink=BLUE)
    x, y = (float(generator.choice((70, 330))) for _ in range(2))
    radius = generator.uniform(45, 80)
    box = (x - radius, y - radius, x + radius, y + radius)
    ring = ellipse(_SIZE, box, line=7) * 0.5 + ellipse(_SIZE, box) * 0.25
    ring = blurred(np.clip(ring * (1 + 0.3 * cloud(_SIZE, (9, 9), generator)), 0, 1), 2)
    return encode(noisy(over(page.pixels, ring, (120, 78, 40)), 2, generator), "JPEG")


def _captioned(digit: Digit, generator: Generator, *, height: float) -> bytes:
    above = bool(generator.integers(2))
    room = (0, 2.6 * height, 400, 400) if above else (0, 0, 400, 400 - 2.6 * height)
    page = write(digit, generator, paper=WHITE, within=room, share=(0.5, 0.68))
    words, font = str(generator.choice(_CAPTIONS)), str(generator.choice((_SANS, _SERIF)))
    level = 1.2 * height if above else 400 - 1.2 * height
    return encode(over(page.pixels, text(_SIZE, words, (200, level), height, font), DARK))


def _crossed_out(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, pen=(0.09, 0.13))
    left, top, right, bottom = page.box
    level = (top + bottom) / 2
    tilt = generator.uniform(15, 45) * generator.choice((-1, 1))
    ends = [(left - 35, level + tilt), (right + 35, level - tilt)]
    return encode(over(page.pixels, polyline(_SIZE, ends, generator.uniform(2, 3.5)), DARK))


def _underlined(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, within=(0, 0, 400, 360), share=(0.5, 0.68))
    left, _, right, bottom = page.box
    middle, reach = (left + right) / 2, max((right - left) / 2, 50) + 20
    level = bottom + generator.uniform(14, 26)
    ends = [(middle - reach, level), (middle + reach, level + generator.uniform(-5, 5))]
    return encode(over(page.pixels, polyline(_SIZE, ends, generator.uniform(3, 8)), DARK))


def _cursor(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=WHITE, within=(0, 0, 340, 400), share=(0.5, 0.7))
    x, y = generator.uniform(340, 370), generator.uniform(60, 330)
    arrow = [(0, 0), (0, 22), (5, 17), (9, 25), (13, 23), (9, 15), (16, 15)]
    points = [(x + across, y + down) for across, down in arrow]
    pixels = over(page.pixels, polyline(_SIZE, [*points, points[0]], 1.5), BLACK)
    return encode(over(pixels, polygon(_SIZE, points), BLACK))


def _punch_holes(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, within=(60, 0, 400, 400), share=(0.5, 0.7))
    holes = np.maximum(*(ellipse(_SIZE, (16, at, 46, at + 30)) for at in (85, 285)))
    return encode(noisy(over(page.pixels, holes, (52, 46, 42)), 2, generator), "JPEG")


def _fold(digit: Digit, generator: Generator) -> bytes:
    page = write(digit, generator, paper=(244, 243, 239))
    columns = np.arange(800, dtype=np.float32) - generator.uniform(320, 480)
    crease = np.where(columns > 0, 0.82 + 0.1 * np.minimum(columns / 120, 1), 1.0)
    crease = crease - 0.2 * np.exp(-np.square(columns / 2.5))
    light = np.tile(crease, (800, 1)).astype(np.float32)
    across = turned(light, float(generator.choice((0, 90, 8, 98))))
    return encode(noisy(page.pixels * across[:, :, np.newaxis], 2, generator), "JPEG")


LIES_ON_SOMETHING: Mapping[str, Draw] = {
    "bars above and below": partial(_boxed_in, upright=True),
    "bars at both sides": partial(_boxed_in, upright=False),
    "thick frame": partial(_framed, line=14, inset=0),
    "thin frame": partial(_framed, line=4, inset=9),
    "sticky note": _sticky_note,
    "coloured tile": _tile,
    "dark card": _dark_card,
    "dark desk": partial(_desk, colour=(52, 48, 46), grained=False),
    "light desk": partial(_desk, colour=(172, 166, 160), grained=False),
    "wooden desk": partial(_desk, colour=(146, 98, 58), grained=True),
    "copier's edge": _copier,
    "disc": _disc,
}
TOUCHES_THE_BORDER: Mapping[str, Draw] = {
    "title bar": _title_bar,
    "one black bar": _one_bar,
    "pen beside it": _pen_beside,
    "finger": _finger,
    "threshold scan": _threshold_scan,
    "rounded corners": _rounded_corners,
    "neighbour's stroke": _neighbour,
}
OTHER_MARKS: Mapping[str, Draw] = {
    "phone's status bar": _status_bar,
    "circled": partial(_round, square=False),
    "boxed": partial(_round, square=True),
    "inset box": _inset_box,
    "stain": _stain,
    "small caption": partial(_captioned, height=16),
    "large caption": partial(_captioned, height=38),
    "crossed out": _crossed_out,
    "underlined": _underlined,
    "cursor": _cursor,
    "punch holes": _punch_holes,
    "fold": _fold,
}
