"""The page in a real browser, against the real function behind `tools.serve`.

Screenshots go to build/screenshots/. Two of them are in the README; to renew these:
UPDATE_DOCS_IMAGES=1 python -m pytest tests/e2e/test_page.py
"""

import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions import interaction
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from classifier.http.page import page as page_file
from serving.event import Event
from tests.support import ROOT, gateway

pytestmark = pytest.mark.browser

SCREENSHOTS = ROOT / "build" / "screenshots"
KEY = "a-key-of-the-tests"
DESK, PHONE, NARROW = (1280, 800), (360, 740), (320, 640)
# Strokes as a hand makes them, in shares of the sheet.
SEVEN = [[(0.3, 0.25), (0.4, 0.24), (0.55, 0.24), (0.7, 0.23), (0.58, 0.5), (0.44, 0.8)]]
ONE = [[(0.5, 0.2), (0.5, 0.35), (0.49, 0.5), (0.49, 0.65), (0.49, 0.8)]]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

type Strokes = list[list[tuple[float, float]]]
type Size = tuple[int, int]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(
        options=options, service=Service(shutil.which("chromedriver"))
    ) as browser:
        yield browser


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Run `python -m tools.serve` as a user does, and yield the address that it prints."""
    python = ROOT / ".venv" / "test" / "bin" / "python"
    command: list[str | Path] = [
        python,
        "-m",
        "tools.serve",
        "--port",
        "0",
        "--no-access-log",
        *arguments,
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(30) == 0, "it stops in good order when asked"


@pytest.fixture(scope="module")
def root(model_version: str) -> Iterator[str]:
    """An open API, without a stage."""
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def stage(model_version: str) -> Iterator[str]:
    """An API under /prod/ that needs a key, as the stack is."""
    with serving("--stage", "prod", "--key", KEY) as url:
        yield url


@contextmanager
def answering(handler: Callable[[Event], dict[str, Any]]) -> Iterator[str]:
    """Serve the page, with a handler of the test's for all else."""

    def answer(event: Event, _context: object) -> dict[str, Any]:
        if event["path"] != "/":
            return handler(event)
        html, headers = page_file()
        return {"statusCode": 200, "headers": headers, "body": html}

    with gateway.answering(answer) as url:
        yield url


