"""finder.py: where the digits of a picture are, told from maps made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.errors import BlankImage
from classifier.image.pixels import DetailLoader, Part, Pixels
from classifier.prepare import finder, rows
from classifier.prepare.finder import Digit
from classifier.prepare.ink import Piece, find_pieces, written_on
from classifier.prepare.mnist import MnistPipeline
from classifier.prepare.pieces import connected, extent
from classifier.prepare.search import MAX_DIGITS

type Maps = NDArray[np.float32]
type Rectangle = tuple[int, int, int, int]  # top, bottom, left and right in cells

PAGE = np.full((192, 192, 1), 255, np.uint8)


def maps_with(*digits: Rectangle, other: Rectangle | None = None, score: float = 0.9) -> Maps:
    """Maps [48, 48, 3] of solid digits, each with the middle that the network is taught."""
    maps = np.zeros((48, 48, 3), np.float32)
    for top, bottom, left, right in digits:
        maps[top:bottom, left:right, 0] = 1
        down, across = round((bottom - top) * 0.2), round((right - left) * 0.2)
        maps[top + down : bottom - down, left + across : right - across, 1] = score
    if other:
        top, bottom, left, right = other
        maps[top:bottom, left:right, 2] = 1
    return maps


class Looks:
    """A network that answers with one map after the other, then with empty ones.

    It keeps the pictures it was shown.
    """

    def __init__(self, *answers: Maps) -> None:
        self._answers = iter(answers)
        self.pictures: list[NDArray[np.uint8]] = []

    def __call__(self, picture: NDArray[np.uint8]) -> Maps:
        self.pictures.append(picture)
        return next(self._answers, maps_with())


def box(top: int, bottom: int, left: int, right: int) -> Part:
    return Part(top / 48, bottom / 48, left / 48, right / 48)


# Maps to digits


def test_a_digit_is_the_ink_around_its_middle() -> None:
    maps = maps_with((10, 30, 20, 32))
    maps[12, 22, 0] = 0.7
    (digit,) = finder.digits_of(maps)
    assert digit.box == box(10, 30, 20, 32)
    np.testing.assert_array_equal(digit.ink, maps[10:30, 20:32, 0])
    assert digit.score == pytest.approx(0.9)
    assert digit.cells == 20


def test_touching_digits_have_their_own_ink() -> None:
    maps = maps_with((10, 30, 8, 20), (10, 30, 20, 32))
    left, right = finder.digits_of(maps)
    assert (left.box, right.box) == (box(10, 30, 8, 20), box(10, 30, 20, 32))
    assert left.ink.sum() == right.ink.sum() == 20 * 12


def test_ink_far_from_the_middle_belongs_to_no_digit() -> None:
    maps = maps_with((16, 26, 4, 14))
    maps[16:26, 34:44, 0] = 1
    (digit,) = finder.digits_of(maps)
    assert digit.box == box(16, 26, 4, 14)


UNSURE = min(finder._IN_MIDDLE) - 0.01


@pytest.mark.parametrize(
    "middle", [np.full((1, 2), 0.9), np.full((4, 4), UNSURE)], ids=["two cells", "unsure"]
)
def test_a_weak_middle_makes_no_digit(middle: NDArray[np.float64]) -> None:
    maps = maps_with((10, 30, 20, 32))
    maps[:, :, 1] = 0
    height, width = middle.shape
    maps[20 : 20 + height, 25 : 25 + width, 1] = middle
    assert finder.digits_of(maps) == []


def test_a_middle_without_ink_makes_no_digit() -> None:
    maps = maps_with((10, 30, 20, 32))
    maps[:, :, 0] = 0.4
    assert finder.digits_of(maps) == []


# Pictures to maps


def test_the_most_prominent_digit_is_first() -> None:
    small, large = (30, 40, 20, 28), (2, 26, 4, 18)
    findings = finder.find(PAGE, Looks(maps_with(small, large)))
    assert [digit.box for digit in findings.digits] == [box(*large), box(*small)]
    assert not findings.has_other


def test_what_looks_like_a_digit_comes_before_what_is_larger() -> None:
    digit, scribble = (2, 22, 4, 18), (20, 46, 20, 40)
    maps = np.maximum(maps_with(digit), maps_with(scribble, score=0.6))
    findings = finder.find(PAGE, Looks(maps))
    assert [digit.box for digit in findings.digits] == [box(*digit), box(*scribble)]


def test_of_equal_digits_the_one_nearer_to_the_middle_is_first() -> None:
    aside, central = (2, 14, 2, 10), (18, 30, 20, 28)
    findings = finder.find(PAGE, Looks(maps_with(aside, central)))
    assert [digit.box for digit in findings.digits] == [box(*central), box(*aside)]


@pytest.mark.parametrize(("cells", "counts"), [(1, False), (2, True)])
def test_a_speck_is_no_other_writing(*, cells: int, counts: bool) -> None:
    maps = maps_with(other=(5, 5 + cells, 5, 5 + cells))
    findings = finder.find(PAGE, Looks(maps))
    assert (findings.digits, findings.has_other) == ([], counts)


@pytest.mark.parametrize("kind", ["grey", "colour", "float"])
def test_the_network_is_shown_any_picture_in_colour_of_bytes(kind: str) -> None:
    grey = np.zeros((96, 96, 1), np.uint8)
    grey[40:60, 30:50] = 200
    pictures: dict[str, Pixels] = {
        "grey": grey,
        "colour": np.repeat(grey, 3, axis=2),
        "float": grey.astype(np.float32) + np.float32(0.3),
    }
    looks = Looks(maps_with())
    finder.find(pictures[kind], looks)
    (picture,) = looks.pictures
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.repeat(grey, 3, axis=2))


def test_the_colours_of_a_picture_keep_their_order() -> None:
    looks = Looks(maps_with())
    finder.find(np.full((300, 200, 3), (200, 100, 50), np.uint8), looks)
    assert (looks.pictures[0] == (200, 100, 50)).all()


@pytest.mark.parametrize("is_wide", [True, False])
def test_an_elongated_picture_is_padded_with_its_edge_and_boxes_are_shares_of_it(
    *, is_wide: bool
) -> None:
    page = np.zeros((100, 400, 1), np.uint8)
    page[-3:] = 255
    maps = maps_with((2, 10, 24, 30))
    expected = Part(2 / 12, 10 / 12, 24 / 48, 30 / 48)
    if not is_wide:
        page, maps = page.transpose(1, 0, 2), maps.transpose(1, 0, 2)
        expected = Part(expected.left, expected.right, expected.top, expected.bottom)
    looks = Looks(maps)
    (digit,) = finder.find(page, looks).digits
    assert digit.box == expected
    picture = looks.pictures[0] if is_wide else looks.pictures[0].transpose(1, 0, 2)
    assert (picture[:22] == 0).all()
    assert (picture[24:] == picture[23]).all()
    assert picture[23].min() > 0


def test_what_the_network_says_of_the_padding_is_left_out() -> None:
    findings = finder.find(np.zeros((100, 400, 1), np.uint8), Looks(maps_with((20, 40, 20, 32))))
    assert findings.digits == []


@pytest.mark.parametrize("shape", [(1, 900, 1), (900, 1, 3), (1, 1, 1), (1, 1279, 3)])
def test_pictures_of_one_row_or_column_are_looked_at(shape: tuple[int, int, int]) -> None:
    corner = np.zeros((48, 48, 3), np.float32)
    corner[:6, :6] = 1
    pixels, looks = np.zeros(shape, np.uint8), Looks(corner, corner)
    (digit,) = finder.find(pixels, looks).digits
    closer = finder.look_closer(digit, pixels, looks, None)
    assert max(closer.box) <= 1
    assert {picture.shape for picture in looks.pictures} == {(96, 96, 3)}


# A second look

SMALL = (20, 28, 30, 36)


def small_digit() -> Digit:
    (digit,) = finder.digits_of(maps_with(SMALL))
    return digit


def test_a_small_digit_is_looked_at_again_in_detail_and_its_box_is_of_the_whole_picture() -> None:
    parts: list[Part] = []

    def load_detail(part: Part) -> NDArray[np.uint8]:
        parts.append(part)
        return np.full((200, 200, 1), 7, np.uint8)

    looks = Looks(maps_with((9, 39, 12, 36), score=0.6))
    digit = finder.look_closer(small_digit(), PAGE[:160, :160], looks, load_detail)
    (part,) = parts
    assert (looks.pictures[0] == 7).all()
    side = 8 / 48 / 0.62
    assert (part.bottom - part.top, part.right - part.left) == pytest.approx((side, side))
    middle = (part.top + part.bottom) / 2, (part.left + part.right) / 2
    assert middle == pytest.approx((24 / 48, 33 / 48))
    assert digit.ink.shape == (30, 24)
    expected = (9 / 48 * side, 39 / 48 * side, 12 / 48 * side, 36 / 48 * side)
    edges = (part.top, part.top, part.left, part.left)
    assert digit.box == pytest.approx(np.add(edges, expected))
    assert digit.score == pytest.approx(0.9)  # the better of the two looks


@pytest.mark.parametrize("has_loader", [True, False])
def test_without_more_detail_the_pixels_are_cropped(*, has_loader: bool) -> None:
    rows = np.arange(0, 384, 2)[:, np.newaxis, np.newaxis]
    pixels = np.tile(np.minimum(rows, 255).astype(np.uint8), (1, 192, 1))
    loaders: list[DetailLoader | None] = [None, lambda _part: None]
    looks = Looks(maps_with((9, 39, 12, 36)))
    finder.look_closer(small_digit(), pixels, looks, loaders[has_loader])
    (picture,) = looks.pictures
    assert 136 <= picture.min() < picture.max() <= 248  # rows 70 to 122 of the page


def test_a_picture_that_shows_the_digit_large_enough_is_not_loaded_again() -> None:
    def load_detail(part: Part) -> None:
        pytest.fail(f"loaded {part}")

    pixels = np.full((800, 800, 1), 255, np.uint8)
    finder.look_closer(small_digit(), pixels, Looks(maps_with((9, 39, 12, 36))), load_detail)


def test_a_large_digit_is_looked_at_once() -> None:
    (digit,) = finder.digits_of(maps_with((10, 40, 10, 30)))
    assert finder.look_closer(digit, PAGE, Looks(), None) is digit


def test_of_what_the_second_look_finds_the_same_digit_is_taken() -> None:
    looks = Looks(maps_with((9, 39, 0, 8), (9, 39, 14, 34), (9, 39, 40, 48)))
    digit = finder.look_closer(small_digit(), PAGE, looks, None)
    assert digit.ink.shape == (30, 20)


def test_a_digit_that_the_second_look_misses_stays_as_it_was() -> None:
    digit = small_digit()
    assert finder.look_closer(digit, PAGE, Looks(maps_with()), None) is digit


def test_where_the_first_box_lay_beside_the_digit_the_second_look_mends_it() -> None:
    looks = Looks(maps_with((0, 30, 0, 6), (4, 6, 9, 11)))
    digit = finder.look_closer(small_digit(), PAGE, looks, None)
    assert digit.ink.shape == (30, 6)


def test_a_digit_that_is_still_small_is_looked_at_a_third_time() -> None:
    looks = Looks(maps_with((20, 28, 20, 26)), maps_with((9, 39, 12, 36)))
    digit = finder.look_closer(small_digit(), PAGE, looks, None)
    assert digit.ink.shape == (30, 24)


# Faint ink


def faint_page(darkest: int) -> NDArray[np.uint8]:
    page = np.full((192, 192, 1), 200, np.uint8)
    page[40:120, 80:100] = darkest
    return page


def test_a_faint_digit_is_looked_at_again_with_more_contrast() -> None:
    looks = Looks(maps_with((20, 28, 30, 36)), maps_with((10, 40, 10, 30)))
    (digit,) = finder.find(faint_page(170), looks).digits
    assert digit.ink.shape == (30, 20)
    first, second = looks.pictures
    assert [first.min(), first.max()] == [170, 200]
    assert [second.min(), second.max()] == [80, 200]  # four times as far apart


@pytest.mark.parametrize("darkest", [130, 195], ids=["clear", "grain"])
def test_what_is_clear_or_no_more_than_grain_is_looked_at_once(darkest: int) -> None:
    looks = Looks(maps_with((10, 40, 10, 30)))
    assert len(finder.find(faint_page(darkest), looks).digits) == 1
    assert len(looks.pictures) == 1


def test_where_a_faint_picture_shows_no_digit_contrast_makes_none() -> None:
    looks = Looks(maps_with(), maps_with((10, 40, 10, 30)))
    assert finder.find(faint_page(170), looks).digits == []


def test_a_close_look_at_faint_ink_has_more_contrast() -> None:
    looks = Looks(maps_with((9, 39, 12, 36)))
    page = np.rot90(faint_page(170), 2)
    finder.look_closer(small_digit(), page, looks, None)
    assert page[70:122, 106:158].min() == 170
    assert looks.pictures[0].min() < 100


# Too small for a first look


def marks(side: int, count: int = 1) -> NDArray[np.uint8]:
    """A white page with square marks of so many pixels."""
    page = np.full((1000, 1000, 1), 255, np.uint8)
    for left in range(100, 100 + 80 * count, 80):
        page[500 : 500 + side, left : left + side] = 0
    return page


def test_ink_that_the_first_look_misses_is_looked_at_closely() -> None:
    looks = Looks(maps_with(), maps_with((9, 39, 9, 39)))
    located = MnistPipeline(28, 28, maps_of=looks).locate(marks(24), None)
    assert len(located.samples) == 1
    assert located.boxes[0] == pytest.approx((0.5, 0.524, 0.1, 0.124), abs=0.01)


@pytest.mark.parametrize(
    ("side", "count", "score"),
    [(5, 1, 0.9), (24, 9, 0.9), (24, 1, 0.6)],
    ids=["dust", "grain", "unclear"],
)
def test_dust_grain_and_what_is_unclear_are_no_digits(side: int, count: int, score: float) -> None:
    """Dust is nothing at all; the others are something else."""
    closer = maps_with((9, 39, 9, 39))
    closer[:, :, 1] *= score / closer[:, :, 1].max()
    pipeline = MnistPipeline(28, 28, maps_of=Looks(maps_with(), *[closer] * count))
    if side < 10:
        with pytest.raises(BlankImage):
            pipeline.locate(marks(side, count), None)
    else:
        located = pipeline.locate(marks(side, count), None)
        assert (located.score_of(0), located.boxes) == (0, [])


def test_a_digit_at_the_edge_is_looked_at_as_far_as_the_picture_goes() -> None:
    (digit,) = finder.digits_of(maps_with((0, 8, 42, 48)))
    parts: list[Part] = []
    finder.look_closer(digit, PAGE, Looks(maps_with()), parts.append)
    (part,) = parts
    assert (part.top, part.right) == (0, 1)
    assert part.bottom > 8 / 48
    assert part.left < 42 / 48


# Order


def test_digits_are_read_line_by_line() -> None:
    first = [(4, 16, 2, 10), (6, 18, 14, 22), (3, 15, 26, 34)]
    second = [(24, 40, 4, 12), (26, 42, 30, 38)]
    digits = finder.digits_of(maps_with(*first, *second))
    for order in (digits, digits[::-1]):
        ordered = [digit.box for digit in rows.in_reading_order(order)]
        assert ordered == [box(*rectangle) for rectangle in first + second]


def test_what_is_smaller_than_its_neighbour_is_read_with_it() -> None:
    digits = [
        Digit(box(top, bottom, left, right), np.ones((2, 2), np.float32), 0.9, 1.0)
        for top, bottom, left, right in ((10, 18, 30, 36), (10, 40, 4, 24), (10, 18, 38, 44))
    ]
    assert [digit.box.left * 48 for digit in rows.in_reading_order(digits)] == [4, 30, 38]


# Pictures to samples


# Rows of digits


def sees_ink(picture: NDArray[np.uint8]) -> Maps:
    """A network for which every dark piece of a picture is a digit."""
    ink = 1 - picture[:, :, 0].reshape(48, 2, 48, 2).mean(axis=(1, 3)) / 255
    pieces = connected(ink > 0.5)
    maps = np.zeros((48, 48, 3), np.float32)
    for piece in np.unique(pieces[pieces > 0]):
        down, across = (extent((pieces == piece).any(axis=axis)) for axis in (1, 0))
        maps = np.maximum(maps, maps_with((down.start, down.stop, across.start, across.stop)))
    return maps


def row_of(count: int, height: int = 60, width: int = 40, gap: int = 20) -> Pixels:
    """A white page with a row of black digits."""
    page = np.full((200, 100 + count * (width + gap), 1), 255, np.uint8)
    for index in range(count):
        left = 50 + index * (width + gap)
        page[70 : 70 + height, left : left + width] = 0
    return page


@pytest.mark.parametrize("count", [1, 2, 6])
def test_each_digit_of_a_row_is_seen_once_and_large(count: int) -> None:
    page = row_of(count)
    first = finder.find(page, sees_ink).digits
    digits = rows.in_reading_order(rows.find_all(first, page, sees_ink))
    lefts = [digit.box.left * page.shape[1] for digit in digits]
    assert lefts == pytest.approx([50 + 60 * index for index in range(count)], abs=4)
    assert all(digit.cells >= 18 for digit in digits)


def test_what_the_first_look_did_not_see_is_found_beside_what_it_did() -> None:
    page = row_of(3)
    first = finder.find(page, sees_ink).digits[:1]
    assert len(rows.find_all(first, page, sees_ink)) == 3


def test_a_piece_of_less_than_half_the_usual_height_is_left_out() -> None:
    page = row_of(3)
    page[:, 230:] = 255
    page[100:125, 240:260] = 0
    first = finder.find(page, sees_ink).digits
    assert len(first) == 4
    assert len(rows.find_all(first, page, sees_ink)) == 3


def test_a_page_of_many_small_digits_is_looked_at_a_limited_number_of_times() -> None:
    looks = Looks()
    page = np.full((2000, 2000, 1), 255, np.uint8)
    corners = [
        Digit(Part(y, y + 0.01, x, x + 0.01), np.ones((2, 2), np.float32), 0.9, 1.0)
        for y, x in ((0, 0), (0.99, 0.99))
    ]
    rows.find_all(corners, page, looks)
    assert len(looks.pictures) == 64


# Rows of digits by their pieces of ink


def findings_of(maps: Maps) -> finder.Findings:
    return finder.find(PAGE, Looks(maps))


def pieces_of(*rectangles: Rectangle) -> list[Piece]:
    """Solid pieces of ink at rectangles of 48 x 48 cells."""
    page = np.full((192, 192, 1), 255, np.uint8)
    for top, bottom, left, right in rectangles:
        page[4 * top : 4 * bottom, 4 * left : 4 * right] = 0
    return find_pieces(page, written_on(page))


def digits_of(pieces: list[Piece], findings: finder.Findings, *answers: Maps) -> list[Digit]:
    """Digits that pieces are, by a first look and by what close looks at pieces answer."""
    return rows.of_pieces(pieces, findings, PAGE, Looks(*answers))


def test_a_digit_whose_middle_was_not_seen_is_one_by_its_ink() -> None:
    seen, missed = (10, 30, 4, 14), (10, 30, 20, 23)
    maps = maps_with(seen)
    maps[10:30, 20:23, 0] = 0.7
    digits = digits_of(pieces_of(seen, missed), findings_of(maps))
    assert [digit.box.left * 48 for digit in digits] == pytest.approx([4, 20], abs=0.5)
    assert [digit.ink.shape[1] for digit in digits] == pytest.approx([40, 12], abs=2)


ROW_OF_FOUR = ((10, 30, 4, 14), (10, 30, 18, 20), (11, 30, 24, 34), (10, 29, 38, 46))


def as_one_blur(ink: float = 0.35) -> Maps:
    """Maps of a row that the network takes for one digit, of whose ink it sees little."""
    maps = maps_with((10, 30, 4, 46), score=0.4)
    maps[:, :, 0] *= ink
    maps[20, 20, 0] = 0.9  # some of it is clear
    return maps


def test_a_row_of_ink_is_digits_however_few_of_their_middles_were_seen() -> None:
    digits = digits_of(pieces_of(*ROW_OF_FOUR), findings_of(as_one_blur()))
    assert {digit.box for digit in digits} == {box(*rectangle) for rectangle in ROW_OF_FOUR}


def test_between_digits_a_stroke_that_was_not_seen_is_one() -> None:
    maps = maps_with(ROW_OF_FOUR[0])
    assert len(digits_of(pieces_of(*ROW_OF_FOUR[:2]), findings_of(maps))) == 2
    broad = (10, 30, 18, 28)
    assert len(digits_of(pieces_of(ROW_OF_FOUR[0], broad), findings_of(maps))) == 1


@pytest.mark.parametrize("case", ["faint", "other writing", "heights", "touching"])
def test_other_ink_is_no_row(case: str) -> None:
    rectangles = list(ROW_OF_FOUR)
    findings = findings_of(as_one_blur(0.28 if case == "faint" else 0.35))
    if case == "other writing":
        findings = findings._replace(other=np.ones_like(findings.other))
    elif case == "heights":
        rectangles[0] = (18, 30, 4, 14)
        rectangles[3] = (9, 30, 38, 46)
    elif case == "touching":
        rectangles[2:] = [(10, 30, 20, 46)]
    assert digits_of(pieces_of(*rectangles), findings) == []


def test_one_digit_of_a_row_is_read_and_the_others_counted() -> None:
    page = PAGE.copy()
    for top, bottom, left, right in ROW_OF_FOUR:
        page[4 * top : 4 * bottom, 4 * left : 4 * right] = 0
    assert locate(as_one_blur(0.5), pixels=page) == (1, 3)


def test_beside_other_writing_a_wide_digit_is_no_row() -> None:
    page = PAGE.copy()
    for top, bottom, left, right in ROW_OF_FOUR:
        page[4 * top : 4 * bottom, 4 * left : 4 * right] = 0
    maps = as_one_blur(0.5)
    maps[40:44, 10:20, 2] = 1
    assert locate(maps, pixels=page) == (1, 0)


def test_ink_that_is_no_digits_is_left_out() -> None:
    digit, other = (10, 30, 4, 14), (10, 30, 20, 30)
    assert len(digits_of(pieces_of(digit, other), findings_of(maps_with(digit)))) == 1


CLOSE = maps_with((9, 39, 16, 31))  # a close look at a digit of 20 x 10 cells


@pytest.mark.parametrize(
    ("close", "count"),
    [(CLOSE, 2), (maps_with((9, 39, 16, 31), score=0.6), 1), (maps_with((20, 30, 20, 25)), 1)],
    ids=["seen", "unsure", "a part of it"],
)
def test_a_piece_that_a_first_look_missed_is_a_digit_where_a_close_look_sees_it(
    close: Maps, count: int
) -> None:
    digit, missed = (10, 30, 4, 14), (10, 30, 20, 30)
    pieces = pieces_of(digit, missed)
    assert len(digits_of(pieces, findings_of(maps_with(digit)), close)) == count


def test_digits_that_touch_are_told_apart_by_close_looks() -> None:
    page = np.full((480, 480, 1), 255, np.uint8)
    starts = [150, 200, 250, 300]
    for left in starts:
        page[200:280, left : left + 40] = 0
    first = finder.find(page, sees_ink)
    joined = page.copy()
    joined[236:244, 150:340] = 0  # by a hair, which a network overlooks
    (piece,) = find_pieces(joined, written_on(joined))
    shown: list[NDArray[np.uint8]] = []

    def looks(picture: NDArray[np.uint8]) -> Maps:
        shown.append(picture)
        return sees_ink(picture)

    digits = rows.of_pieces([piece], first, page, looks)
    assert len(shown) <= 4  # side by side, and none above another: a page may hold many such pieces
    lefts = [digit.box.left * 480 for digit in rows.in_reading_order(digits)]
    assert lefts == pytest.approx(starts, abs=4)


@pytest.mark.parametrize("surroundings", ["desk", "frame"])
def test_a_row_on_a_sheet_is_read_whatever_lies_around_it(surroundings: str) -> None:
    page = np.full((192, 192, 1), 255, np.uint8)
    if surroundings == "desk":
        page[:40], page[152:], page[:, :8], page[:, 184:] = 60, 60, 60, 60
    else:
        page[:6] = page[-6:] = page[:, :6] = page[:, -6:] = 0
    row = (14, 34, 5, 14), (14, 34, 18, 20), (15, 34, 24, 32), (14, 33, 35, 43)
    for top, bottom, left, right in row:
        page[4 * top : 4 * bottom, 4 * left : 4 * right] = 0
    maps = maps_with(row[0], *row[2:])  # no middle of the 1
    maps[14:34, 18:20, 0] = 0.5
    located = MnistPipeline(28, 28, maps_of=Looks(maps)).locate(page, many=True)
    lefts = [place.left * 48 for place in located.boxes]
    assert lefts == pytest.approx([5, 18, 24, 35], abs=0.5)


def test_pieces_that_do_not_account_for_every_digit_are_no_answer() -> None:
    first, second = (10, 30, 4, 14), (10, 30, 20, 30)
    findings = findings_of(maps_with(first, second))
    assert len(digits_of(pieces_of(first, second), findings)) == 2
    assert digits_of(pieces_of(first), findings) == []
    assert digits_of([], findings) == []


def test_two_digits_that_touch_are_not_one() -> None:
    first, second = (10, 30, 4, 18), (10, 30, 18, 32)
    findings = findings_of(maps_with(first, second))
    assert digits_of(pieces_of((10, 30, 4, 32)), findings) == []
    upper, lower = (4, 18, 10, 20), (18, 32, 10, 20)  # one digit that was taken for two
    findings = findings_of(maps_with(upper, lower))
    assert len(digits_of(pieces_of((4, 32, 10, 20)), findings)) == 1


def locate(*answers: Maps, many: bool = False, pixels: NDArray[np.uint8] = PAGE) -> tuple[int, int]:
    """How many samples there are, and how many others."""
    located = MnistPipeline(28, 28, maps_of=Looks(*answers)).locate(pixels, many=many)
    assert len(located.boxes) in {0, len(located.samples)}
    return len(located.samples), located.others


ROW = maps_with((10, 38, 2, 14), (10, 38, 18, 30), (10, 38, 34, 46))


def test_one_digit_is_read_or_all_of_them() -> None:
    assert locate(ROW) == (1, 2)
    assert locate(ROW, many=True) == (3, 0)


@pytest.mark.parametrize(("score", "has_second"), [(0.9, True), (0.5, False)])
def test_a_second_digit_is_kept_for_the_reader_if_it_is_clear(
    *, score: float, has_second: bool
) -> None:
    large, small = (10, 40, 2, 26), (20, 40, 32, 46)
    maps = np.maximum(maps_with(large), maps_with(small, score=score))
    located = MnistPipeline(28, 28, maps_of=Looks(maps)).locate(PAGE)
    assert located.boxes == [box(*large)]
    assert (located.instead is not None) == has_second
    if located.instead:
        assert located.instead.boxes == [box(*small)]
        elsewhere = located.placed(lambda part: part._replace(top=0.0))
        assert elsewhere.instead
        assert (elsewhere.boxes[0].top, elsewhere.instead.boxes[0].top) == (0, 0)


def test_samples_hold_the_digits_in_reading_order() -> None:
    wide, narrow = (10, 40, 2, 26), (10, 40, 34, 42)
    pipeline = MnistPipeline(28, 28, maps_of=Looks(maps_with(wide, narrow)))
    located = pipeline.locate(PAGE, many=True)
    assert located.boxes == [box(*wide), box(*narrow)]
    widths = [sample.any(axis=0).sum() for sample in located.samples]
    assert widths == [16, 5]  # of a box of 20


def test_each_of_many_digits_has_its_own_score() -> None:
    maps = np.maximum(maps_with((10, 40, 2, 26)), maps_with((10, 40, 30, 44), score=0.7))
    located = MnistPipeline(28, 28, maps_of=Looks(maps)).locate(PAGE, many=True)
    assert located.scores == pytest.approx([0.9, 0.7])


def test_a_page_of_digits_is_read_up_to_a_limit() -> None:
    grid = [(y, y + 4, x, x + 4) for y in range(1, 43, 6) for x in range(1, 43, 6)]
    maps = maps_with(*grid)
    looks = [maps] + [maps_with((9, 39, 9, 39))] * MAX_DIGITS
    assert locate(*looks, many=True)[0] == MAX_DIGITS


def test_a_picture_with_nothing_on_it_is_blank() -> None:
    for many in (False, True):
        with pytest.raises(BlankImage):
            locate(maps_with(), many=many)


def test_other_writing_alone_is_no_digit_but_still_a_sample_to_judge() -> None:
    page = PAGE.copy()
    page[60:120, 60:120] = 0
    maps = maps_with(other=(15, 30, 15, 30))
    for many, count in ((False, 1), (True, 0)):
        located = MnistPipeline(28, 28, maps_of=Looks(maps)).locate(page, many=many)
        assert [located.score_of(index) for index in range(len(located.samples))] == [0] * count
        assert located.boxes == []


def test_a_finished_sample_is_not_looked_at(digits: NDArray[np.uint8]) -> None:
    pipeline = MnistPipeline(28, 28, maps_of=Looks())
    for digit in digits:
        located = pipeline.locate(digit[:, :, np.newaxis])
        np.testing.assert_array_equal(located.samples[0], digit)
        assert located.score_of(0) == 1


@pytest.mark.parametrize("side", [8, 20, 64])
def test_a_small_file_that_is_cropped_to_its_digit_is_shown_with_paper_around(side: int) -> None:
    page = np.full((side, side, 3), 255, np.uint8)
    third = side // 3
    page[:, third : side - third] = 0
    looks = Looks(maps_with((6, 42, 18, 30)))
    located = MnistPipeline(28, 28, maps_of=looks).locate(page)
    shown = looks.pictures[0]
    edges = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    np.testing.assert_array_equal(edges, np.full_like(edges, 255))
    (where,) = located.boxes
    assert (where.top, where.bottom) == pytest.approx((0, 1), abs=0.04)
    assert where.left == pytest.approx(1 - where.right)
    assert 0.3 < where.left < 0.4


def page_with(*marks: Rectangle, side: int = 400) -> NDArray[np.uint8]:
    """A white page with black marks, in pixels."""
    page = np.full((side, side, 1), 255, np.uint8)
    for top, bottom, left, right in marks:
        page[top:bottom, left:right] = 0
    return page


def test_a_picture_that_its_ink_fills_is_shown_with_paper_around() -> None:
    looks = Looks(maps_with((8, 40, 8, 40)))
    located = MnistPipeline(28, 28, maps_of=looks).locate(
        page_with((20, 380, 10, 40), (350, 380, 10, 380))
    )
    (shown,) = looks.pictures
    edges = np.concatenate([shown[:15], shown[-15:]])
    np.testing.assert_array_equal(edges, np.full_like(edges, 255))
    assert shown.min() == 0
    (where,) = located.boxes  # a margin of a quarter lies around it
    assert where == pytest.approx((0, 1, 0, 1), abs=0.02)


def test_where_that_shows_no_digit_the_picture_is_looked_at_as_it_is() -> None:
    page = page_with((20, 380, 10, 40), (350, 380, 10, 380))
    looks = Looks(maps_with(other=(8, 40, 8, 40)), maps_with((4, 44, 0, 44)))
    located = MnistPipeline(28, 28, maps_of=looks).locate(page)
    assert looks.pictures[-1][:, 5].min() == 0
    assert located.boxes == [pytest.approx((4 / 48, 44 / 48, 0, 44 / 48), abs=0.02)]


# Small writing


def test_many_small_digits_are_looked_at_together_and_large() -> None:
    page = page_with((500, 530, 100, 120), (500, 530, 140, 160), side=1000)
    looks = Looks(maps_with((24, 26, 5, 6)), maps_with((16, 32, 10, 18), (16, 32, 28, 36)))
    located = MnistPipeline(28, 28, maps_of=looks).locate(page, many=True)
    assert len(located.boxes) == 2
    for where, left in zip(located.boxes, (100, 140), strict=True):
        assert (where.top * 1000, where.bottom * 1000) == pytest.approx((500, 530), abs=3)
        assert (where.left * 1000, where.right * 1000) == pytest.approx((left, left + 20), abs=3)


@pytest.mark.parametrize("many", [False, True])
def test_a_small_stroke_alone_is_a_digit_though_nothing_is_seen_of_it(*, many: bool) -> None:
    page = page_with((500, 540, 100, 106), side=1000)
    located = MnistPipeline(28, 28, maps_of=Looks()).locate(page, many=many)
    (where,) = located.boxes
    assert (where.top * 1000, where.bottom * 1000) == pytest.approx((500, 540), abs=4)


def test_a_scratch_is_no_stroke() -> None:
    page = page_with((500, 540, 100, 102), side=1000)
    located = MnistPipeline(28, 28, maps_of=Looks()).locate(page)
    assert located.scores == [0]


def test_a_slender_digit_that_is_sure_is_taken_as_it_was_seen() -> None:
    page = PAGE.copy()
    page[40:150, 80:116] = 0
    located = MnistPipeline(28, 28, maps_of=Looks(maps_with((8, 40, 20, 29)))).locate(page)
    assert located.scores == pytest.approx([0.9])


@pytest.mark.parametrize("is_seen", ["not at all", "in part"])
def test_an_upright_stroke_alone_is_a_digit_whatever_is_seen_of_it(is_seen: str) -> None:
    page = PAGE.copy()
    page[40:150, 80:116] = 0  # too broad to be told without a network
    maps = maps_with((36, 38, 23, 25)) if is_seen == "in part" else maps_with()
    maps[36:38, 23:25, 1] = 0.5
    located = MnistPipeline(28, 28, maps_of=Looks(maps)).locate(page)
    (sample,), (where,) = located.samples, located.boxes
    assert sample.any(axis=1).sum() == 20
    assert (where.top * 192, where.bottom * 192) == pytest.approx((40, 150), abs=2)


def stroke_page(kind: str) -> NDArray[np.uint8]:
    """A page [192, 192, 1] with a stroke in rows 60 to 130 and columns 92 to 100, and more."""
    page = PAGE.copy()
    if kind == "on a tile":
        page[30:160, 40:150] = 90
    elif kind == "in a box":
        page[45:145, 45:145] = 0
        page[48:142, 48:142] = 255
    elif kind == "under a bar":
        page[:20] = 0
    elif kind == "among letters":
        for left in (60, 76, 108, 124):
            page[60:130, left : left + 8] = 0
    page[60:130, 92:100] = 255 if kind == "on a tile" else 0
    return page


PART_OF_STROKE = maps_with((17, 30, 23, 25), score=0.5)


@pytest.mark.parametrize("kind", ["on a tile", "in a box", "under a bar"])
def test_an_upright_stroke_beside_something_else_is_taken_whole(kind: str) -> None:
    located = MnistPipeline(28, 28, maps_of=Looks(PART_OF_STROKE)).locate(stroke_page(kind))
    (where,) = located.boxes
    assert (where.top * 192, where.bottom * 192) == pytest.approx((60, 130), abs=2)
    assert (where.left * 192, where.right * 192) == pytest.approx((92, 100), abs=2)
    assert (located.others, located.scores) == (0, [1])


def test_a_stroke_among_many_is_a_letter_rather_than_a_one() -> None:
    located = MnistPipeline(28, 28, maps_of=Looks(PART_OF_STROKE)).locate(
        stroke_page("among letters")
    )
    assert located.scores == [0.5]


def test_a_stroke_hides_no_other_digit() -> None:
    maps = np.maximum(
        maps_with((21, 26, 23, 26), score=0.5), maps_with((16, 30, 7, 11), score=0.13)
    )
    page = stroke_page("alone")
    page[64:120, 28:44] = 0
    assert locate(maps, pixels=page) == (1, 1)
    assert locate(maps, pixels=page, many=True) == (2, 0)


def test_a_hairline_that_no_cell_counts_has_a_score() -> None:
    hairline = np.zeros((53, 67), bool)
    hairline[4:19, 33] = True  # its middle lies between two cells of 48
    assert not np.isnan(rows._mean(np.ones((38, 48), np.float32), hairline))
