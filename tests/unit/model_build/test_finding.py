"""finding/: pages to learn from, strokes that any pen redraws, and samples of what is found."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.model.manifest import Rejection
from model_build.data import datasets
from model_build.data.datasets import Dataset
from model_build.engine.stage import SAMPLES, StageContext
from model_build.evaluation import rejection
from model_build.finding import (
    draw_samples,
    lying_about,
    other_samples,
    page,
    train_finder,
    writing,
)
from model_build.finding.letters import SIGNS, letters
from model_build.finding.maps import FINDER, maps_of
from model_build.finding.page import Page, draw_page
from model_build.finding.paper import put_on_something
from model_build.finding.shapes import Box, pick
from model_build.finding.sheet import Sheet
from model_build.finding.strokes import euler_numbers, thin, trace
from model_build.finding.writing import Pens
from tests.support.finders import tint_finder, tinted
from tests.support.techniques import silent

type Masks = NDArray[np.bool_]


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def pens(digits: NDArray[np.uint8]) -> Pens:
    return Pens(trace(digits, np.arange(10)), letters(generator(), 60))


def masks(*drawings: str) -> Masks:
    """Masks [N, H, W] of drawings, # for what is set."""
    return np.array([[[c == "#" for c in row] for row in d.split()] for d in drawings])


# Strokes


@pytest.mark.parametrize(
    ("drawing", "number"),
    [
        ("...  ...  ...", 0),
        ("###  ###  ###", 1),
        ("#.#  ...  #.#", 4),
        ("###  #.#  ###", 0),
        ("#..  .#.  ..#", 1),
        (".#.  #.#  .#.", 0),
        ("#####  #.#.#  #####", -1),
        ("#.###  ..#.#  #.###", 2),
    ],
)
def test_the_euler_number_is_pieces_less_holes(drawing: str, number: int) -> None:
    """Diagonal neighbours are connected."""
    assert euler_numbers(masks(drawing)).tolist() == [number]


def test_the_thinned_path_of_a_ring_is_a_ring() -> None:
    y, x = np.mgrid[0:56, 0:56] - 28
    radius = np.hypot(y, x)
    ring = ((radius > 10) & (radius < 20))[np.newaxis]
    path = thin(ring)
    assert euler_numbers(path).tolist() == [0]
    assert (path <= ring).all()
    assert abs(radius[path[0]] - 15).max() < 3
    assert path.sum() < 1.4 * 2 * np.pi * 15  # one pixel wide, if with steps


def test_masks_are_thinned_on_their_own() -> None:
    bar, empty = np.zeros((2, 20, 20), bool)
    bar[8:13, 2:18] = True
    thinned = thin(np.stack([bar, empty, bar]))
    assert not thinned[1].any()
    np.testing.assert_array_equal(thinned[0], thinned[2])
    assert thinned[0].any(axis=1).sum() == 1


def test_distances_are_measured_from_the_pen_s_path(digits: NDArray[np.uint8]) -> None:
    strokes = trace(digits, np.arange(10))
    assert strokes.distances.shape == (10, 56, 56)
    assert strokes.distances.min() == 0
    for image, distance in zip(digits, strokes.distances, strict=True):
        coarse = distance.reshape(28, 2, 28, 2).min(axis=(1, 3))
        assert coarse[image > 200].max() < 5
        assert coarse[0, 0] > 5


def test_a_digit_that_has_lost_its_loop_is_left_out(digits: NDArray[np.uint8]) -> None:
    filled = digits[0].copy()
    filled[6:22, 6:22] = 255
    images = np.stack([digits[0], filled, np.zeros_like(filled), filled])
    strokes = trace(images, np.array([0, 0, 1, -1]))
    assert strokes.labels.tolist() == [0, -1]  # other signs need no loop
    np.testing.assert_array_equal(strokes.images, images[[0, 3]])


