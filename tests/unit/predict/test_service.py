"""service.py: what the service says of itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from classifier.errors import ModelUnavailable
from classifier.http import routes
from classifier.http.event import Request
from classifier.model.models import Models
from classifier.served import Served

OF_THE_MODEL = ["/ready", "/model"]
STATIC = ["/", "/health", "/openapi.json"]


def get(path: str) -> Any:
    """Answer to a GET, by the route's own function."""
    (answer,) = (
        answer for pattern, _, answer in routes.ROUTES if pattern.fullmatch(path) is not None
    )
    request = Request("GET", path, {}, {}, b"", "gateway-1")
    return answer(request, Served(Models()))


def test_ready_names_the_model_that_it_loaded(model_store: Path) -> None:
    (version,) = (path.name for path in (model_store / "mnist" / "versions").iterdir())
    answer = get("/ready")
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "application/json")
    expected = {"status": "ready", "model": {"name": "mnist", "version": version}}
    assert json.loads(answer["body"]) == expected


def test_the_model_route_shows_the_public_part_of_the_manifest(
    model_store: Path, publish: Any
) -> None:
    """Where the data and the code came from, and what drift is measured against, stay inside."""
    documents: list[Any] = []
    publish(model_store, manifest=documents.append)
    public = {"name", "version", "created", "input", "output", "quantization", "metrics"}
    expected = {name: documents[0][name] for name in public}
    assert json.loads(get("/model")["body"]) == expected


@pytest.mark.parametrize("path", OF_THE_MODEL)
def test_without_a_model_these_routes_are_unavailable(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    with pytest.raises(ModelUnavailable):
        get(path)


@pytest.mark.parametrize("path", STATIC)
def test_without_a_model_these_routes_answer(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_STORE_URL", tmp_path.as_uri())
    answer = get(path)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["body"]


def test_health_is_one_word() -> None:
    assert json.loads(get("/health")["body"]) == {"status": "ok"}


def test_the_interface_is_an_openapi_document() -> None:
    answer = get("/openapi.json")
    assert answer["headers"]["Content-Type"] == "application/json"
    assert json.loads(answer["body"])["openapi"].startswith("3.1.")


def test_the_page_comes_as_html_under_its_policy() -> None:
    answer = get("/")
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer["headers"]["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/ready/", "/models", "/openapi_json", "//", "/health/live"])
def test_nothing_else_is_a_route(path: str) -> None:
    assert not [answer for pattern, _, answer in routes.ROUTES if pattern.fullmatch(path)]