@dataclass
class Page:
    """The page as a person has it: what is on it, and what can be done with it."""

    browser: webdriver.Chrome

    def open(
        self, url: str, size: Size = DESK, *, theme: str = "light", motion: str = "no-preference"
    ) -> None:
        features = {"prefers-color-scheme": theme, "prefers-reduced-motion": motion}
        phone = size[0] < 600
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.command("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )
        self.browser.get(url)
        self.browser.execute_script("localStorage.clear()")
        self.browser.refresh()

    def command(self, name: str, **arguments: Any) -> Any:
        return self.browser.execute_cdp_cmd(name, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def element(self, name: str) -> Any:
        return self.browser.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return str(self.element(name).get_property("textContent"))

    def wait(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 15, poll_frequency=0.05).until(lambda _: condition())

    @property
    def is_busy(self) -> bool:
        return bool(self.element("result").get_attribute("aria-busy") == "true")

    def draw(self, strokes: Strokes, kind: str = interaction.POINTER_MOUSE) -> None:
        left, top, side = self.run(
            "document.getElementById('paper').scrollIntoView({block: 'nearest'});"
            "const box = document.getElementById('paper').getBoundingClientRect();"
            "return [box.left, box.top, box.width]"
        )
        for stroke in strokes:
            hand = ActionBuilder(self.browser, mouse=PointerInput(kind, kind), duration=20)
            for step, (x, y) in enumerate(stroke):
                hand.pointer_action.move_to_location(int(left + x * side), int(top + y * side))
                if step == 0:
                    hand.pointer_action.pointer_down()
            hand.pointer_action.pointer_up()
            hand.perform()

    def give(self, how: str, content: bytes, name: str, kind: str) -> None:
        """Drop or paste a file, as the browser tells the page of it."""
        self.run(
            """
            const [how, text, name, type] = arguments;
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, {type}));
            const common = {bubbles: true, cancelable: true};
            document.getElementById("paper").dispatchEvent(how === "drop"
              ? new DragEvent("drop", {...common, dataTransfer: data})
              : new ClipboardEvent("paste", {...common, clipboardData: data}));
            """,
            how,
            base64.b64encode(content).decode(),
            name,
            kind,
        )

    def answer(self) -> str:
        """Wait for an answer, and return it."""
        answered = "return document.getElementById('result').className"
        self.wait(
            lambda: not self.is_busy and not {"empty", "failed"} & set(self.run(answered).split())
        )
        return self.text("answer")

    def error(self) -> str:
        """Wait for an error, and return its text."""
        words = "return document.querySelector('#error p')?.textContent"
        return str(self.wait(lambda: self.run(words)))

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self) -> str:
        return str(self.run("return document.activeElement.id"))

    def screenshot(self, name: str) -> Path:
        self.run("return Promise.all(document.getAnimations().map((one) => one.finished))")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        file.write_bytes(
            base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])
        )
        return file

    def requests(self) -> list[dict[str, Any]]:
        """Requests since the last call."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")
        ]
        sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"] for event in sent]

    @cached_property
    def complaints(self) -> list[str]:
        """What the browser's console says, but for answers that are an error's status."""
        said = [entry["message"] for entry in self.browser.get_log("browser")]
        return [line for line in said if "the server responded with a status of" not in line]


@pytest.fixture
def page(chromium: webdriver.Chrome) -> Iterator[Page]:
    """A page of which every test asks the same in the end.

    The console is silent, so the policy was kept, and nothing was asked of another origin.
    """
    opened = Page(chromium)
    chromium.get("about:blank")
    opened.requests()
    chromium.get_log("browser")
    yield opened
    origin = opened.run("return location.origin")
    for request in opened.requests():
        assert request["url"].startswith((f"{origin}/", "data:", f"blob:{origin}/")), request
    assert opened.complaints == []


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A photo of a five."""
    return base64.b64decode(json.loads((ROOT / "events/jpeg-photo.json").read_text())["body"])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("size", "kind", "name"),
    [(DESK, interaction.POINTER_MOUSE, "desktop"), (PHONE, interaction.POINTER_TOUCH, "phone")],
)
def test_a_drawn_seven_is_read(
    page: Page, root: str, size: Size, kind: str, name: str, theme: str
) -> None:
    """Without a click more than the drawing: answer, confidence, bars, what the model saw."""
    page.open(root, size, theme=theme)
    page.screenshot(f"{name}-{theme}-empty")
    page.draw(SEVEN, kind)
    assert page.answer() == "7"
    assert float(page.text("sure").split()[0]) > 50
    assert page.text("timing").endswith("ms round trip")
    assert page.text("model").startswith("Model mnist, version ")
    rows = page.run(
        "return [...document.querySelectorAll('#bars li')].map((row) => [row.className,"
        " row.firstChild.textContent, row.lastChild.textContent,"
        " row.children[1].style.getPropertyValue('--share')])"
    )
    assert [row[1] for row in rows] == [str(digit) for digit in range(10)]
    assert [row[1] for row in rows if row[0] == "best"] == ["7"]
    assert sum(float(row[3].rstrip("%")) for row in rows) == pytest.approx(100, abs=2)
    seen = page.element("seen")
    assert seen.is_displayed()
    assert page.wait(lambda: seen.get_property("naturalWidth")) == 28
    assert "28 by 28" in seen.get_attribute("alt")
    picture = page.screenshot(f"{name}-{theme}")
    if theme == "light" and os.environ.get("UPDATE_DOCS_IMAGES"):
        images = ROOT / "docs" / "images"
        images.mkdir(exist_ok=True)
        shutil.copy(picture, images / f"page-{name}.png")


