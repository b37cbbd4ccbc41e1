"""The report of a search: page, figures, table and data."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_build.errors import StepError
from model_build.report import report
from model_build.report.figures import family
from model_build.report.label_placement import Box, place
from model_build.search.measurements import Search
from model_build.search.selection import Choice, choose
from tests.support.searches import measured, search

FIGURES = ["accuracy-latency", "accuracy-size", "confusion", "misread", "reliability"]
VOID = {"br", "img", "meta", "use", "path"}


class Page(HTMLParser):
    """Text, links and headings of a page; fails on an unclosed tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headers: list[dict[str, str | None]] = []
        self.labels: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        self.labels.append(given.get("aria-label") or "")
        if tag == "img":
            self.images.append(given)
        if tag == "th":
            self.headers.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def chosen(made: Search) -> Choice:
    return choose(made.candidates, max_bytes=100 * 1024, max_latency_ratio=1.05, min_accuracy=0.97)


@pytest.fixture(scope="module")
def made() -> Search:
    return search()


@pytest.fixture(scope="module")
def folder(made: Search, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("report")
    assert report.write(made, chosen(made), written) == written / "index.html"
    return written


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "index.html").read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_needs_nothing_from_outside(html: str, page: Page) -> None:
    """Its only links are to its own parts and embedded pictures."""
    assert "://" not in html
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", html)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)


def test_what_the_drawings_refer_to_is_there_once(html: str) -> None:
    """Two figures on a page must not share an id."""
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([\w.-]+)', html)) <= set(ids)


def test_every_candidate_and_every_failure_is_named(made: Search, page: Page) -> None:
    """With stages, the reason why it lost, and errors."""
    choice = chosen(made)
    for one in made.candidates:
        assert page.text.count(one.recipe) >= 3
        assert " → ".join(one.techniques) in page.text
        assert one.description in page.text
    for reason in choice.reasons.values():
        assert reason in page.text
    assert choice.why in page.text
    for failure in made.failed:
        assert failure["recipe"] in page.text
        assert failure["error"] in page.text


def test_no_figure_is_missing(page: Page, folder: Path) -> None:
    """NaN and None would be printed as such."""
    for text in (page.text, (folder / "table.md").read_text()):
        assert not re.search(r"\b(nan|NaN|inf|None|Undefined)\b", text)


def test_the_page_reads_aloud(page: Page) -> None:
    """Table headers have a scope, pictures a text, figures a label."""
    assert all(head.get("scope") in ("col", "row") for head in page.headers)
    assert page.images
    assert all(re.fullmatch(r"A \d read as \d", image["alt"] or "") for image in page.images)
    for label in ("Scatter plot: held-out accuracy against file size", "Confusion matrix of cnn-"):
        assert any(one.startswith(label) for one in page.labels)


def test_the_misread_digits_are_shown(made: Search, page: Page) -> None:
    """All of the chosen candidate's, because no class has more than twelve."""
    winner = chosen(made).chosen
    assert winner is not None
    assert len(page.images) == len(winner.misread) > 5


def test_the_pictures_open_at_twice_the_size_of_the_page(folder: Path) -> None:
    """As PNG files that are not blank."""
    assert sorted(path.stem for path in folder.glob("*.png")) == FIGURES
    for name in FIGURES:
        with Image.open(folder / f"{name}.png") as image:
            image.load()
            assert image.width >= 1100
            assert len(np.unique(np.asarray(image.convert("L")))) > 20


@pytest.mark.slow
def test_the_same_search_gives_the_same_bytes(made: Search, tmp_path: Path) -> None:
    """For every file."""
    few = replace(made, candidates=made.candidates[:4])
    for name in ("first", "again"):
        report.write(few, chosen(few), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 8
    for name in files:
        first, again = (tmp_path / folder / name for folder in ("first", "again"))
        assert first.read_bytes() == again.read_bytes(), name


def test_the_data_comes_back(made: Search, folder: Path) -> None:
    """So that another choice needs no new run; the choice is stored as well."""
    assert report.read(folder) == made
    document = json.loads((folder / "results.json").read_text())
    assert document["choice"]["chosen"] == chosen(made).chosen.recipe  # type: ignore[union-attr]
    assert document["choice"]["limits"]["max_bytes"] == 102400


def test_names_and_errors_are_text_not_markup(tmp_path: Path) -> None:
    """In the page, in the figures and in the Markdown table."""
    name = "<b>a&b</b>|$\\x$"
    odd = measured(name, description="<script>alert(1)</script>")
    made = search(
        odd, measured("b"), reference=name, failed=[{"recipe": "<i>", "error": "a < b & <c>"}]
    )
    report.write(made, choose(made.candidates), tmp_path)
    html = (tmp_path / "index.html").read_text()
    page = Page(html)
    for said in (name, odd.description, "<i>", "a < b & <c>"):
        assert said in page.text
    assert not re.search(r"<(b|i|c|script>alert)\b", html)
    table = (tmp_path / "table.md").read_text()
    assert r"&lt;b&gt;a&amp;b&lt;/b&gt;\|$\\x$" in table
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()[:4]} == {9}


@pytest.mark.slow
def test_a_search_without_a_choice_still_reports(tmp_path: Path) -> None:
    """It says what to loosen, and shows the reference's errors."""
    made = search(measured("cnn", accuracy=1.0), measured("b", kib=50))
    choice = choose(made.candidates, max_bytes=1000)
    report.write(made, choice, tmp_path)
    page = Page((tmp_path / "index.html").read_text())
    assert "No model is within the limits" in page.text
    assert choice.why in page.text
    assert "What cnn gets wrong" in page.text
    assert page.images == []


def test_a_search_without_candidates_is_refused(tmp_path: Path) -> None:
    """There would be nothing to show."""
    empty = replace(search(), candidates=[])
    with pytest.raises(StepError, match="no candidates to report"):
        report.write(empty, choose([]), tmp_path)


@pytest.mark.parametrize(
    ("techniques", "expected"),
    [
        ("train convert", "baseline"),
        ("train fine-tune convert", "baseline"),
        ("train convert quantise-dynamic", "quantised"),
        ("train qat", "quantised"),
        ("train prune convert", "pruned"),
        ("train remove-filters prune qat", "pruned"),
        ("train factorise convert", "factorised"),
        ("distil convert quantise-static", "distilled"),
        ("distil factorise convert", "composed"),
    ],
)
def test_a_family_is_what_made_it_small(techniques: str, expected: str) -> None:
    """Quantisation counts only if nothing else was done."""
    assert family(measured("a", techniques)) == expected


def test_names_in_a_plot_cover_neither_points_nor_each_other() -> None:
    """Twelve labels around a cluster of points, with enough room."""
    generator = np.random.default_rng(0)
    points = [(x, y) for x, y in generator.normal((300, 200), (60, 40), (12, 2))]
    area = Box(0, 0, 600, 400)
    boxes = place(points, [(90, 12)] * 12, area)
    for index, box in enumerate(boxes):
        assert box.overlap(area) == pytest.approx(90 * 12)
        assert not any(box.overlap(other) for other in boxes[:index])
        assert not any(box.holds(point) for point in points)
