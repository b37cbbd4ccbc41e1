"""payload.py: the image files in a body, by its content type."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from classifier.errors import (
    BadRequest,
    PredictError,
    TooLarge,
    UnreadableImage,
    UnsupportedMediaType,
)
from classifier.http import MAX_BODY, MAX_IMAGES
from classifier.http.event import Request
from classifier.http.payload import Payload, read
from classifier.image import formats

FILE = b"\x89PNG\r\n\x1a\n?>\xfb\xff"  # its base64 holds both "+" and "/"
TEXT = base64.b64encode(FILE).decode()


def post(body: bytes, content_type: str | None, **query: str) -> Payload:
    headers = {} if content_type is None else {"content-type": content_type}
    return read(Request("POST", "/predict", query, headers, body, "-"))


def post_json(document: Any) -> Payload:
    return post(json.dumps(document).encode(), "application/json")


@pytest.mark.parametrize(
    "content_type",
    [
        *sorted(formats.MEDIA_TYPES),
        "image/*",
        "image/heic",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data; boundary=x",
        "*/*",
        "nonsense",
        "application/octet-stream",
        "",
        None,
        "IMAGE/PNG",
        " image/png ; charset=binary",
        "; charset=utf-8 x/y",
    ],
)
def test_a_body_that_is_an_image_is_the_file_whatever_its_type(content_type: str | None) -> None:
    assert post(FILE, content_type) == Payload(
        [FILE], is_batch=False, mode="auto", with_input=False
    )


@pytest.mark.parametrize(
    "content_type", ["text/plain", "image/*", "image/x-unknown", "application/jsonp", "nonsense"]
)
def test_another_type_of_what_is_no_image_is_refused_with_those_that_are_supported(
    content_type: str,
) -> None:
    with pytest.raises(UnsupportedMediaType, match=rf"{re.escape(content_type)}.*json.*image/png"):
        post(b"seven", content_type)


def test_another_type_of_a_known_format_is_refused_by_the_format() -> None:
    with pytest.raises(UnsupportedMediaType, match="JPEG XL files are not supported"):
        post(b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl")


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", None])
def test_an_empty_file_is_refused_with_what_to_send(content_type: str | None) -> None:
    with pytest.raises(UnreadableImage, match="empty; send"):
        post(b"", content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"]
)
def test_a_json_image_is_decoded_from_base64(content_type: str) -> None:
    body = json.dumps({"image": TEXT}).encode()
    assert post(body, content_type) == Payload(
        [FILE], is_batch=False, mode="auto", with_input=False
    )


def test_json_images_keep_their_order_and_are_a_batch() -> None:
    texts = [base64.b64encode(bytes([number])).decode() for number in range(3)]
    assert post_json({"images": texts}) == Payload(
        [b"\x00", b"\x01", b"\x02"], is_batch=True, mode="auto", with_input=False
    )


def test_a_list_of_one_image_is_still_a_batch() -> None:
    assert post_json({"images": [TEXT]}).is_batch


def test_other_members_of_a_json_body_are_ignored() -> None:
    assert post_json({"image": TEXT, "title": "seven"}).images == [FILE]


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f"DATA:IMAGE/PNG;BASE64,{TEXT}",
        f"  {TEXT[:5]}\r\n{TEXT[5:]}\n",
        f"data:image/png;base64,{TEXT[:5]}\n{TEXT[5:]}",
    ],
)
def test_data_urls_and_line_breaks_in_base64_are_taken(text: str) -> None:
    assert post_json({"image": text}).images == [FILE]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("###", "not valid base64"),
        (TEXT[:-3], "not valid base64"),
        (TEXT.rstrip("=") + "=====x", "not valid base64"),
        ("größe", "not valid base64"),
        ("\ud800", "not valid base64"),
        ("https://example.com/7.png", "URL"),
        ("data:image/png," + TEXT, "base64"),
        ("data:image/png;base64", "base64"),
        ("data:,", "base64"),
        ("data:image/png;base64,###", "not valid base64"),
    ],
)
def test_a_fault_in_base64_says_where_it_is_and_what_to_send(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as single:
        post_json({"image": text})
    assert '"image"' in single.value.detail
    with pytest.raises(BadRequest, match=reason) as batch:
        post_json({"images": [TEXT, text]})
    assert '"images[1]"' in batch.value.detail


@pytest.mark.parametrize(
    "text", ["data:application/octet-stream;base64,", "\n data:image/png;base64,"]
)
def test_a_data_url_as_browsers_and_templates_write_it_is_taken(text: str) -> None:
    """For a file of a type that the browser does not know; after an indent."""
    assert post_json({"image": text + TEXT}).images == [FILE]


@pytest.mark.parametrize(
    ("value", "top_k"), [(None, None), ("all", 0), ("1", 1), ("5", 5), ("1000", 1000)]
)
def test_a_client_chooses_how_many_labels_it_gets(value: str | None, top_k: int | None) -> None:
    query = {} if value is None else {"top_k": value}
    assert read(Request("POST", "/predict", query, {}, FILE, "-")).top_k == top_k


@pytest.mark.parametrize("value", ["", "0", "-1", "5.0", "five", "²", "9" * 7])
def test_another_number_of_labels_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="top_k must be all or a number from 1, got"):
        read(Request("POST", "/predict", {"top_k": value}, {}, FILE, "-"))


@pytest.mark.parametrize("body", [b"\x08\xff&" * 200, b"\xef\xbb\xbffemale\nmale\n"])
def test_bytes_that_curl_calls_a_form_are_a_file(body: bytes) -> None:
    """curl --data-binary declares any file to be a form, whose text is ASCII."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert read(Request("POST", "/predict", {}, headers, body, "-")).images == [body]


