"""event.py: what each kind of gateway sends becomes the same request."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import BadRequest, PredictError
from classifier.http.event import Request, parse, reply, request_id

BODY = b"\x89PNG\r\n\x1a\n\x00\xff"


def rest_event(**changes: Any) -> dict[str, Any]:
    event = {
        "resource": "/{proxy+}",
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "image/png", "X-Api-Key": "Secret"},
        "multiValueHeaders": {"Content-Type": ["image/png"]},
        "queryStringParameters": {"preprocess": "none"},
        "requestContext": {"requestId": "rest-1", "stage": "dev", "path": "/dev/predict"},
        "body": base64.b64encode(BODY).decode(),
        "isBase64Encoded": True,
    }
    return event | changes


def http_event(**changes: Any) -> dict[str, Any]:
    event = {
        "version": "2.0",
        "routeKey": "POST /predict",
        "rawPath": "/predict",
        "rawQueryString": "preprocess=none",
        "headers": {"content-type": "image/png", "x-api-key": "Secret"},
        "queryStringParameters": {"preprocess": "none"},
        "requestContext": {
            "requestId": "http-1",
            "stage": "$default",
            "http": {"method": "POST", "path": "/predict"},
        },
        "body": base64.b64encode(BODY).decode(),
        "isBase64Encoded": True,
    }
    return event | changes


def function_url_event(**changes: Any) -> dict[str, Any]:
    context = {
        "requestId": "url-1",
        "stage": "$default",
        "domainPrefix": "abc",
        "http": {"method": "POST", "path": "/predict", "protocol": "HTTP/1.1"},
    }
    return http_event(routeKey="$default", requestContext=context) | changes


def balancer_event(*, lists: bool, **changes: Any) -> dict[str, Any]:
    """An Application Load Balancer's event; its query is not decoded."""
    event = {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:::x"}},
        "httpMethod": "POST",
        "path": "/predict",
        "body": base64.b64encode(BODY).decode(),
        "isBase64Encoded": True,
    }
    headers = {"content-type": "image/png", "x-api-key": "Secret"}
    query = {"preprocess": "none"}
    if lists:
        event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
        event["multiValueQueryStringParameters"] = {name: [value] for name, value in query.items()}
    else:
        event |= {"headers": headers, "queryStringParameters": query}
    return event | changes


def lattice_event(version: int, /, **changes: Any) -> dict[str, Any]:
    """An event of VPC Lattice, by the version of its structure. Its path carries the query."""
    body = base64.b64encode(BODY).decode()
    event: dict[str, Any] = {"method": "POST", "body": body}
    if version == 1:
        event |= {
            "raw_path": "/predict?preprocess=none",
            "headers": {"content-type": "image/png", "x-api-key": "Secret"},
            "query_string_parameters": {"preprocess": "none"},
            "is_base64_encoded": True,
        }
    else:
        event |= {
            "version": "2.0",
            "path": "/predict?preprocess=none",
            "headers": {"content-type": ["image/png"], "x-api-key": ["Secret"]},
            "queryStringParameters": {"preprocess": ["auto", "none"]},
            "isBase64Encoded": True,
            "requestContext": {"serviceArn": "arn:aws:vpc-lattice:-", "region": "eu-central-1"},
        }
    return event | changes


@pytest.mark.parametrize(
    ("event", "identity"),
    [
        (rest_event(), "rest-1"),
        (http_event(), "http-1"),
        (function_url_event(), "url-1"),
        (balancer_event(lists=False), "lambda-1"),
        (balancer_event(lists=True), "lambda-1"),
        (lattice_event(1), "lambda-1"),
        (lattice_event(2), "lambda-1"),
    ],
    ids=["v1", "v2", "url", "balancer", "balancer with lists", "lattice 1", "lattice 2"],
)
def test_every_kind_of_event_gives_the_same_request(event: dict[str, Any], identity: str) -> None:
    assert parse(event, "lambda-1") == Request(
        method="POST",
        path="/predict",
        query={"preprocess": "none"},
        headers={"content-type": "image/png", "x-api-key": "Secret"},
        body=BODY,
        request_id=identity,
    )


@pytest.mark.parametrize("left_out", ["version", "rawPath", "rawQueryString", "routeKey"])
def test_an_event_of_version_2_is_known_by_its_context(left_out: str) -> None:
    """Whatever else one made by hand leaves out."""
    event = http_event()
    del event[left_out]
    assert parse(event, "-") == parse(http_event(), "-")


@pytest.mark.parametrize("single", [None, {}, {"preprocess": "auto,none"}])
def test_a_repeated_parameter_has_its_last_value(single: dict[str, str] | None) -> None:
    """Version 2.0 joins the values by commas, version 1.0 lists them."""
    query = "preprocess=auto&preprocess=none&x="
    event = http_event(rawQueryString=query, queryStringParameters=single)
    assert parse(event, "-").query == {"preprocess": "none", "x": ""}
    lists = {"preprocess": ["auto", "none"]}
    event = rest_event(multiValueQueryStringParameters=lists, queryStringParameters=None)
    assert parse(event, "-").query == {"preprocess": "none"}


