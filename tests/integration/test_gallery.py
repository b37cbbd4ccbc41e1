"""The gallery of docs/preprocessing.md: redrawing it changes nothing, and its answers are right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import gallery


@pytest.mark.usefixtures("model_version")
def test_every_hard_picture_that_is_shown_is_read_right() -> None:
    read = gallery.reader()
    assert [name for name, file, digit in gallery.examples() if read(file)[1] != digit] == []


@pytest.mark.usefixtures("model_version")
def test_the_gallery_is_drawn_as_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = np.asarray(Image.open(gallery.GALLERY).convert("L"), dtype=np.float32)
    assert gallery.GALLERY.stat().st_size < 300_000
    monkeypatch.setattr(gallery, "PROJECT", tmp_path)
    monkeypatch.setattr(gallery, "GALLERY", tmp_path / "images" / "gallery.png")
    gallery.main([])
    drawn = np.asarray(Image.open(tmp_path / "images" / "gallery.png").convert("L"))
    assert drawn.shape == committed.shape
    assert np.abs(drawn - committed).mean() < 1
