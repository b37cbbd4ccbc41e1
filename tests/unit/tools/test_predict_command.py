"""tools.predict: pictures in, drawn answers and exit codes out."""

import base64
import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tools import predict

PNG = b"\x89PNG picture"


def answer() -> dict[str, Any]:
    """The service's answer for a seven."""
    file = io.BytesIO()
    seen = np.zeros((28, 28), dtype=np.uint8)
    seen[4:24, 10:14] = 255
    Image.fromarray(seen).save(file, "PNG")
    return {
        "prediction": 7,
        "confidence": 0.75,
        "probabilities": [0.25, 0, 0, 0, 0, 0, 0, 0.75, 0, 0],
        "input": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(),
        "model": {"name": "mnist", "version": "v1"},
        "request_id": "1",
    }


class Service(ThreadingHTTPServer):
    """Sends the same response to every POST, and records the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.status = 200
        self.answer = json.dumps(answer())
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/prod/predict"


class _Exchange(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers, body))
        content = self.server.answer.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv(predict.KEY_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Service() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def picture(tmp_path: Path) -> str:
    file = tmp_path / "seven.png"
    file.write_bytes(PNG)
    return str(file)


def test_the_answer_is_drawn_next_to_what_the_model_saw(
    service: Service, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main([picture, "--url", service.url]) == 0
    out = capsys.readouterr().out
    assert "answer: 7  (confidence 75.00%)" in out
    assert "7 ██████" in out
    assert "    ████" in out
    assert "mnist v1" in out
    assert "\x1b" not in out, "no colour where there is no terminal"
    ((path, headers, body),) = service.seen
    assert path == "/prod/predict?preprocess=auto&input=true&top_k=5"
    assert (body, headers["content-type"]) == (PNG, "application/octet-stream")
    assert "x-api-key" not in headers


def test_the_best_labels_are_shown_by_name(
    service: Service, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a large picture of any model as large as a terminal can show it."""
    seen = io.BytesIO()
    Image.new("RGB", (384, 192), "white").save(seen, "PNG")
    top = [{"label": "tabby", "probability": 0.75}, {"label": "Egyptian cat", "probability": 0.125}]
    changed = {name: value for name, value in answer().items() if name != "probabilities"}
    changed |= {"prediction": "tabby", "top": top}
    changed["input"] = "data:image/png;base64," + base64.b64encode(seen.getvalue()).decode()
    service.answer = json.dumps(changed)
    assert predict.main([picture, "--url", service.url, "--top-k", "2"]) == 0
    out = capsys.readouterr().out
    assert "       tabby ██████" in out
    assert "Egyptian cat ███" in out
    assert "answer: tabby  (confidence 75.00%)" in out
    assert service.seen[0][0].endswith("top_k=2")
    assert max(map(len, out.splitlines())) < 110


@pytest.mark.parametrize(("labels", "shown"), [(["cat", "dog"], "cat, dog"), ([], "none of the")])
def test_an_answer_of_several_labels_names_them(
    service: Service,
    picture: str,
    capsys: pytest.CaptureFixture[str],
    labels: list[str],
    shown: str,
) -> None:
    service.answer = json.dumps(answer() | {"labels": labels})
    assert predict.main([picture, "--url", service.url]) == 0
    assert f"answer: {shown}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        ({}, "answer: not a digit\n"),
        ({"digit_probability": 0.042}, "answer: not a digit  (probability of a digit 4.20%)\n"),
        ({"class_probability": 0.2}, "answer: none of the classes  (probability of any 20.00%)\n"),
    ],
)
def test_no_digit_is_said_in_words_and_is_an_answer(
    service: Service,
    picture: str,
    capsys: pytest.CaptureFixture[str],
    probability: dict[str, float],
    shown: str,
) -> None:
    """With the exit code of an answer: nothing went wrong."""
    service.answer = json.dumps(answer() | {"prediction": None} | probability)
    assert predict.main([picture, "--url", service.url]) == 0
    assert shown in capsys.readouterr().out


def test_colour_is_for_terminals_without_no_color(
    service: Service,
    picture: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    predict.main([picture, "--url", service.url])
    assert "\x1b[32m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    predict.main([picture, "--url", service.url])
    assert "\x1b[32m" not in capsys.readouterr().out


def test_json_is_printed_a_line_a_picture(
    service: Service, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main([picture, picture, "--url", service.url, "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == [answer(), answer()]


def test_standard_input_is_a_picture_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PNG)))
    assert predict.main(["-", "--url", service.url, "--preprocess", "none"]) == 0
    assert service.seen[0][0].startswith("/prod/predict?preprocess=none&")
    assert service.seen[0][2] == PNG


def test_a_url_may_name_one_of_several_models(service: Service, picture: str) -> None:
    assert predict.main([picture, "--url", f"{service.url}?model=pets"]) == 0
    assert service.seen[0][0].startswith("/prod/predict?model=pets&preprocess=auto&")


@pytest.mark.parametrize(("option", "sent"), [(None, "of the environment"), ("given", "given")])
def test_the_key_is_that_of_the_option_or_else_of_the_environment(
    service: Service, picture: str, monkeypatch: pytest.MonkeyPatch, option: str | None, sent: str
) -> None:
    monkeypatch.setenv(predict.KEY_VARIABLE, "of the environment")
    predict.main([picture, "--url", service.url, *(["--key", option] if option else [])])
    assert service.seen[0][1]["x-api-key"] == sent


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ('{"detail": "the image is blank"}', "the image is blank (422)"),
        ('{"message": "Forbidden"}', "Forbidden (422)"),
        ("<html>", "<html> (422)"),
        ("[]", "[] (422)"),
        ("", "(422)"),
    ],
)
def test_a_refusal_shows_the_services_reason_and_exits_with_1(
    service: Service, picture: str, capsys: pytest.CaptureFixture[str], reason: str, shown: str
) -> None:
    service.status, service.answer = 422, reason
    assert predict.main([picture, "--url", service.url]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{picture}: ")
    assert err.rstrip().endswith(shown)


@pytest.mark.parametrize("answer_text", ["<html>", "[]", '{"status": "ok"}'])
def test_a_server_that_is_not_a_classifier_exits_with_3(
    service: Service, picture: str, answer_text: str
) -> None:
    service.answer = answer_text
    assert predict.main([picture, "--url", service.url]) == 3


def test_no_connection_exits_with_3(
    service: Service, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.server_close()
    service.shutdown()
    assert predict.main([picture, "--url", service.url]) == 3
    assert "does not respond" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["seven.png"],
        ["--url", "http://127.0.0.1/predict"],
        ["missing.png", "--url", "http://127.0.0.1/predict"],
        ["-", "--url", "ftp://127.0.0.1/predict"],
        ["-", "--url", "127.0.0.1"],
        ["-", "--url", "http://127.0.0.1/predict", "--preprocess", "magic"],
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        predict.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m tools.predict" in capsys.readouterr().err
