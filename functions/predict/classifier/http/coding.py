"""Content codings: bodies of requests in gzip or deflate (RFC 9110, section 8.4.1).

Imported for requests that name a coding.
"""

import zlib
from reprlib import repr as short

from classifier.errors import BadRequest, TooLarge, UnsupportedMediaType
from classifier.http import MAX_BODY
from classifier.http.event import Request
from classifier.image import formats

_NONE = ("", "identity", "base64", "utf-8")  # the latter say what the body is, which we see
_HEADER_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's `wbits`: gzip's header, or zlib's


def inflated(request: Request) -> Request:
    """Return the request with its body as it was before it was compressed.

    Raises UnsupportedMediaType for another coding, TooLarge for a body that would have over 4 MiB,
    and BadRequest for one that is not in its coding.
    """
    coding = request.headers["content-encoding"].strip().lower()
    if coding in _NONE or formats.recognise(request.body):  # inflated on its way
        return request
    if coding not in _HEADER_BITS:
        raise UnsupportedMediaType(
            f"unsupported content encoding {short(coding)}; send the body in gzip or deflate, "
            "or uncompressed"
        )
    bits = _HEADER_BITS[coding]
    if coding == "deflate" and (request.body[:1] or b"x")[0] & 0x0F != 8:
        bits = -15  # without zlib's header, as some clients send it
    stream = zlib.decompressobj(bits)
    try:
        body = stream.decompress(request.body, MAX_BODY + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not valid {coding}: {error}") from error
    if len(body) > MAX_BODY:
        raise TooLarge(f"the body has over {MAX_BODY} bytes (4 MiB) when it is inflated; send less")
    if not stream.eof or stream.unused_data:
        raise BadRequest(f"the body is not one complete {coding} stream; send all of its bytes")
    return request._replace(body=body)