@pytest.mark.parametrize("how", ["drop", "paste", "file"])
def test_a_photo_is_read(page: Page, root: str, photo: bytes, tmp_path: Path, how: str) -> None:
    """Dropped, pasted or chosen, it is sent as the file that it is."""
    page.open(root)
    page.requests()
    if how == "file":
        file = tmp_path / "five.jpg"
        file.write_bytes(photo)
        page.element("file").send_keys(str(file))
    else:
        page.give(how, photo, "five.jpg", "image/jpeg")
    assert page.answer() == "5"
    assert "@five.jpg" in page.text("curl")
    assert "Content-Type: image/jpeg" in page.text("curl")
    (sent,) = [request for request in page.requests() if "/predict?" in request["url"]]
    assert sent["headers"]["Content-Type"] == "image/jpeg"
    page.screenshot(f"photo-{how}")
    page.element("clear").click()
    assert page.text("answer") == "?"
    assert not page.element("picture").is_displayed()


def test_a_photo_that_is_too_large_is_sent_smaller(page: Page, root: str) -> None:
    """A picture of 5,000 x 4,000 pixels, which the function refuses, is encoded again, and read."""
    page.open(root)
    page.run(
        """
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [5000, 4000];
        const context = canvas.getContext("2d");
        context.fillStyle = "#fff";
        context.fillRect(0, 0, 5000, 4000);
        context.lineWidth = 260;
        context.moveTo(2500, 900);
        context.lineTo(2450, 3100);
        context.stroke();
        canvas.toBlob((blob) => take(new File([blob], "scan.png", {type: blob.type})), "image/png");
        """
    )
    assert page.answer() == "1"
    assert "@scan.jpg" in page.text("curl")


def test_a_type_that_the_service_does_not_take_is_sent_as_jpeg(page: Page, root: str) -> None:
    """What the browser can open, the page can send: here an SVG drawing."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300">'
        '<path d="M150 60 145 240" stroke="#000" stroke-width="20"/></svg>'
    )
    page.open(root)
    page.give("drop", drawing.encode(), "one.svg", "image/svg+xml")
    assert page.answer() == "1"
    assert "@one.jpg" in page.text("curl")


def test_a_photo_is_taken_with_the_camera(page: Page, root: str) -> None:
    """On a desk the camera's picture is shown first; the browser's fake camera stands in."""
    page.open(root)
    page.element("photograph").click()
    page.wait(lambda: page.run("return document.getElementById('video').videoWidth"))
    page.screenshot("camera")
    page.element("shoot").click()
    page.answer()
    assert not page.run("return document.getElementById('camera').open")
    assert "@photo.jpg" in page.text("curl")


def test_strokes_can_be_undone_and_cleared(page: Page, root: str) -> None:
    """Undo takes back one stroke and asks again; clear takes all; nothing is left of the answer."""
    page.open(root)
    page.draw(ONE)
    assert page.answer() == "1"
    page.draw([[(0.2, 0.1), (0.8, 0.1)], [(0.2, 0.9), (0.8, 0.9)]])
    page.answer()
    page.press(Keys.CONTROL, "z", Keys.NULL)
    page.element("undo").click()
    page.wait(lambda: page.answer() == "1")
    page.element("clear").click()
    assert page.text("answer") == "?"
    assert not page.element("undo").is_enabled()
    assert not page.element("seen").is_displayed()


def test_a_page_without_ink_is_refused_in_words(page: Page, root: str) -> None:
    """The sentence of the service's problem+json stands on the page, as an alert."""
    blank = base64.b64decode(json.loads((ROOT / "events/blank-page.json").read_text())["body"])
    page.open(root)
    page.give("drop", blank, "blank.png", "image/png")
    assert page.error().startswith("The image is blank")
    assert page.element("error").get_attribute("role") == "alert"
    page.screenshot("error-blank")
    page.draw(SEVEN)
    assert page.answer() == "7"
    assert page.text("error") == ""


