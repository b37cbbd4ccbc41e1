"""Fields of a `multipart/form-data` body (RFC 7578), byte for byte.

The standard library's parser is made for mail: it takes text apart into lines and costs 20 ms to
import. A form needs only its boundaries and one header of each part.
"""

import re
from collections.abc import Iterator

from classifier.errors import BadRequest, TooLarge

MAX_PARTS = 100
_MAX_HEAD = 8192  # bytes of a part's header: a file's name, not a file
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_OTHER = rb'(?!name=)[\w*-]+=(?:"(?:[^"\\]|\\.)*"|[^\s";]*)\s*;\s*'  # filename="a; name=b.png";
_NAME = re.compile(
    rb'^content-disposition:\s*form-data\s*;\s*(?:%b)*name=(?:"([^"]*)"|([^\s";]+))' % _OTHER,
    re.IGNORECASE | re.MULTILINE,
)


def fields(content_type: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each part, in their order.

    Raises BadRequest for a body that its boundary does not take apart and for a part's header over
    8 KiB, TooLarge over 100 parts.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("multipart/form-data needs its boundary parameter in Content-Type")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "surrogatepass")
    body = b"\r\n" + body
    if body.count(delimiter) > MAX_PARTS + 1:
        raise TooLarge(f"the form has over {MAX_PARTS} fields; send the images alone")
    _preamble, *parts = body.split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise BadRequest("the form's parts do not begin and end with the boundary of Content-Type")
    for part in parts[:-1]:
        padding, line_end, rest = part.partition(b"\r\n")
        head, blank, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if len(head) > _MAX_HEAD:
            raise BadRequest(f"a part of the form has a header of over {_MAX_HEAD} bytes")
        name = _NAME.search(head.replace(b"\r\n", b"\n"))
        if padding.strip() or not line_end or not blank or name is None:
            raise BadRequest("a part of the form has no Content-Disposition: form-data with a name")
        yield (name[1] or name[2] or b"").decode("utf-8", "replace"), content
