"""Hostile requests over HTTP: a clear response, bounded time and memory, never a 5xx."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from classifier.image import formats
from tests.support.hostile_files import CASES, INFER, MEBIBYTES_4, Request, digit, saved
from tests.support.local_service import LocalService, serving

MEMORY_LIMIT = 512 * 1024 * 1024  # bytes, at the peak
CPU_LIMIT = 2.0  # seconds of processor time; the worst takes 0.9 on two cores of 2024
ANSWER_LIMIT = 1024 * 1024  # bytes: a refusal does not send megabytes back


@pytest.fixture(scope="module")
def hostile_service(
    model_version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalService]:
    """A service for this corpus alone, to measure its peak memory, with the model loaded."""
    with serving(tmp_path_factory.mktemp("hostile") / "log") as running:
        seven = Request(saved(digit(), "PNG"), "image/png", frozenset({200}))
        assert send(running, seven)[1]["prediction"] == 7
        yield running


def send(service: LocalService, request: Request) -> tuple[int, Any]:
    """Status and document of the response, whose format is checked."""
    headers = {"Content-Length": str(len(request.body))}
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    address = urlsplit(service.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    try:
        connection.request("POST", request.path, request.body, headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    assert len(answer) <= ANSWER_LIMIT
    document = json.loads(answer)
    if response.status == 200:
        expected = "application/json"
    elif request.path == INFER:
        expected = "application/json"
        assert document.keys() == {"error"}
        assert len(document["error"]) > 20
    else:
        expected = "application/problem+json"
        assert document["status"] == response.status
        assert len(document["detail"]) > 20, "the detail says what was wrong"
        assert document["request_id"]
    assert response.headers["Content-Type"] == expected
    assert b"Traceback" not in answer
    return response.status, document


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_request_is_answered_in_words_and_in_time(
    hostile_service: LocalService, name: str
) -> None:
    request = CASES[name]()
    # Each is looked at, not refused for its length, but for the one that is a byte too long.
    assert len(request.body) <= MEBIBYTES_4 or name == "four_mebibytes_and_one"
    hostile_service.forget_peak_memory()
    before = hostile_service.cpu_seconds()
    status, document = send(hostile_service, request)
    spent = hostile_service.cpu_seconds() - before
    assert status in request.statuses, document
    assert spent < CPU_LIMIT
    assert hostile_service.peak_memory() < MEMORY_LIMIT


def test_after_all_of_it_the_service_answers_as_before(hostile_service: LocalService) -> None:
    for accepted in formats.ACCEPTED:
        file = saved(digit(), accepted.name)
        seven = Request(file, accepted.media_types[0], frozenset({200}))
        status, document = send(hostile_service, seven)
        assert (status, document["prediction"]) == (200, 7)
    assert hostile_service.peak_memory() < MEMORY_LIMIT