def test_the_key_is_asked_for_kept_and_forgotten(page: Page, stage: str) -> None:
    """It goes to the service in its header only; it is never shown, and never in the command."""
    page.open(stage.rstrip("/"), PHONE, theme="dark")  # API Gateway serves /prod, without a slash
    page.draw(SEVEN, interaction.POINTER_TOUCH)
    assert "key is missing" in page.error()
    page.screenshot("error-key")
    page.browser.find_element(By.CSS_SELECTOR, "#error button").click()
    assert page.focused() == "key"
    page.press("wrong", Keys.ENTER)
    page.wait(lambda: "did not accept the API key" in page.error())
    page.element("key").click()
    page.press(KEY, Keys.ENTER)
    assert page.answer() == "7"
    assert page.element("key").get_property("value") == ""
    assert KEY not in page.run("return document.documentElement.outerHTML")
    assert f"curl '{stage}predict'" in page.text("curl")
    assert '-H "x-api-key: $KEY"' in page.text("curl")

    page.requests()
    page.browser.refresh()  # the key is still there
    page.draw(SEVEN, interaction.POINTER_TOUCH)
    assert page.answer() == "7"
    sent = [request for request in page.requests() if "/prod/predict" in request["url"]]
    assert [request["headers"]["x-api-key"] for request in sent] == [KEY]
    assert KEY not in json.dumps([request["url"] for request in sent])

    page.element("forget").click()
    assert page.run("return localStorage.length") == 0
    page.browser.refresh()
    page.draw(ONE, interaction.POINTER_TOUCH)
    assert "key is missing" in page.error()


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (429, {}, '{"message": "Too Many Requests"}', "Too many requests"),
        (429, {}, '{"message": "Limit Exceeded"}', "quota"),
        (503, {"Retry-After": "5"}, '{"detail": "no model"}', "No model. Try again in 5 s."),
        (502, {}, '{"message": "Internal server error"}', "Internal server error."),
        (504, {}, "<html>a proxy's own page</html>", "answered with 504"),
        (200, {}, "<html>a hotel's own page</html>", "not one of this service"),
    ],
)
def test_errors_of_the_gateway_are_told_in_words(
    page: Page, status: int, headers: dict[str, str], body: str, words: str
) -> None:
    """Whatever stands between the page and the function; and it can be tried again."""
    with answering(lambda _: {"statusCode": status, "headers": headers, "body": body}) as url:
        page.open(url)
        page.draw(ONE)
        assert words in page.error()
        again = page.browser.find_element(By.CSS_SELECTOR, "#error button")
        assert again.text == "Try again"


