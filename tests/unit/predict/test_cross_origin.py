"""Calls from the pages of another site: closed, unless the stack names the site."""

from types import SimpleNamespace
from typing import Any

import pytest

from classifier import handler
from classifier.http import routes
from tests.support import ROOT

SITE = "https://www.example.org"


def headers(path: str) -> Any:
    event = {"httpMethod": "GET", "path": path, "requestContext": {"requestId": "an-id"}}
    return handler.handler(event, SimpleNamespace(aws_request_id="a-call"))["headers"]


@pytest.mark.parametrize("path", ["/health", "/nothing"])
def test_an_answer_may_be_read_by_the_site_that_is_named(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal too: its sentence is for the page to show."""
    monkeypatch.setenv("CORS_ORIGIN", SITE)
    assert headers(path)["Access-Control-Allow-Origin"] == SITE


@pytest.mark.parametrize("value", [None, ""])
def test_by_default_no_other_site_may(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("CORS_ORIGIN", raising=False)
    else:
        monkeypatch.setenv("CORS_ORIGIN", value)
    assert "Access-Control-Allow-Origin" not in headers("/health")


def test_a_preflight_is_granted_what_the_gateway_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack's REST API answers preflights itself, from infra/apigateway.yaml."""
    monkeypatch.setenv("CORS_ORIGIN", SITE)
    gateway = (ROOT / "infra/apigateway.yaml").read_text()
    granted = {
        name: value
        for name, value in routes.preflight()["headers"].items()
        if name.startswith("Access-Control-")
    }
    assert len(granted) == 3
    for name, value in granted.items():
        assert f"method.response.header.{name}: '''{value}'''" in gateway