def test_a_file_of_another_format_in_a_form_is_named() -> None:
    page = b"<!DOCTYPE html><html><body>image</body></html>"
    body, content_type = encode_multipart_formdata([("image", ("a.html", page))])
    with pytest.raises(UnsupportedMediaType, match="HTML"):
        read(Request("POST", "/predict", {}, {"content-type": content_type}, body, "-"))


@pytest.mark.parametrize("kind", ["text/plain", "application/pdf", "text/html;charset=utf-8"])
def test_a_data_url_of_another_type_is_refused_unless_its_bytes_are_an_image(kind: str) -> None:
    assert post_json({"image": f"data:{kind};base64,{TEXT}"}).images == [FILE]
    with pytest.raises(UnsupportedMediaType, match="data URL"):
        post_json({"image": f"data:{kind};base64,c2V2ZW4="})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (7, "a number"),
        (7.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
        ([TEXT, TEXT], "a list"),
        ({"data": "c2V2ZW4="}, "an object"),
    ],
)
def test_an_image_that_is_no_string_is_named_for_what_it_is(value: Any, name: str) -> None:
    with pytest.raises(BadRequest, match=f'"image" must be a base64 string, got {name}'):
        post_json({"image": value})
    with pytest.raises(BadRequest, match=rf'"images\[1\]" must be .* got {name}'):
        post_json({"images": [TEXT, value]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"picture": "c2V2ZW4="},
        {"image": TEXT, "images": [TEXT]},
        [TEXT, TEXT],
        None,
        7,
        True,
        [],
    ],
)
def test_a_json_body_of_another_shape_is_told_the_right_one(document: Any) -> None:
    with pytest.raises(BadRequest, match='"image", a base64 string, or "images"'):
        post_json(document)


@pytest.mark.parametrize("images", [[], {}, "c2V2ZW4=", None, 3])
def test_a_batch_that_is_no_list_of_images_is_refused(images: Any) -> None:
    with pytest.raises(BadRequest, match='"images" must be a list of 1 to 32'):
        post_json({"images": images})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'image': 1}",
        b'{"image": ',
        b"\xff\xfe\x00",
        b"\xff\xd8\xfe\xe0",
        b"image=Zm9v",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"image":' * 50_000,
    ],
)
def test_malformed_json_is_a_bad_request_that_says_what_to_send(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"not valid JSON.*send application/json"):
        post(body, "application/json")


def test_json_in_utf_16_is_read_as_the_standard_library_does() -> None:
    assert post(json.dumps({"image": TEXT}).encode("utf-16"), "application/json").images == [FILE]


def test_thirty_two_images_are_taken_and_one_more_is_too_many() -> None:
    assert len(post_json({"images": [TEXT] * MAX_IMAGES}).images) == 32
    with pytest.raises(TooLarge, match="33 entries; send at most 32"):
        post_json({"images": [TEXT] * 33})


@pytest.mark.parametrize("content_type", ["image/png", "application/json", "text/plain"])
def test_four_mebibytes_are_taken_and_one_byte_more_is_too_large(content_type: str) -> None:
    with pytest.raises(TooLarge, match=r"4194305 bytes.*4 MiB"):
        post(bytes(MAX_BODY + 1), content_type)
    if content_type == "image/png":
        assert len(post(bytes(MAX_BODY), content_type).images[0]) == 4 * 1024 * 1024


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_preprocess_is_taken_from_the_query(mode: str) -> None:
    assert post(FILE, "image/png", preprocess=mode).mode == mode
    assert (
        post(json.dumps({"image": TEXT}).encode(), "application/json", preprocess=mode).mode == mode
    )


