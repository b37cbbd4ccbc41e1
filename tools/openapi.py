"""Generate from openapi.yaml: the JSON that the function serves, and the stack's API definition.

    python -m tools.openapi

API Gateway imports OpenAPI 3.0.1 with a subset of JSON Schema, so its definition has routes,
statuses and keys but no schemas: the function validates bodies and says what to send instead.
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

# What the stack's parameters choose, in the long form: AWS::Include supports no other.
_NOTHING = {"Ref": "AWS::NoValue"}
_ORIGIN = {"Fn::Sub": "'${CorsOrigin}'"}
_AUTHORIZATION = {"type": "apiKey", "in": "header", "name": "Authorization"}
_SCHEMES = {  # besides the API key, which openapi.yaml has
    "iam": {**_AUTHORIZATION, "x-amazon-apigateway-authtype": "awsSigv4"},
    "jwt": {
        "Fn::If": [
            "AuthIsJwt",  # an authoriser without a pool fails to import
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
    """The interface as the function serves it, one line of JSON."""
    return json.dumps(read(), separators=(",", ":")) + "\n"


def gateway() -> str:
    """The interface as API Gateway imports it, a YAML snippet for `AWS::Include`."""
    return _HEADER + yaml.dump(definition(read()), Dumper=_Plain, sort_keys=False, width=120)


def read() -> Document:
    """The interface as openapi.yaml states it."""
    document = yaml.load(SOURCE.read_text(), _LOADER)  # noqa: S506 - a safe loader, in C if available
    if not isinstance(document, dict):
        raise TypeError(f"{SOURCE} must hold a mapping, got {type(document).__name__}")
    return document


def definition(document: Document) -> Document:
    """OpenAPI 3.0.1 with API Gateway's extensions.

    Each path accepts every method, so that the function itself returns 405 for a wrong method and
    404 for an unknown path. Undocumented methods need the same key as the path's other methods.
    """
    paths = {path: _methods(document, path) for path in document["paths"]}
    paths["/{proxy+}"] = {ANY: {"security": _chosen(document["security"]), **_rest(["proxy"])}}
    schemes = document["components"]["securitySchemes"]
    return {
        "openapi": "3.0.1",
        "info": {  # an import names the API by its title, and alarms look for the stack's name
            "title": {"Ref": "AWS::StackName"},
            **{name: document["info"][name] for name in ("version", "description")},
        },
        "paths": paths,
        "components": {"securitySchemes": schemes | _SCHEMES},
        "x-amazon-apigateway-binary-media-types": [
            "*/*"  # base64-encode every body
        ],
        "x-amazon-apigateway-gateway-responses": {
            kind: _gateway_response(document, kind) for kind in document[REFUSALS]
        },
    }


def refusal(document: Document, kind: str, request_id: str) -> tuple[Document, dict[str, str]]:
    """Body and headers of a response by the gateway itself; the status, if stated, is in the body.

    kind: API Gateway's response type, such as THROTTLED.
    """
    response = document[REFUSALS][kind]
    status = HTTPStatus(response["status"]) if "status" in response else None
    body = {
        "type": "about:blank",
        "title": status.phrase if status else "Refused by the gateway",
        **({"status": status.value} if status else {}),
        "detail": response["detail"],
        "request_id": request_id,
    }
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    own = response.get("headers", {})
    return body, headers | {name: str(value) for name, value in own.items()}


def open_paths(document: Document) -> set[str]:
    """Paths that need no key."""
    return {path for path in document["paths"] if not _security(document, path)}


def operations(item: Document) -> Iterator[tuple[str, Document]]:
    """Method in lower case and definition of each operation of a path."""
    return ((method, item[method]) for method in METHODS if method in item)


def _methods(document: Document, path: str) -> Document:
    item = document["paths"][path]
    security = _security(document, path)
    parameters = item.get("parameters", [])
    names = [_resolved(document, parameter)["name"] for parameter in parameters]
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
    """The security that AuthMode selects instead of the key; an open path stays open."""
    return [  # Fn::If inside the list: `sam local` accepts only a list here
        {"Fn::If": ["AuthIsJwt", {"jwt": []}, {"Fn::If": ["AuthIsIam", {"iam": []}, key]}]}
        for key in security
    ]


def _security(document: Document, path: str) -> list[Document]:
    """The security that all operations of a path need.

    Raises ValueError if they differ: undocumented methods could need either.
    """
    default: list[Document] = document["security"]
    needs: list[list[Document]] = [
        operation.get("security", default) for _, operation in operations(document["paths"][path])
    ]
    if any(need != needs[0] for need in needs):
        raise ValueError(f"all operations of {path} must need the same key, got {needs}")
    return needs[0]


def _preflight(parameters: list[str]) -> Document:
    """CORS preflight: browsers send it without a key, and the gateway answers it itself."""
    headers: Document = {
        "Access-Control-Allow-Origin": _ORIGIN,
        "Access-Control-Allow-Methods": "'GET,HEAD,POST,OPTIONS'",
        "Access-Control-Allow-Headers": "'authorization,content-encoding,content-type,"
        "inference-header-content-length,"
        "x-amz-content-sha256,x-amz-date,x-amz-security-token,x-api-key'",  # of any AuthMode
        "Access-Control-Max-Age": "'3600'",
    }
    described = {name: {"schema": {"type": "string"}} for name in headers}
    return {
        "security": [],
        **_in_path(parameters),
        "responses": {"204": {"description": "What may be asked.", "headers": described}},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "contentHandling": "CONVERT_TO_TEXT",  # with */* binary, the template fails otherwise
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
    if not parameters:
        return {}
    return {"parameters": [{"name": name, **in_path} for name in parameters]}


def _rest(parameters: list[str]) -> Document:
    """What all methods share; parameters: names of those in the path."""
    return _in_path(parameters) | {
        "responses": {"200": {"description": "The function's answer, whatever its status."}},
        "x-amazon-apigateway-integration": _INTEGRATION,
    }


def _gateway_response(document: Document, kind: str) -> Document:
    body, headers = refusal(document, kind, "$context.requestId")
    return ({"statusCode": str(body["status"])} if "status" in body else {}) | {
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
    """The node itself, or what its `$ref` points to."""
    for step in node.get("$ref", "#").split("/")[1:]:
        document = document[step]
    return document if "$ref" in node else node


class _Plain(yaml.SafeDumper):
    """Writes no anchors: a part that is used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - whatever the data
        return True


if __name__ == "__main__":
    main()
