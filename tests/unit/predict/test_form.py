"""form.py: the files of a form, byte for byte, as clients write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from classifier.errors import BadRequest, PredictError, TooLarge
from classifier.http.form import MAX_FIELDS, choose_images, is_multipart, read_multipart

PNG = b"\x89PNG\r\n\x1a\n\x00--x\r\n--\xff"
IMAGE = b'Content-Disposition: form-data; name="image"\r\n'


def field(content: bytes, head: bytes = IMAGE) -> bytes:
    return b"--x\r\n" + head + b"\r\n" + content + b"\r\n"


def form(*fields: bytes) -> bytes:
    return b"".join(fields) + b"--x--\r\n"


def read(body: bytes, content_type: str = "multipart/form-data; boundary=x") -> list[bytes]:
    fields = read_multipart(content_type, body)
    return [content for name, content in fields if name == "image"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"\r\n\r\n", b"a\r\nb\r\n", b"\n", b" --x", b"\n--x--", PNG, PNG * 20_000],
)
def test_content_is_read_byte_for_byte(content: bytes) -> None:
    """Line ends and what looks like a boundary belong to the file, but at the start of a line."""
    note = field(b"!", b'Content-Disposition: form-data; name="note"\r\n')
    assert read(form(note, field(content), note, field(PNG))) == [content, PNG]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=image\r\n",
        b'CONTENT-DISPOSITION: FORM-DATA; NAME="image"\r\nContent-Type: image/png\r\n',
        b'Content-Disposition: form-data; filename="a; name=note.png"; name="image"\r\n',
        b'Content-Disposition: form-data; filename="\xe4\xff.png"; name="image"\r\n',
    ],
)
def test_a_name_is_read_in_every_form_that_clients_write(head: bytes) -> None:
    assert read(form(field(PNG, head))) == [PNG]


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n", b"\r\n", b"a\n--", PNG, b"\r" + PNG])
def test_bare_line_feeds_are_read_and_the_content_keeps_its_own(content: bytes) -> None:
    """Line feeds around the file are the form's, those within are the file's."""
    parts = [field(b"").replace(b"\r\n", b"\n")[:-1] + text + b"\n" for text in (content, PNG)]
    assert read(b"".join(parts) + b"--x--\n") == [content, PNG]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["note", "image", "file"], ["image"]),
        (["file", "images[]", "images[]"], ["images[]", "images[]"]),
        (["file[1]", "file[2]"], ["file[1]", "file[2]"]),
        (["files", "file"], ["file"]),
    ],
)
def test_the_fields_of_the_first_name_that_is_there_are_chosen(
    names: list[str], chosen: list[str]
) -> None:
    fields = [(name, PNG) for name in names]
    assert choose_images(fields) == [(name, PNG) for name in chosen]


@pytest.mark.parametrize("names", [[], ["Image"], ["imagee"], ["image[a]"], ["my image"]])
def test_a_form_without_such_a_field_is_refused_with_its_names(names: list[str]) -> None:
    with pytest.raises(BadRequest, match='no field "image"') as refused:
        choose_images([(name, b"seven") for name in names])
    assert all(repr(name) in refused.value.detail for name in names)


@pytest.mark.parametrize("name", ["photo", "Image", "", "upload[a]"])
def test_the_only_field_that_holds_an_image_is_chosen_whatever_its_name(name: str) -> None:
    fields = [("note", b"a seven"), (name, PNG)]
    assert choose_images(fields) == [(name, PNG)]
    with pytest.raises(BadRequest, match='no field "image"'):
        choose_images([*fields, ("other", PNG)])


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", 'multipart/form-data; boundary=""']
)
def test_a_missing_boundary_is_named(content_type: str) -> None:
    with pytest.raises(BadRequest, match="boundary parameter"):
        read(PNG, content_type)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=y", "application/json", "image/png"],
)
def test_the_boundary_is_the_one_that_the_body_begins_with(content_type: str) -> None:
    """Clients that set the type themselves don't know it."""
    body = form(field(PNG))
    assert is_multipart(body)
    assert not is_multipart(PNG)
    assert read(body, content_type) == [PNG]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PNG,
        field(PNG),  # the end is missing
        form(field(PNG)).replace(b"\r\n", b"\r"),
        form(field(PNG)).replace(b"--x\r\n", b"--x\n"),  # bare LF in places
        form(field(PNG, b"Content-Type: image/png\r\n")),
        form(field(PNG, b"Content-Disposition: form-data\r\n")),
        form(field(PNG, b'Content-Disposition: attachment; name="image"\r\n')),
    ],
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the form is malformed"):
        read(body)


def test_a_boundary_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadRequest, match="the form is malformed"):
        read(PNG, 'multipart/form-data; boundary="\ud800"')


def test_a_hundred_fields_are_read_and_one_more_is_too_many() -> None:
    fields = [field(b"")] * MAX_FIELDS
    assert len(read(form(*fields))) == 100
    with pytest.raises(TooLarge, match="at most 100 fields"):
        read(form(*fields, fields[0]))


def test_a_header_longer_than_any_filename_is_refused() -> None:
    long = b'Content-Disposition: form-data; name="image"; filename="%b"\r\n' % (b"x" * 8300)
    with pytest.raises(TooLarge, match="4 KiB"):
        read(form(field(PNG, long)))


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n--", PNG]), min_size=1, max_size=6))
def test_forms_of_urllib3_and_requests_come_back(contents: list[bytes]) -> None:
    """The encoder of both."""
    items = [("image", ("größe.png", content, "image/png")) for content in contents]
    body, content_type = encode_multipart_formdata(items)
    assert read(body, content_type) == contents


@given(
    st.lists(st.sampled_from([b"--x", b"--", b"\r\n", b"a", field(PNG), b"\r\n\r\n"])).map(b"".join)
    | st.binary(max_size=80)
)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        contents = read(body)
    except PredictError:
        return
    assert all(isinstance(content, bytes) for content in contents)