@pytest.mark.parametrize("query", ["", "parameter=value"])
def test_the_query_counts_where_the_raw_one_is_silent(query: str) -> None:
    event = http_event(rawQueryString=query, queryStringParameters={"preprocess": "none"})
    assert parse(event, "-").query["preprocess"] == "none"


@pytest.mark.parametrize("path", ["/%70redict", "/predict%2F", "//predict/", "/%2Fpredict"])
@pytest.mark.parametrize("make", [rest_event, http_event])
def test_a_path_means_the_same_percent_encoded(
    path: str, make: Callable[..., dict[str, Any]]
) -> None:
    changes = {"path": path, "rawPath": path, "routeKey": "$default"}
    assert parse(make(**changes), "-").path == "/predict"


@pytest.mark.parametrize(
    ("raw_path", "stage", "path"),
    [
        ("/dev/predict", "dev", "/predict"),
        ("/dev", "dev", "/"),
        ("/dev/", "dev", "/"),
        ("/predict", "dev", "/predict"),
        ("/predict", "$default", "/predict"),
        ("/developers", "dev", "/developers"),
        ("/dev/dev", "dev", "/dev"),
        ("/predict", None, "/predict"),
    ],
)
def test_the_stage_of_an_http_api_is_no_part_of_the_route(
    raw_path: str, stage: str | None, path: str
) -> None:
    context = {"stage": stage, "http": {"method": "GET"}}
    event = http_event(routeKey="$default", rawPath=raw_path, requestContext=context)
    assert parse(event, "-").path == path


@pytest.mark.parametrize(
    ("resource", "parameters", "path", "route"),
    [
        ("/predict", None, "/base/predict", "/predict"),
        ("/{proxy+}", {"proxy": "v2/health/live"}, "/base/v2/health/live", "/v2/health/live"),
        ("/{proxy+}", {"proxy": "predict"}, "/a/b/predict", "/predict"),
        ("/v2/models/{name}/infer", {"name": "mnist"}, "/b/v2/models/mnist/infer", None),
        ("/", None, "/base", "/"),
        ("/{proxy+}", None, "/predict", "/predict"),  # a template without its values
        ("", {"proxy": "other"}, "/predict", "/predict"),
        (None, None, "/predict", "/predict"),
    ],
)
def test_the_base_path_of_a_custom_domain_is_no_part_of_the_route(
    resource: str | None, parameters: dict[str, str] | None, path: str, route: str | None
) -> None:
    event = rest_event(resource=resource, pathParameters=parameters, path=path)
    assert parse(event, "-").path == (route or "/v2/models/mnist/infer")


@pytest.mark.parametrize(
    ("route_key", "parameters", "raw_path", "route"),
    [
        ("POST /predict", None, "/prod/predict", "/predict"),
        ("POST /predict", None, "/base/predict", "/predict"),
        (
            "ANY /{proxy+}",
            {"proxy": "v2/models/mnist"},
            "/base/v2/models/mnist",
            "/v2/models/mnist",
        ),
        ("GET /v2/models/{name}", {"name": "mnist"}, "/dev/v2/models/mnist", "/v2/models/mnist"),
        ("$default", None, "/dev/predict", "/predict"),
        ("ANY /{proxy+}", None, "/dev/predict", "/predict"),
        (None, None, "/dev/predict", "/predict"),
    ],
)
def test_the_route_of_an_http_api_says_the_path_without_stage_and_base_path(
    route_key: str | None, parameters: dict[str, str] | None, raw_path: str, route: str
) -> None:
    context = {"stage": "dev", "http": {"method": "POST"}}
    event = http_event(
        routeKey=route_key, pathParameters=parameters, rawPath=raw_path, requestContext=context
    )
    assert parse(event, "-").path == route


@pytest.mark.parametrize(
    ("base", "path", "route"),
    [
        ("/digits", "/digits/predict", "/predict"),
        ("digits/", "/digits/predict", "/predict"),
        ("/api/digits", "/api/digits/v2/health/live", "/v2/health/live"),
        ("/digits", "/digits", "/"),
        ("/digits", "/digits/", "/"),
        ("/digits", "/digitsx/predict", "/digitsx/predict"),
        ("/digits", "/%64igits/predict", "/predict"),
        ("/digits", "/health", "/health"),
        ("/digits", "/digits/digits", "/digits"),
        ("/", "/predict", "/predict"),
        ("", "/digits/predict", "/digits/predict"),
        (None, "/digits/predict", "/digits/predict"),
    ],
)
def test_a_base_path_that_the_event_does_not_tell_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, base: str | None, path: str, route: str
) -> None:
    """A custom domain's before $default, a load balancer's rule. Health checks come without it."""
    monkeypatch.delenv("BASE_PATH", raising=False)
    if base is not None:
        monkeypatch.setenv("BASE_PATH", base)
    for event in (
        balancer_event(lists=False, path=path),
        http_event(routeKey="$default", rawPath=path),
        function_url_event(rawPath=path),
        lattice_event(1, raw_path=path),
        lattice_event(2, path=path + "?a=b"),
        rest_event(pathParameters={"proxy": path.strip("/")}, path=f"/x{path}"),
    ):
        assert parse(event, "-").path == route


