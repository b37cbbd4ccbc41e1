"""openapi.yaml, the source of the interface, and the files generated from it."""

import base64
import copy
import io
import json
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from cfnlint.decode import decode  # type: ignore[import-untyped]
from numpy.typing import NDArray
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from PIL import Image

from classifier import errors
from classifier.http import inference_protocol, model_repository, routes
from classifier.http.event import Request
from classifier.image import formats
from classifier.model import session
from classifier.model.models import Models
from classifier.model.store import open_store
from classifier.predict import predict
from classifier.prepare.mnist import MnistPipeline
from classifier.served import Served
from tests.support.intrinsics import Stack
from tools import openapi

ROUTES = [
    (re.compile("/predict"), "POST"),
    *(
        (pattern, method)
        for table in (routes, inference_protocol, model_repository)
        for pattern, method, _ in table.ROUTES
    ),
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.read()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation."""
    for path, item in document["paths"].items():
        for method, operation in openapi.operations(item):
            yield path, method.upper(), operation


def test_generated_files_are_up_to_date() -> None:
    """Run `python -m tools.openapi` after a change."""
    assert openapi.SERVED.read_text() == openapi.served()
    assert openapi.GATEWAY.read_text() == openapi.gateway()


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


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


# A known route called with a documented method does not return it.
UNSTATED = {errors.MethodNotAllowed}
OF_THE_GATEWAY = {"401", "403", "429", "502", "504"}


def test_every_refusal_of_predict_is_stated(document: dict[str, Any]) -> None:
    """And the gateway's own responses."""
    stated = set(document["paths"]["/predict"]["post"]["responses"])
    raised = {
        str(kind.status.value)
        for kind in tree(errors.PredictError)
        if kind not in UNSTATED and kind.__module__.startswith("classifier.")  # not the server's
    }
    assert stated == raised | {"200"} | OF_THE_GATEWAY


@pytest.mark.parametrize("version", ["", "/versions/{version}"])
def test_every_refusal_of_infer_is_stated(document: dict[str, Any], version: str) -> None:
    path = f"/v2/models/{{name}}{version}/infer"
    stated = set(document["paths"][path]["post"]["responses"])
    assert stated == {"200", "400", "404", "413", "415", "422", "500", "503"} | OF_THE_GATEWAY


def test_what_is_open_is_what_needs_no_model(document: dict[str, Any]) -> None:
    """Everything else needs a key."""
    assert document["security"] == [{"api_key": []}]
    assert openapi.open_paths(document) == {"/", "/health", "/openapi.json"}


def test_one_path_needs_one_key(document: dict[str, Any]) -> None:
    """Undocumented methods could otherwise be open or closed."""
    document = copy.deepcopy(document)
    document["paths"]["/health"]["post"] = {"operationId": "x", "responses": {}}
    with pytest.raises(ValueError, match="/health must need the same key"):
        openapi.definition(document)


def test_every_refusal_of_the_gateway_is_stated(document: dict[str, Any]) -> None:
    """401, 403 and 429 on closed paths, 413 where there is a body, server errors everywhere.

    The gateway itself returns 404 on undocumented paths alone.
    """
    refusals = document[openapi.REFUSALS].values()
    assert {answer.get("status") for answer in refusals} == {
        *(401, 403, 404, 413, 429, 502, 504),
        None,  # of the defaults
    }
    for path, method, operation in operations(document):
        expected = {"502", "504"} | ({"413"} if method == "POST" else set())
        expected |= {"401", "403", "429"} if path not in openapi.open_paths(document) else set()
        assert expected <= operation["responses"].keys(), path


def test_a_refusal_of_the_gateway_is_a_problem_as_stated(document: dict[str, Any]) -> None:
    """Its body matches the schema, and a header says how long to wait where that helps."""
    schema = document["components"]["schemas"]["Problem"]
    for kind in document[openapi.REFUSALS]:
        body, headers = openapi.refusal(document, kind, "an-id")
        assert body["request_id"] == "an-id"
        assert headers["Content-Type"] == "application/problem+json"
        if kind.startswith("DEFAULT_"):
            body |= {"status": 418}  # a default has the status of what it stands in for
        else:
            assert body["title"] == HTTPStatus(body["status"]).phrase
        jsonschema.validate(body, schema)


# Of the developer guide's "Gateway response types"; there are no request validators here.
TYPES = {
    *("ACCESS_DENIED", "API_CONFIGURATION_ERROR", "AUTHORIZER_CONFIGURATION_ERROR"),
    *("AUTHORIZER_FAILURE", "DEFAULT_4XX", "DEFAULT_5XX", "EXPIRED_TOKEN", "INTEGRATION_FAILURE"),
    *("INTEGRATION_TIMEOUT", "INVALID_API_KEY", "INVALID_SIGNATURE"),
    *("MISSING_AUTHENTICATION_TOKEN", "QUOTA_EXCEEDED", "REQUEST_TOO_LARGE"),
    *("RESOURCE_NOT_FOUND", "THROTTLED", "UNAUTHORIZED", "WAF_FILTERED"),
}


def test_whatever_the_gateway_refuses_it_answers_as_the_function_would(
    document: dict[str, Any],
) -> None:
    """Every type but those of a broken authoriser, which the default for 5xx covers."""
    left = TYPES - document[openapi.REFUSALS].keys()
    assert left == {"AUTHORIZER_CONFIGURATION_ERROR", "AUTHORIZER_FAILURE"}
    assert document[openapi.REFUSALS].keys() <= TYPES
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= document[openapi.REFUSALS].keys()


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("MISSING_AUTHENTICATION_TOKEN", 403, "Signature Version 4"),  # unsigned, in mode Iam
        ("INVALID_SIGNATURE", 403, "the signature is wrong"),
        ("EXPIRED_TOKEN", 403, "have expired"),
        ("UNAUTHORIZED", 401, "id token"),
        ("ACCESS_DENIED", 403, "execute-api:Invoke"),
        ("WAF_FILTERED", 403, "firewall"),
    ],
)
def test_a_caller_is_told_what_is_missing(
    document: dict[str, Any], kind: str, status: int, words: str
) -> None:
    body, headers = openapi.refusal(document, kind, "an-id")
    assert body["status"] == status
    assert words in body["detail"]
    assert (headers.get("WWW-Authenticate") is not None) == (status == 401)  # RFC 9110, 15.5.2


