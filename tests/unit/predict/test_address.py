"""address.py: one parser of addresses for the function and the commands."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.model.address import AddressError, Bucket, Folder, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://models", Bucket("models", "")),
        ("s3://models/", Bucket("models", "")),
        ("s3://my.models_2/team/a b//", Bucket("my.models_2", "team/a b")),
        ("s3://models/50%25", Bucket("models", "50%25")),
        ("file:///opt/model-store", Folder("/opt/model-store")),
        ("file:///opt/model-store//", Folder("/opt/model-store")),
        ("file:///", Folder("/")),
        ("file:///a b", Folder("/a b")),
        ("file:///a%20b%3F%23", Folder("/a b?#")),
    ],
)
def test_an_address_is_a_folder_or_a_bucket_and_a_prefix(
    url: str, address: Folder | Bucket
) -> None:
    """Trailing slashes are ignored; only a folder is percent-decoded."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "models", "/opt/model-store", "https://example.com/models", "S3"),
        *("s3:/bucket", "s3:bucket", "S3://Bucket", " s3://bucket", "s3://bucket/prefix "),
        *("s3://", "s3:///prefix", "s3://a bucket", "s3://bücket", "s3://[bucket", "s3://-bucket"),
        *("s3://bucket?versionId=1", "s3://bucket/a#b", "file:///a?b", "file:///a#b"),
        *("s3://bucket/a//b", "s3://bucket//a", "s3://bucket/../a", "s3://bucket/a/.", "s3://b/\0"),
        *("file:", "file:relative", "file:/folder", "file://", "file://relative", "file:///a%00"),
        *("FILE:///folder", "file://host/folder"),
    ],
)
def test_anything_else_is_quoted_with_what_was_expected(url: str) -> None:
    """It is ambiguous, or obstore would refuse it without naming the variable."""
    with pytest.raises(AddressError) as caught:
        parse_address(url)
    assert str(caught.value).startswith(f"{url!r} ")
    assert "expected s3://bucket/prefix" in str(caught.value)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1)))
def test_the_address_of_any_folder_leads_back_to_it(names: list[str]) -> None:
    """As pathlib writes it: percent-encoded."""
    folder = Path("/", *names)
    assert parse_address(folder.as_uri()) == Folder(str(folder))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other error is raised."""
    for url in (text, f"s3://{text}", f"file://{text}"):
        try:
            parse_address(url)
        except AddressError:
            continue