@pytest.mark.parametrize("version", [1, 2])
def test_the_query_of_vpc_lattice_is_read_from_the_path_or_beside_it(version: int) -> None:
    name = "raw_path" if version == 1 else "path"
    event = lattice_event(version, **{name: "/predict?preprocess=auto&input=tr%75e"})
    assert parse(event, "-").query == {"preprocess": "auto", "input": "true"}
    assert parse(lattice_event(version, **{name: "/predict"}), "-").query == {"preprocess": "none"}


@pytest.mark.parametrize("version", [1, 2])
def test_a_text_body_of_vpc_lattice_is_taken_as_it_is(version: int) -> None:
    plain = {"is_base64_encoded" if version == 1 else "isBase64Encoded": False}
    assert parse(lattice_event(version, body="{}", **plain), "-").body == b"{}"


@pytest.mark.parametrize("lists", [False, True])
def test_the_query_of_a_load_balancer_is_decoded(*, lists: bool) -> None:
    query = {"a%20b": "c+d%C3%B6", "preprocess": "%6Eone"}
    name = "multiValueQueryStringParameters" if lists else "queryStringParameters"
    value = {name: [value] for name, value in query.items()} if lists else query
    parsed = parse(balancer_event(lists=lists, **{name: value}), "-")
    assert parsed.query == {"a b": "c dö", "preprocess": "none"}
    assert parse(rest_event(queryStringParameters=query), "-").query == query


def test_of_repeated_headers_and_parameters_the_last_one_counts() -> None:
    event = balancer_event(
        lists=True,
        multiValueHeaders={"X-A": ["1", "2"], "X-B": [], "X-C": [None], "X-D": "text"},
        multiValueQueryStringParameters={"preprocess": ["auto", "none"]},
    )
    request = parse(event, "-")
    assert (request.headers, request.query) == ({"x-a": "2", "x-d": "text"}, {"preprocess": "none"})


RESPONSE = {
    "statusCode": 413,
    "headers": {"Content-Type": "application/problem+json", "Allow": "POST"},
    "body": "{}",
    "isBase64Encoded": False,
}


@pytest.mark.parametrize("event", [rest_event(), http_event(), function_url_event(), {}])
def test_a_gateway_gets_the_response_as_it_is(event: dict[str, Any]) -> None:
    assert reply(event, RESPONSE) == RESPONSE


@pytest.mark.parametrize("event", [balancer_event(lists=False), lattice_event(1), lattice_event(2)])
def test_a_load_balancer_and_vpc_lattice_get_the_status_in_words(event: dict[str, Any]) -> None:
    response = reply(event, RESPONSE)
    words = response.pop("statusDescription")
    assert words.startswith("413 ")
    assert len(words) > 4
    assert response == RESPONSE


def test_a_load_balancer_that_sends_lists_gets_lists() -> None:
    before = dict(RESPONSE)
    response = reply(balancer_event(lists=True), RESPONSE)
    assert response["multiValueHeaders"] == {
        "Content-Type": ["application/problem+json"],
        "Allow": ["POST"],
    }
    assert "headers" not in response
    assert before == RESPONSE, "the response given is left as it was"


@pytest.mark.parametrize(
    ("path", "route"),
    [("/predict/", "/predict"), ("predict", "/predict"), ("//predict//", "/predict"), ("/", "/")],
)
def test_slashes_around_a_path_do_not_matter(path: str, route: str) -> None:
    assert parse(rest_event(path=path), "-").path == route


def test_a_method_is_read_in_any_case() -> None:
    assert parse(rest_event(httpMethod="post"), "-").method == "POST"


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_header_names_are_read_in_any_case(name: str) -> None:
    headers = {name: "Image/PNG"}
    assert parse(rest_event(headers=headers), "-").headers == {"content-type": "Image/PNG"}


@pytest.mark.parametrize("make", [rest_event, http_event])
@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("body", [None, ""])
def test_no_body_is_an_empty_one_whatever_the_encoding_says(
    make: Any, encoded: Any, body: str | None
) -> None:
    """`sam local` sends `isBase64Encoded: true` with a null body."""
    assert parse(make(body=body, isBase64Encoded=encoded), "-").body == b""


