"""The sources of the documentation site: links as the site needs them, and its reference pages."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tools import openapi, reference, site

PAGES = {
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh.md",
    "docs/drift.md": "drift.md",
    "docs/a/b.md": "a/b.md",
}


@pytest.mark.parametrize(
    ("source", "markdown", "expected"),
    [
        ("README.md", "[`d`](docs/drift.md#x)", "[`d`](drift.md#x)"),
        ("docs/a/b.md", "[home](../../README.md)", "[home](../index.md)"),
        ("docs/a/b.md", "see [one](../drift.md), [two](https://x.org)", None),
        ("docs/drift.md", "[code](../template.yaml#L1)", "[code](https://x.org/r/blob/HEAD/template.yaml#L1)"),
        ("README.md", "`[no](link)`\n\n```\n[no](link)\n```\n", None),
        ("README.md", "[中文](README.zh-CN.md) [d](docs/drift.md)", " [d](drift.md)"),
        ("README.md", "[![MIT](https://x.org/mit.svg)](LICENSE) ![x](https://x.org/y.png)", " "),
        ("README.md", "![picture](docs/drift.md)", "![picture](drift.md)"),
        ("README.md", "[![CI](../../actions/workflows/deploy.yml/badge.svg)](../../actions)", ""),
    ],
)  # fmt: skip
def test_links_lead_to_the_site_s_pages_and_else_to_the_repository(
    source: str, markdown: str, expected: str | None
) -> None:
    text = site.with_links_of_the_site(markdown, source, PAGES, "https://x.org/r")
    assert text == (markdown if expected is None else expected)


def test_links_to_files_are_text_while_the_repository_is_unknown() -> None:
    text = site.with_links_of_the_site("the [`code`](../template.yaml).", "docs/drift.md", PAGES)
    assert text == "the `code`."


def test_a_link_to_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"docs/drift\.md links to gone\.md, which does not exist"):
        site.with_links_of_the_site("[x](gone.md)", "docs/drift.md", PAGES)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    assert site.main([str(folder)]) == 0
    return folder


def test_the_sources_hold_every_page_of_the_navigation(sources: Path) -> None:
    pages = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    assert len(pages) > 20
    assert [page for page in pages if not (sources / page).is_file()] == []


@pytest.fixture(scope="module")
def pages(sources: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (sources / "reference").glob("*.md")}


def test_the_reference_has_every_route_status_and_schema(pages: dict[str, str]) -> None:
    interface = openapi.read()
    sections = re.split(r"^## ", pages["http.md"], flags=re.MULTILINE)
    for path, item in interface["paths"].items():
        for method in item.keys() & set(openapi.METHODS):
            (section,) = (one for one in sections if one.startswith(f"{method.upper()} {path}\n"))
            for status in item[method]["responses"]:
                assert f"\n| {status} |" in section
    for name in interface["components"]["schemas"]:
        assert f"\n### {name}\n" in pages["http.md"]


def test_the_reference_has_every_command_and_nothing_of_this_machine(
    pages: dict[str, str],
) -> None:
    from model_build.cli.console import app

    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"\n## `python -m model_build {name}`\n" in pages["command-line.md"]
    assert str(ROOT) not in "".join(pages.values())


def test_the_reference_has_every_parameter_with_its_default(pages: dict[str, str]) -> None:
    assert "\n| `MemorySize` | `1769` | between 512 and 10240 MB | " in pages["parameters.md"]
    assert "\n| `AuthMode` | `ApiKey` | `ApiKey`, `Iam`, `Jwt` | " in pages["parameters.md"]
    section = (ROOT / "template.yaml").read_text().partition("\nParameters:\n")[2]
    names = re.findall(
        r"^  (\w+):$", re.split(r"^\w", section, flags=re.MULTILINE)[0], re.MULTILINE
    )
    assert len(names) > 20
    assert re.findall(r"^\| `(\w+)`", pages["parameters.md"], re.MULTILINE)[: len(names)] == names


def test_the_reference_has_the_manifest_s_fields(pages: dict[str, str]) -> None:
    for row in (
        "| `file.sha256` | string | yes | matches `^[0-9a-f]{64}$` |",
        "| `input.dtype` | `uint8`, `float32` | yes |  |",
        "| `metrics.calibration` | object |  |  |",
    ):
        assert f"\n{row}\n" in pages["manifest.md"]


@pytest.mark.parametrize("change", [{"Unknown": "Count"}, {}])
def test_a_metric_without_a_description_or_a_description_without_one_is_an_error(
    change: dict[str, Any],
) -> None:
    units = reference.metrics_in_code()
    assert units["ModelLoadMs"] == "Milliseconds"
    assert units["DriftPSI"] == "NoUnit"
    if not change:
        del units["ColdStart"]
    with pytest.raises(ValueError, match="Unknown" if change else "ColdStart"):
        reference.metrics(units | change, [])


def test_the_reference_has_the_server_s_metrics(pages: dict[str, str]) -> None:
    row = "| `classifier_requests_total` | counter | `protocol`, `route`, `status` |"
    assert f"\n{row}" in pages["metrics.md"]
    assert "| `classifier_request_duration_seconds` | histogram |" in pages["metrics.md"]
