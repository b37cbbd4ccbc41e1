"""openapi.yaml: the one statement of the interface, and what is made of it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import errors
import inference_protocol
import service
from tools import openapi

METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}
ROUTES = [
    (re.compile("/predict"), "POST"),
    *((pattern, method) for pattern, method, _ in service.ROUTES + inference_protocol.ROUTES),
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.read()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation."""
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method.upper(), item[method]


def test_the_served_document_is_what_is_made_of_the_source() -> None:
    """Run `python -m tools.openapi` after a change."""
    assert openapi.SERVED.read_text() == openapi.served()


def test_the_served_document_is_json_that_browsers_read_too() -> None:
    assert json.loads(openapi.SERVED.read_text()) == openapi.read()
    json.dumps(openapi.read(), allow_nan=False)


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_a_name_a_tag_and_a_sentence(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    known = {tag["name"] for tag in document["tags"]}
    for _, _, operation in operations(document):
        assert set(operation["tags"]) <= known
        assert operation["summary"].endswith(".")


def test_every_component_is_used(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for kind, components in document["components"].items():
        for name in components:
            used = f'"#/components/{kind}/{name}"' in text
            assert used or kind == "securitySchemes", f"{kind}/{name}"


def test_every_route_of_the_document_is_one_of_the_function(document: dict[str, Any]) -> None:
    for path, method, _ in operations(document):
        filled = re.sub(r"\{\w+\}", "x", path)
        answering = [m for pattern, m in ROUTES if pattern.fullmatch(filled)]
        assert answering == [method], path


def test_every_route_of_the_function_is_in_the_document(document: dict[str, Any]) -> None:
    stated = {(re.sub(r"\{\w+\}", "x", path), method) for path, method, _ in operations(document)}
    for pattern, method in ROUTES:
        assert any(pattern.fullmatch(path) and method == m for path, m in stated), pattern.pattern


def tree(error: type[errors.PredictError]) -> Iterator[type[errors.PredictError]]:
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


# A route that is known answers neither of the first two, and what fails inside is not promised.
UNSTATED = {errors.NotFound, errors.MethodNotAllowed, errors.PredictError}


def test_every_refusal_of_predict_is_stated(document: dict[str, Any]) -> None:
    """403 and 429 are the gateway's own."""
    stated = set(document["paths"]["/predict"]["post"]["responses"])
    raised = {str(kind.status.value) for kind in tree(errors.PredictError) if kind not in UNSTATED}
    assert stated == raised | {"200", "403", "429"}


@pytest.mark.parametrize("version", ["", "/versions/{version}"])
def test_every_refusal_of_infer_is_stated(document: dict[str, Any], version: str) -> None:
    path = f"/v2/models/{{name}}{version}/infer"
    stated = set(document["paths"][path]["post"]["responses"])
    assert stated == {"200", "400", "403", "404", "413", "429", "503"}


def test_what_is_open_is_what_needs_no_model(document: dict[str, Any]) -> None:
    """Closed by default: a key is needed for everything else."""
    assert document["security"] == [{"apiKey": []}]
    opened = {
        path for path, _, operation in operations(document) if operation.get("security") == []
    }
    assert opened == {"/", "/health", "/openapi.json"}


def test_the_limits_stated_are_those_that_are_kept(document: dict[str, Any]) -> None:
    import payload

    schemas = document["components"]["schemas"]
    form = document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert schemas["ManyImages"]["properties"]["images"]["maxItems"] == payload.MAX_IMAGES
    assert form["schema"]["properties"]["image"]["maxItems"] == payload.MAX_IMAGES
    assert payload.MAX_BODY == 4 * 1024 * 1024
    assert "4 MiB" in schemas["File"]["description"]
