"""page.py: the page is one small file, and its policy admits exactly what is in it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from classifier.http.page import page
from classifier.image import formats

FUNCTION = Path(__file__).parents[3] / "functions" / "predict"


class Elements(HTMLParser):
    """What a browser's parser sees: attributes of every element, text of script and style."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside].append(data)


@pytest.fixture
def elements() -> Elements:
    parser = Elements()
    parser.feed(page()[0])
    return parser


@pytest.mark.parametrize("element", ["script", "style"])
def test_policy_carries_the_hash_of_the_one_inline_element(
    element: str, elements: Elements
) -> None:
    """There is one script and one style, and each is admitted by its sha256 alone."""
    (content,) = elements.texts[element]
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    assert f"{element}-src 'sha256-{digest}';" in page()[1]["Content-Security-Policy"]


def test_policy_closes_everything_else() -> None:
    """Nothing loads by default, and requests go to the page's own origin only."""
    policy = dict(part.split(" ", 1) for part in page()[1]["Content-Security-Policy"].split("; "))
    for directive in ("default-src", "form-action", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in " ".join(policy.values())


def test_page_holds_nothing_that_the_policy_would_stop(elements: Elements) -> None:
    """No inline handler, no style attribute, no file beside the page."""
    for tag, name, value in elements.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style", tag
        if name in {"src", "href"}:
            assert value.startswith("data:"), (tag, name, value)


def test_page_is_small_and_names_no_outside_address() -> None:
    """Under 44 KB, and the one address in it is the name of SVG."""
    html, _ = page()
    assert len(html.encode()) < 44_000
    assert set(re.findall(r"\w+://[^\s'\"`$)]+", html)) == {"http://www.w3.org/2000/svg"}


def test_headers_say_what_it_is() -> None:
    """HTML in UTF-8, not to be guessed at, cached for minutes only."""
    _, headers = page()
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "public, max-age=300"


def test_the_page_sends_files_of_the_accepted_formats_as_they_are(elements: Elements) -> None:
    (script,) = elements.texts["script"]
    types = [accepted.media_types[0].removeprefix("image/") for accepted in formats.ACCEPTED]
    types.append("heif")  # browsers name it by the file's suffix
    assert f"const TAKEN = /^(image\\/({'|'.join(types)}))?$/;" in script
