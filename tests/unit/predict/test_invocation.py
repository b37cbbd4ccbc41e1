"""invocation.py: events without HTTP are a warm-up, an image, or no business of the function."""

import base64
import json
from typing import Any

import pytest

from classifier.errors import BadRequest, UnsupportedEvent
from classifier.http.event import Request, is_http
from classifier.http.invocation import parse, reply
from classifier.http.payload import read

FILE = b"\x89PNG\r\n\x1a\n"
DATA_URL = "data:image/png;base64," + base64.b64encode(FILE).decode()
RESPONSE = {"statusCode": 200, "headers": {}, "body": '{"prediction": 7}', "isBase64Encoded": False}
WARM_UPS = [
    {
        "id": "1",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/warm"],
        "detail": {},
    },
    {"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"},
    {"source": "serverless-plugin-warmup"},
    {"source": "serverless-plugin-lambda-warmup"},
    {"warmer": True, "concurrency": 3},
    {"warmUp": "true"},
    {"is_warmup": 1},
    {"#keep-warm": True},
    {"ping": True},
    {"source": "warmup"},
    {"source": "lambda-warmer"},
    {"type": "keep-alive"},
]
# The shapes of `sam local generate-event` and of Powertools' samples, down to what is read.
QUEUES: dict[str, Any] = {
    "aws:sqs": {"Records": [{"messageId": "1", "body": "x", "eventSource": "aws:sqs"}]},
    "aws:sns": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "x"}}]},
    "aws:kinesis": {"Records": [{"kinesis": {"data": "eA=="}, "eventSource": "aws:kinesis"}]},
    "aws:dynamodb": {"Records": [{"eventName": "INSERT", "eventSource": "aws:dynamodb"}]},
    "aws:s3": {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "7.png"}}}]},
    "aws:ses": {"Records": [{"eventSource": "aws:ses", "ses": {}}]},
    "aws:kafka": {"eventSource": "aws:kafka", "records": {"topic-0": [{"value": "eA=="}]}},
    "SelfManagedKafka": {"eventSource": "SelfManagedKafka", "records": {}},
    "aws:mq": {"eventSource": "aws:mq", "messages": [{"data": "eA=="}]},
    "aws:rmq": {"eventSource": "aws:rmq", "rmqMessagesByQueue": {}},
    "aws:docdb": {"eventSource": "aws:docdb", "events": []},
    "Firehose": {"deliveryStreamArn": "arn:-", "records": [{"recordId": "1", "data": "eA=="}]},
    "CloudWatch Logs": {"awslogs": {"data": "eA=="}},
    "aws.s3": {"detail-type": "Object Created", "source": "aws.s3", "detail": {}},
    "EventBridge": {"detail-type": "Drawn", "detail": {"image": "Zm9v"}},
    "S3 Batch Operations": {"job": {}, "tasks": [{"s3Key": "7.png"}]},
    "CodePipeline": {"CodePipeline.job": {"id": "1"}},
    "CloudFormation": {"RequestType": "Create", "ResponseURL": "https://example.com"},
    "AWS Config": {"invokingEvent": "{}", "resultToken": "-"},
    "aws.cloudwatch": {"source": "aws.cloudwatch", "alarmArn": "arn:-"},
    "Cognito": {"triggerSource": "PreSignUp_SignUp", "request": {}, "response": {}},
    "Secrets Manager": {"Step": "createSecret", "SecretId": "-", "ClientRequestToken": "-"},
    "S3 Object Lambda": {"getObjectContext": {}, "userRequest": {"headers": {}}},
    "an API's authorizer": {"type": "TOKEN", "methodArn": "arn:-"},
    "another function's destination": {
        "requestContext": {"requestId": "1", "condition": "RetriesExhausted"},
        "requestPayload": {"image": "Zm9v"},
    },
    "a queue": {"Records": []},
    "CloudFront": {"Records": [{"cf": {"request": {"method": "GET", "uri": "/"}}}]},
}
# Without an image. Some have parts of an HTTP request.
CALLERS: dict[str, Any] = {
    "Lex": {"messageVersion": "1.0", "bot": {"name": "Book"}, "currentIntent": {}},
    "Bedrock": {"agent": {"name": "-"}, "httpMethod": "POST", "apiPath": "/claims"},
    "Alexa": {"session": {"new": True}, "request": {"type": "LaunchRequest"}},
    "AppSync": {"fieldName": "locations", "arguments": {}, "source": {"name": "-"}},
    "Cognito": {"eventType": "SyncTrigger", "identityPoolId": "-", "datasetRecords": {}},
    "IoT": {"eventType": "THING_EVENT", "thingId": "1"},
    "CloudWatch dashboards": {"widgetContext": {"widgetId": "1"}},
    "a WebSocket API": {
        "headers": {},
        "requestContext": {"routeKey": "$connect", "connectionId": "1", "stage": "live"},
    },
    "connect": {"Details": {"ContactData": {"InstanceARN": "arn:aws:connect:eu-west-1:1:-/1"}}},
    "sagemaker": {"labelingJobArn": "arn:aws-us-gov:sagemaker:-:1:job/1", "dataObject": {}},
    "lambda": {
        "requestContext": {"condition": "RetryAttemptsExhausted", "functionArn": "arn:aws:lambda:"},
    },
}
AUTHORIZERS: list[dict[str, Any]] = [
    {"type": "REQUEST", "methodArn": "arn:-", "httpMethod": "POST", "path": "/predict"},
    {"routeArn": "arn:-", "rawPath": "/", "requestContext": {"http": {"method": "GET"}}},
    {"authorizationToken": "-", "requestContext": {"apiId": "1", "queryString": "query"}},
]


