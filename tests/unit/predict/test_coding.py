"""coding.py and compression.py: bodies in gzip and deflate."""

import base64
import gzip
import zlib
from collections.abc import Callable

import pytest

from classifier.errors import BadRequest, PredictError, TooLarge, UnsupportedMediaType
from classifier.http import MAX_BODY
from classifier.http.coding import inflated
from classifier.http.compression import compressed
from classifier.http.event import Request
from classifier.http.response import Response

BODY = bytes(range(256)) * 8


def request(coding: str, body: bytes) -> Request:
    return Request("POST", "/predict", {}, {"content-encoding": coding}, body, "-")


def raw_deflate(body: bytes) -> bytes:
    """Deflate without zlib's header, as some clients send it."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_a_body_is_inflated(coding: str, compress: Callable[[bytes], bytes]) -> None:
    assert inflated(request(coding, compress(BODY))).body == BODY


@pytest.mark.parametrize(
    ("coding", "body"),
    [("base64", BODY), ("UTF-8", BODY), ("gzip", b"\x89PNG\r\n\x1a\n"), ("x", b"GIF89a")],
)
def test_a_body_that_is_in_no_coding_is_taken_as_it_is(coding: str, body: bytes) -> None:
    """Proxies inflate a body and leave its header."""
    assert inflated(request(coding, body)).body == body


@pytest.mark.parametrize(
    ("coding", "body", "error", "reason"),
    [
        ("br", BODY, UnsupportedMediaType, "'br'; send the body in gzip or deflate"),
        ("deflate, gzip", BODY, UnsupportedMediaType, "send the body in gzip or deflate"),
        ("gzip", BODY, BadRequest, "not valid gzip"),
        ("deflate", BODY, BadRequest, "not valid deflate"),
        ("gzip", gzip.compress(BODY)[:-1], BadRequest, "one complete gzip stream"),
        ("gzip", gzip.compress(BODY) + b"x", BadRequest, "one complete gzip stream"),
        ("gzip", b"", BadRequest, "one complete gzip stream"),
        ("deflate", b"", BadRequest, "deflate"),
    ],
)
def test_what_is_not_in_its_coding_is_refused(
    coding: str, body: bytes, error: type[PredictError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        inflated(request(coding, body))


def test_a_body_is_inflated_to_4_mib_and_no_further() -> None:
    """A bomb of a megabyte would otherwise become a gigabyte."""
    assert len(inflated(request("gzip", gzip.compress(bytes(MAX_BODY)))).body) == MAX_BODY
    with pytest.raises(TooLarge, match="over 4194304 bytes"):
        inflated(request("gzip", gzip.compress(bytes(MAX_BODY + 1))))


def response(*, is_binary: bool) -> Response:
    body = base64.b64encode(BODY).decode() if is_binary else BODY.decode("latin-1")
    return {"statusCode": 200, "headers": {"A": "b"}, "body": body, "isBase64Encoded": is_binary}


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(
    ("accepted", "coding", "inflate"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("deflate, gzip;q=0.5, br", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("gzip;q=0, deflate", "deflate", zlib.decompress),
    ],
)
def test_a_response_is_in_the_coding_that_is_accepted(
    accepted: str, coding: str, inflate: Callable[[bytes], bytes], *, is_binary: bool
) -> None:
    packed = compressed(response(is_binary=is_binary), accepted)
    assert packed["isBase64Encoded"]
    assert packed["headers"] == {"A": "b", "Content-Encoding": coding, "Vary": "Accept-Encoding"}
    content = inflate(base64.b64decode(packed["body"]))
    assert content == (BODY if is_binary else BODY.decode("latin-1").encode())


@pytest.mark.parametrize("accepted", ["br", "gzip;q=0", "identity", "gzip;q=x", ";", "*;q=0"])
def test_a_response_stays_as_it_is_where_no_coding_is_accepted(accepted: str) -> None:
    assert compressed(response(is_binary=False), accepted) == response(is_binary=False)
