"""Responses in gzip or deflate, for requests that accept them (RFC 9110, section 12.5.3)."""

import base64
import zlib

from classifier.http.response import Response

_HEADER_BITS = {"gzip": 31, "deflate": 15}  # zlib's `wbits`, in the order of preference


def compressed(response: Response, accepted: str) -> Response:
    """Return a response in the coding that an Accept-Encoding header asks for, if it asks."""
    weights = dict(map(_weight, accepted.lower().split(",")))
    coding = next((name for name in _HEADER_BITS if weights.get(name)), None)
    body = response["body"]
    content = base64.b64decode(body) if response["isBase64Encoded"] else body.encode()
    if coding is None:
        return response
    stream = zlib.compressobj(wbits=_HEADER_BITS[coding])
    packed = stream.compress(content) + stream.flush()
    return response | {
        "headers": response["headers"] | {"Content-Encoding": coding, "Vary": "Accept-Encoding"},
        "body": base64.b64encode(packed).decode(),
        "isBase64Encoded": True,
    }


def _weight(member: str) -> tuple[str, float]:
    """Coding and weight of a member such as `gzip;q=0.5`."""
    coding, _, weight = member.partition(";")
    try:
        return coding.strip(), float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return coding.strip(), 0.0