def test_a_service_out_of_reach_is_told_in_words(page: Page) -> None:
    """Offline, the page says so and stays as it is."""
    with answering(lambda _: {"statusCode": 404}) as url:
        page.open(url)
        page.command("Network.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        page.command("Network.emulateNetworkConditions", offline=True, **offline)
        try:
            page.draw(ONE)
            assert "can't be reached" in page.error()
        finally:
            page.command("Network.emulateNetworkConditions", offline=False, **offline)
        page.complaints = [line for line in page.complaints if "DISCONNECTED" not in line]


def test_only_the_last_drawing_is_answered(page: Page) -> None:
    """A stroke takes back the question before it; while one is under way, the page is busy."""
    held = threading.Event()
    asked: list[int] = []

    def handler(event: Event) -> dict[str, Any]:
        if event["path"] != "/predict":
            return {"statusCode": 404}
        asked.append(len(asked))
        if len(asked) == 1:
            held.wait(10)
        probabilities = [0.0] * 10
        probabilities[len(asked)] = 1.0
        body = {"prediction": len(asked), "confidence": 1, "probabilities": probabilities}
        return {"statusCode": 200, "body": json.dumps(body)}

    with answering(handler) as url:
        page.open(url)
        page.draw(ONE)
        page.wait(lambda: page.is_busy and asked)
        assert page.text("timing") == "reading…"
        page.draw([[(0.3, 0.5), (0.7, 0.5)]])
        held.set()
        assert page.answer() == "2"
        assert len(asked) == 2


def test_labels_come_from_the_model(page: Page) -> None:
    """A model of the user's own: words for answers, and of many classes only the likeliest."""
    labels = [f"species {number}" for number in range(40)]
    probabilities = [1 / 80] * 40
    probabilities[33] += 0.5
    answer = {"prediction": "species 33", "confidence": 0.51, "probabilities": probabilities}

    def handler(event: Event) -> dict[str, Any]:
        body = {"output": {"labels": labels}} if event["path"] == "/model" else answer
        return {"statusCode": 200, "body": json.dumps(body)}

    with answering(handler) as url:
        page.open(url, PHONE)
        page.draw(ONE)
        assert page.answer() == "species 33"
        rows = page.browser.find_elements(By.CSS_SELECTOR, "#bars li")
        assert len(rows) == 10
        assert rows[0].text.split("\n")[0] == "species 33"
        assert fits(page)
        page.screenshot("words")


PROBABILITIES = [0.02] * 3 + [0.86] + [0.02] * 6  # of a three


def reading(prediction: int | None, box: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """A picture's answer, or one of its digits', by a model that finds digits."""
    confidence = max(PROBABILITIES)
    answer = {"prediction": prediction, "confidence": confidence, "probabilities": PROBABILITIES}
    return answer | ({"box": box} if box else {}) | more


NUMBER = [
    reading(digit, [20 + 60 * index, 90, 70 + 60 * index, 190])
    for index, digit in enumerate([1, 9, 3, 8])
]


@contextmanager
def predicting(choose: Callable[[dict[str, str]], dict[str, Any]]) -> Iterator[str]:
    """Serve the page and predictions that are chosen by the query."""

    def handler(event: Event) -> dict[str, Any]:
        if event["path"] != "/predict":
            return {"statusCode": 404}
        body = choose(event["queryStringParameters"] or {})
        return {"statusCode": 200, "body": json.dumps(body)}

    with answering(handler) as url:
        yield url


def boxes(page: Page) -> list[list[float]]:
    """Left, top, right and bottom of each box on the sheet, as shares of the sheet."""
    shares: list[list[float]] = page.run(
        """
        const sheet = document.getElementById("paper").getBoundingClientRect();
        return [...document.querySelectorAll("#boxes .halo")].map((rect) => {
          const box = rect.getBoundingClientRect();
          return [(box.left - sheet.left) / sheet.width, (box.top - sheet.top) / sheet.height,
                  (box.right - sheet.left) / sheet.width, (box.bottom - sheet.top) / sheet.height];
        });
        """
    )
    return shares


def badges(page: Page) -> list[str]:
    return [
        str(text.get_property("textContent"))
        for text in page.browser.find_elements(By.CSS_SELECTOR, "#boxes text")
    ]


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_answer_is_shown_on_the_drawing(page: Page, size: Size) -> None:
    """Its box lies where the service found the digit, and goes when the drawing changes."""
    with predicting(lambda _: reading(3, [70, 28, 210, 252], others=0)) as url:
        page.open(url, size)
        page.draw(ONE)
        assert page.answer() == "3"
        assert boxes(page) == [pytest.approx([0.25, 0.1, 0.75, 0.9], abs=0.01)]
        assert badges(page) == ["3"]
        page.element("clear").click()
        assert boxes(page) == []


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200), (3000, 1500)])
def test_the_box_lies_on_the_picture(page: Page, width: int, height: int) -> None:
    """Whatever the picture's shape, and if it had to be made smaller before it was sent."""
    scale = min(1, 2000 / width)
    box = [round(scale * side) for side in (width / 4, 0, width / 2, height / 2)]
    with predicting(lambda _: reading(3, box, others=0)) as url:
        page.open(url)
        page.run(
            """
            const [width, height, type] = arguments;
            const canvas = Object.assign(document.createElement("canvas"), {width, height});
            const context = canvas.getContext("2d");
            context.fillRect(0, 0, width, height);
            canvas.toBlob((blob) => take(new File([blob], "photo", {type})));
            """,
            width,
            height,
            "image/png" if scale == 1 else "image/x-unknown",  # which has to be encoded again
        )
        assert page.answer() == "3"
        across, down = width / max(width, height), height / max(width, height)
        left, top = (1 - across) / 2, (1 - down) / 2
        expected = [left + across / 4, top, left + across / 2, top + down / 2]
        assert boxes(page) == [pytest.approx(expected, abs=0.01)]


