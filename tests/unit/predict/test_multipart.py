"""multipart.py: a form's fields, byte for byte."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from classifier.errors import BadRequest, PredictError, TooLarge
from classifier.http.multipart import MAX_PARTS, fields

PNG = b"\x89PNG\r\n\x1a\n\x00--x\r\n--\xff"


def part(name: str, content: bytes, boundary: str = "x", **extra: str) -> bytes:
    parameters = "".join(f'; {key}="{value}"' for key, value in extra.items())
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{parameters}\r\n'
    return head.encode() + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes, boundary: str = "x") -> bytes:
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def parse(body: bytes, content_type: str = "multipart/form-data; boundary=x") -> Any:
    return list(fields(content_type, body))


def test_the_bytes_of_each_field_come_in_their_order() -> None:
    body = (
        b"--x\r\n"
        b'Content-Disposition: form-data; name="image"; filename="7.png"\r\n'
        b"Content-Type: image/png\r\n"
        b"\r\n"
        b"first\r\n"
        b"--x\r\n"
        b'Content-Disposition: form-data; name="note"\r\n'
        b"\r\n"
        b"\r\n"
        b"--x--\r\n"
    )
    assert parse(body) == [("image", b"first"), ("note", b"")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"\r\n\r\n", b"a\r\nb\r\n", b"\n", b" --x", b"\n--x--", PNG, b"\r\n--y\r\n"],
)
def test_content_is_taken_byte_for_byte(content: bytes) -> None:
    """Line ends and what looks like a boundary belong to the file, but at the start of a line."""
    assert parse(form(part("image", content), part("note", b"!"))) == [
        ("image", content),
        ("note", b"!"),
    ]


@pytest.mark.parametrize(
    ("parameter", "boundary"),
    [
        ("boundary=x", "x"),
        ('boundary="x"', "x"),
        ('boundary="a b"', "a b"),
        ("BOUNDARY=Ab", "Ab"),
        ("charset=utf-8; boundary=x", "x"),
        ("boundary=x; charset=utf-8", "x"),
        ('boundary="x;y"', "x;y"),
        ("boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", "----WebKitFormBoundary7MA4YWxkTrZu0gW"),
        ("boundary='()+_,-./:=?", "'()+_"),
        (f"boundary={'b' * 70}", "b" * 70),
        ("boundary=-", "-"),
        ("boundary=.*", ".*"),
    ],
)
def test_a_boundary_is_read_quoted_or_not(parameter: str, boundary: str) -> None:
    body = form(part("image", PNG, boundary), boundary=boundary)
    assert parse(body, f"multipart/form-data; {parameter}") == [("image", PNG)]


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; charset=utf-8",
        "multipart/form-data boundary=x",
        "multipart/form-data; xboundary=x",
    ],
)
def test_a_missing_boundary_is_named(content_type: str) -> None:
    with pytest.raises(BadRequest, match="boundary parameter"):
        parse(form(part("image", PNG)), content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"image",
        form(part("image", PNG, "y"), boundary="y"),
        part("image", PNG),  # the end is missing
        form(part("image", PNG))[:-5],
        form(part("image", PNG)).replace(b"\r\n", b"\n"),
        PNG,
        b"-x--",
    ],
)
def test_a_body_that_its_boundary_does_not_take_apart_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="begin and end with the boundary"):
        parse(body)


@pytest.mark.parametrize("boundary", ["b" * 71, "xy"])
def test_another_boundary_than_that_of_the_header_is_refused(boundary: str) -> None:
    with pytest.raises(BadRequest):
        parse(form(part("image", PNG), boundary="x"), f"multipart/form-data; boundary={boundary}")


def test_a_boundary_that_goes_on_is_another_one() -> None:
    with pytest.raises(BadRequest):
        parse(form(part("image", PNG, "xy"), boundary="xy"))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Content-Type: image/png\r\n",
        b"Content-Disposition: form-data\r\n",
        b'Content-Disposition: form-data; filename="image"\r\n',
        b'Content-Disposition: attachment; name="image"\r\n',
        b'X-Content-Disposition: form-data; name="image"\r\n',
    ],
)
def test_a_part_without_a_name_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest, match="Content-Disposition: form-data with a name"):
        parse(b"--x\r\n" + head + b"\r\n7\r\n--x--\r\n")


def test_a_part_without_an_empty_line_is_refused() -> None:
    with pytest.raises(BadRequest, match="Content-Disposition"):
        parse(b'--x\r\nContent-Disposition: form-data; name="image"\r\n--x--\r\n')


@pytest.mark.parametrize(
    "disposition",
    [
        'Content-Disposition: form-data; name="image"',
        "Content-Disposition: form-data; name=image",
        "content-disposition:form-data;name=image",
        'CONTENT-DISPOSITION: FORM-DATA; NAME="image"',
        'Content-Disposition: form-data; filename="a.png"; name="image"',
        "Content-Disposition: form-data; filename*=UTF-8''%C3%B6.png; name=image",
        'Content-Disposition: form-data; name="image"; filename="name=note"',
        'Content-Disposition: form-data; name="image"; filename="a; name=note.png"',
        'Content-Disposition: form-data; filename="a; name=note.png"; name="image"',
        r'Content-Disposition: form-data; filename="\"; name=note.png"; name="image"',
        'X-Before: 1\r\nContent-Disposition: form-data; name="image"',
    ],
)
def test_a_name_is_read_in_every_form_that_clients_write(disposition: str) -> None:
    assert parse(f"--x\r\n{disposition}\r\n\r\n7\r\n--x--".encode()) == [("image", b"7")]


@pytest.mark.parametrize("name", ["", "größe", "a b", "image[]"])
def test_other_names_are_given_as_they_are(name: str) -> None:
    assert parse(form(part(name, b"7"))) == [(name, b"7")]


def test_a_name_that_is_not_utf_8_does_not_stop_the_parsing() -> None:
    body = form(part("image", b"7")).replace(b"image", b"im\xffge", 1)
    assert [content for _, content in parse(body)] == [b"7"]


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"This is a form.\r\n", b"--y\r\n"])
@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"That was it.", b"\r\nmore\r\n--y--"])
def test_what_stands_before_and_after_the_parts_is_passed_over(
    preamble: bytes, epilogue: bytes
) -> None:
    """RFC 2046, section 5.1.1."""
    assert parse(preamble + form(part("image", PNG)) + epilogue) == [("image", PNG)]


def test_spaces_after_a_boundary_are_passed_over() -> None:
    body = form(part("image", PNG)).replace(b"--x\r\nCont", b"--x \t\r\nCont")
    assert parse(body) == [("image", PNG)]


def test_a_hundred_fields_are_taken_and_one_more_is_too_many() -> None:
    many = [part("note", b"")] * MAX_PARTS
    assert len(parse(form(*many))) == 100
    with pytest.raises(TooLarge, match="over 100 fields"):
        parse(form(*many, many[0]))


def test_ten_thousand_fields_are_too_many() -> None:
    with pytest.raises(TooLarge, match="over 100 fields"):
        parse(form(*[part("image", b"")] * 10_000))


def test_a_lone_surrogate_in_the_boundary_is_no_error_of_ours() -> None:
    with pytest.raises(BadRequest):
        parse(form(part("image", PNG)), "multipart/form-data; boundary=\ud800")


names = st.sampled_from(["image", "note", "file name", "größe"])
contents = st.binary(max_size=40) | st.sampled_from([b"\r\n", b"\r\n--", b"-", PNG])


@given(st.lists(st.tuples(names, contents), min_size=1, max_size=6))
def test_any_fields_come_back_as_they_were_put_in(given_fields: list[tuple[str, bytes]]) -> None:
    boundary = "0123456789abcdef"
    parts = [part(name, content, boundary, filename="a.png") for name, content in given_fields]
    body = form(*parts, boundary=boundary)
    assert parse(body, f"multipart/form-data; boundary={boundary}") == given_fields


def test_a_header_longer_than_any_file_s_name_is_refused() -> None:
    """It is not searched: a pattern that goes back and forth in megabytes takes memory and time."""
    long = b"x" * 8300
    body = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n7\r\n--x--' % long
    with pytest.raises(BadRequest, match="a header of over 8192 bytes"):
        parse(body)


@given(st.lists(st.tuples(names, contents), min_size=1, max_size=6))
def test_forms_of_urllib3_and_requests_come_back(given_fields: list[tuple[str, bytes]]) -> None:
    """The encoder of both."""
    items = [(name, ("digit.png", content, "image/png")) for name, content in given_fields]
    body, content_type = encode_multipart_formdata(items)
    assert parse(body, content_type) == given_fields


@given(
    st.lists(st.sampled_from([b"--x", b"--", b"\r\n", b"a", part("image", PNG), b"\r\n\r\n"])).map(
        b"".join
    )
    | st.binary(max_size=80)
)
def test_any_body_gives_fields_or_a_refusal(body: bytes) -> None:
    try:
        found = parse(body)
    except PredictError:
        return
    assert all(isinstance(content, bytes) for _, content in found)
