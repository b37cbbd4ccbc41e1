"""formats.py: accepted formats are told by their bytes; where they are stated again, it agrees."""

import io
import runpy

import pytest
from PIL import Image

from classifier.errors import UnreadableImage
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


def test_the_layer_is_checked_with_every_format() -> None:
    check = runpy.run_path(str(ROOT / "layers/onnxruntime/check.py"), run_name="check")
    assert set(check["FORMATS"]) == {accepted.name for accepted in formats.ACCEPTED}