def test_a_picture_of_no_digit_is_told_in_words(page: Page) -> None:
    """And the nearest digit on request, which is asked for with reject=off."""

    def choose(query: dict[str, str]) -> dict[str, Any]:
        rejected = query.get("reject") != "off"
        return reading(None if rejected else 3, [70, 28, 210, 252], digit_probability=0.042)

    with predicting(choose) as url:
        page.open(url, PHONE)
        page.draw(ONE, interaction.POINTER_TOUCH)
        assert page.answer() == "Not a digit"
        assert badges(page) == ["not a digit"]
        assert page.text("status") == "Not a digit, 4.2 % likely to be one"
        best = "return document.querySelectorAll('#bars .best').length"
        assert page.run(best) == 0
        assert fits(page)
        page.screenshot("not-a-digit")

        nearest = page.element("nearest")
        assert nearest.get_attribute("aria-pressed") == "false"
        page.run("arguments[0].focus()", nearest)
        page.press(Keys.ENTER)
        page.wait(lambda: page.answer() == "3")
        assert page.text("status") == "3, 86.0 %, the nearest, probably wrong"
        assert page.run(best) == 1
        assert "/predict?reject=off'" in page.text("curl")
        assert page.focused() == "nearest"
        assert nearest.get_attribute("aria-pressed") == "true"

        page.draw(ONE, interaction.POINTER_TOUCH)
        page.wait(lambda: page.answer() == "Not a digit")


def test_a_model_of_other_things_says_none_of_the_classes(page: Page) -> None:
    """The words fit the model: it may have other classes than digits."""
    answer = {"prediction": None, "confidence": 0.6, "probabilities": [0.6, 0.4]}

    def handler(event: Event) -> dict[str, Any]:
        labels = {"output": {"labels": ["shirt", "coat"]}}
        body = labels if event["path"] == "/model" else answer
        return {"statusCode": 200, "body": json.dumps(body)}

    with answering(handler) as url:
        page.open(url)
        page.wait(lambda: "shirt" in page.text("bars"))
        page.draw(ONE)
        assert page.answer() == "None of the classes"


def test_one_of_several_models_can_be_chosen(page: Page) -> None:
    """The service's models are offered, and the one that is chosen answers what is drawn."""
    labels = {"mnist": ["six", "seven"], "wards": ["shirt", "coat"]}

    def handler(event: Event) -> dict[str, Any]:
        model = (event["queryStringParameters"] or {}).get("model", "mnist")
        body: Any = {"output": {"labels": labels[model]}}
        if event["path"] == "/v2/repository/index":
            body = [{"name": name} for name in labels]
        elif event["path"] == "/predict":
            body = {"prediction": labels[model][1], "confidence": 0.9, "probabilities": [0.1, 0.9]}
        return {"statusCode": 200, "body": json.dumps(body)}

    with answering(handler) as url:
        page.open(url, PHONE)
        page.wait(lambda: page.element("which").is_displayed())
        page.draw(ONE, interaction.POINTER_TOUCH)
        assert page.answer() == "seven"
        page.element("which").send_keys("wards")
        page.wait(lambda: page.answer() == "coat")
        page.wait(lambda: "shirt" in page.text("bars"))
        assert "predict?model=wards'" in page.text("curl")
        assert fits(page)


def test_a_single_model_is_not_offered_as_a_choice(page: Page, root: str) -> None:
    page.open(root)
    page.draw(SEVEN)
    page.answer()
    assert not page.element("which").is_displayed()