@pytest.mark.parametrize("event", WARM_UPS, ids=str)
def test_a_warm_up_is_the_question_whether_the_model_is_ready(event: dict[str, Any]) -> None:
    assert not is_http(event)
    assert parse(event, "lambda-1") == Request("GET", "/ready", {}, {}, b"", "lambda-1")
    assert reply(event, RESPONSE) == {"prediction": 7}


@pytest.mark.parametrize("event", [{"image": "Zm9v"}, {"images": ["Zm9v", None]}])
def test_an_image_is_a_request_to_classify_it(event: dict[str, Any]) -> None:
    request = parse(event | {"preprocess": "none", "top_k": 5, "input": True, "x": None}, "-")
    assert (request.method, request.path) == ("POST", "/predict")
    assert request.query == {"preprocess": "none", "top_k": "5", "input": "true"}
    assert json.loads(request.body).items() >= event.items()
    assert reply(event, RESPONSE) == {"prediction": 7}


@pytest.mark.parametrize(
    "event",
    [
        {"data": {"image": DATA_URL}},
        {"arguments": {"drawing": DATA_URL}, "source": None},
        {"image": DATA_URL, "path": "7.png", "method": "auto", "headers": {}},
        {"image": DATA_URL, "source": "aws.events", "warmer": True},
    ],
)
def test_an_image_is_found_whatever_lies_beside_it(event: dict[str, Any]) -> None:
    assert not is_http(event)
    request = parse(event, "-")
    assert request.path == "/predict"
    assert read(request).images == [FILE]
    assert reply(event, RESPONSE) == {"prediction": 7}


@pytest.mark.parametrize(
    ("event", "query"),
    [
        ({"input": DATA_URL, "top_k": 3}, {"top_k": "3"}),
        ({"input": {"image": DATA_URL}, "taskToken": "-"}, {"taskToken": "-"}),
        ([{"image": DATA_URL}], {}),
    ],
    ids=["by the name of a parameter", "of Step Functions", "in a list"],
)
def test_what_holds_the_image_is_no_parameter(event: Any, query: dict[str, str]) -> None:
    request = parse(event, "-")
    assert request.query == query
    assert read(request).images == [FILE]


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        ({"instances": [DATA_URL, DATA_URL]}, "several images were sent"),
        ({"input": [DATA_URL, DATA_URL]}, "several images were sent"),
        ([{"image": DATA_URL}, {"image": DATA_URL}], "several images were sent"),
        ({"image_url": "https://example.com/7.png"}, "URL was sent"),
    ],
)
def test_a_known_mistake_is_named_as_over_http(event: Any, fact: str) -> None:
    headers = {"content-type": "application/json"}
    request = Request("POST", "/predict", {}, headers, json.dumps(event).encode(), "-")
    assert parse(event, "-") == request
    with pytest.raises(BadRequest, match=fact):
        read(request)


@pytest.mark.parametrize("warmer", [False, None, ""])
def test_a_key_of_warm_ups_without_a_value_is_none(warmer: Any) -> None:
    with pytest.raises(BadRequest):
        parse({"warmer": warmer}, "-")


@pytest.mark.parametrize("name", QUEUES)
def test_an_event_of_a_queue_or_stream_fails_by_the_name_of_its_source(name: str) -> None:
    assert not is_http(QUEUES[name])
    with pytest.raises(UnsupportedEvent, match=f"events of {name}:"):
        parse(QUEUES[name], "-")


@pytest.mark.parametrize("name", CALLERS)
def test_an_event_of_another_service_fails_by_its_name_unless_it_has_an_image(name: str) -> None:
    assert not is_http(CALLERS[name])
    for event in (CALLERS[name], [CALLERS[name]], [CALLERS[name] | {"input": DATA_URL}]):
        with pytest.raises(UnsupportedEvent, match=f"events of {name}:"):
            parse(event, "-")
    assert parse(CALLERS[name] | {"input": DATA_URL}, "-").path == "/predict"


@pytest.mark.parametrize("event", AUTHORIZERS)
def test_an_authorizer_s_event_is_no_request_though_it_describes_one(event: dict[str, Any]) -> None:
    """Its answer would be taken for a policy."""
    assert not is_http(event)
    with pytest.raises(UnsupportedEvent, match="events of an API's authorizer:"):
        parse(event, "-")


@pytest.mark.parametrize("source", ["my.warmer", "warmup"])
def test_an_event_of_a_bus_is_no_warm_up_whatever_its_source_is_called(source: str) -> None:
    with pytest.raises(UnsupportedEvent, match=source):
        parse({"detail-type": "Drawn", "source": source, "detail": {}}, "-")


def test_the_records_of_a_pipe_fail_too() -> None:
    """EventBridge Pipes hand over the list alone."""
    with pytest.raises(UnsupportedEvent, match="events of aws:sqs:"):
        parse(QUEUES["aws:sqs"]["Records"], "-")


@pytest.mark.parametrize("event", [None, 7, "event", [], [7], [{}], {}, {"img": "Zm9v"}])
def test_any_other_event_is_a_bad_request(event: Any) -> None:
    with pytest.raises(BadRequest, match="API Gateway"):
        parse(event, "-")
    assert reply(event, RESPONSE) == {"prediction": 7}


def test_an_event_with_any_part_of_http_is_read_as_http() -> None:
    """A gateway's event stays one whatever else it holds."""
    assert is_http({"httpMethod": "POST", "image": "Zm9v", "Records": []})
    assert is_http({"method": "GET", "raw_path": "/"})
