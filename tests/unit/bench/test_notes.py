"""What `make bench` writes into docs/performance.md, and what is written by hand."""

from tests.support import ROOT


def test_performance_has_the_notes_as_they_are() -> None:
    """Edited in docs/performance.md alone, a note would be lost with the next bench."""
    notes = (ROOT / "bench" / "notes.md").read_text()
    assert notes.strip() in (ROOT / "docs" / "performance.md").read_text()
