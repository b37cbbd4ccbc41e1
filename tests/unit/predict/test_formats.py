"""formats.py: accepted formats are told by their bytes; where they are stated again, it agrees."""

import io
import runpy

import pytest
from PIL import Image

from classifier.errors import UnreadableImage, UnsupportedMediaType
from classifier.image import formats
from tests.support import ROOT


@pytest.mark.parametrize("accepted", formats.ACCEPTED, ids=lambda accepted: accepted.name)
def test_a_format_is_told_by_the_bytes_of_its_files(accepted: formats.Format) -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, accepted.name)
    assert formats.require(file.getvalue()) is accepted


def test_the_suffixes_are_those_that_pillow_has_for_the_formats() -> None:
    of_pillow = Image.registered_extensions()
    for accepted in formats.ACCEPTED:
        assert {of_pillow[suffix] for suffix in accepted.suffixes} == {accepted.name}


def test_bytes_of_no_format_are_refused_with_the_formats() -> None:
    for data in (b"", b"seven", b"RIFF\x00\x00\x00\x00ACON", b"\xff\xd8"):
        with pytest.raises(UnreadableImage, match=f"send a {formats.NAMES} file"):
            formats.require(data)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("SVG", SVG),
        ("SVG", b"\xef\xbb\xbf" + SVG),
        ("SVG", SVG.decode().encode("utf-16")),
        (
            "SVG",
            b"<?xml version='1.0'?>\n<!-- made by hand -->\n<!DOCTYPE svg [ <!ENTITY a 'b'> ]>"
            + SVG,
        ),
        ("SVG", b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>"),
        ("HTML", b"<!DOCTYPE html><title>7</title>"),
        ("HTML", b"\n<!-- a comment -->\n<HTML>"),
        ("XML", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
        ("PDF", b"%PDF-1.7"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("JPEG XL", b"\xff\x0a\xfa"),
        ("Photoshop", b"8BPS\0\1"),
        ("ICO", b"\0\0\1\0\1\0\x10\x10"),
        ("TGA", b"\0\0\2" + bytes(9) + b"\x10\0\x10\0\x18\0"),
        ("TGA", b"\0\1\1\0\0\xe2\0\x18" + bytes(4) + b"\x10\0\x10\0\x08\0"),
        ("TGA", b"\0\0\3" + bytes(9) + b"\x10\0\x10\0\x01\0"),
        ("BMP without its file header", b"\x28\0\0\0\x1c\0\0\0\x1c\0\0\0\1\0\x18\0"),
        ("BLP", b"BLP2\1\0\0\0"),
        ("IFUNC", b"Image type: Greyscale image\r\n"),
        ("MSP", b"DanM\xa0\0"),
        ("PPM", b"P6\n2 2\n255\n"),
        ("video", b"\0\0\1\xba"),
        ("video", b"\0\0\0\x20ftypisom"),
        ("audio", b"\0\0\0\x20ftypM4A "),
        ("camera raw", b"\0\0\0\x18ftypcrx "),
        ("HEVC sequence", b"\0\0\0\x18ftyphevc"),
        ("ZIP", b"PK\3\4"),
        ("Microsoft Office", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("archive", bytes(257) + b"ustar"),
        ("DICOM", bytes(128) + b"DICM"),
        ("MNIST data", b"\0\0\x08\3\0\0\0\1"),
        ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\n"),
    ],
)
def test_an_unsupported_format_is_refused_by_its_name(name: str, data: bytes) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"^{name} files are not supported"):
        formats.require(data)


def test_a_text_of_many_comments_is_gone_over_once() -> None:
    """A pattern that tried all ways to split them would not come to an end."""
    with pytest.raises(UnreadableImage):
        formats.require(b"<!---->" * 1000 + b"<seven>")


def test_the_layer_is_checked_with_every_format() -> None:
    check = runpy.run_path(str(ROOT / "layers/onnxruntime/check.py"), run_name="check")
    assert set(check["FORMATS"]) == {accepted.name for accepted in formats.ACCEPTED}