@pytest.mark.parametrize("make", [rest_event, http_event])
def test_a_body_that_is_not_base64_encoded_is_taken_as_its_text(make: Any) -> None:
    text = '{"image": "Zm9v", "title": "Größe"}'
    assert parse(make(body=text, isBase64Encoded=False), "-").body == text.encode()


def test_without_the_encoding_flag_the_body_is_text() -> None:
    event = rest_event(body="Zm9v")
    del event["isBase64Encoded"]
    assert parse(event, "-").body == b"Zm9v"


def test_base64_may_come_in_lines() -> None:
    """As the command `base64` writes it, into an event made by hand."""
    lines = base64.encodebytes(bytes(100)).decode()
    assert lines.count("\n") > 1
    assert parse(rest_event(body=lines), "-").body == bytes(100)


@pytest.mark.parametrize("body", ["###", "Zm9", "Zm9v!", "Zm 9v", "é", {"image": 1}, 7, ["Zm9v"]])
def test_a_body_that_is_not_the_promised_base64_is_a_bad_request(body: Any) -> None:
    with pytest.raises(BadRequest, match="isBase64Encoded"):
        parse(rest_event(body=body), "-")


def test_a_lone_surrogate_in_a_text_body_does_not_stop_the_parsing() -> None:
    assert parse(rest_event(body="\ud800", isBase64Encoded=False), "-").body


@pytest.mark.parametrize("missing", ["headers", "queryStringParameters", "requestContext"])
@pytest.mark.parametrize("value", [None, {}])
def test_a_null_part_of_an_event_is_an_empty_one(missing: str, value: Any) -> None:
    request = parse(rest_event(**{missing: value}), "lambda-1")
    assert request.path == "/predict"
    assert request.request_id == ("lambda-1" if missing == "requestContext" else "rest-1")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": [{"s3": {}}]},
        {"httpMethod": "POST"},
        {"path": "/predict"},
        {"httpMethod": None, "path": None},
        {"httpMethod": 1, "path": ["/predict"]},
        {"version": "2.0"},
        {"version": "2.0", "rawPath": "/predict", "requestContext": {}},
        {"version": "2.0", "rawPath": "/predict", "requestContext": {"http": None}},
        {"version": "2.0", "requestContext": {"http": {"method": "POST"}}},
    ],
)
def test_an_event_of_neither_kind_is_a_bad_request_that_says_what_to_send(
    event: dict[str, Any],
) -> None:
    with pytest.raises(BadRequest, match="API Gateway"):
        parse(event, "-")


@pytest.mark.parametrize(
    "changes",
    [
        {"requestContext": "prod"},
        {"requestContext": [1]},
        {"headers": ["Content-Type"]},
        {"headers": "Content-Type: image/png"},
        {"headers": {"Content-Type": None}},
        {"headers": {"Content-Type": 1}},
        {"queryStringParameters": "preprocess=none"},
        {"queryStringParameters": ["none"]},
        {"queryStringParameters": {"preprocess": None}},
    ],
)
@pytest.mark.parametrize("make", [rest_event, http_event])
def test_a_part_of_the_wrong_type_is_a_bad_request_or_is_left_out(make: Any, changes: Any) -> None:
    try:
        request = parse(make(**changes), "-")
    except BadRequest:
        return
    assert all(isinstance(value, str) for value in request.headers.values())
    assert all(isinstance(value, str) for value in request.query.values())


@pytest.mark.parametrize(
    ("event", "identity"),
    [
        ({"requestContext": {"requestId": "gateway-1"}}, "gateway-1"),
        ({"requestContext": {}}, "lambda-1"),
        ({"requestContext": None}, "lambda-1"),
        ({"requestContext": {"requestId": None}}, "lambda-1"),
        ({"requestContext": "prod"}, "lambda-1"),
        ({"requestContext": [1]}, "lambda-1"),
        ({}, "lambda-1"),
    ],
)
def test_the_request_id_is_the_gateways_and_else_lambdas(
    event: dict[str, Any], identity: str
) -> None:
    assert request_id(event, "lambda-1") == identity


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(
        [
            rest_event,
            http_event,
            lambda **changes: balancer_event(lists=True, **changes),
            lambda **changes: lattice_event(1, **changes),
            lambda **changes: lattice_event(2, **changes),
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            sorted(rest_event() | http_event() | balancer_event(lists=True) | {"pathParameters": 0})
        ),
        json_value,
        max_size=4,
    ),
)
def test_an_event_of_any_content_gives_a_request_or_a_refusal(make: Any, changes: Any) -> None:
    try:
        request = parse(make(**changes), "lambda-1")
    except PredictError:
        return
    assert request.path.startswith("/")
    assert isinstance(request.body, bytes)