@pytest.mark.parametrize("value", ["", "NONE", "Auto", "mnist", "auto,none", "true", "\x00"])
def test_an_unknown_preprocess_is_a_bad_request_with_the_known_ones(value: str) -> None:
    with pytest.raises(BadRequest, match="preprocess must be auto or none"):
        post(FILE, "image/png", preprocess=value)


def test_other_query_parameters_are_ignored() -> None:
    assert post(FILE, "image/png", trace="1").mode == "auto"


@given(st.binary(max_size=64))
def test_any_bytes_come_through_base64_unchanged(content: bytes) -> None:
    assert post_json({"image": base64.b64encode(content).decode()}).images == [content]


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["image", "images"]) | st.text(max_size=4), inner)
    ),
    max_leaves=8,
)


@given(json_value.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=64))
def test_any_json_body_gives_images_or_a_refusal(body: bytes) -> None:
    try:
        payload = post(body, "application/json")
    except PredictError:
        return
    assert 1 <= len(payload.images) <= MAX_IMAGES


def form(*parts: tuple[str, bytes]) -> bytes:
    head = 'Content-Disposition: form-data; name="{}"; filename="a.png"'
    return b"".join(
        b"--x\r\n" + head.format(name).encode() + b"\r\n\r\n" + content + b"\r\n"
        for name, content in parts
    ) + (b"--x--\r\n")


FORM = "multipart/form-data; boundary=x"


def test_a_form_gives_its_fields_called_image_and_passes_others_over() -> None:
    body = form(("note", b"seven"), ("image", FILE), ("Image", b"other"), ("images", b"other"))
    assert post(body, FORM) == Payload([FILE], is_batch=False, mode="auto", with_input=False)


def test_a_form_with_more_than_one_image_is_a_batch_in_its_order() -> None:
    payload = post(form(("image", b"\x00"), ("image", b"\x01")), FORM, preprocess="none")
    assert payload == Payload([b"\x00", b"\x01"], is_batch=True, mode="none", with_input=False)


def test_the_boundary_of_a_form_is_read_in_its_own_case() -> None:
    body = form(("image", FILE)).replace(b"--x", b"--Ab")
    assert post(body, "Multipart/Form-Data; boundary=Ab").images == [FILE]


def test_a_form_without_an_image_is_told_how_to_send_one() -> None:
    with pytest.raises(BadRequest, match=r'no field "image".*curl -F image=@'):
        post(form(("photo", b"seven")), FORM)
    with pytest.raises(BadRequest, match='no field "image"'):
        post(b"--x--\r\n", FORM)


def test_a_form_takes_thirty_two_images_and_one_more_is_too_many() -> None:
    assert len(post(form(*[("image", FILE)] * 32), FORM).images) == 32
    with pytest.raises(TooLarge, match="33 images; send at most 32"):
        post(form(*[("image", FILE)] * 33), FORM)


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("false", False)])
def test_input_is_taken_from_the_query(value: str, *, wanted: bool) -> None:
    assert post(FILE, "image/png", input=value).with_input is wanted
    assert post(form(("image", FILE)), FORM, input=value).with_input is wanted
    body = json.dumps({"image": TEXT}).encode()
    assert post(body, "application/json", input=value).with_input is wanted


@pytest.mark.parametrize("value", ["", "1", "True", "yes", "true,false"])
def test_an_unknown_input_is_a_bad_request_with_the_known_ones(value: str) -> None:
    with pytest.raises(BadRequest, match="input must be false or true"):
        post(FILE, "image/png", input=value)


def test_a_number_of_too_many_digits_is_no_advice_to_a_programmer() -> None:
    with pytest.raises(BadRequest, match="too many digits") as refused:
        post(b'{"image": ' + b"1" * 5000 + b"}", "application/json")
    assert "sys." not in refused.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "é" * 2_000_000,
        "data:" + "é" * 2_000_000 + ";base64,",
        "data:" + ";" * 4_000_000,
        "data:image/png" + ";a=b" * 1_000_000 + ",",
    ],
    ids=["no base64", "long type", "no comma", "many parameters"],
)
def test_a_refusal_does_not_send_megabytes_back(text: str) -> None:
    """Lambda's own limit is 6 MB, and JSON makes six bytes of an é."""
    with pytest.raises(PredictError) as refused:
        post(json.dumps({"image": text}, ensure_ascii=False).encode(), "application/json")
    assert "4 MiB" not in refused.value.detail
    assert len(refused.value.detail) < 1000
