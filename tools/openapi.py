"""Write what is made of openapi.yaml: the JSON that the function serves, and the API of the stack.

    python -m tools.openapi

API Gateway imports OpenAPI 3.0.1 and a part of JSON Schema, so it gets routes, statuses and keys,
and no schemas: the function, not the gateway, refuses a body, and says what to send instead.
"""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "openapi.yaml"
SERVED = PROJECT / "functions/predict/classifier/http/openapi.json"
GATEWAY = PROJECT / "infra/apigateway.yaml"  # template.yaml includes it

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
ANY = "x-amazon-apigateway-any-method"
REFUSALS = "x-gateway-responses"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HEADER = (
    "# Made from openapi.yaml by `python -m tools.openapi`: the API that template.yaml includes.\n"
)
_INTEGRATION = {
    "type": "aws_proxy",
    "httpMethod": "POST",  # of the call to Lambda, whatever the client's method
    "uri": {
        "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/"
        "functions/${PredictFunction.Alias}/invocations"
    },
}

# What the stack's parameters choose, in the long form: AWS::Include takes no other.
_NOTHING = {"Ref": "AWS::NoValue"}
_ORIGIN = {"Fn::Sub": "'${CorsOrigin}'"}
_AUTHORIZATION = {"type": "apiKey", "in": "header", "name": "Authorization"}
_SCHEMES = {  # beside the key, which is openapi.yaml's
    "iam": {**_AUTHORIZATION, "x-amazon-apigateway-authtype": "awsSigv4"},
    "jwt": {
        "Fn::If": [
            "AuthIsJwt",  # an authoriser without a pool would not be imported
            {
                **_AUTHORIZATION,
                "x-amazon-apigateway-authtype": "cognito_user_pools",
                "x-amazon-apigateway-authorizer": {
                    "type": "cognito_user_pools",
                    "providerARNs": [{"Ref": "UserPoolArn"}],
                },
            },
            _NOTHING,
        ]
    },
}

type Document = dict[str, Any]


def main() -> None:
    """Write the served document and the gateway's definition."""
    for path, text in ((SERVED, served()), (GATEWAY, gateway())):
        path.write_text(text)
        print(f"wrote {path.relative_to(PROJECT)}")


def served() -> str:
    """The interface as the function answers it, one line of JSON."""
    return json.dumps(read(), separators=(",", ":")) + "\n"


def gateway() -> str:
    """The interface as API Gateway imports it, a YAML snippet for `AWS::Include`."""
    return _HEADER + yaml.dump(definition(read()), Dumper=_Plain, sort_keys=False, width=120)


def read() -> Document:
    """The interface as openapi.yaml states it."""
    document = yaml.load(SOURCE.read_text(), _LOADER)  # noqa: S506 - a safe one, in C where it is
    if not isinstance(document, dict):
        raise TypeError(f"{SOURCE} is no mapping")
    return document


def definition(document: Document) -> Document:
    """OpenAPI 3.0.1 with API Gateway's extensions.

    Each path takes every method, so that it is the function that answers a wrong one (405), and an
    unknown path (404). A method that is not stated needs the key that the path's others need.
    """
    paths = {path: _methods(document, path) for path in document["paths"]}
    paths["/{proxy+}"] = {ANY: {"security": _chosen(document["security"]), **_rest(["proxy"])}}
    schemes = document["components"]["securitySchemes"]
    return {
        "openapi": "3.0.1",
        "info": {name: document["info"][name] for name in ("title", "version", "description")},
        "paths": paths,
        "components": {"securitySchemes": schemes | _SCHEMES},
        "x-amazon-apigateway-binary-media-types": ["*/*"],  # the function gets every body in base64
        "x-amazon-apigateway-gateway-responses": {
            kind: _gateway_response(document, kind) for kind in document[REFUSALS]
        },
    }


def refusal(document: Document, kind: str, request_id: str) -> tuple[Document, dict[str, str]]:
    """Body and headers of an answer of the gateway's own; its status is in the body.

    kind: API Gateway's name of it, such as THROTTLED.
    """
    stated = document[REFUSALS][kind]
    status = HTTPStatus(stated["status"])
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": stated["detail"],
        "request_id": request_id,
    }
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if "retry-after" in stated:
        headers["Retry-After"] = str(stated["retry-after"])
    return body, headers