@pytest.mark.parametrize("name", ["folder", "empty.png"])
def test_what_holds_no_picture_is_told_in_words(
    page: Page, root: str, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.touch() if path.suffix else path.mkdir()
    page.open(root)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "drop"):
        page.command("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)
    assert page.error().startswith(name)
    assert page.error().endswith("Choose a picture file.")
    page.browser.get_log("browser")  # the browser says that it can't show a folder


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_all_digits_are_read_on_request(page: Page, size: Size, theme: str) -> None:
    """Offered where there are others; then the number, and each digit's own probabilities."""

    def choose(query: dict[str, str]) -> dict[str, Any]:
        if query.get("digits") == "many":
            return {"text": "1938", "digits": NUMBER}
        return NUMBER[1] | {"others": 3}

    with predicting(choose) as url:
        page.open(url, size, theme=theme)
        assert not page.element("all").is_displayed()
        page.draw(ONE)
        assert page.answer() == "9"
        assert page.text("status") == "9, 86.0 %, fairly sure, 3 other digits"
        assert page.text("every").strip() == "Read all 4 digits"
        order = []
        while page.focused() != "all":
            page.press(Keys.TAB)
            order.append(page.focused())
            assert len(order) < 20, order
        assert order == ["undo", "clear", "choose", "photograph", "all"]
        assert focus_shows(page)
        page.press(" ")
        page.wait(lambda: page.answer() == "1938")
        assert page.text("status") == "1938, 4 digits, the least sure 86.0 %"
        assert badges(page) == ["1", "9", "3", "8"]
        assert "/predict?digits=many'" in page.text("curl")
        large = page.run(
            "return parseFloat(getComputedStyle(document.getElementById('answer')).fontSize)"
        )
        assert large >= 32
        assert fits(page)
        assert faint(page) == []
        page.screenshot(f"number-{size[0]}-{theme}")

        page.press(*[Keys.TAB] * 3, Keys.ENTER)  # the third digit
        pressed = "return [...document.querySelectorAll('#digits [aria-pressed=true] b')]"
        assert page.run(f"{pressed}.map((one) => one.textContent)") == ["3"]
        chosen = page.browser.find_elements(By.CSS_SELECTOR, "#boxes .chosen text")
        assert [text.get_property("textContent") for text in chosen] == ["3"]

        page.element("clear").click()
        assert not page.element("digits").is_displayed()
        page.draw(ONE)  # the switch stays as it was set
        assert page.answer() == "1938"
        page.element("all").click()
        page.wait(lambda: page.answer() == "9")
        assert not page.element("digits").is_displayed()


def test_a_picture_without_any_digit_to_read(page: Page) -> None:
    """Without digits, the nearest is that of the whole picture."""

    def choose(query: dict[str, str]) -> dict[str, Any]:
        if query.get("digits") == "many":
            return {"text": "", "digits": []}
        return reading(3 if query.get("reject") == "off" else None, [0, 0, 280, 280])

    with predicting(choose) as url:
        page.open(url)
        page.draw(ONE)
        assert page.answer() == "Not a digit"
        page.element("all").click()
        page.wait(lambda: page.answer() == "No digits")
        page.element("nearest").click()
        page.wait(lambda: page.answer() == "3")


def test_everything_can_be_done_by_keyboard(page: Page, stage: str) -> None:
    """Draw, correct, enter the key: with Tab, arrows, space and Enter; focus always shows."""
    page.open(stage)
    page.press(Keys.TAB)
    assert page.focused() == "paper"
    assert focus_shows(page)
    page.press(*[Keys.ARROW_UP] * 6, " ", *[Keys.ARROW_DOWN] * 12)
    page.screenshot("keyboard")
    page.press(" ")
    assert page.text("status") == "Pen up"
    assert "key is missing" in page.error()
    order = []
    while page.focused() != "key":
        page.press(Keys.TAB)
        order.append(page.focused())
        assert focus_shows(page), order
        assert len(order) < 20, order
    assert order == ["undo", "clear", "choose", "photograph", "", "save", "copy", "key"]
    page.press(KEY, Keys.ENTER)
    assert page.answer() == "1"
    assert page.text("status").startswith("1, ")
    page.element("paper").send_keys(Keys.BACKSPACE)
    assert page.text("answer") == "?"


def test_a_screen_reader_finds_names_roles_and_news(page: Page, root: str) -> None:
    """All that can be used has a name; the answer is said in a live region."""
    page.open(root)
    page.draw(SEVEN)
    page.answer()
    assert page.text("status").startswith("7, ")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if not node["ignored"] and node.get("name")
    }
    usable = {"application", "button", "image", "img", "link", "textbox", "dialog"}
    assert not {role for role, name in named if role in usable and not name}
    for expected in [
        ("application", "Sheet to draw on"),
        ("button", "Undo"),
        ("button", "Clear"),
        ("button", "Picture…"),
        ("button", "Camera…"),
        ("button", "Copy"),
        ("textbox", "API key"),
        ("heading", "What do you see?"),
        ("region", "Answer"),
    ]:
        assert expected in named, sorted(named)
    roles = {node["role"]["value"] for node in nodes if not node["ignored"]}
    assert {"status", "alert", "main", "list", "listitem"} <= roles


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Page, stage: str, theme: str) -> None:
    """WCAG 2.2 AA, 1.4.3: 4.5 to 1, and 3 to 1 for large text; with an error and with an answer."""
    page.open(stage, theme=theme)
    assert faint(page) == []
    page.draw(SEVEN)
    page.error()
    assert faint(page) == []
    page.element("key").click()
    page.press(KEY, Keys.ENTER)
    page.answer()
    page.screenshot(f"contrast-{theme}")  # once the bars have come to rest
    assert faint(page) == []