def schema_of_answers(document: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of a body that POST /predict answers with 200."""
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema | {"components": document["components"]}


def test_examples_of_answers_follow_their_schema(document: dict[str, Any]) -> None:
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]
    examples = answer["content"]["application/json"]["examples"]
    for name, example in examples.items():
        jsonschema.validate(example["value"], schema_of_answers(document))
        prediction = example["value"].get("prediction")
        assert (prediction is None) == (name not in ("digit", "top"))


def maps_of_two_digits(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a finder says of two strokes side by side; both are large enough at a first look."""
    height, width, _ = picture.shape
    maps = np.zeros((height // 2, width // 2, 3), np.float32)
    for left in (6, 30):
        maps[8:40, left + 4 : left + 6, 0] = 1
        maps[14:34, left + 2 : left + 8, 1] = 1
    return maps


@pytest.mark.parametrize("is_batch", [False, True])
@pytest.mark.parametrize(
    ("query", "offset", "expected"),
    [
        ({}, 30, {"others": 1}),
        ({}, -30, {"others": 1, "prediction": None}),
        ({"reject": "off"}, -30, {"others": 1}),
        ({"digits": "many", "input": "true"}, 30, {}),
        ({"digits": "many"}, -30, {"text": "", "digits": []}),
    ],
)
def test_answers_of_a_model_that_finds_digits_follow_the_document(
    document: dict[str, Any],
    tmp_path: Path,
    publish: Callable[..., str],
    query: dict[str, str],
    offset: int,
    expected: dict[str, Any],
    *,
    is_batch: bool,
) -> None:
    """One digit or all of them, rejected or not, of one image or of a batch."""
    rule = {"rejection": {"threshold": 0.5, "slope": 1, "offset": offset}}
    version = publish(tmp_path, manifest=lambda manifest: manifest.update(rule))
    model = session.load(open_store(tmp_path.as_uri()), "mnist", version)
    finding = MnistPipeline(28, 28, maps_of=maps_of_two_digits)

    class Finding(Served):
        def model(self, name: str | None = None) -> session.Model:
            return model._replace(preprocess=finding)

    file = io.BytesIO()
    Image.new("L", (96, 96), 255).save(file, "PNG")
    image = base64.b64encode(file.getvalue()).decode()
    body = json.dumps({"images": [image, image]} if is_batch else {"image": image}).encode()
    request = Request("POST", "/predict", query, {"content-type": "application/json"}, body, "1")
    answer = json.loads(predict(request, Finding(Models()))["body"])
    jsonschema.validate(answer, schema_of_answers(document))
    result = answer["predictions"][1] if is_batch else answer
    assert result | expected == result
    left, right = [20, 16, 24, 80], [68, 16, 72, 80]
    if "digits" not in result:
        assert result["box"] == right  # it is nearer to the middle
    elif result["digits"]:
        assert [digit["box"] for digit in result["digits"]] == [left, right]


@pytest.fixture(scope="module")
def gateway() -> dict[str, Any]:
    """The definition as API Gateway gets it, from the file that the templates include."""
    template = decode(str(openapi.PROJECT / "template.yaml"))[0]  # with its defaults
    definition: dict[str, Any] = Stack(template).resolve(
        yaml.safe_load(openapi.GATEWAY.read_text())
    )
    assert definition["info"]["title"] == {"Ref": "AWS::StackName"}
    definition["info"]["title"] = "a-stack"
    return definition


def test_the_gateway_gets_openapi_that_it_imports(gateway: dict[str, Any]) -> None:
    """3.0.1, and no schemas but those of path parameters."""
    assert gateway["openapi"] == "3.0.1"
    OpenAPIV30SpecValidator(gateway).validate()
    assert set(gateway["components"]) == {"securitySchemes"}


def test_the_gateway_has_every_operation(gateway: dict[str, Any], document: dict[str, Any]) -> None:
    """By name and with each documented status."""
    made = {
        (path, method): (operation["operationId"], set(operation["responses"]))
        for path, method, operation in operations(gateway)
    }
    assert made == {
        (path, method): (operation["operationId"], set(operation["responses"]))
        for path, method, operation in operations(document)
    }


def test_every_path_of_the_gateway_takes_every_method(
    gateway: dict[str, Any], document: dict[str, Any]
) -> None:
    """The function itself responds to wrong methods and unknown paths, behind the same key."""
    assert set(gateway["paths"]) == {*document["paths"], "/{proxy+}"}
    for path, item in gateway["paths"].items():
        key = document["security"] if path not in openapi.open_paths(document) else []
        assert openapi.ANY in item
        for method in item.values():
            assert method["security"] == key, path
            integration = method["x-amazon-apigateway-integration"]
            assert integration["type"] == "aws_proxy"
            assert integration["httpMethod"] == "POST"
    assert gateway["components"]["securitySchemes"]["api_key"] == {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
    }


def test_the_gateway_hands_every_body_over_as_bytes(gateway: dict[str, Any]) -> None:
    assert gateway["x-amazon-apigateway-binary-media-types"] == ["*/*"]


def test_a_gateway_response_is_the_refusal_that_is_stated(
    gateway: dict[str, Any], document: dict[str, Any]
) -> None:
    """As JSON, quotes and all, with the id that the gateway fills in."""
    responses = gateway["x-amazon-apigateway-gateway-responses"]
    assert set(responses) == set(document[openapi.REFUSALS])
    for kind, response in responses.items():
        body, headers = openapi.refusal(document, kind, "$context.requestId")
        assert json.loads(response["responseTemplates"]["application/json"]) == body
        assert response.get("statusCode") == (str(body["status"]) if "status" in body else None)
        assert response["responseParameters"] == {
            f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()
        }


def test_the_limits_stated_are_those_that_are_kept(document: dict[str, Any]) -> None:
    from classifier import http

    schemas = document["components"]["schemas"]
    form = document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert schemas["ManyImages"]["properties"]["images"]["maxItems"] == http.MAX_IMAGES
    assert form["schema"]["properties"]["image"]["maxItems"] == http.MAX_IMAGES
    assert http.MAX_BODY == 4 * 1024 * 1024
    assert "4 MiB" in schemas["File"]["description"]


def test_the_image_types_stated_are_those_that_are_accepted(document: dict[str, Any]) -> None:
    stated = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    registered = {accepted.media_types[0] for accepted in formats.ACCEPTED}
    assert {kind for kind in stated if kind.startswith("image/")} == registered