def test_no_letter_is_taken_for_a_digit() -> None:
    signs = letters(generator(), 2 * len(SIGNS))
    assert set(signs.labels) == {-1}
    assert len(signs.images) > 1.5 * len(SIGNS)
    again, other = letters(generator(), 2 * len(SIGNS)), letters(generator(2), 2 * len(SIGNS))
    np.testing.assert_array_equal(signs.images, again.images)
    assert signs.images.shape != other.images.shape or (signs.images != other.images).any()


# Pages


@pytest.mark.parametrize("close", [False, True])
def test_the_same_seed_draws_the_same_pages(*, pens: Pens, close: bool) -> None:
    first, again, other = (
        [draw_page(pens, source, close=close) for _ in range(10)]
        for source in (generator(), generator(), generator(2))
    )
    assert same(first, again)
    assert not same(first, other)


def same(first: list[Page], second: list[Page]) -> bool:
    return len(first) == len(second) and all(
        (one.picture == two.picture).all()
        and (one.targets == two.targets).all()
        and one.digits == two.digits
        for one, two in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def drawn(pens: Pens) -> list[Page]:
    source = generator(5)
    return [draw_page(pens, source) for _ in range(200)]


def test_a_page_is_a_picture_and_its_maps(drawn: list[Page]) -> None:
    for one in drawn:
        assert (one.picture.shape, one.picture.dtype.name) == ((96, 96, 3), "uint8")
        assert (one.targets.shape, one.targets.dtype.name) == ((48, 48, 3), "uint8")
    assert max(one.targets.max() for one in drawn) == 255


def test_digits_are_where_their_page_says(drawn: list[Page]) -> None:
    with_digits = [one for one in drawn if one.digits]
    assert len(with_digits) > 100
    for one in with_digits:
        for label, row, column in one.digits:
            assert 0 <= label <= 9
            around = np.s_[
                max(int(row) - 1, 0) : int(row) + 2, max(int(column) - 1, 0) : int(column) + 2
            ]
            assert one.targets[around][:, :, 1].max() > 200
    labels = {label for one in with_digits for label, _, _ in one.digits}
    assert labels == set(range(10))


def test_a_page_without_digits_has_no_ink_of_digits(drawn: list[Page]) -> None:
    without = [one for one in drawn if not one.digits]
    assert len(without) > 20
    assert not any(one.targets[:, :, :2].any() for one in without)
    assert any(one.targets[:, :, 2].any() for one in without)


def test_the_maps_end_where_an_elongated_page_does(
    pens: Pens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture goes on with copies of its last row."""
    monkeypatch.setattr(page, "_blank", lambda *_, **__: Sheet(96, 40, is_close=False))
    source = generator()
    for _ in range(20):
        one = draw_page(pens, source)
        assert (one.picture[40:] == one.picture[39]).all()
        assert not one.targets[20:].any()


def test_a_second_look_shows_a_digit_that_fills_half_of_the_page(
    pens: Pens, drawn: list[Page]
) -> None:
    source = generator(4)
    close = [draw_page(pens, source, close=True) for _ in range(100)]
    assert np.quantile(heights(close), 0.2) >= 0.5
    assert np.quantile(heights(drawn), 0.5) < 0.5


def heights(pages: list[Page]) -> list[float]:
    """Shares of the pages' heights that the digits' middles tell of."""
    spans = [np.flatnonzero((one.targets[:, :, 1] > 127).any(axis=1)) for one in pages]
    return [(rows[-1] - rows[0] + 1) / 0.6 / 48 for rows in spans if rows.size]


@pytest.mark.parametrize("draw", [draw for _, draw in lying_about._THINGS])
def test_each_thing_covers_some_of_the_page_and_keeps_to_its_range(draw: Any) -> None:
    source, sheet = generator(), Sheet(96, 50, is_close=False)
    for _ in range(5):
        coverage = draw(sheet, source)
        assert coverage.shape == (96, 96)
        assert 0 <= coverage.min() <= coverage.max() <= 1
    assert any(draw(sheet, source)[:50].max() > 0.3 for _ in range(5))


def test_what_would_hide_a_digit_is_left_out(pens: Pens, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = Sheet(96, 96, is_close=False)
    writing.write_digit(sheet, pens, generator())
    hiding, beside = np.ones((96, 96), np.float32), (sheet.digit == 0).astype(np.float32)
    kinds = ((1.0, lambda *_: hiding), (1.0, lambda *_: beside))
    monkeypatch.setattr(lying_about, "_THINGS", kinds)
    ((coverage, colour),) = lying_about.things(sheet, generator())
    assert coverage is beside
    assert colour.shape == (3,)


def test_writing_keeps_clear_of_the_digits(pens: Pens) -> None:
    sheet = Sheet(96, 96, is_close=False)
    sheet.area = Box(20, 20, 76, 76)
    source = generator()
    writing.write_digit(sheet, pens, source)
    for _ in range(10):
        writing.write_other(sheet, pens, source)
    assert sheet.other.any()
    assert not sheet.other[sheet.digit >= 0.1].any()


def test_things_are_picked_by_their_share() -> None:
    source = generator()
    picked = [pick(source, ((0.2, "a"), (0.3, "b"), (0.5, "c"))) for _ in range(2000)]
    shares = [picked.count(choice) / 2000 for choice in "abc"]
    assert shares == pytest.approx([0.2, 0.3, 0.5], abs=0.04)


class NoProcesses:
    """An executor that does everything in this process."""

    def __init__(self, initializer: Any, initargs: Any, **_options: Any) -> None:
        initializer(*initargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    map = staticmethod(map)


@pytest.mark.slow
def test_pages_are_the_same_whatever_the_number_of_processes(
    pens: Pens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_finder, "_CHUNK", 3)
    several = train_finder.draw_pages(pens, 8, 7, 0.5)
    monkeypatch.setattr(train_finder, "ProcessPoolExecutor", NoProcesses)
    assert same(several, train_finder.draw_pages(pens, 8, 7, 0.5))
    assert not same(several, train_finder.draw_pages(pens, 8, 8, 0.5))


def test_every_chunk_of_pages_is_drawn_from_a_seed_of_its_own(
    pens: Pens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_finder, "ProcessPoolExecutor", NoProcesses)
    monkeypatch.setattr(train_finder, "_CHUNK", 3)
    pages = train_finder.draw_pages(pens, 8, 7, 0.5)
    assert len(pages) == 8
    assert not same(pages[:3], pages[3:6])
    assert same(pages[:6], train_finder.draw_pages(pens, 6, 7, 0.5))


# Samples


def test_what_is_found_has_the_label_of_the_digit_that_is_there() -> None:
    """Digits found at its middle, far from it, and in between, where nobody can tell."""
    maps = np.zeros((48, 48, 3), np.float32)
    for left in (0, 16, 32):
        maps[10:34, left : left + 12, 0] = 1
        maps[15:29, left + 3 : left + 9, 1] = 1
    picture, targets = np.zeros((96, 96, 3), np.uint8), np.zeros((48, 48, 3), np.uint8)
    drawn = Page(picture, targets, [(7, 22.0, 6.0 + 1)])
    images, labels, scores = draw_samples.found(
        lambda _picture: maps, [drawn, drawn._replace(digits=[])]
    )
    assert images.shape == (6, 28, 28)
    assert labels.tolist() == [7, -1, -1, -1, -1, -1]
    assert scores.tolist() == [1.0] * 6
    moved = drawn._replace(digits=[(7, 22.0, 16.0)])
    _, labels, _ = draw_samples.found(lambda _picture: maps, [moved])
    assert labels.tolist() == [-1]  # ten and six cells off: neither this digit nor another


def test_a_digit_that_is_looked_at_again_before_it_is_read_is_no_sample() -> None:
    maps = np.zeros((48, 48, 3), np.float32)
    maps[10:26, 10:20, 0] = maps[13:23, 12:18, 1] = 1
    page_of = Page(np.zeros((96, 96, 3), np.uint8), np.zeros((48, 48, 3), np.uint8), [])
    tall = maps.copy()
    tall[26:30, 10:20, 0] = 1
    answers = iter([maps, tall])
    images, _, _ = draw_samples.found(lambda _picture: next(answers), [page_of, page_of])
    assert len(images) == 1


def test_a_neighbour_that_the_page_cuts_off_is_no_sample() -> None:
    maps = np.zeros((48, 48, 3), np.float32)
    for left in (0, 20):
        maps[10:34, left : left + 12, 0] = 1
        maps[15:29, left + 3 : left + 9, 1] = 1
    alone = Page(
        np.zeros((96, 96, 3), np.uint8), np.zeros((48, 48, 3), np.uint8), [(3, 22.0, 26.0)]
    )
    row = alone._replace(digits=[(7, 22.0, 4.0), *alone.digits])
    _, labels, _ = draw_samples.found(lambda _picture: maps, [row, alone])
    assert labels.tolist() == [3, -1, 3]


def test_samples_without_digits_fill_the_box_as_digits_do() -> None:
    samples = other_samples.without_digits(generator(3), 90)
    signs = len(letters(generator(3), 15).images)
    assert samples.shape == (signs + 75, 28, 28)
    assert samples.dtype == np.uint8
    drawn = samples[signs:]
    longer_side = np.maximum(drawn.any(axis=1).sum(axis=1), drawn.any(axis=2).sum(axis=1))
    assert (longer_side >= 15).all()
    np.testing.assert_array_equal(samples, other_samples.without_digits(generator(3), 90))


def test_upright_strokes_are_high_and_slender() -> None:
    strokes = other_samples.upright_strokes(generator(4), 30)
    heights, widths = strokes.any(axis=2).sum(axis=1), strokes.any(axis=1).sum(axis=1)
    assert (heights >= 18).all()
    assert (widths <= 13).all()
    assert len(np.unique(strokes, axis=0)) == 30


def test_a_stage_of_samples_keeps_both_parts_apart(
    mnist: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "finder", tmp_path / "samples"
    source.mkdir()
    target.mkdir()
    (source / "model.onnx").write_bytes(tint_finder())
    one = tinted_page()
    asked: list[tuple[int, int]] = []

    def draw_pages(_pens: Pens, count: int, seed: int, _close: float) -> list[Page]:
        asked.append((count, seed))
        return [one] * count

    monkeypatch.setattr(draw_samples, "draw_pages", draw_pages)
    monkeypatch.setattr(draw_samples, "pens", lambda *_: None)
    context = StageContext(mnist, 7, silent, source, (source,), target)
    result = draw_samples.build_stage(context, pages=40)
    assert asked == [(40, 8), (6, 9)]
    with np.load(target / SAMPLES) as arrays:
        assert {name: len(arrays[name]) for name in arrays} == result
        assert arrays["labels"][:40].tolist() == [5] * 40
        assert (arrays["labels"][40:] == -1).all()
        assert arrays["scores"][:40] == pytest.approx(1, abs=1e-3)
        assert np.isnan(arrays["scores"][40:]).all()
        assert arrays["images"].shape == (*arrays["labels"].shape, 28, 28)
        known, validation = datasets.load_training_writers()
        np.testing.assert_array_equal(arrays["writers"], known[0])
        np.testing.assert_array_equal(arrays["validation_writers"], validation[0])
        np.testing.assert_array_equal(arrays["validation_written"], validation[1])
    assert (target / FINDER).read_bytes() == tint_finder()


def tinted_page() -> Page:
    ink = np.zeros((96, 96), np.uint8)
    ink[20:76, 40:56] = 255
    picture = tinted(ink, [(slice(32, 64), slice(42, 54))])
    return Page(picture, np.zeros((48, 48, 3), np.uint8), [(5, 24.0, 24.0)])


# Rejection


def test_rejection_tells_sure_answers_from_unsure_ones() -> None:
    """By the probabilities, and by the finder's score where they are the same."""
    source = generator()
    is_known = np.arange(1300) < 1000
    sure = np.concatenate([source.beta(20, 1, 1000), source.beta(4, 3, 300)]).astype(np.float32)
    either = source.beta(9, 2, 1300).astype(np.float32)
    for confidence, scores in ((sure, either), (either, sure)):
        rows = _of_ten(confidence)
        fitted = rejection.fit(rows, scores, is_known)
        probability = np.array(
            [
                Rejection(**fitted).probability(row, score)
                for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            ]
        )
        rejected = probability < fitted["threshold"]
        assert rejected[is_known].mean() == pytest.approx(rejection.REJECTED, abs=0.002)
        assert rejected[~is_known].mean() > 0.5
        # calibrated where both kinds are as likely
        weights = np.where(is_known, 1 / 1000, 1 / 300)
        likely = probability > 0.8
        share = (weights * is_known)[likely].sum() / weights[likely].sum()
        assert share == pytest.approx(
            (weights * probability)[likely].sum() / weights[likely].sum(), abs=0.05
        )


def test_a_digit_that_may_be_one_of_two_is_more_probable_than_something_like_all_ten() -> None:
    confidence = np.repeat(np.array([0.99, 0.2], np.float32), 50)
    scores = np.ones(100, np.float32)
    fitted = rejection.fit(_of_ten(confidence), scores, np.arange(100) < 50)
    either = [0.49, 0.5, *[0.00125] * 8]
    like_all = [0.5, *[0.5 / 9] * 9]
    rule = Rejection(**fitted)
    assert rule.probability(either) > rule.probability(like_all)


def _of_ten(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [N, 10] with these of the first class, and the rest shared by the others."""
    return np.column_stack([confidence, *[(1 - confidence) / 9] * 9])


@pytest.mark.parametrize("is_known", [True, False])
def test_rejection_needs_pictures_of_both_kinds(*, is_known: bool) -> None:
    known = np.full(10, is_known)
    with pytest.raises(ValueError, match="pictures that show a class, and on others"):
        rejection.fit(np.full((10, 2), 0.5, np.float32), np.ones(10, np.float32), known)


def test_a_finder_is_opened_as_the_function_of_one_picture(tmp_path: Path) -> None:
    path = tmp_path / FINDER
    path.write_bytes(tint_finder())
    maps = maps_of(path)(tinted_page().picture)
    assert (maps.shape, maps.dtype.name) == ((48, 48, 3), "float32")
    assert maps[24, 24].tolist() == pytest.approx([1, 1, 0], abs=1e-3)
    assert maps[0, 0].tolist() == pytest.approx([0, 0, 0], abs=1e-3)


def test_rejection_by_confidence_alone_rejects_three_in_a_thousand_at_most() -> None:
    counts = [1, 2, 4, *[0] * 16, 993]
    assert rejection.from_histogram(counts) == {"threshold": 0.1, "slope": 1.0, "offset": 0.0}


@pytest.mark.parametrize("counts", [[0, 0, 0, 99], [50, 0, 0, 50]], ids=["few", "all unsure"])
def test_rejection_by_confidence_alone_needs_pictures_that_are_sure(counts: list[int]) -> None:
    assert rejection.from_histogram(counts) is None


@pytest.mark.parametrize("size", [(19, 96), (96, 19), (96, 96)])
def test_a_sheet_on_something_leaves_a_place_to_write_however_narrow(
    pens: Pens, size: tuple[int, int]
) -> None:
    picture, paper = np.zeros((96, 96, 3), np.float32), np.full(3, 255, np.float32)
    for seed in range(60):
        sheet = Sheet(*size, is_close=False)
        _, area = put_on_something(picture, paper, sheet, np.random.default_rng(seed))
        assert 0 <= area.left <= area.right <= size[0]
        assert 0 <= area.top <= area.bottom <= size[1]
        sheet.area = area
        writing.write_other(sheet, pens, np.random.default_rng(seed))
