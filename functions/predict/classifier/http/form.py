"""Files of a `multipart/form-data` body (RFC 7578), read by the strict parser of `multipart`."""

from io import BytesIO
from reprlib import repr as short  # don't echo kilobytes back

from multipart import MultipartParser, ParserLimitReached, parse_options_header

from classifier.errors import BadRequest, TooLarge

MAX_FIELDS = 100


def read_fields(content_type: str, body: bytes, name: str) -> list[bytes]:
    """Return the contents of all fields called `name`, byte for byte and in order.

    Raises BadRequest for a malformed body, TooLarge for over 100 fields or 4 KiB of field header.
    """
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise BadRequest(
            "multipart/form-data needs its boundary parameter in Content-Type, "
            f"got {short(content_type)}"
        )
    try:
        parts = MultipartParser(
            BytesIO(body),
            boundary,
            charset="latin-1",  # accepts file names in any encoding, which are ignored
            strict=True,
            part_limit=MAX_FIELDS,
            spool_limit=len(body),  # in memory, never in a temporary file
            memory_limit=len(body),
        )
        return [part.raw for part in parts.get_all(name)]
    except ParserLimitReached as error:
        raise TooLarge(
            f"the form is too large ({error}); send at most {MAX_FIELDS} fields, each with a "
            "header of at most 4 KiB"
        ) from error
    except ValueError as error:  # the parser's own, or a boundary that is not text
        raise BadRequest(
            f"the form is malformed ({error}); its fields must be separated by the boundary of "
            "Content-Type, each with a Content-Disposition: form-data and a name"
        ) from error