def open_paths(document: Document) -> set[str]:
    """Paths that need no key."""
    return {path for path in document["paths"] if not _security(document, path)}


def operations(item: Document) -> Iterator[tuple[str, Document]]:
    """Method, in lower case, and description of each operation of a path."""
    return ((method, item[method]) for method in METHODS if method in item)


def _methods(document: Document, path: str) -> Document:
    item = document["paths"][path]
    security = _security(document, path)
    names = [_resolved(document, one)["name"] for one in item.get("parameters", [])]
    methods = {
        method: {
            "operationId": operation["operationId"],
            "security": _chosen(security),
            **_rest(names),
            "responses": {
                status: {"description": _resolved(document, response)["description"]}
                for status, response in operation["responses"].items()
            },
        }
        for method, operation in operations(item)
    }
    return methods | {
        "options": {"Fn::If": ["HasCors", _preflight(names), _NOTHING]},
        ANY: {"security": _chosen(security), **_rest(names)},
    }


def _chosen(security: list[Document]) -> list[Document]:
    """What AuthMode puts in the place of the key; an open path stays open."""
    return [  # the choice inside the list: `sam local` takes nothing but a list here
        {"Fn::If": ["AuthIsJwt", {"jwt": []}, {"Fn::If": ["AuthIsIam", {"iam": []}, key]}]}
        for key in security
    ]


def _security(document: Document, path: str) -> list[Document]:
    """What all operations of a path need.

    Raises ValueError if they need different things: the methods not stated could need either.
    """
    usual: list[Document] = document["security"]
    stated: list[list[Document]] = [
        operation.get("security", usual) for _, operation in operations(document["paths"][path])
    ]
    if any(one != stated[0] for one in stated):
        raise ValueError(f"the operations of {path} need different keys; let all need the same")
    return stated[0]


def _preflight(parameters: list[str]) -> Document:
    """What browsers ask before a call from another site; it carries no key, and calls nothing."""
    headers: Document = {
        "Access-Control-Allow-Origin": _ORIGIN,
        "Access-Control-Allow-Methods": "'GET,HEAD,POST,OPTIONS'",
        "Access-Control-Allow-Headers": "'authorization,content-type,x-api-key'",
        "Access-Control-Max-Age": "'3600'",
    }
    described = {name: {"schema": {"type": "string"}} for name in headers}
    return {
        "security": [],
        **_in_path(parameters),
        "responses": {"204": {"description": "What may be asked.", "headers": described}},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "contentHandling": "CONVERT_TO_TEXT",  # as */* is binary, its template fails otherwise
            "requestTemplates": {"application/json": '{"statusCode": 204}'},
            "responses": {
                "default": {
                    "statusCode": "204",
                    "responseParameters": {
                        f"method.response.header.{name}": value for name, value in headers.items()
                    },
                }
            },
        },
    }


def _in_path(parameters: list[str]) -> Document:
    in_path = {"in": "path", "required": True, "schema": {"type": "string"}}
    stated = {"parameters": [{"name": name, **in_path} for name in parameters]}
    return stated if parameters else {}


def _rest(parameters: list[str]) -> Document:
    """What every method has alike; parameters: names of those in the path."""
    return _in_path(parameters) | {
        "responses": {"200": {"description": "The function's answer, whatever its status."}},
        "x-amazon-apigateway-integration": _INTEGRATION,
    }


def _gateway_response(document: Document, kind: str) -> Document:
    body, headers = refusal(document, kind, "$context.requestId")
    return {
        "statusCode": str(body["status"]),
        "responseParameters": {
            f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()
        }
        | {
            "gatewayresponse.header.Access-Control-Allow-Origin": {
                "Fn::If": ["HasCors", _ORIGIN, _NOTHING]
            }
        },
        "responseTemplates": {"application/json": json.dumps(body)},
    }


def _resolved(document: Document, node: Document) -> Document:
    """What a node says, or what its `$ref` points to."""
    for step in node.get("$ref", "#").split("/")[1:]:
        document = document[step]
    return document if "$ref" in node else node


class _Plain(yaml.SafeDumper):
    """Without anchors: a part that is used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of all data alike
        return True


if __name__ == "__main__":
    main()