@pytest.mark.parametrize("size", [NARROW, PHONE, (768, 1024), DESK])
def test_it_fits_the_screen(page: Page, root: str, size: Size) -> None:
    """Nothing is cut off or scrolls sideways, and buttons are large enough for a finger."""
    page.open(root, size)
    page.draw(SEVEN)
    page.answer()
    assert fits(page)
    heights = page.run(
        "return [...document.querySelectorAll('button, a[href]')].filter((one) =>"
        " one.checkVisibility()).map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 36


def test_nothing_moves_for_those_who_asked_for_it(page: Page, root: str) -> None:
    """prefers-reduced-motion: no animation and no transition runs at any time."""
    page.open(root, motion="reduce")
    page.draw(SEVEN)
    moving = "return document.getAnimations().length"

    def answered() -> bool:
        assert page.run(moving) == 0
        return page.text("answer") == "7"

    page.wait(answered)
    assert page.run(moving) == 0


def test_the_command_can_be_copied_and_run(page: Page, root: str, tmp_path: Path) -> None:
    """What the button copies is what is shown; with the saved picture beside it, it answers."""
    page.open(root)
    page.draw(SEVEN)
    page.answer()
    page.command("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.element("copy").click()
    page.wait(lambda: page.text("copy") == "Copied")
    copied = page.browser.execute_async_script(
        "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    )
    assert copied == page.text("curl")
    saved = page.browser.execute_async_script(
        """
        const [done] = arguments;
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        toSend().then((image) => reader.readAsDataURL(image));
        """
    )
    (tmp_path / "drawing.png").write_bytes(base64.b64decode(saved.partition(",")[2]))
    answer = subprocess.check_output(["bash", "-c", copied], cwd=tmp_path, timeout=30)
    assert json.loads(answer)["prediction"] == 7


def fits(page: Page) -> bool:
    return bool(page.run("return document.documentElement.scrollWidth <= innerWidth"))


def focus_shows(page: Page) -> bool:
    """Whether what has the focus has an outline; the sheet shows the canvas's."""
    return bool(
        page.run(
            "const one = document.activeElement;"
            "return getComputedStyle(one.id === 'paper' ? one.parentElement : one)"
            ".outlineStyle !== 'none'"
        )
    )


def faint(page: Page) -> list[Any]:
    """Visible texts with too little contrast: text, ratio (WCAG 2.2, relative luminance)."""
    found: list[Any] = page.run(
        r"""
        const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
        const luminance = (colour) => {
          const [r, g, b] = parse(colour).slice(0, 3).map((value) =>
            value <= 10.31 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (element) => {
          for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if ((parse(colour)[3] ?? 1) === 1) return colour;
          }
          return "rgb(255, 255, 255)";
        };
        const faint = [];
        for (const element of document.querySelectorAll("body *")) {
          const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
          if (!texts.some((node) => node.data.trim()) || element.disabled) continue;
          if (!element.checkVisibility({opacityProperty: true})) continue;
          const style = getComputedStyle(element);
          if (element.tagName === "SCRIPT" || element.className === "spoken") continue;
          const [high, low] = [style.color, behind(element)].map(luminance).sort((a, b) => b - a);
          const size = parseFloat(style.fontSize);
          const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
          const ratio = (high + 0.05) / (low + 0.05);
          if (ratio < (large ? 3 : 4.5)) faint.push([element.textContent.trim(), ratio]);
        }
        return faint;
        """
    )
    return found
